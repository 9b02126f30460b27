"""The dealer on asyncio, for the admin (steps 1 and 14): the same socket, waiting by the loop's add_reader."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import zmq

from doai.errors import LocalProtocolError
from doai.wire.base import Connection, WouldBlock
from doai.wire.dealer import DealerSocket, open_dealer_socket
from doai.wire.keys import KeyPair
from doai.wire.sockets import POLLIN, POLLOUT


@asynccontextmanager
async def open_dealer(endpoint: str, keypair: KeyPair, server_key: str) -> AsyncIterator[AsyncioDealer]:
    """Connect to the broker, as `doai.wire.dealer.open_dealer` does, inside a running asyncio loop."""
    with open_dealer_socket(endpoint, keypair, server_key) as core:
        dealer = AsyncioDealer(core)
        try:
            yield dealer
        finally:
            dealer.close()


class AsyncioDealer:
    """A `Dealer` (base.py) on asyncio."""

    def __init__(self, core: DealerSocket) -> None:
        self._core = core
        self._descriptor = int(core.socket.get(zmq.FD))
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self._waiters: dict[asyncio.Future[None], int] = {}
        self._loop.add_reader(self._descriptor, self._notify)
        self._watch_descriptor = int(core.watch.events.get(zmq.FD))
        self._watchers: set[asyncio.Future[None]] = set()
        self._loop.add_reader(self._watch_descriptor, self.connection)
        self.take_malformed = core.take_malformed
        self.statistics = core.statistics

    async def receive(self) -> list[tuple[bytes, bytes]]:
        while True:
            await self._wait(POLLIN)
            # Nothing is awaited from here on: a cancelled receive has taken nothing.
            received = self._core.drain()
            self._notify()
            if received:
                return received

    async def wait_up(self) -> None:
        await self._wait_connection(lambda: self._core.watch.was_up)

    async def wait_ended(self) -> None:
        await self._wait_connection(lambda: self._core.watch.ended)

    def connection(self) -> Connection:
        connection = self._core.connection()
        self._tell_watchers()  # the look has taken in what they wait for
        return connection

    def explain(self) -> str | None:
        sentence = self._core.explain()
        self._tell_watchers()
        return sentence

    def send_nowait(self, header: bytes, body: bytes) -> None:
        sent = self._core.try_send(header, body)
        self._notify()
        if not sent:
            raise WouldBlock

    async def send(self, header: bytes, body: bytes) -> None:
        while True:
            await self._wait(POLLOUT)
            sent = self._core.try_send(header, body)
            self._notify()
            if sent:
                return

    def send_last(self, header: bytes, body: bytes) -> None:
        self._core.send_last(header, body)

    def close(self) -> None:
        """Stop watching; whoever waits, then or later, gets LocalProtocolError. Its opener closes the socket."""
        self._closed = True
        self._loop.remove_reader(self._descriptor)
        self._loop.remove_reader(self._watch_descriptor)
        for waiter in (*self._waiters, *self._watchers):
            if not waiter.done():
                waiter.set_result(None)

    async def _wait_connection(self, has_come: Callable[[], bool]) -> None:
        await asyncio.sleep(0)
        self.connection()
        while self._closed or not has_come():
            if self._closed:
                raise LocalProtocolError("the dealer is closed: its connection is over")
            waiter = self._loop.create_future()
            self._watchers.add(waiter)
            try:
                await waiter
            finally:
                self._watchers.discard(waiter)

    def _tell_watchers(self) -> None:
        for waiter in self._watchers:
            if not waiter.done():
                waiter.set_result(None)

    def _events(self) -> int:
        return int(self._core.socket.get(zmq.EVENTS))

    async def _wait(self, mask: int) -> None:
        if self._events() & mask:
            await asyncio.sleep(0)
        while self._closed or not self._events() & mask:
            if self._closed:
                raise LocalProtocolError("the dealer is closed: nothing can be sent or received any more")
            waiter = self._loop.create_future()
            self._waiters[waiter] = mask
            try:
                await waiter
            finally:
                del self._waiters[waiter]

    def _notify(self) -> None:
        """Wake who waits for what is there now.

        The descriptor tells of news once only, and any call on the socket may take the news in: so this runs
        when the descriptor is readable, and after every call.
        """
        events = self._events()
        for waiter, mask in self._waiters.items():
            if events & mask and not waiter.done():
                waiter.set_result(None)
