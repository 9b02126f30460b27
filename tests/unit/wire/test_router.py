"""What peers can do wrong, and that the router stays in step: part counts, sizes, garbage, crowds."""

from __future__ import annotations

import socket as tcp
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest
import trio
import zmq
from hypothesis import given, settings
from hypothesis import strategies as st

from doai import limits
from doai.codec import HEADER_BYTES, Kind, pack_header
from doai.wire import links as links_module
from doai.wire.base import EndpointError, Incoming, Malformed
from doai.wire.dealer import open_dealer
from doai.wire.keys import KeyPair, KeyTable, make_keypair
from doai.wire.router import ZmqRouter, open_router
from doai.wire.sockets import connect_dealer

HEADER = pack_header(Kind.HEARTBEAT)
SERVER = make_keypair()
GOOD, BAD = make_keypair(), make_keypair()
RING = KeyTable({GOOD.public: "good", BAD.public: "bad"})


@asynccontextmanager
async def a_router() -> AsyncIterator[ZmqRouter]:
    async with open_router("tcp://127.0.0.1:0", SERVER, RING) as router:
        with trio.fail_after(90):
            yield router


@contextmanager
def raw_dealer(endpoint: str, key: KeyPair) -> Iterator[zmq.Socket[bytes]]:
    """A DEALER with which any message can be sent."""
    with zmq.Context() as context:
        dealer = connect_dealer(context, endpoint, key, SERVER.public)
        dealer.connect(endpoint)
        try:
            yield dealer
        finally:
            dealer.close()


async def send_parts(dealer: zmq.Socket[bytes], *parts: bytes) -> None:
    while not dealer.poll(0, zmq.POLLOUT):  # noqa: ASYNC110 - a socket of the test's own, not connected yet
        await trio.sleep(0.001)
    dealer.send_multipart(parts, zmq.NOBLOCK)


async def take(router: ZmqRouter, count: int) -> list[Incoming | Malformed]:
    received: list[Incoming | Malformed] = []
    while len(received) < count:
        received += await router.receive()
    assert len(received) == count
    return received


async def test_wrong_part_counts_are_told_and_the_next_frame_is_intact() -> None:
    async with a_router() as router:
        with raw_dealer(router.endpoint, BAD) as dealer:
            for warm in (False, True):  # an unknown link, and a known one: they take different ways
                for parts in ((HEADER,), (HEADER, b"b", b"c"), (HEADER, b"b", b"c", b"d"), (b"",), (b"", b"")):
                    await send_parts(dealer, *parts)
                    await send_parts(dealer, HEADER, b"good")
                    first, second = await take(router, 2)
                    assert isinstance(first, Malformed), warm
                    assert first.key_name == "bad"
                    assert isinstance(second, Incoming)
                    assert (second.header, second.body) == (HEADER, b"good")
                    if not warm:
                        router.forget(second.link)
            assert router.statistics().malformed == 10


async def test_one_part_alone_is_told_without_anything_behind_it() -> None:
    async with a_router() as router:
        with raw_dealer(router.endpoint, BAD) as dealer:
            await send_parts(dealer, HEADER, b"hello")
            [hello] = await take(router, 1)
            await send_parts(dealer, HEADER)
            [alone] = await take(router, 1)
            assert isinstance(alone, Malformed)
            assert (alone.link, alone.reason) == (hello.link, "it has 1 part instead of 2")
            assert alone.data == HEADER


async def test_one_part_does_not_swallow_the_next_peers_frame() -> None:
    async with a_router() as router, open_dealer(router.endpoint, GOOD, SERVER.public) as good:
        with raw_dealer(router.endpoint, BAD) as bad:
            await send_parts(bad, HEADER, b"")
            await good.send(HEADER, b"")
            links = {item.key_name: item.link for item in await take(router, 2)}
            for number in range(20):
                await send_parts(bad, HEADER)
                await good.send(HEADER, b"%d" % number)
            received = await take(router, 40)
            frames = [item for item in received if isinstance(item, Incoming)]
            assert [frame.body for frame in frames] == [b"%d" % number for number in range(20)]
            assert {frame.link for frame in frames} == {links["good"]}
            assert {item.link for item in received if isinstance(item, Malformed)} == {links["bad"]}


