"""Takes messages off the broker's ROUTER in batches, and passes on those from peer to peer (steps 1, 5, 11).

A message is taken off the socket by a fixed number of calls. What keeps that in step: the last part is received
as a Frame, which tells whether more parts follow. If they do, either the message has too many parts, or it
had one part and the "last" is the routing id of the next message; `_recover` tells the two apart.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import zmq

from doai.codec import HEADER_BYTES, Kind
from doai.limits import FRAME_BYTES_MAX, RECEIVE_BATCH
from doai.wire.base import DATA_KEPT_BYTES, Incoming, Malformed, flaw
from doai.wire.links import Link, Links
from doai.wire.sockets import MORE_NOBLOCK, NOBLOCK

Proof = tuple[str, int]
"""The name that a connection's key proves, and its descriptor."""

_FORWARD: Final = int(Kind.FORWARD)
_RCVMORE: Final = int(zmq.RCVMORE)
_ROUTING_ID_BYTES: Final = 5
_ROUTING_ID_BYTES_MAX: Final = 255
"""Of one that a peer gave itself."""
_RUN_AFTER: Final = 3
"""Frames of one peer in a row before a run begins: where peers take turns its end costs more than it saves."""
_NO_HOP: Final = (b"", b"")


def proof_of(frame: zmq.Frame) -> Proof | None:
    """Return what is proven of the frame's sender; None if nothing is."""
    try:
        # The name that ZAP gave, never anything that the peer wrote; it is told on Frames only.
        return str(frame.get("User-Id")), int(frame.get(zmq.SRCFD))
    except zmq.ZMQError:
        return None


