"""One suite for every router and dealer: over ZeroMQ with CURVE, and in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial

import pytest
import trio
import trio.testing

from doai import limits
from doai.codec import Kind, pack_header, unpack_header
from doai.errors import LocalProtocolError
from doai.ports import free_port
from doai.wire import dealer as zmq_dealer
from doai.wire import router as zmq_router
from doai.wire.base import Connection, Dealer, EndpointError, Incoming, PeerGone, PeerStuck, Router, WouldBlock
from doai.wire.keys import KeyPair, KeyTable, make_keypair
from doai.wire.memory import MemoryMesh

HEADER = pack_header(Kind.HELLO)


class Mesh:
    """A broker's key and a key ring, and how to open routers and dealers of one implementation."""

    def __init__(self, kind: str) -> None:
        self.server = make_keypair()
        self.ring = KeyTable()
        if kind == "zmq":
            self._open_router: Callable[..., AbstractAsyncContextManager[Router]] = zmq_router.open_router
            self._open_dealer: Callable[..., AbstractAsyncContextManager[Dealer]] = zmq_dealer.open_dealer
            self.endpoint = f"tcp://127.0.0.1:{free_port()}"  # some tests open it again
        else:
            memory = MemoryMesh()
            self._open_router, self._open_dealer = memory.open_router, memory.open_dealer
            self.endpoint = "memory"

    def key(self, name: str) -> KeyPair:
        pair = make_keypair()
        self.ring.add(pair.public, name)
        return pair

    @asynccontextmanager
    async def router(self) -> AsyncIterator[Router]:
        async with self._open_router(self.endpoint, self.server, self.ring) as router:
            self.endpoint = router.endpoint
            with trio.fail_after(90):
                yield router

    @asynccontextmanager
    async def dealer(self, key: KeyPair, server_key: str | None = None) -> AsyncIterator[Dealer]:
        async with self._open_dealer(self.endpoint, key, server_key or self.server.public) as dealer:
            with trio.fail_after(90):
                yield dealer


@pytest.fixture(params=["zmq", "memory"])
def mesh(request: pytest.FixtureRequest) -> Mesh:
    return Mesh(request.param)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what ZeroMQ's own threads do and no event tells."""
    while not condition():  # noqa: ASYNC110
        await trio.sleep(0.002)


def fill(send: Callable[[bytes, bytes], None], full: type[Exception], size: int) -> int:
    """Send numbered frames of this size until ``full`` is raised; return how many were taken."""
    taken = 0
    try:
        while True:
            send(HEADER, taken.to_bytes(4, "big") + bytes(size))
            taken += 1
    except full:
        return taken


async def receive_one(router: Router) -> Incoming:
    batch = await router.receive()
    assert len(batch) == 1
    incoming = batch[0]
    assert isinstance(incoming, Incoming)
    return incoming


async def receive_all(router: Router, count: int) -> list[Incoming]:
    received: list[Incoming] = []
    while len(received) < count:
        for incoming in await router.receive():
            assert isinstance(incoming, Incoming)
            received.append(incoming)
    return received


async def discard(router: Router) -> None:
    while True:
        await router.receive()


async def meet(router: Router, dealer: Dealer) -> int:
    """Let the dealer speak first, as every peer does; return its link."""
    await dealer.send(HEADER, b"hello")
    return (await receive_one(router)).link


async def test_a_frame_travels_both_ways_and_its_name_is_the_keys(mesh: Mesh) -> None:
    async with mesh.router() as router, mesh.dealer(mesh.key("node-1")) as dealer:
        await dealer.send(HEADER, b"body")
        incoming = await receive_one(router)
        assert (incoming.key_name, incoming.header, incoming.body) == ("node-1", HEADER, b"body")
        assert router.key_name(incoming.link) == "node-1"
        router.send_nowait(incoming.link, HEADER, b"")
        assert await dealer.receive() == [(HEADER, b"")]
        assert dealer.connection() is Connection.UP
        assert dealer.explain() is None
        assert dealer.take_malformed() == []
        counters = router.statistics()
        assert (counters.received, counters.sent, counters.links) == (1, 1, 1)
        assert dealer.statistics() == type(dealer.statistics())(received=1, sent=1, malformed=0)


async def test_one_link_keeps_its_number_and_two_dealers_of_one_name_have_two(mesh: Mesh) -> None:
    key = mesh.key("bot-7")
    async with mesh.router() as router, mesh.dealer(key) as first, mesh.dealer(key) as second:
        one, other = await meet(router, first), await meet(router, second)
        assert one != other
        assert await meet(router, first) == one
        assert router.key_name(one) == router.key_name(other) == "bot-7"
        router.send_nowait(other, HEADER, b"for the second")
        assert await second.receive() == [(HEADER, b"for the second")]


