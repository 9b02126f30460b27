"""Pictures of a screen from a node: smaller ones, while the admin wants them, and why where there is none."""

from __future__ import annotations

import io

import pytest
import trio
from PIL import Image

from doai.drivers.failures import device_offline
from doai.drivers.fake.driver import FakeDriver
from doai.node.screens import HEIGHT_MAX, ScreenFeed, smaller
from doai.node.watching import Watching
from tests.unit.node.looking_admin import looking_admin

WITHIN_S = 90.0


def png(width: int, height: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGBA", (width, height), (10, 200, 30, 255)).save(out, "PNG")
    return out.getvalue()


def test_a_picture_is_made_smaller_and_keeps_its_shape() -> None:
    with Image.open(io.BytesIO(smaller(png(1080, 2400)))) as picture:
        assert (picture.format, picture.size) == ("JPEG", (432, HEIGHT_MAX))
    with Image.open(io.BytesIO(smaller(png(100, 50)))) as picture:
        assert picture.size == (100, 50), "a small one is as it was"
    with pytest.raises(OSError, match="identify"):
        smaller(b"no picture")


async def test_pictures_are_brought_until_nobody_looks_and_a_reason_where_there_is_none() -> None:
    driver = FakeDriver(serials=["F0001"], seed=1, latency_s=0.0, journal_max=0)

    def driver_of(serial: str) -> FakeDriver:
        if serial == "broken":
            raise KeyError(serial)
        if serial != "F0001":
            raise device_offline(serial)
        return driver

    with trio.fail_after(WITHIN_S):
        async with (
            driver.run(),
            looking_admin(["F0001", "gone", "broken"], lambda _, brought: len(brought) < 2) as admin,
        ):
            watching = Watching(admin.url, "n1", "secret", ScreenFeed(driver_of, period_s=0.01))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(watching.run)
                await admin.served.wait()
                nursery.cancel_scope.cancel()
    assert [media_type for media_type, _ in admin.brought["F0001"]] == ["image/jpeg", "image/jpeg"]
    assert all(body.startswith(b"\xff\xd8\xff") for _, body in admin.brought["F0001"])
    assert [media_type for media_type, _ in admin.brought["gone"]] == ["text/plain"] * 2
    assert b"gone" in admin.brought["gone"][0][1]
    assert (
        admin.brought["broken"][0][1] == b"Taking a picture of device broken raised KeyError: see the node's log."
    )
