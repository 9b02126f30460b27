"""The broker's router over ZeroMQ on trio: receives in batches, forwards, holds frames (steps 1, 5, 11).

A message is taken off the socket by a fixed number of calls. What keeps that in step: the last part is received
as a Frame, which tells whether more parts follow. If they do, either the message has too many parts, or it
had one part and the "last" is the routing id of the next message; `_recover` tells the two apart.
"""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import trio
import zmq

from doai.codec import HEADER_BYTES, Kind
from doai.limits import FRAME_BYTES_MAX, PEER_REPOLL_S, RECEIVE_BATCH
from doai.wire.base import (
    DATA_KEPT_BYTES,
    Incoming,
    KeyRing,
    Malformed,
    PeerGone,
    RouterStatistics,
    check_frame,
    flaw,
)
from doai.wire.keys import KeyPair
from doai.wire.links import Link, Links
from doai.wire.readiness import Readiness
from doai.wire.sockets import MORE_NOBLOCK, NOBLOCK, POLLIN, bind_router, open_context, send_of
from doai.wire.zap import ZapHandler

_FORWARD: Final = int(Kind.FORWARD)
_ROUTING_ID_BYTES: Final = 5


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

    def __init__(self, socket: zmq.Socket[bytes], handler: ZapHandler | None = None) -> None:
        self._socket = socket
        self._handler = handler
        self._endpoint = socket.get_string(zmq.LAST_ENDPOINT)
        self._readiness = Readiness(socket)
        # Any: with copy=False the same call returns a Frame.
        self._recv: Any = socket.recv
        self._send: Any = send_of(socket)
        self._links = Links()
        self._blocked: dict[int, Link] = {}
        self._taken = 0
        self._sent = 0
        self._malformed = 0
        self._forwarded = 0
        self._forward_dropped = 0

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
            batch = self._drain()
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
        return RouterStatistics(
            received=self._taken - self._malformed,
            sent=self._sent,
            malformed=self._malformed,
            forwarded=self._forwarded,
            forward_dropped=self._forward_dropped,
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

    # --- receiving ----------------------------------------------------------------------------------------

    def _drain(self) -> list[Incoming | Malformed]:
        """Take up to a batch of messages off the socket; forward what is to be forwarded, return the rest."""
        recv, send = self._recv, self._send
        young = self._links.young
        received: list[Incoming | Malformed] = []
        forwarded = 0
        link: Link | None = None
        try:
            for _ in range(RECEIVE_BATCH):
                link = None
                routing_id = recv(NOBLOCK)
                link = young.get(routing_id)
                if link is None:
                    self._receive_slowly(routing_id, received)
                    continue
                header = recv(NOBLOCK)
                frame = recv(NOBLOCK, False)
                if frame.more or len(frame) > FRAME_BYTES_MAX:
                    self._recover(link, header, frame, received)
                elif header in link.hops:
                    # As in `_forward`, but in place: the calls and the new header are half of what a frame costs.
                    to, rewritten = link.hops[header]
                    try:
                        send(to, MORE_NOBLOCK)
                    except zmq.ZMQError:
                        self._forward_dropped += 1
                        continue
                    send(rewritten, MORE_NOBLOCK)
                    send(frame.bytes, NOBLOCK)
                    forwarded += 1
                elif len(header) != HEADER_BYTES:
                    self._recover(link, header, frame, received)
                elif header[1] == _FORWARD and link.channel:
                    self._forward(link, header, frame)
                else:
                    received.append(Incoming(link.number, link.key_name, header, frame.bytes))
        except zmq.Again:
            if link is not None:  # its only part was taken for a header, and nothing came after it
                received.append(self._malformed_from(link, "it has 1 part instead of 2", header))
        self._taken += len(received)
        self._forwarded += forwarded
        return received

    def _receive_slowly(self, routing_id: bytes, received: list[Incoming | Malformed]) -> None:
        """Take the rest of one message, looking at every part; make a link for an unknown routing id."""
        first = self._recv(NOBLOCK, False)
        link = self._links.young.get(routing_id) or self._links.remember(routing_id)
        link = link or self._meet(routing_id, first)
        parts = 1
        last = first
        while last.more:
            last = self._recv(NOBLOCK, False)
            parts += 1
        header = first.bytes
        if parts != 2:
            reason: str | None = f"it has {parts} part{'s' * (parts > 1)} instead of 2"
        elif link is None:
            reason = "its sender has not proven a name"
        else:
            reason = flaw(header, len(last))
        if reason is not None:
            received.append(self._malformed_from(link, reason, header))
        elif link is not None and link.channel and header[1] == _FORWARD:
            self._forward(link, header, last)
        elif link is not None:
            received.append(Incoming(link.number, link.key_name, header, last.bytes))

    def _meet(self, routing_id: bytes, frame: zmq.Frame) -> Link | None:
        try:
            # The name that ZAP gave, never anything that the peer wrote; it is told on Frames only.
            key_name = str(frame.get("User-Id"))
            descriptor = int(frame.get(zmq.SRCFD))
        except zmq.ZMQError:
            return None
        return self._links.meet(routing_id, key_name, descriptor)

    def _recover(self, link: Link, header: bytes, frame: zmq.Frame, received: list[Incoming | Malformed]) -> None:
        """Get in step again after a message that is no frame; ``frame`` was received as its body."""
        if not frame.more:
            reason = flaw(header, len(frame)) or "it is no frame"
            received.append(self._malformed_from(link, reason, header))
            return
        if self._begins_next(link, frame):
            received.append(self._malformed_from(link, "it has 1 part instead of 2", header))
            self._receive_slowly(frame.bytes, received)
            return
        parts = 2
        last: Any = frame
        while last.more:
            last = self._recv(NOBLOCK, False)
            parts += 1
        received.append(self._malformed_from(link, f"it has {parts} parts instead of 2", header))

    @staticmethod
    def _begins_next(link: Link, frame: zmq.Frame) -> bool:
        """Whether this part is the routing id before the next message, not a part that the link's peer made up.

        A part that came over another connection cannot be of this message. Over the same connection it can be
        the same peer's id only, and then it does not matter who wrote it.
        """
        if len(frame) != _ROUTING_ID_BYTES:
            return False
        return frame.bytes == link.routing_id or frame.get(zmq.SRCFD) != link.descriptor

    def _malformed_from(self, link: Link | None, reason: str, data: bytes) -> Malformed:
        self._malformed += 1
        kept = data[:DATA_KEPT_BYTES]
        return (
            Malformed(0, "", reason, kept) if link is None else Malformed(link.number, link.key_name, reason, kept)
        )

    # --- sending ------------------------------------------------------------------------------------------

    def _forward(self, sender: Link, header: bytes, frame: zmq.Frame) -> None:
        """Pass an ephemeral frame on; it is the first to be dropped, so it never waits for a full peer."""
        peer = self._links.routes.get(header[4:8])
        if peer is None or peer.queue:
            self._forward_dropped += 1
            return
        rewritten = header[:4] + sender.channel + header[8:]
        try:
            self._send(peer.routing_id, MORE_NOBLOCK)
        except zmq.ZMQError:  # full, or gone: its next durable frame will tell
            self._forward_dropped += 1
            return
        self._send(rewritten, MORE_NOBLOCK)
        self._send(frame.bytes, NOBLOCK)
        self._forwarded += 1
        sender.keep_hop(header, peer.routing_id, rewritten)

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