async def test_the_order_is_kept_and_nothing_is_lost_under_slow_readers(mesh: Mesh) -> None:
    count = 10_000
    answers: list[int] = []

    async with mesh.router() as router, mesh.dealer(mesh.key("node-1")) as dealer:

        async def answer() -> None:
            expected = 0
            while expected < count:
                for incoming in await router.receive():
                    assert int.from_bytes(incoming.body, "big") == expected
                    router.send_nowait(incoming.link, HEADER, incoming.body)
                    expected += 1
                await trio.sleep(0.001)
            await discard(router)  # what is held for the dealer goes out while somebody receives

        async def read_slowly() -> None:
            while len(answers) < count:
                answers.extend(int.from_bytes(body, "big") for _, body in await dealer.receive())
                await trio.sleep(0.002)
            nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer)
            nursery.start_soon(read_slowly)
            for number in range(count):
                await dealer.send(HEADER, number.to_bytes(4, "big"))
    assert answers == list(range(count))


async def test_a_full_dealer_refuses_and_takes_again_when_there_is_room(mesh: Mesh) -> None:
    async with mesh.router() as router, mesh.dealer(mesh.key("node-1")) as dealer:
        await meet(router, dealer)
        sent = fill(dealer.send_nowait, WouldBlock, 8_000)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(dealer.send, HEADER, b"waited")
            received = await receive_all(router, sent + 1)
        assert received[-1].body == b"waited"
        assert [int.from_bytes(incoming.body[:4], "big") for incoming in received[:-1]] == list(range(sent))


async def test_a_full_peer_is_held_for_in_order_and_then_stuck(mesh: Mesh) -> None:
    async with mesh.router() as router, mesh.dealer(mesh.key("node-1")) as dealer:
        link = await meet(router, dealer)
        sent = fill(partial(router.send_nowait, link), PeerStuck, 8_000)
        assert router.statistics().queued > 0
        bodies: list[bytes] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(discard, router)
            while len(bodies) < sent:
                bodies.extend(body[:4] for _, body in await dealer.receive())
            nursery.cancel_scope.cancel()
        assert bodies == [number.to_bytes(4, "big") for number in range(sent)]
        assert router.statistics().queued == 0
        router.send_nowait(link, HEADER, b"again")
        assert await dealer.receive() == [(HEADER, b"again")]


async def test_a_peer_that_went_away_is_gone_and_what_was_held_is_counted(mesh: Mesh) -> None:
    async with mesh.router() as router:
        async with mesh.dealer(mesh.key("node-1")) as dealer:
            link = await meet(router, dealer)
            fill(partial(router.send_nowait, link), PeerStuck, 8_000)
            before = router.statistics()
            assert before.queued > 0
        gone = False
        async with trio.open_nursery() as nursery:
            nursery.start_soon(discard, router)
            while not gone:
                try:
                    router.send_nowait(link, HEADER, b"too late")
                except PeerGone as error:
                    gone = error.link == link
                except PeerStuck:
                    await trio.sleep(0.002)
            nursery.cancel_scope.cancel()
        after = router.statistics()
        assert after.lost + after.sent - before.sent >= before.queued  # some may still go while the peer closes
        assert after.queued == 0
        with pytest.raises(PeerGone):
            router.key_name(link)


async def test_a_link_never_known_is_gone(mesh: Mesh) -> None:
    async with mesh.router() as router:
        for call in (partial(router.send_nowait, 99, HEADER, b""), partial(router.open_channel, 99, 1)):
            with pytest.raises(PeerGone):
                call()
        router.forget(99)
        router.shut(99)
        assert router.shut_name("nobody") == 0


async def test_a_forgotten_link_that_speaks_again_is_a_new_one(mesh: Mesh) -> None:
    async with mesh.router() as router, mesh.dealer(mesh.key("node-1")) as dealer:
        link = await meet(router, dealer)
        router.forget(link)
        assert router.statistics().links == 0
        with pytest.raises(PeerGone):
            router.send_nowait(link, HEADER, b"")
        assert await meet(router, dealer) > link


