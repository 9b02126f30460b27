"""The asyncio dealer against the trio router: each loop in a thread of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
import trio

from doai.codec import Kind, pack_header
from doai.errors import LocalProtocolError
from doai.ports import free_port
from doai.wire import aio
from doai.wire.base import Connection, Incoming, WouldBlock
from doai.wire.keys import KeyTable, make_keypair
from doai.wire.router import ZmqRouter, open_router

HEADER = pack_header(Kind.COMMAND)
SERVER, KEY = make_keypair(), make_keypair()


async def echo(router: ZmqRouter) -> None:
    """Answer every frame with itself."""
    while True:
        for incoming in await router.receive():
            assert isinstance(incoming, Incoming)
            router.send_nowait(incoming.link, incoming.header, incoming.body)


@asynccontextmanager
async def an_echo() -> AsyncIterator[ZmqRouter]:
    ring = KeyTable({KEY.public: "admin"})
    async with open_router("tcp://127.0.0.1:0", SERVER, ring) as router, trio.open_nursery() as nursery:
        nursery.start_soon(echo, router)
        yield router
        nursery.cancel_scope.cancel()


async def on_asyncio(scenario: Callable[[aio.AsyncioDealer], Awaitable[None]], endpoint: str) -> None:
    async def run() -> None:
        async with asyncio.timeout(90), aio.open_dealer(endpoint, KEY, SERVER.public) as dealer:
            await scenario(dealer)

    await trio.to_thread.run_sync(asyncio.run, run())


async def test_the_first_connection_and_its_end_are_waited_for() -> None:
    ended = trio.Event()

    async with trio.open_nursery() as nursery:
        ring = KeyTable({KEY.public: "admin"})

        async def broker(task_status: trio.TaskStatus[str]) -> None:
            async with open_router("tcp://127.0.0.1:0", SERVER, ring) as router:
                task_status.started(router.endpoint)
                await ended.wait()

        endpoint = await nursery.start(broker)
        token = trio.lowlevel.current_trio_token()

        async def scenario(dealer: aio.AsyncioDealer) -> None:
            ending = asyncio.create_task(dealer.wait_ended())
            await dealer.wait_up()
            assert dealer.connection() is Connection.UP
            assert not ending.done()
            token.run_sync_soon(ended.set)
            await ending
            assert dealer.connection() is not Connection.UP
            await dealer.wait_ended()
            await dealer.wait_up()

        await on_asyncio(scenario, endpoint)


async def test_many_frames_both_ways_in_order() -> None:
    count = 5_000

    async def scenario(dealer: aio.AsyncioDealer) -> None:
        async def send() -> None:
            for number in range(count):
                await dealer.send(HEADER, number.to_bytes(4, "big"))

        sending = asyncio.create_task(send())
        bodies: list[bytes] = []
        while len(bodies) < count:
            bodies += [body for _, body in await dealer.receive()]
        await sending
        assert bodies == [number.to_bytes(4, "big") for number in range(count)]
        assert dealer.connection() is Connection.UP
        assert dealer.explain() is None
        assert dealer.statistics().sent == dealer.statistics().received == count
        assert dealer.take_malformed() == []

    async with an_echo() as router:
        await on_asyncio(scenario, router.endpoint)


async def test_one_at_a_time_never_misses_a_wake_up() -> None:
    async def scenario(dealer: aio.AsyncioDealer) -> None:
        receiving = asyncio.create_task(dealer.receive())  # waits while the frame is sent beside it
        await dealer.send(HEADER, b"first")
        for number in range(300):
            received = await receiving
            assert len(received) == 1
            receiving = asyncio.create_task(dealer.receive())
            await asyncio.sleep(0)
            dealer.send_nowait(HEADER, b"%d" % number)
        await receiving

    async with an_echo() as router:
        await on_asyncio(scenario, router.endpoint)


async def test_cancelled_receives_and_sends_lose_nothing() -> None:
    async def scenario(dealer: aio.AsyncioDealer) -> None:
        bodies: list[bytes] = []
        for number in range(100):
            await dealer.send(HEADER, b"%d" % number)
            with suppress(TimeoutError):
                async with asyncio.timeout(0.0002):
                    bodies += [body for _, body in await dealer.receive()]
        while len(bodies) < 100:
            bodies += [body for _, body in await dealer.receive()]
        assert bodies == [b"%d" % number for number in range(100)]

    async with an_echo() as router:
        await on_asyncio(scenario, router.endpoint)


async def test_without_a_broker_nothing_is_kept_and_a_goodbye_is_no_error() -> None:
    async def scenario(dealer: aio.AsyncioDealer) -> None:
        with pytest.raises(WouldBlock):
            dealer.send_nowait(HEADER, b"")
        sending = asyncio.create_task(dealer.send(HEADER, b""))
        while dealer.connection() is not Connection.ABSENT:  # noqa: ASYNC110
            await asyncio.sleep(0.002)
        assert "start the broker" in (dealer.explain() or "")
        dealer.send_last(HEADER, b"bye")
        dealer.close()
        with pytest.raises(LocalProtocolError, match="closed"):
            await sending
        with pytest.raises(LocalProtocolError, match="closed"):
            await dealer.receive()

    await on_asyncio(scenario, f"tcp://127.0.0.1:{free_port()}")
