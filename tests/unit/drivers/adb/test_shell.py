"""The shell protocol's answer: whole at its exit code, whatever the pieces it came in."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doai.drivers.adb.shell import ShellAnswer, ShellGarbledError


def packet(kind: int, data: bytes) -> bytes:
    return struct.pack("<BI", kind, len(data)) + data


@given(
    st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=50)), max_size=10),
    st.integers(min_value=0, max_value=255),
    st.integers(min_value=1, max_value=30),
)
def test_pieces_of_any_size_make_the_same_answer(
    packets: list[tuple[int, bytes]], exit_code: int, piece_bytes: int
) -> None:
    stream = b"".join(packet(kind, data) for kind, data in packets) + packet(3, bytes([exit_code]))
    answer = ShellAnswer()
    for start in range(0, len(stream), piece_bytes):
        output = answer.feed(stream[start : start + piece_bytes])
        assert (output is not None) == (start + piece_bytes >= len(stream))
    assert output is not None
    assert output.stdout == b"".join(data for kind, data in packets if kind == 1)
    assert output.stderr == b"".join(data for kind, data in packets if kind == 2)
    assert output.exit_code == exit_code


@pytest.mark.parametrize("data", [packet(0, b"x"), packet(9, b"x"), b"\x01\xff\xff\xff\xff", packet(3, b"ab")])
def test_what_is_no_packet_is_refused(data: bytes) -> None:
    with pytest.raises(ShellGarbledError):
        ShellAnswer().feed(data)


@given(st.binary(max_size=300))
def test_random_bytes_never_crash(data: bytes) -> None:
    try:
        ShellAnswer().feed(data)
    except ShellGarbledError:
        return