async def test_a_shut_link_ends_and_its_peer_connects_anew(mesh: Mesh) -> None:
    async with mesh.router() as router, mesh.dealer(mesh.key("node-1")) as dealer:
        link = await meet(router, dealer)
        router.shut(link)
        with pytest.raises(PeerGone):
            router.send_nowait(link, HEADER, b"")
        seen = {link}
        async with trio.open_nursery() as nursery:

            async def keep_speaking() -> None:
                while True:
                    await dealer.send(HEADER, b"still here")
                    await trio.sleep(0.01)

            nursery.start_soon(keep_speaking)
            while len(seen) == 1:
                seen |= {incoming.link for incoming in await router.receive()}
            nursery.cancel_scope.cancel()
        assert min(seen) == link


async def test_an_unknown_key_is_refused_and_told_so(mesh: Mesh) -> None:
    stranger = make_keypair()
    async with mesh.router() as router, mesh.dealer(stranger) as dealer:
        await until(lambda: dealer.connection() is Connection.REFUSED)
        assert stranger.public in (dealer.explain() or "")
        with pytest.raises(WouldBlock):
            dealer.send_nowait(HEADER, b"let me in")
        assert router.statistics().refused == 1
        assert router.statistics().links == 0
        mesh.ring.add(stranger.public, "now-known")
        async with mesh.dealer(stranger) as again:  # a refusal is final for a socket: the caller opens a new one
            await again.send(HEADER, b"")
            assert (await receive_one(router)).key_name == "now-known"


async def test_a_wrong_server_key_is_told(mesh: Mesh) -> None:
    async with mesh.router(), mesh.dealer(mesh.key("node-1"), make_keypair().public) as dealer:
        await until(lambda: dealer.connection() is Connection.WRONG_SERVER)
        assert "server key" in (dealer.explain() or "")
        with pytest.raises(WouldBlock):
            dealer.send_nowait(HEADER, b"secret")


async def test_a_revoked_key_is_cut_and_not_let_in_again(mesh: Mesh) -> None:
    key = mesh.key("node-1")
    async with mesh.router() as router, mesh.dealer(key) as dealer, mesh.dealer(mesh.key("node-2")) as other:
        await meet(router, dealer)
        kept = await meet(router, other)
        mesh.ring.revoke(key.public)
        assert router.shut_name("node-1") == 1
        await until(lambda: dealer.connection() is Connection.REFUSED)
        with pytest.raises(WouldBlock):
            dealer.send_nowait(HEADER, b"")
        assert await meet(router, other) == kept


async def test_nothing_is_kept_while_there_is_no_broker_and_it_is_found_when_it_comes(mesh: Mesh) -> None:
    key = mesh.key("node-1")
    async with mesh.router():
        pass  # an endpoint at which nobody listens now
    async with mesh.dealer(key) as dealer:
        await until(lambda: dealer.connection() is Connection.ABSENT)
        assert mesh.endpoint in (dealer.explain() or "")
        with pytest.raises(WouldBlock):
            dealer.send_nowait(HEADER, b"nobody hears this")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(dealer.send, HEADER, b"waited")
            async with mesh.router() as router:
                assert (await receive_one(router)).body == b"waited"
        await until(lambda: dealer.connection() in (Connection.LOST, Connection.ABSENT))
        async with mesh.router() as router:
            await meet(router, dealer)


async def test_the_end_of_a_connection_is_told_though_another_came(mesh: Mesh) -> None:
    key = mesh.key("node-1")
    async with mesh.router():
        pass  # an endpoint at which nobody listens now
    async with mesh.dealer(key) as dealer, trio.open_nursery() as nursery:
        told: list[str] = []

        async def tell(name: str, wait: Callable[[], Awaitable[None]]) -> None:
            await wait()
            told.append(name)

        nursery.start_soon(tell, "up", dealer.wait_up)
        nursery.start_soon(tell, "ended", dealer.wait_ended)
        for _ in range(3):
            dealer.connection()  # a look takes nothing away from those who wait
            await trio.testing.wait_all_tasks_blocked()
        assert told == []
        async with mesh.router() as router:
            link = await meet(router, dealer)
            await dealer.wait_up()
            await until(lambda: told == ["up"])
            router.shut(link)
            await dealer.wait_ended()
            await until(lambda: told == ["up", "ended"])
            await until(lambda: dealer.connection() is Connection.UP)
            await dealer.wait_ended()


async def test_a_refusal_is_an_end(mesh: Mesh) -> None:
    async with mesh.router(), mesh.dealer(make_keypair()) as dealer:
        await dealer.wait_ended()
        assert dealer.connection() is Connection.REFUSED


