"""A picture is whole or it is refused, wherever it is cut and whatever bit is flipped."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doai.drivers.fake.phone import picture_of
from doai.drivers.png import SIGNATURE, PictureError, picture_size, whole_png

PICTURE = picture_of(360, 640)


def test_a_whole_picture_and_its_size() -> None:
    assert whole_png(PICTURE) == PICTURE
    assert picture_size(PICTURE) == (360, 640)


@given(st.integers(min_value=0, max_value=len(PICTURE) - 1))
def test_a_cut_picture_is_refused(length: int) -> None:
    with pytest.raises(PictureError):
        whole_png(PICTURE[:length])


@given(st.integers(min_value=0, max_value=len(PICTURE) - 1), st.integers(min_value=0, max_value=7))
def test_a_flipped_bit_is_refused(position: int, bit: int) -> None:
    damaged = bytearray(PICTURE)
    damaged[position] ^= 1 << bit
    with pytest.raises(PictureError):
        whole_png(bytes(damaged))


@given(st.binary(max_size=500))
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(PictureError):
        whole_png(SIGNATURE + data)


def test_text_before_and_after_is_taken_off() -> None:
    warning = b"[Warning] Multiple displays were found, but no display id was specified!\n"
    assert whole_png(warning + PICTURE + b"\n") == PICTURE


def test_an_empty_answer_is_a_cut_and_a_text_is_not() -> None:
    with pytest.raises(PictureError) as caught:
        whole_png(b"")
    assert caught.value.cut_off
    with pytest.raises(PictureError, match="permission denied") as caught:
        whole_png(b"screencap: permission denied\n")
    assert not caught.value.cut_off
