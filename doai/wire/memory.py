"""Routers and dealers without sockets, on trio: the twin of the ZeroMQ ones for tests (steps 1, 5, 11).

It keeps what callers may rely on (bounds, links, refusals, reconnection, forwarding), and one conformance suite
holds both to it. What is different: nothing takes time, and no malformed message can be made.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from doai.codec import Kind
from doai.limits import RECEIVE_BATCH, SEND_HWM
from doai.wire.base import (
    Connection,
    DealerStatistics,
    EndpointError,
    Incoming,
    KeyRing,
    Malformed,
    PeerGone,
    RouterStatistics,
    WouldBlock,
    check_frame,
    explain,
)
from doai.wire.keys import KeyPair
from doai.wire.links import Link, Links

_NO_DESCRIPTOR = -1


class MemoryMesh:
    """A network of its own: routers by endpoint (any text), and dealers that find them."""

    def __init__(self) -> None:
        self._routers: dict[str, MemoryRouter] = {}
        self._dealers: list[MemoryDealer] = []

    @asynccontextmanager
    async def open_router(self, endpoint: str, keypair: KeyPair, key_ring: KeyRing) -> AsyncIterator[MemoryRouter]:
        """As `doai.wire.router.open_router`."""
        if endpoint in self._routers:
            raise EndpointError(f"{endpoint} is in use: choose another")
        router = MemoryRouter(endpoint, keypair.public, key_ring)
        self._routers[endpoint] = router
        for dealer in self._dealers:
            dealer.attach(router)
        try:
            yield router
        finally:
            del self._routers[endpoint]
            router.close()

    @asynccontextmanager
    async def open_dealer(self, endpoint: str, keypair: KeyPair, server_key: str) -> AsyncIterator[MemoryDealer]:
        """As `doai.wire.dealer.open_dealer`."""
        dealer = MemoryDealer(endpoint, keypair.public, server_key)
        self._dealers.append(dealer)
        router = self._routers.get(endpoint)
        if router is not None:
            dealer.attach(router)
        try:
            yield dealer
        finally:
            self._dealers.remove(dealer)
            dealer.close()


class _Pipe:
    """One connection: the frames under way to the dealer, and how many are under way from it."""

    def __init__(self, routing_id: bytes, key_name: str, dealer: MemoryDealer) -> None:
        self.routing_id = routing_id
        self.key_name = key_name
        self.dealer = dealer
        self.to_dealer: deque[tuple[bytes, bytes]] = deque()
        self.to_router_count = 0


class MemoryRouter:
    """A `Router` (base.py) in memory."""

    def __init__(self, endpoint: str, public_key: str, key_ring: KeyRing) -> None:
        self._endpoint = endpoint
        self._public_key = public_key
        self._key_ring = key_ring
        self._pipes: dict[bytes, _Pipe] = {}
        self._pipes_made = 0
        self._inbox: deque[tuple[_Pipe, bytes, bytes]] = deque()
        self._receivers = trio.lowlevel.ParkingLot()
        self._links = Links()
        self._received = self._sent = self._forwarded = self._forward_dropped = self._refused = 0

    @property
    def endpoint(self) -> str:
        return self._endpoint

    async def receive(self) -> list[Incoming | Malformed]:
        await trio.lowlevel.checkpoint()
        while True:
            batch = self._drain()
            if batch:
                return batch
            await self._receivers.park()

    def send_nowait(self, link: int, header: bytes, body: bytes) -> None:
        check_frame(header, body)
        peer = self._links.get(link)
        pipe = self._pipe(peer)
        if peer.queue or len(pipe.to_dealer) >= SEND_HWM:
            peer.hold(header, body)
        else:
            self._pass(pipe, header, body)
            self._sent += 1

    def open_channel(self, link: int, channel: int) -> None:
        self._links.set_channel(self._links.get(link), channel)

    def key_name(self, link: int) -> str:
        return self._links.get(link).key_name

    def forget(self, link: int) -> None:
        self._links.forget(link)

    def shut(self, link: int) -> None:
        peer = self._links.forget(link)
        if peer is not None:
            self._cut(peer)

    def shut_name(self, key_name: str) -> int:
        return sum(self._cut(peer) for peer in self._links.named(key_name) if self._links.forget(peer.number))

    def statistics(self) -> RouterStatistics:
        return RouterStatistics(
            received=self._received,
            sent=self._sent,
            malformed=0,
            forwarded=self._forwarded,
            forward_dropped=self._forward_dropped,
            links=len(self._links),
            links_expired=self._links.expired,
            queued=self._links.queued(),
            lost=self._links.lost,
            refused=self._refused,
        )

    def close(self) -> None:
        """End every connection."""
        for pipe in list(self._pipes.values()):
            self._end(pipe)

    # --- for the dealers ----------------------------------------------------------------------------------

    def admit(self, dealer: MemoryDealer, public_key: str, server_key: str) -> _Pipe | Connection:
        """Return a new connection, or why there is none."""
        if server_key != self._public_key:
            return Connection.WRONG_SERVER
        name = self._key_ring.name_of(public_key)
        if name is None:
            self._refused += 1
            return Connection.REFUSED
        self._pipes_made += 1
        pipe = _Pipe(b"\0" + self._pipes_made.to_bytes(4, "big"), name, dealer)
        self._pipes[pipe.routing_id] = pipe
        return pipe

    def deliver(self, pipe: _Pipe, header: bytes, body: bytes) -> bool:
        """Take a frame of a dealer; return False if too many are under way."""
        if pipe.to_router_count >= SEND_HWM:
            return False
        pipe.to_router_count += 1
        self._inbox.append((pipe, header, body))
        self._receivers.unpark_all()
        return True

    def make_room(self, pipe: _Pipe) -> None:
        """The dealer has taken frames: pass on what was held for it."""
        peer = self._links.young.get(pipe.routing_id) or self._links.remember(pipe.routing_id)
        while peer is not None and peer.queue and len(pipe.to_dealer) < SEND_HWM:
            self._pass(pipe, *peer.queue[0])
            peer.release()
            self._sent += 1

    def hang_up(self, pipe: _Pipe) -> None:
        """The dealer has closed."""
        self._pipes.pop(pipe.routing_id, None)

    # --- inside -------------------------------------------------------------------------------------------

    def _drain(self) -> list[Incoming | Malformed]:
        received: list[Incoming | Malformed] = []
        while self._inbox and len(received) < RECEIVE_BATCH:
            pipe, header, body = self._inbox.popleft()
            pipe.to_router_count -= 1
            pipe.dealer.senders.unpark_all()
            known = self._links.young.get(pipe.routing_id) or self._links.remember(pipe.routing_id)
            link = known or self._links.meet(pipe.routing_id, pipe.key_name, _NO_DESCRIPTOR)
            if header[1] == Kind.FORWARD and link.channel:
                self._forward(link, header, body)
            else:
                received.append(Incoming(link.number, link.key_name, header, body))
        self._received += len(received)
        return received

    def _forward(self, sender: Link, header: bytes, body: bytes) -> None:
        peer = self._links.routes.get(header[4:8])
        pipe = None if peer is None or peer.queue else self._pipes.get(peer.routing_id)
        if pipe is None or len(pipe.to_dealer) >= SEND_HWM:
            self._forward_dropped += 1
            return
        self._pass(pipe, header[:4] + sender.channel + header[8:], body)
        self._forwarded += 1

    def _pipe(self, peer: Link) -> _Pipe:
        pipe = self._pipes.get(peer.routing_id)
        if pipe is None:
            self._links.forget(peer.number)
            raise PeerGone(peer.number)
        return pipe

    @staticmethod
    def _pass(pipe: _Pipe, header: bytes, body: bytes) -> None:
        pipe.to_dealer.append((header, body))
        pipe.dealer.receivers.unpark_all()

    def _cut(self, peer: Link) -> bool:
        pipe = self._pipes.get(peer.routing_id)
        if pipe is None:
            return False
        self._end(pipe)
        pipe.dealer.attach(self)
        return True

    def _end(self, pipe: _Pipe) -> None:
        del self._pipes[pipe.routing_id]
        pipe.dealer.lose()


class MemoryDealer:
    """A `Dealer` (base.py) in memory."""

    def __init__(self, endpoint: str, public_key: str, server_key: str) -> None:
        self._endpoint = endpoint
        self._public_key = public_key
        self._server_key = server_key
        self._router: MemoryRouter | None = None
        self._pipe: _Pipe | None = None
        self._connection = Connection.ABSENT
        self._up = trio.Event()
        self._ended = trio.Event()
        self._received = self._sent = 0
        self._arrived: deque[tuple[bytes, bytes]] = deque()
        self.receivers = trio.lowlevel.ParkingLot()
        self.senders = trio.lowlevel.ParkingLot()

    def attach(self, router: MemoryRouter) -> None:
        """Connect, if this is the router looked for and there is no connection yet; a refusal is final."""
        if router.endpoint != self._endpoint or self._pipe is not None or self._connection is Connection.REFUSED:
            return
        pipe = router.admit(self, self._public_key, self._server_key)
        if isinstance(pipe, Connection):
            self._connection = pipe
            if pipe is Connection.REFUSED:
                self._ended.set()
            return
        self._connection = Connection.UP
        self._router, self._pipe = router, pipe
        self._up.set()
        self.senders.unpark_all()

    def lose(self) -> None:
        """The router ended the connection; what had arrived is still received."""
        if self._pipe is not None:
            self._arrived.extend(self._pipe.to_dealer)
        self._router = self._pipe = None
        self._connection = Connection.LOST
        self._ended.set()

    def close(self) -> None:
        """Leave the router."""
        if self._router is not None and self._pipe is not None:
            self._router.hang_up(self._pipe)
        self._router = self._pipe = None

    async def receive(self) -> list[tuple[bytes, bytes]]:
        await trio.lowlevel.checkpoint()
        while True:
            received: list[tuple[bytes, bytes]] = []
            for queue in (self._arrived, self._pipe.to_dealer if self._pipe is not None else self._arrived):
                while queue and len(received) < RECEIVE_BATCH:
                    received.append(queue.popleft())
            if received:
                self._received += len(received)
                if self._router is not None and self._pipe is not None:
                    self._router.make_room(self._pipe)
                return received
            await self.receivers.park()

    def send_nowait(self, header: bytes, body: bytes) -> None:
        check_frame(header, body)
        if self._router is None or self._pipe is None or not self._router.deliver(self._pipe, header, body):
            raise WouldBlock
        self._sent += 1

    async def send(self, header: bytes, body: bytes) -> None:
        await trio.lowlevel.checkpoint()
        while True:
            try:
                return self.send_nowait(header, body)
            except WouldBlock:
                await self.senders.park()

    def send_last(self, header: bytes, body: bytes) -> None:
        check_frame(header, body)
        if self._router is not None and self._pipe is not None and self._router.deliver(self._pipe, header, body):
            self._sent += 1

    def take_malformed(self) -> list[Malformed]:
        return []

    def connection(self) -> Connection:
        return self._connection

    async def wait_up(self) -> None:
        await self._up.wait()

    async def wait_ended(self) -> None:
        await self._ended.wait()

    def explain(self) -> str | None:
        return explain(self._connection, self._endpoint, self._public_key)

    def statistics(self) -> DealerStatistics:
        return DealerStatistics(received=self._received, sent=self._sent, malformed=0)