async def test_cancelled_receives_lose_nothing(mesh: Mesh) -> None:
    count = 300
    async with mesh.router() as router, mesh.dealer(mesh.key("node-1")) as dealer:
        link = await meet(router, dealer)
        at_router: list[bytes] = []
        at_dealer: list[bytes] = []
        for number in range(count):
            body = number.to_bytes(2, "big")
            await dealer.send(HEADER, body)
            router.send_nowait(link, HEADER, body)
            for timeout_s in (0, 0.0001):
                with trio.move_on_after(timeout_s):
                    at_router.extend(
                        incoming.body for incoming in await router.receive() if isinstance(incoming, Incoming)
                    )
                with trio.move_on_after(timeout_s):
                    at_dealer.extend(body for _, body in await dealer.receive())
        while len(at_router) < count:
            at_router.extend(incoming.body for incoming in await router.receive() if isinstance(incoming, Incoming))
        while len(at_dealer) < count:
            at_dealer.extend(body for _, body in await dealer.receive())
        assert at_router == at_dealer == [number.to_bytes(2, "big") for number in range(count)]


async def test_a_cancelled_send_has_sent_nothing(mesh: Mesh) -> None:
    async with mesh.router() as router, mesh.dealer(mesh.key("node-1")) as dealer:
        await meet(router, dealer)
        with trio.CancelScope() as scope:
            scope.cancel()
            await dealer.send(HEADER, b"cancelled")
        assert scope.cancelled_caught
        await dealer.send(HEADER, b"next")
        assert (await receive_one(router)).body == b"next"


async def test_senders_and_a_receiver_wait_for_one_socket_together(mesh: Mesh) -> None:
    async with mesh.router() as router, mesh.dealer(mesh.key("node-1")) as dealer:
        link = await meet(router, dealer)
        fill(dealer.send_nowait, WouldBlock, 8_000)
        got: list[bytes] = []

        async def receive() -> None:
            got.extend(body for _, body in await dealer.receive())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            nursery.start_soon(dealer.send, HEADER, b"one")
            nursery.start_soon(dealer.send, HEADER, b"two")
            await trio.testing.wait_all_tasks_blocked()
            router.send_nowait(link, HEADER, b"for the receiver")
            await until(lambda: got == [b"for the receiver"])
            bodies: set[bytes] = set()
            while not {b"one", b"two"} <= bodies:
                bodies |= {incoming.body for incoming in await router.receive() if isinstance(incoming, Incoming)}


async def test_a_sender_takes_over_the_watch_of_a_cancelled_receiver(mesh: Mesh) -> None:
    async with mesh.router() as router, mesh.dealer(mesh.key("node-1")) as dealer:
        await meet(router, dealer)
        fill(dealer.send_nowait, WouldBlock, 8_000)
        async with trio.open_nursery() as nursery:
            receiving = trio.CancelScope()

            async def receive() -> None:
                with receiving:
                    await dealer.receive()

            nursery.start_soon(receive)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(dealer.send, HEADER, b"last")
            await trio.testing.wait_all_tasks_blocked()
            receiving.cancel()
            while (await router.receive())[-1].body != b"last":  # type: ignore[union-attr]
                pass


async def test_forward_goes_by_channel_body_untouched_and_past_the_receiver(mesh: Mesh) -> None:
    async with (
        mesh.router() as router,
        mesh.dealer(mesh.key("bot-1")) as bot,
        mesh.dealer(mesh.key("node-1")) as node,
    ):
        router.open_channel(await meet(router, bot), 17)
        router.open_channel(await meet(router, node), 18)
        body = bytes(range(256))
        await bot.send(pack_header(Kind.FORWARD, channel=18, ack=5), body)
        await bot.send(pack_header(Kind.FORWARD, channel=99), b"to nobody")
        await bot.send(HEADER, b"after")
        assert (await receive_one(router)).body == b"after"
        [(header, forwarded)] = await node.receive()
        assert forwarded == body
        assert unpack_header(header) == unpack_header(pack_header(Kind.FORWARD, channel=17, ack=5))
        counters = router.statistics()
        assert (counters.forwarded, counters.forward_dropped) == (1, 1)


async def test_a_peer_without_a_channel_does_not_forward(mesh: Mesh) -> None:
    async with (
        mesh.router() as router,
        mesh.dealer(mesh.key("bot-1")) as bot,
        mesh.dealer(mesh.key("node-1")) as node,
    ):
        await meet(router, bot)
        router.open_channel(await meet(router, node), 18)
        header = pack_header(Kind.FORWARD, channel=18)
        await bot.send(header, b"not yet welcome")
        assert (await receive_one(router)).header == header
        assert router.statistics().forwarded == 0


