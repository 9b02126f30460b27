"""The picture shows the state, and is small."""

import io
import struct

from PIL import Image

from doai.phone import picture
from doai.phone.device import Device
from doai.phone.faults import Fault, FaultOrder

PNG_BYTES_MAX = 20_000


def test_the_picture_follows_the_state(device: Device) -> None:
    seen = set()
    for action in (
        lambda: None,
        lambda: device.start("com.example.login", 1.0),
        lambda: device.window.tap(100, 130, 1.0),
        lambda: device.window.text("demo"),
        lambda: device.order(FaultOrder(Fault.SCREEN_OFF), 1.0),
    ):
        action()
        data = picture.png(device, 1.0)
        assert len(data) < PNG_BYTES_MAX
        with Image.open(io.BytesIO(data)) as image:
            assert image.size == (360, 800)
            seen.add(image.convert("RGB").tobytes())
    assert len(seen) == 5


def test_same_state_same_picture(device: Device) -> None:
    assert picture.png(device, 3.0) == picture.png(device, 3.0)


def test_raw_and_framebuffer(device: Device) -> None:
    raw = picture.raw(device, 1.0)
    assert struct.unpack_from("<4I", raw) == (360, 800, 1, 1)
    assert len(raw) == 16 + 360 * 800 * 4
    assert picture.framebuffer(device, 1.0)[52:] == raw[16:]
