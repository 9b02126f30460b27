"""A peer's dealer over ZeroMQ: what both event loops share, and the dealer on trio (steps 1, 5, 11)."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import trio
import zmq

from doai.limits import GOODBYE_MS, RECEIVE_BATCH
from doai.wire.base import (
    DATA_KEPT_BYTES,
    Connection,
    DealerStatistics,
    Malformed,
    WouldBlock,
    check_frame,
    explain,
    flaw,
)
from doai.wire.connection import ConnectionWatch
from doai.wire.keys import KeyPair
from doai.wire.readiness import Readiness
from doai.wire.sockets import (
    MORE_NOBLOCK,
    NOBLOCK,
    POLLIN,
    POLLOUT,
    connect,
    connect_dealer,
    open_context,
    send_of,
)

_MALFORMED_KEPT: Final = 64


class DealerSocket:
    """The socket of one dealer: everything but the waiting."""

    def __init__(self, socket: zmq.Socket[bytes], watch: ConnectionWatch, endpoint: str, public_key: str) -> None:
        self.socket = socket
        self.watch = watch
        self._endpoint = endpoint
        self._public_key = public_key
        # Any: with copy=False the same call returns a Frame.
        self._recv: Any = socket.recv
        self._send: Any = send_of(socket)
        self._malformed: deque[Malformed] = deque(maxlen=_MALFORMED_KEPT)
        self._malformed_count = 0
        self._received = 0
        self._sent = 0

    def drain(self) -> list[tuple[bytes, bytes]]:
        """Take up to a batch of frames off the socket, without waiting."""
        received: list[tuple[bytes, bytes]] = []
        recv = self._recv
        try:
            for _ in range(RECEIVE_BATCH):
                # Frames tell whether more parts follow, so that nothing gets out of step.
                first = last = recv(NOBLOCK, False)
                parts = 1
                while last.more:
                    last = recv(NOBLOCK, False)
                    parts += 1
                header = first.bytes
                reason = (
                    flaw(header, len(last))
                    if parts == 2
                    else f"it has {parts} part{'s' * (parts > 1)} instead of 2"
                )
                if reason is None:
                    received.append((header, last.bytes))
                else:
                    self._malformed_count += 1
                    self._malformed.append(Malformed(0, "", reason, header[:DATA_KEPT_BYTES]))
        except zmq.Again:
            pass  # empty: that is how draining ends
        self._received += len(received)
        return received

    def try_send(self, header: bytes, body: bytes) -> bool:
        """Send a frame, or return False and have sent nothing."""
        check_frame(header, body)
        try:
            # Only the first part can be refused; after it the message is taken wholly.
            self._send(header, MORE_NOBLOCK)
        except zmq.Again:
            return False
        self._send(body, NOBLOCK)
        self._sent += 1
        return True

    def send_last(self, header: bytes, body: bytes) -> None:
        if self.try_send(header, body):
            self.socket.set(zmq.LINGER, GOODBYE_MS)

    def take_malformed(self) -> list[Malformed]:
        taken = list(self._malformed)
        self._malformed.clear()
        return taken

    def connection(self) -> Connection:
        return self.watch.state()

    def explain(self) -> str | None:
        return explain(self.connection(), self._endpoint, self._public_key)

    def statistics(self) -> DealerStatistics:
        return DealerStatistics(received=self._received, sent=self._sent, malformed=self._malformed_count)


@contextmanager
def open_dealer_socket(endpoint: str, keypair: KeyPair, server_key: str) -> Iterator[DealerSocket]:
    """Connect, and close at the end. Raises EndpointError for what can be no endpoint or server key."""
    with open_context() as context:
        socket = connect_dealer(context, endpoint, keypair, server_key)
        try:
            watch = ConnectionWatch(context, socket)
            try:
                connect(socket, endpoint)
                yield DealerSocket(socket, watch, endpoint, keypair.public)
            finally:
                watch.close()
        finally:
            socket.close()


@asynccontextmanager
async def open_dealer(endpoint: str, keypair: KeyPair, server_key: str) -> AsyncIterator[ZmqDealer]:
    """Connect to the broker at ``endpoint`` whose public key is ``server_key`` (Z85); trio.

    Returns at once: `Dealer.connection` tells whether it is connected. Frames are not kept while it is not.
    Raises EndpointError for what can be no endpoint or server key.
    """
    with open_dealer_socket(endpoint, keypair, server_key) as core:
        dealer = ZmqDealer(core)
        try:
            yield dealer
        finally:
            dealer.close()


class ZmqDealer:
    """A `Dealer` (base.py) on trio."""

    def __init__(self, core: DealerSocket) -> None:
        self._core = core
        self._readiness = Readiness(core.socket)
        self._watch_readiness = Readiness(core.watch.events)
        self.take_malformed = core.take_malformed
        self.statistics = core.statistics

    def connection(self) -> Connection:
        connection = self._core.connection()
        # The look has taken in what others wait for.
        self._watch_readiness.wake()
        return connection

    def explain(self) -> str | None:
        sentence = self._core.explain()
        self._watch_readiness.wake()
        return sentence

    async def wait_up(self) -> None:
        await trio.lowlevel.checkpoint()
        watch = self._core.watch
        while not watch.was_up:
            await self._look()

    async def wait_ended(self) -> None:
        await trio.lowlevel.checkpoint()
        watch = self._core.watch
        while not watch.ended:
            await self._look()

    async def _look(self) -> None:
        await self._watch_readiness.wait_briefly(POLLIN, math.inf)
        self._core.watch.state()

    async def receive(self) -> list[tuple[bytes, bytes]]:
        while True:
            await self._readiness.wait(POLLIN)
            # No checkpoint from here on: a cancelled receive has taken nothing.
            received = self._core.drain()
            self._readiness.notify()
            if received:
                return received

    def send_nowait(self, header: bytes, body: bytes) -> None:
        sent = self._core.try_send(header, body)
        self._readiness.notify()
        if not sent:
            raise WouldBlock

    async def send(self, header: bytes, body: bytes) -> None:
        while True:
            await self._readiness.wait(POLLOUT)
            # No checkpoint from here on: a cancelled send has sent nothing.
            sent = self._core.try_send(header, body)
            self._readiness.notify()
            if sent:
                return

    def send_last(self, header: bytes, body: bytes) -> None:
        self._core.send_last(header, body)

    def close(self) -> None:
        """Whoever still waits gets trio.ClosedResourceError; the socket is its opener's to close."""
        self._readiness.close()
        self._watch_readiness.close()