async def test_a_channel_belongs_to_the_link_that_got_it_last(mesh: Mesh) -> None:
    async with (
        mesh.router() as router,
        mesh.dealer(mesh.key("bot-1")) as old,
        mesh.dealer(mesh.key("bot-1")) as new,
    ):
        first, second = await meet(router, old), await meet(router, new)
        router.open_channel(first, 5)
        router.open_channel(second, 5)
        header = pack_header(Kind.FORWARD, channel=5)
        await new.send(header, b"to myself")
        await new.send(header, b"to myself again")
        await old.send(header, b"has no channel any more")
        heard, bodies = [], list[bytes]()

        async def hear() -> None:
            while True:
                heard.append((await receive_one(router)).body)

        # Which of the two peers the router hears first is nobody's to say: it goes on until all is there.
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hear)
            while len(bodies) < 2:
                bodies += [body for _, body in await new.receive()]
            await until(lambda: heard != [])
            nursery.cancel_scope.cancel()
        assert heard == [b"has no channel any more"]
        assert bodies == [b"to myself", b"to myself again"]
        router.forget(second)
        await new.send(header, b"forgotten")
        assert (await receive_one(router)).body == b"forgotten"


async def test_a_moved_channel_is_followed_at_once(mesh: Mesh) -> None:
    async with (
        mesh.router() as router,
        mesh.dealer(mesh.key("bot-1")) as bot,
        mesh.dealer(mesh.key("node-1")) as old,
        mesh.dealer(mesh.key("node-1")) as new,
    ):
        router.open_channel(await meet(router, bot), 1)
        header = pack_header(Kind.FORWARD, channel=2)
        for dealer in (old, new):
            router.open_channel(await meet(router, dealer), 2)
            for _ in range(3):
                await bot.send(header, b"line")
            await bot.send(HEADER, b"after")
            await receive_one(router)
            bodies: list[bytes] = []
            while len(bodies) < 3:
                bodies += [body for _, body in await dealer.receive()]
        assert router.statistics().forwarded == 6


async def test_ephemeral_frames_are_dropped_for_a_full_peer(mesh: Mesh) -> None:
    async with (
        mesh.router() as router,
        mesh.dealer(mesh.key("bot-1")) as bot,
        mesh.dealer(mesh.key("node-1")) as node,
    ):
        router.open_channel(await meet(router, bot), 1)
        link = await meet(router, node)
        router.open_channel(link, 2)
        for _ in range(2):
            await bot.send(pack_header(Kind.FORWARD, channel=2), b"log line")
        await bot.send(HEADER, b"before")
        assert (await receive_one(router)).body == b"before"
        fill(partial(router.send_nowait, link), PeerStuck, 8_000)
        queued = router.statistics().queued
        await bot.send(pack_header(Kind.FORWARD, channel=2), b"log line")
        await bot.send(HEADER, b"after")
        assert (await receive_one(router)).body == b"after"
        counters = router.statistics()
        assert (counters.forwarded, counters.forward_dropped) == (2, 1)
        assert counters.queued <= queued


async def test_a_goodbye_leaves_before_the_socket_closes(mesh: Mesh) -> None:
    async with mesh.router() as router:
        async with mesh.dealer(mesh.key("node-1")) as dealer:
            await meet(router, dealer)
            dealer.send_last(pack_header(Kind.BYE), b"bye")
        assert (await receive_one(router)).body == b"bye"


async def test_a_goodbye_to_nobody_holds_nothing_up(mesh: Mesh) -> None:
    async with mesh.router():
        pass
    async with mesh.dealer(mesh.key("node-1")) as dealer:
        dealer.send_last(pack_header(Kind.BYE), b"bye")


async def test_a_frame_that_the_other_side_would_refuse_is_not_sent(mesh: Mesh) -> None:
    async with mesh.router() as router, mesh.dealer(mesh.key("node-1")) as dealer:
        link = await meet(router, dealer)
        for header, body in ((HEADER[:-1], b""), (HEADER, bytes(limits.FRAME_BYTES_MAX + 1))):
            for send in (dealer.send_nowait, dealer.send_last, partial(router.send_nowait, link)):
                with pytest.raises(LocalProtocolError):
                    send(header, body)
        largest = bytes(limits.FRAME_BYTES_MAX)
        await dealer.send(HEADER, largest)
        assert (await receive_one(router)).body == largest
        router.send_nowait(link, HEADER, largest)
        assert await dealer.receive() == [(HEADER, largest)]


async def test_an_endpoint_in_use_is_refused_with_a_sentence(mesh: Mesh) -> None:
    async with mesh.router():
        with pytest.raises(EndpointError, match="in use"):
            async with mesh.router():
                pass
