"""Shell v2 packets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doai.phone.shell_packets import Kind, PacketError, PacketParser, packet


@given(st.lists(st.tuples(st.sampled_from(Kind), st.binary(max_size=50))), st.integers(1, 20))
def test_round_trip_in_any_pieces(packets: list[tuple[Kind, bytes]], piece: int) -> None:
    data = b"".join(packet(kind, text) for kind, text in packets)
    parser, found = PacketParser(), []
    for start in range(0, len(data), piece):
        found += parser.feed(data[start : start + piece])
    assert found == packets


@given(st.binary(min_size=5, max_size=60))
def test_garbage_is_a_packet_error_or_incomplete(data: bytes) -> None:
    try:
        PacketParser().feed(data)
    except PacketError as error:
        assert "not a shell v2 packet" in str(error)


def test_unknown_kind() -> None:
    with pytest.raises(PacketError):
        PacketParser().feed(b"\x09\0\0\0\0")
