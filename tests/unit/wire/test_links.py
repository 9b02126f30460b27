"""Links: numbers are never used again, memory is bounded, a descriptor that became another's is left alone."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doai.limits import PEER_QUEUE_BYTES_MAX, PEER_QUEUE_MAX
from doai.wire.base import PeerGone, PeerStuck
from doai.wire.links import Link, Links


@given(st.lists(st.integers(0, 30)), st.integers(1, 5))
def test_memory_is_bounded_and_who_spoke_last_is_known(speakers: list[int], links_max: int) -> None:
    links = Links(links_max)
    numbers: list[int] = []
    for speaker in speakers:
        routing_id = b"\0" + speaker.to_bytes(4, "big")
        link = links.young.get(routing_id) or links.remember(routing_id)
        if link is None:
            link = links.meet(routing_id, "node", -1)
            numbers.append(link.number)
        assert links.get(link.number) is link
        assert len(links) <= 2 * links_max
    assert numbers == sorted(set(numbers))
    assert len(links) + links.expired == len(numbers)


def test_what_expires_takes_its_channel_and_its_frames_with_it() -> None:
    links = Links(1)
    silent = links.meet(b"\0aaaa", "node-1", -1)
    links.set_channel(silent, 7)
    silent.hold(b"h", b"body")
    assert links.queued() == 1
    links.meet(b"\0bbbb", "node-2", -1)
    links.meet(b"\0cccc", "node-3", -1)
    with pytest.raises(PeerGone):
        links.get(silent.number)
    assert (links.routes, links.lost, links.queued(), silent.queue_bytes) == ({}, 1, 0, 0)


def test_the_queue_is_bounded_by_frames_and_by_bytes() -> None:
    few, many = Link(1, b"", "n", -1), Link(2, b"", "n", -1)
    few.hold(b"", bytes(PEER_QUEUE_BYTES_MAX))
    with pytest.raises(PeerStuck):
        few.hold(b"", b"x")
    few.release()
    few.hold(b"", b"x")
    for _ in range(PEER_QUEUE_MAX):
        many.hold(b"", b"")
    with pytest.raises(PeerStuck):
        many.hold(b"", b"")


def test_only_the_socket_that_was_met_is_cut() -> None:
    met, other = socket.socketpair(), socket.socketpair()
    descriptor = met[0].fileno()
    link = Link(1, b"", "n", descriptor)
    assert link.shut()
    assert met[1].recv(1) == b""
    link = Link(2, b"", "n", descriptor)
    met[0].close()
    assert not link.shut()
    reused = other[0].dup()  # takes the lowest free number: the one just closed
    assert reused.fileno() == descriptor
    assert not link.shut()
    other[1].send(b"x")
    assert reused.recv(1) == b"x"
    for end in (*met, *other, reused):
        end.close()