class Intake:
    """The receiving half of one ROUTER; what it returns is the router's to give out."""

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        send: Callable[..., object],
        links: Links,
        proof: Callable[[zmq.Frame], Proof | None] = proof_of,
    ) -> None:
        """``send`` takes one part and its flags, as `send_of` returns it."""
        # Any: with copy=False the same call returns a Frame.
        self._recv: Any = socket.recv
        self._send = send
        self._get: Any = socket.get
        self._links = links
        self._proof = proof
        self.taken = 0
        """Messages that `drain` returned, malformed ones too."""
        self.malformed = 0
        self.forwarded = 0
        self.forward_dropped = 0

    def drain(self, left: int = RECEIVE_BATCH) -> list[Incoming | Malformed]:
        """Take at most so many messages off the socket; forward what is to be forwarded, return the rest."""
        recv, send = self._recv, self._send
        young = self._links.young
        received: list[Incoming | Malformed] = []
        link: Link | None = None
        speaker: Link | None = None
        in_a_row = 0
        try:
            while left > 0:
                left -= 1
                link = None
                routing_id = recv(NOBLOCK)
                link = young.get(routing_id)
                if link is None:
                    self._receive_slowly(routing_id, recv(NOBLOCK, False), received)
                    continue
                header = recv(NOBLOCK)
                frame = recv(NOBLOCK, False)
                size = len(frame)
                if frame.more or size > FRAME_BYTES_MAX:
                    self._recover(link, header, frame, received)
                    continue
                hop = link.hops.get(header)
                if hop is None:
                    self._take(link, header, frame, received)
                    continue
                # As in `_forward`, but in place: the calls and the new header are half of what a frame costs.
                try:
                    send(hop[0], MORE_NOBLOCK)
                except zmq.ZMQError:
                    self.forward_dropped += 1
                    continue
                send(hop[1], MORE_NOBLOCK)
                send(frame, NOBLOCK)
                self.forwarded += 1
                in_a_row = in_a_row + 1 if link is speaker else 1
                speaker = link
                if in_a_row >= _RUN_AFTER and size > _ROUTING_ID_BYTES_MAX:
                    left = self._forward_run(link, left, received)
                    in_a_row = 0
        except zmq.Again:
            if link is not None:  # its only part was taken for a header, and nothing came after it
                received.append(self._malformed_from(link, "it has 1 part instead of 2", header))
        self.taken += len(received)
        return received

    def _receive_slowly(self, routing_id: bytes, first: Any, received: list[Incoming | Malformed]) -> None:
        """Take the rest of one message, looking at every part; make a link for an unknown routing id."""
        link = self._links.young.get(routing_id) or self._links.remember(routing_id)
        if link is None and (proof := self._proof(first)) is not None:
            link = self._links.meet(routing_id, *proof)
        header = first.bytes
        last, parts = self._drop_rest(first)
        parts += 1
        if parts != 2:
            reason: str | None = f"it has {parts} part{'s' * (parts > 1)} instead of 2"
        elif link is None:
            reason = "its sender has not proven a name"
        else:
            reason = flaw(header, len(last))
        if reason is not None:
            received.append(self._malformed_from(link, reason, header))
        elif link is not None:
            self._take(link, header, last, received)

    def _drop_rest(self, part: Any) -> tuple[Any, int]:
        """Take the parts behind ``part`` off the socket; return the last of them, or itself, and their number."""
        parts = 0
        while part.more:
            part = self._recv(NOBLOCK, False)
            parts += 1
        return part, parts

    def _take(self, link: Link, header: bytes, body: zmq.Frame, received: list[Incoming | Malformed]) -> None:
        """Forward or return a message of two parts, of which the second is no larger than a body may be."""
        if len(header) != HEADER_BYTES:
            received.append(self._malformed_from(link, flaw(header, len(body)) or "it is no frame", header))
        elif header[1] == _FORWARD and link.channel:
            self._forward(link, header, body)
        else:
            received.append(Incoming(link.number, link.key_name, header, body.bytes))

    def _forward(self, sender: Link, header: bytes, body: zmq.Frame | bytes) -> None:
        """Pass an ephemeral frame on; it is the first to be dropped, so it never waits for a full peer."""
        peer = self._links.routes.get(header[4:8])
        if peer is None or peer.queue:
            self.forward_dropped += 1
            return
        rewritten = header[:4] + sender.channel + header[8:]
        try:
            self._send(peer.routing_id, MORE_NOBLOCK)
        except zmq.ZMQError:  # full, or gone: its next durable frame will tell
            self.forward_dropped += 1
            return
        self._send(rewritten, MORE_NOBLOCK)
        self._send(body, NOBLOCK)
        self.forwarded += 1
        sender.keep_hop(header, peer.routing_id, rewritten)

    def _malformed_from(self, link: Link | None, reason: str, data: bytes) -> Malformed:
        self.malformed += 1
        kept = data[:DATA_KEPT_BYTES]
        return (
            Malformed(0, "", reason, kept) if link is None else Malformed(link.number, link.key_name, reason, kept)
        )

    # --- in step again after what is no frame ---------------------------------------------------------------

    def _recover(self, link: Link, header: bytes, frame: zmq.Frame, received: list[Incoming | Malformed]) -> None:
        """Get in step again after a message that is no frame; ``frame`` was received as its body."""
        if not frame.more:
            reason = flaw(header, len(frame)) or "it is no frame"
        elif self._begins_next(link, frame):
            received.append(self._malformed_from(link, "it has 1 part instead of 2", header))
            self._receive_slowly(frame.bytes, self._recv(NOBLOCK, False), received)
            return
        else:
            reason = f"it has {2 + self._drop_rest(frame)[1]} parts instead of 2"
        received.append(self._malformed_from(link, reason, header))

    @staticmethod
    def _begins_next(link: Link, frame: zmq.Frame) -> bool:
        """Whether this part is the routing id before the next message, not a part that the link's peer made up.

        A part that came over another connection cannot be of this message. Over the same connection it can be
        the same peer's id only, and then it does not matter who wrote it.
        """
        if len(frame) != _ROUTING_ID_BYTES:
            return False
        return frame.bytes == link.routing_id or frame.get(zmq.SRCFD) != link.descriptor

    # --- runs: one peer's frames without a look at where each of them ends ------------------------------------

    def _forward_run(self, link: Link, left: int, received: list[Incoming | Malformed]) -> int:
        """Forward what the link goes on to say, in step at the end; return how many may still be received.

        A Frame, which tells where a message ends, is a quarter of what forwarding costs. Without it a peer that
        writes more than two parts may have them taken for messages, but for its own only: a run goes on while
        the id is the link's, the header one that it used before and the body longer than any routing id, so
        that neither can be the id of another peer's message. The message that ends a run is looked at. So is an
        empty socket: messages arrive whole, and none of them is half taken when nothing follows.
        """
        recv, send = self._recv, self._send
        own = said = link.routing_id
        to = rewritten = b""
        forwarded = 0
        try:
            while True:
                left -= 1
                try:
                    part = recv(NOBLOCK)
                except zmq.Again:
                    return 0
                if part != own:
                    self._end_by_id(link, part, received)
                    return left
                header = recv(NOBLOCK)
                if header != said:
                    to, rewritten = link.hops.get(header, _NO_HOP)
                    said = header
                if left <= 0 or not to:
                    self._end_by_header(link, header, received)
                    return left
                body = recv(NOBLOCK)
                if not _ROUTING_ID_BYTES_MAX < len(body) <= FRAME_BYTES_MAX:
                    self._end_by_body(link, header, body, received)
                    return left
                try:
                    send(to, MORE_NOBLOCK)
                except zmq.ZMQError:
                    self.forward_dropped += 1
                    continue
                send(rewritten, MORE_NOBLOCK)
                send(body, NOBLOCK)
                forwarded += 1
        finally:
            self.forwarded += forwarded

    def _end_by_id(self, link: Link, part: bytes, received: list[Incoming | Malformed]) -> None:
        """``part`` stands where a routing id should, and is not the link's."""
        if not self._begins_other(link, part, received):
            received.append(self._malformed_from(link, "it has more than 2 parts", part))

    def _end_by_header(self, link: Link, header: bytes, received: list[Incoming | Malformed]) -> None:
        """``header`` stands behind the link's routing id, and nothing is known of what comes."""
        if len(header) != HEADER_BYTES:
            # It may be the id of the next message, when the one before it was the link's own word for a third part.
            self._begins_other(link, header, received)
        elif self._get(_RCVMORE):
            body = self._recv(NOBLOCK, False)
            if not body.more and len(body) <= FRAME_BYTES_MAX:
                self._take(link, header, body, received)
                return
            self._drop_rest(body)
        received.append(self._malformed_from(link, "it is not of 2 parts", header))

    def _end_by_body(self, link: Link, header: bytes, body: bytes, received: list[Incoming | Malformed]) -> None:
        """``body`` is small enough for the routing id of the next message, or too large."""
        if not self._get(_RCVMORE) and len(body) <= FRAME_BYTES_MAX:
            self._forward(link, header, body)
            return
        self._begins_other(link, body, received)
        received.append(self._malformed_from(link, flaw(header, len(body)) or "it is not of 2 parts", header))

    def _begins_other(self, link: Link, part: bytes, received: list[Incoming | Malformed]) -> bool:
        """Whether ``part``, the last one taken, is the routing id of a message, which is then taken too.

        If not, it is one part too many of the link's, and what is left of its message is dropped.
        """
        if not self._get(_RCVMORE):
            return False
        first = self._recv(NOBLOCK, False)  # of the same message: more was to follow
        proof = self._proof(first)
        known = self._links.young.get(part) or self._links.remember(part)
        if known is not None:
            begins = proof == (known.key_name, known.descriptor)
        else:
            begins = proof != (link.key_name, link.descriptor)
        if begins:
            self._receive_slowly(part, first, received)
        else:
            self._drop_rest(first)
        return begins
