"""Which connections a router knows, by ZeroMQ's routing id and by our own number, in bounded memory (step 1).

ZeroMQ does not say when a connection ends, so links are kept in two generations: who speaks is young, and
when the young are LINKS_MAX the old ones, silent since the last change, are forgotten. A forgotten peer that
speaks after all gets a new link, and is asked for a HELLO like any other unknown one.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections import deque
from typing import Final

from doai.limits import LINKS_MAX, PEER_QUEUE_BYTES_MAX, PEER_QUEUE_MAX
from doai.wire.base import PeerGone, PeerStuck

NO_CHANNEL: Final = b""
_HOPS_MAX: Final = 64
"""Headers remembered a link: a handful is in use, the rest would be somebody playing with acks."""


class Link:
    """One connection of one peer, and the frames held for it while its socket is full."""

    __slots__ = (
        "channel",
        "descriptor",
        "hops",
        "key_name",
        "number",
        "queue",
        "queue_bytes",
        "routing_id",
        "socket_id",
    )

    def __init__(self, number: int, routing_id: bytes, key_name: str, descriptor: int) -> None:
        self.number = number
        self.routing_id = routing_id
        self.key_name = key_name
        self.descriptor = descriptor
        """Descriptor of the TCP socket when the link was met; ZeroMQ owns it and may close it at any time."""
        self.socket_id = _identify(descriptor)
        self.channel = NO_CHANNEL
        """As in a header: 4 bytes, network order; empty without one."""
        self.hops: dict[bytes, tuple[bytes, bytes]] = {}
        """FORWARD header of this peer -> routing id of the receiver, header it gets; see `Links.clear_hops`."""
        self.queue: deque[tuple[bytes, bytes]] = deque()
        self.queue_bytes = 0

    def hold(self, header: bytes, body: bytes) -> None:
        """Keep a frame for later. Raises PeerStuck when there is no more room."""
        if len(self.queue) >= PEER_QUEUE_MAX or self.queue_bytes + len(body) > PEER_QUEUE_BYTES_MAX:
            raise PeerStuck(self.number, len(self.queue), self.queue_bytes)
        self.queue.append((header, body))
        self.queue_bytes += len(body)

    def keep_hop(self, header: bytes, to: bytes, rewritten: bytes) -> None:
        """Remember where a FORWARD header leads: a peer sends the same few headers again and again."""
        if len(self.hops) >= _HOPS_MAX:
            self.hops.clear()
        self.hops[header] = (to, rewritten)

    def release(self) -> None:
        """Drop the frame held longest, because it was sent."""
        self.queue_bytes -= len(self.queue.popleft()[1])

    def shut(self) -> bool:
        """Cut the TCP connection, if it is still the one of this link; return whether it was."""
        try:
            # A copy of the descriptor cannot become another socket between looking and cutting.
            copy = os.dup(self.descriptor)
        except OSError:
            return False
        if self.socket_id is None or _identify(copy) != self.socket_id:
            os.close(copy)
            return False
        with socket.socket(fileno=copy) as tcp, contextlib.suppress(OSError):  # ended by the peer meanwhile
            tcp.shutdown(socket.SHUT_RDWR)
        return True


class Links:
    """The links of one router."""

    def __init__(self, links_max: int = LINKS_MAX) -> None:
        self.young: dict[bytes, Link] = {}
        """By routing id; for the receive loop, which asks `remember` about what is not here."""
        self.routes: dict[bytes, Link] = {}
        """By channel."""
        self.lost = 0
        self.expired = 0
        self._old: dict[bytes, Link] = {}
        self._by_number: dict[int, Link] = {}
        self._links_max = links_max
        self._last_number = 0

    def __len__(self) -> int:
        return len(self._by_number)

    def queued(self) -> int:
        """Return how many frames are held."""
        return sum(len(link.queue) for link in self._by_number.values())

    def get(self, number: int) -> Link:
        """Return the link; raises PeerGone."""
        link = self._by_number.get(number)
        if link is None:
            raise PeerGone(number)
        return link

    def named(self, key_name: str) -> list[Link]:
        """Return the links whose key proves this name."""
        return [link for link in self._by_number.values() if link.key_name == key_name]

    def remember(self, routing_id: bytes) -> Link | None:
        """Return an old link, which is young again now that it spoke; None if this id is unknown."""
        link = self._old.pop(routing_id, None)
        if link is not None:
            self._make_young(link)
        return link

    def meet(self, routing_id: bytes, key_name: str, descriptor: int) -> Link:
        """Make a link of an unknown routing id."""
        self._last_number += 1
        link = Link(self._last_number, routing_id, key_name, descriptor)
        self._by_number[link.number] = link
        self._make_young(link)
        return link

    def set_channel(self, link: Link, channel: int) -> None:
        """Make the channel the link's; it was nobody's or the link that had it has none from now on."""
        key = channel.to_bytes(4, "big")
        before = self.routes.get(key)
        if before is not None:
            before.channel = NO_CHANNEL
        self.routes.pop(link.channel, None)
        link.channel = key
        self.routes[key] = link
        self.clear_hops()

    def clear_hops(self) -> None:
        """Forget where headers lead; to be called when a channel moves or frames are held for a peer."""
        for link in self._by_number.values():
            link.hops.clear()

    def forget(self, number: int) -> Link | None:
        """Drop a link and what is held for it; return it if it was known."""
        link = self._by_number.pop(number, None)
        if link is not None:
            if self.young.pop(link.routing_id, None) is None:
                self._old.pop(link.routing_id, None)
            self._drop(link)
        return link

    def _make_young(self, link: Link) -> None:
        if len(self.young) >= self._links_max:
            for silent in self._old.values():
                del self._by_number[silent.number]
                self._drop(silent)
            self.expired += len(self._old)
            self._old = dict(self.young)
            # The same dict: the receive loop holds it.
            self.young.clear()
        self.young[link.routing_id] = link

    def _drop(self, link: Link) -> None:
        if link.channel:
            self.routes.pop(link.channel, None)
            link.channel = NO_CHANNEL
            self.clear_hops()
        link.hops.clear()
        self.lost += len(link.queue)
        link.queue.clear()
        link.queue_bytes = 0


def _identify(descriptor: int) -> tuple[int, int] | None:
    """Return what tells this socket from a later one with the same descriptor; None if there is no such socket."""
    try:
        status = os.fstat(descriptor)
    except OSError:
        return None
    return status.st_dev, status.st_ino
