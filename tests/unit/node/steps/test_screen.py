"""screen.capture."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from doai.errors import ErrorClass


async def test_a_picture_is_kept_with_its_size_and_hash(phone: Any) -> None:
    done = await phone.do("screen.capture")
    picture = phone.context.kept[done.artifact]
    profile = phone.device.phone.profile
    assert (done.width, done.height) == (profile.width_px, profile.height_px)
    assert (done.sha256, done.size_bytes) == (hashlib.sha256(picture).hexdigest(), len(picture))
    assert done.artifact == "step-1-1.png"
    assert (await phone.do("screen.capture", name="end")).artifact == "end-1.png"


@pytest.mark.parametrize("data", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"])
async def test_half_a_picture_is_never_kept(scripted: Callable[[Any], Any], data: bytes) -> None:
    bench = scripted({})
    bench.device.picture = data
    error = await bench.fail("screen.capture")
    assert (error.failure.error_class, error.code) == (ErrorClass.DEVICE, "bad_screenshot")
    assert bench.context.kept == {}
