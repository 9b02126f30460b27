"""The broker's router over ZeroMQ on trio: waits, sends, holds frames for peers that are full (steps 1, 5, 11)."""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio
import zmq

from doai.limits import PEER_REPOLL_S
from doai.wire.base import Incoming, KeyRing, Malformed, PeerGone, RouterStatistics, check_frame
from doai.wire.intake import Intake, Proof, proof_of
from doai.wire.keys import KeyPair
from doai.wire.links import Link, Links
from doai.wire.readiness import Readiness
from doai.wire.sockets import MORE_NOBLOCK, NOBLOCK, POLLIN, bind_router, open_context, send_of
from doai.wire.zap import ZapHandler


@asynccontextmanager
async def open_router(endpoint: str, keypair: KeyPair, key_ring: KeyRing) -> AsyncIterator[ZmqRouter]:
    """Listen at ``endpoint`` (``tcp://127.0.0.1:0`` takes a free port) for dealers whose keys are in the key ring.

    Raises EndpointError when it cannot listen there; a failure of the key ring cancels the body and comes out
    as a ZapDiedError (in an exception group, as from every nursery).
    """
    with open_context() as context:
        handler = ZapHandler(context, key_ring)
        socket = bind_router(context, endpoint, keypair)
        router = ZmqRouter(socket, handler)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(handler.run, name="zap")
                yield router
                nursery.cancel_scope.cancel()
        finally:
            router.close()


class ZmqRouter:
    """A `Router` (base.py) over a ROUTER socket that is bound already."""

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        handler: ZapHandler | None = None,
        proof: Callable[[zmq.Frame], Proof | None] = proof_of,
    ) -> None:
        self._socket = socket
        self._handler = handler
        self._endpoint = socket.get_string(zmq.LAST_ENDPOINT)
        self._readiness = Readiness(socket)
        self._send = send_of(socket)
        self._links = Links()
        self._intake = Intake(socket, self._send, self._links, proof)
        self._blocked: dict[int, Link] = {}
        self._sent = 0

    @property
    def endpoint(self) -> str:
        return self._endpoint

    async def receive(self) -> list[Incoming | Malformed]:
        while True:
            if self._blocked:
                self._flush()
                await self._readiness.wait_briefly(POLLIN, PEER_REPOLL_S)
            else:
                await self._readiness.wait(POLLIN)
            # No checkpoint from here on: a cancelled receive has taken nothing.
            batch = self._intake.drain()
            if batch:
                return batch

    def send_nowait(self, link: int, header: bytes, body: bytes) -> None:
        check_frame(header, body)
        peer = self._links.get(link)
        if peer.queue:
            peer.hold(header, body)
            return
        if not self._try_send(peer, header, body):
            peer.hold(header, body)
            self._blocked[link] = peer
            self._links.clear_hops()  # nothing ephemeral gets past what is held
            self._readiness.wake()
        self._readiness.notify()

    def open_channel(self, link: int, channel: int) -> None:
        self._links.set_channel(self._links.get(link), channel)

    def key_name(self, link: int) -> str:
        return self._links.get(link).key_name

    def forget(self, link: int) -> None:
        self._links.forget(link)

    def shut(self, link: int) -> None:
        peer = self._links.forget(link)
        if peer is not None:
            peer.shut()

    def shut_name(self, key_name: str) -> int:
        return sum(peer.shut() for peer in self._links.named(key_name) if self._links.forget(peer.number))

    def statistics(self) -> RouterStatistics:
        intake = self._intake
        return RouterStatistics(
            received=intake.taken - intake.malformed,
            sent=self._sent,
            malformed=intake.malformed,
            forwarded=intake.forwarded,
            forward_dropped=intake.forward_dropped,
            links=len(self._links),
            links_expired=self._links.expired,
            queued=self._links.queued(),
            lost=self._links.lost,
            refused=self._handler.refused if self._handler is not None else 0,
        )

    def close(self) -> None:
        """Close the socket; whoever is in `receive` gets trio.ClosedResourceError."""
        if not self._socket.closed:
            self._readiness.close()
            self._socket.close()

    # --- sending ------------------------------------------------------------------------------------------

    def _try_send(self, peer: Link, header: bytes, body: bytes) -> bool:
        """Send, or return False if the peer's pipe is full. Raises PeerGone, the link being forgotten."""
        send = self._send
        try:
            # Only the routing id can be refused; after it the message is taken wholly.
            send(peer.routing_id, MORE_NOBLOCK)
        except zmq.Again:
            return False
        except zmq.ZMQError as error:
            if error.errno != errno.EHOSTUNREACH:
                raise
            self._links.forget(peer.number)
            raise PeerGone(peer.number) from None
        send(header, MORE_NOBLOCK)
        send(body, NOBLOCK)
        self._sent += 1
        return True

    def _flush(self) -> None:
        """Send what is held for peers that were full, as far as they take it now."""
        for number, peer in list(self._blocked.items()):
            try:
                while peer.queue and self._try_send(peer, *peer.queue[0]):
                    peer.release()
            except PeerGone:
                pass  # forgotten, what was held is counted as lost; the next send to it raises
            if not peer.queue:
                del self._blocked[number]