async def test_nobody_can_speak_for_another_by_writing_a_routing_id() -> None:
    async with a_router() as router, open_dealer(router.endpoint, GOOD, SERVER.public) as good:
        with raw_dealer(router.endpoint, BAD) as bad:
            await good.send(HEADER, b"")
            [hello] = await take(router, 1)
            await send_parts(bad, HEADER, b"")
            await take(router, 1)
            stolen = router._links.get(hello.link).routing_id
            forgeries = [
                (HEADER, stolen, HEADER, b"I am good"),
                (HEADER, b"x", stolen, HEADER, b"I am good"),
                (HEADER, stolen),
                (stolen, HEADER, b"I am good"),
                (HEADER, stolen, stolen, HEADER, b"I am good"),
            ]
            for forgery in forgeries:
                await send_parts(bad, *forgery)
            received = await take(router, len(forgeries))
            assert {item.key_name for item in received} == {"bad"}
            assert [type(item) for item in received].count(Incoming) == 1  # two parts: a frame like any other
            assert router.statistics().links == 2


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.lists(st.one_of(st.just(HEADER), st.binary(max_size=8), st.just(bytes(5))), min_size=1, max_size=5),
        max_size=30,
    )
)
def test_any_sequence_of_messages_is_told_one_by_one(messages: list[list[bytes]]) -> None:
    async def scenario() -> None:
        async with a_router() as router:
            with raw_dealer(router.endpoint, BAD) as dealer:
                for parts in messages:
                    await send_parts(dealer, *parts)
                for item, parts in zip(await take(router, len(messages)), messages, strict=True):
                    good = len(parts) == 2 and len(parts[0]) == HEADER_BYTES
                    assert isinstance(item, Incoming if good else Malformed)
                    if isinstance(item, Incoming):
                        assert [item.header, item.body] == parts

    trio.run(scenario)


async def test_a_body_too_large_is_told_and_far_too_large_ends_the_connection() -> None:
    async with a_router() as router, open_dealer(router.endpoint, GOOD, SERVER.public) as good:
        with raw_dealer(router.endpoint, BAD) as bad:
            await send_parts(bad, HEADER, bytes(limits.FRAME_BYTES_MAX + 1))
            await send_parts(bad, HEADER, b"after")
            first, second = await take(router, 2)
            assert isinstance(first, Malformed)
            assert "exceeds" in first.reason
            assert len(first.data) <= 64
            assert isinstance(second, Incoming)
            await send_parts(bad, HEADER, bytes(3 * limits.FRAME_BYTES_MAX))
            await send_parts(bad, HEADER, b"on a new connection")
            await good.send(HEADER, b"undisturbed")
            bodies = {item.body for item in await take(router, 1) if isinstance(item, Incoming)}
            assert bodies <= {b"undisturbed", b"on a new connection"}


async def test_garbage_and_plain_clients_at_the_port_disturb_nobody() -> None:
    async with a_router() as router, open_dealer(router.endpoint, GOOD, SERVER.public) as good:
        port = int(router.endpoint.rpartition(":")[2])
        with zmq.Context() as context:
            plain = context.socket(zmq.DEALER)
            plain.linger = 0
            plain.connect(router.endpoint)
            plain.send_multipart([HEADER, b"no key"])
            for garbage in (
                b"",
                b"GET / HTTP/1.1\r\n\r\n",
                bytes(range(256)) * 40,
                b"\xff" + bytes(8) + b"\x7f\x03",
            ):
                with tcp.create_connection(("127.0.0.1", port)) as connection:
                    connection.sendall(garbage)
                await good.send(HEADER, garbage)
                [frame] = await take(router, 1)
                assert isinstance(frame, Incoming)
                assert frame.body == garbage
            plain.close()
        assert router.statistics().links == 1


async def test_silent_connections_are_forgotten_when_many_newer_ones_speak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links_module.Links.__init__, "__defaults__", (2,))
    async with a_router() as router, open_dealer(router.endpoint, GOOD, SERVER.public) as steady:
        await steady.send(HEADER, b"")
        [first] = await take(router, 1)
        for _ in range(6):
            async with open_dealer(router.endpoint, BAD, SERVER.public) as passing:
                await passing.send(HEADER, b"")
                await take(router, 1)
            await steady.send(HEADER, b"")
            [again] = await take(router, 1)
            assert again.link == first.link
        counters = router.statistics()
        assert counters.links <= 4
        assert counters.links_expired >= 3


async def test_a_flood_is_cut() -> None:
    async with a_router() as router, open_dealer(router.endpoint, GOOD, SERVER.public) as good:
        with raw_dealer(router.endpoint, BAD) as bad:
            bad.set(zmq.RECONNECT_IVL, -1)
            await send_parts(bad, HEADER, b"")
            [hello] = await take(router, 1)
            monitor = bad.get_monitor_socket(zmq.EVENT_DISCONNECTED)
            router.shut(hello.link)
            while not monitor.poll(0):  # noqa: ASYNC110
                await trio.sleep(0.001)
            bad.disable_monitor()
            monitor.close()
        await good.send(HEADER, b"undisturbed")
        [frame] = await take(router, 1)
        assert isinstance(frame, Incoming)
        assert frame.key_name == "good"


@pytest.mark.parametrize(
    ("endpoint", "what"),
    [
        ("nonsense", "tcp://ADDRESS:PORT"),
        ("tcp://192.0.2.1:9", "no address of this machine"),
        ("tcp://*", "cannot"),
    ],
)
async def test_an_endpoint_that_cannot_be_is_one_sentence(endpoint: str, what: str) -> None:
    with pytest.raises(EndpointError, match=what):
        async with open_router(endpoint, SERVER, RING):
            pass
