"""The router's intake over a scripted socket: whatever some peers write, what others say comes as it was sent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, cast

import zmq
from hypothesis import example, given
from hypothesis import strategies as st

from doai.codec import Kind, pack_header, unpack_header
from doai.limits import FRAME_BYTES_MAX
from doai.wire.base import Incoming, Malformed
from doai.wire.intake import Intake
from doai.wire.links import Links


class Peer(NamedTuple):
    routing_id: bytes
    key_name: str
    descriptor: int
    channel: int


GOOD = Peer(b"\0good", "good", 11, 1)
LATE = Peer(b"\0late", "late", 12, 0)  # unknown until it speaks
BAD = Peer(b"\0bad!", "bad", 13, 2)
LISTENER = Peer(b"\0list", "listener", 14, 3)
FORWARD = pack_header(Kind.FORWARD, channel=LISTENER.channel)
# Helps the bad one: it has given itself the name of a header, which ZeroMQ allows.
MATE = Peer(FORWARD, "bad", 15, 4)
PLAIN = pack_header(Kind.HEARTBEAT)
LONG = bytes(300)


class Part:
    """One part as a Frame is: what it holds, whose it is, whether more of its message follow."""

    def __init__(self, data: bytes, sender: Peer, more: bool) -> None:
        self.bytes = data
        self.more = more
        self._sender = sender

    def __len__(self) -> int:
        return len(self.bytes)

    def get(self, option: str | int) -> str | int:
        return self._sender.key_name if option == "User-Id" else self._sender.descriptor


class ScriptedSocket:
    """A ROUTER to which all has come already."""

    def __init__(self, messages: Iterable[tuple[Peer, tuple[bytes, ...]]]) -> None:
        self._parts = iter(
            [
                Part(data, sender, number < len(parts))
                for sender, parts in messages
                for number, data in enumerate((sender.routing_id, *parts))
            ]
        )
        self._last_more = False
        self._sending: list[bytes] = []
        self.sent: list[tuple[bytes, ...]] = []

    def recv(self, _flags: int, copy: bool = True) -> bytes | Part:
        part = next(self._parts, None)
        if part is None:
            raise zmq.Again
        self._last_more = part.more
        return part.bytes if copy else part

    def get(self, _option: int) -> int:
        return self._last_more

    def send(self, data: bytes | Part, flags: int) -> None:
        self._sending.append(data if isinstance(data, bytes) else data.bytes)
        if not flags & zmq.SNDMORE:
            self.sent.append(tuple(self._sending))
            self._sending.clear()


def take_all(
    messages: Iterable[tuple[Peer, tuple[bytes, ...]]], batch: int = 200
) -> tuple[Intake, list[Incoming | Malformed], list[tuple[str, bytes]]]:
    """Return the intake once it took all, what it returned, and (peer by its channel, body) that it forwarded."""
    socket = ScriptedSocket(messages)
    links = Links()
    names = {}
    for peer in (GOOD, BAD, LISTENER, MATE):
        links.set_channel(links.meet(peer.routing_id, peer.key_name, peer.descriptor), peer.channel)
        names[peer.channel] = peer.key_name
    intake = Intake(cast(Any, socket), socket.send, links)
    received: list[Incoming | Malformed] = []
    quiet = 0
    while quiet < 2:
        before = intake.taken + intake.forwarded + intake.forward_dropped
        received += intake.drain(batch)
        quiet = quiet + 1 if intake.taken + intake.forwarded + intake.forward_dropped == before else 0
    forwarded = [(names[unpack_header(header).channel], body) for _to, header, body in socket.sent]
    assert {to for to, *_ in socket.sent} <= {LISTENER.routing_id}
    return intake, received, forwarded


def long(number: int) -> bytes:
    return b"%300d" % number


def test_a_run_of_long_frames_arrives_in_order_beside_other_frames() -> None:
    messages = [(GOOD, (FORWARD, long(number))) for number in range(500)]
    messages[100:100] = [(GOOD, (PLAIN, b"one"))]
    messages[200:200] = [(LATE, (PLAIN, b"two"))]
    messages[300:300] = [(GOOD, (FORWARD, b"small"))]
    messages[402:402] = [(GOOD, (PLAIN, b"three")), (LATE, (PLAIN, b"four"))]
    intake, received, forwarded = take_all(messages)
    assert [body for _, body in forwarded if body != b"small"] == [long(number) for number in range(500)]
    assert (intake.forwarded, intake.malformed) == (501, 0)
    assert [item.body for item in received if isinstance(item, Incoming)] == [b"one", b"two", b"three", b"four"]
    assert [item.key_name for item in received] == ["good", "late", "good", "late"]


def test_a_run_is_no_longer_than_a_batch() -> None:
    socket = ScriptedSocket([(GOOD, (FORWARD, LONG))] * 100)
    links = Links()
    for peer in (GOOD, LISTENER):
        links.set_channel(links.meet(peer.routing_id, peer.key_name, peer.descriptor), peer.channel)
    intake = Intake(cast(Any, socket), socket.send, links)
    for total in (40, 80, 100):
        assert intake.drain(40) == []
        assert intake.forwarded == total


def test_a_run_does_not_let_a_body_pass_that_is_too_large() -> None:
    too_large = bytes(FRAME_BYTES_MAX + 1)
    run = [(GOOD, (FORWARD, LONG))] * 6
    intake, received, forwarded = take_all([*run, (GOOD, (FORWARD, too_large)), *run])
    assert [type(item) for item in received] == [Malformed]
    assert "exceeds" in cast(Malformed, received[0]).reason
    assert len(forwarded) == intake.forwarded == 12


def test_what_ends_a_run_and_is_no_frame_is_told_and_is_the_senders() -> None:
    run = [(BAD, (FORWARD, LONG))] * 6
    for parts in (
        (FORWARD,),
        (PLAIN,),
        (b"short",),
        (PLAIN, b"1", b"2"),
        (FORWARD, LONG, b"third"),
        (FORWARD, LONG, GOOD.routing_id, FORWARD, LONG),
        (FORWARD, LONG, LATE.routing_id, PLAIN, b"I am late"),
        (FORWARD, LONG, BAD.routing_id),
        (FORWARD, LONG, BAD.routing_id, FORWARD),
        (FORWARD, GOOD.routing_id, FORWARD, LONG),
        (FORWARD, GOOD.routing_id),
    ):
        for behind in ([], [(GOOD, (PLAIN, b"intact"))], [(LATE, (PLAIN, b"intact"))]):
            _, received, forwarded = take_all([*run, (BAD, parts), *behind])
            told = [item for item in received if isinstance(item, Malformed)]
            assert {item.key_name for item in told} <= {"bad"}, parts
            assert told or len(parts) == 2, parts
            assert [(item.key_name, item.body) for item in received if isinstance(item, Incoming)] == [
                (peer.key_name, body) for peer, (_, body) in behind
            ], parts
            assert {name for name, _ in forwarded} == {"bad"}


_honest = st.tuples(
    st.sampled_from([GOOD, LATE]), st.sampled_from([(FORWARD, "long"), (PLAIN, "short"), (FORWARD, "s")])
)
_any_part = st.sampled_from([FORWARD, PLAIN, LONG, b"", b"x", *(peer.routing_id for peer in (GOOD, LATE, BAD))])
_wild = st.tuples(st.sampled_from([BAD, BAD, MATE]), st.lists(_any_part, min_size=1, max_size=9).map(tuple))
_run = st.just((BAD, (FORWARD, LONG)))


@given(
    st.lists(st.one_of(_run, _run, _run, st.just("run"), _honest, _wild), max_size=60),
    st.integers(min_value=1, max_value=30),
)
@example(["run", (BAD, (FORWARD, LONG, BAD.routing_id)), (GOOD, (FORWARD, "long"))], 200)
@example(["run", (BAD, (FORWARD, LONG, BAD.routing_id, FORWARD)), (GOOD, (FORWARD, "long"))], 200)
@example(["run", (BAD, (FORWARD, LONG, GOOD.routing_id)), (GOOD, (PLAIN, "s")), (LATE, (PLAIN, "s"))], 200)
def test_nobody_takes_or_spoils_what_another_says(plan: list[Any], batch: int) -> None:
    messages: list[tuple[Peer, tuple[bytes, ...]]] = []
    plain: dict[str, list[bytes]] = {"good": [], "late": []}
    passed: list[bytes] = []
    for number, item in enumerate(plan):
        if item == "run":
            messages += [(BAD, (FORWARD, LONG))] * 5
            continue
        peer, parts = item
        if peer in (GOOD, LATE):
            header, size = parts
            body = long(number) if size == "long" else b"%d" % number
            parts = (header, body)
            if header == FORWARD and peer is GOOD:
                passed.append(body)
            else:
                plain[peer.key_name].append(body)
        messages.append((peer, parts))
    _, received, forwarded = take_all(messages, batch)
    for name, bodies in plain.items():
        of_it = [item for item in received if item.key_name == name]
        assert [type(item) for item in of_it] == [Incoming] * len(of_it)
        assert [item.body for item in of_it if isinstance(item, Incoming)] == bodies
    assert [body for name, body in forwarded if name == "good"] == passed
