"""Connections between peers and the broker, and what happens to them (steps 5 and 11).

Within one link frames keep their order, as TCP does. A DEALER connects again by itself: its later frames then come
over a new link, what was on its way is lost or still arrives on the old one.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec

from doai.codec import Kind, decode, encode
from doai.messages.work import Recipe
from tests.sim.world import World

Frame = tuple[bytes, bytes]
_MAY_DROP: Final = frozenset(Kind) - {Kind.FENCED, Kind.FORWARD}
"""Of a live link any single frame may be lost: a ROUTER drops what a full pipe does not take."""
_MAY_REPEAT: Final = frozenset(
    {Kind.HELLO, Kind.WELCOME, Kind.RECORDS, Kind.HEARTBEAT, Kind.COMMAND, Kind.DISPATCH, Kind.CANCEL, Kind.RELEASE}
)
"""What the contract calls idempotent."""
_NEWER: Final = b'{"steps": "of a language that this node does not know"}'


class _Pipe:
    """One direction of one link: first in, first out; a blocked one keeps what it has."""

    __slots__ = ("_deliver", "_frames", "_last_s", "_world", "blocked", "late")

    def __init__(self, world: World, deliver: Callable[[bytes, bytes], None]) -> None:
        self._world = world
        self._deliver = deliver
        self._frames: deque[Frame] = deque()
        self._last_s = 0.0
        self.blocked = False
        self.late = 0

    def put(self, header: bytes, body: bytes, latency_s: float) -> None:
        self._frames.append((header, body))
        world = self._world
        due_s = world.now_s + latency_s
        if due_s > self._last_s:
            self._last_s = due_s
        world.at(self._last_s, self._arrive)

    def _arrive(self) -> None:
        if not self._frames:
            return
        if self.blocked:
            self.late += 1
        else:
            self._deliver(*self._frames.popleft())

    def unblock(self) -> None:
        self.blocked = False
        while self.late and self._frames:
            self.late -= 1
            self._deliver(*self._frames.popleft())
        self.late = 0

    def clear(self) -> list[Frame]:
        frames = list(self._frames)
        self._frames.clear()
        return frames


class Connection:
    """A DEALER socket of one peer, over one link after the other."""

    def __init__(self, network: Network, name: str, deliver: Callable[[bytes, bytes], None]) -> None:
        self.name = name
        self.deliver = deliver
        self.link = 0
        """0 while it is not connected."""
        self.closed = False
        self.born_s = network.world.now_s
        self._network = network
        self._waiting: deque[Frame] = deque()
        self.inwards: _Pipe
        """Towards the broker."""
        self.outwards: _Pipe
        network.world.after(network.latency_s(name), self.try_connect)

    def send(self, header: bytes, body: bytes) -> None:
        """Send to the broker; while there is no link, it waits."""
        if self.closed:
            return
        if self.link:
            self._network.to_broker(self, header, body)
        else:
            self._waiting.append((header, body))

    def try_connect(self) -> None:
        """Connect if the broker can be reached, else try again soon."""
        network = self._network
        if self.closed or self.link:
            return
        if network.broker is None or network.is_cut(self.name):
            network.world.after(network.world.random.uniform(0.1, 3.0), self.try_connect)
            return
        link = network.new_link(self)
        self.link = link
        self.inwards = _Pipe(network.world, functools.partial(network.arrived, link, self.name))
        self.outwards = _Pipe(network.world, self._received)
        while self._waiting:
            network.to_broker(self, *self._waiting.popleft())

    def _received(self, header: bytes, body: bytes) -> None:
        if not self.closed:
            self.deliver(header, body)

    def set_blocked(self, inwards: bool, outwards: bool) -> None:
        """Let a direction stand still, or go on."""
        if not self.link:
            return
        for pipe, blocked in ((self.inwards, inwards), (self.outwards, outwards)):
            if blocked:
                pipe.blocked = True
            elif pipe.blocked:
                pipe.unblock()

    def break_link(self) -> None:
        """The link ends under the socket; what was on its way is lost, or arrives late where it was sent."""
        link, network = self.link, self._network
        if not link:
            return
        self.link = 0
        network.forget(link)
        self.outwards.clear()
        frames = self.inwards.clear()
        if frames and network.world.chance(0.4):
            network.world.fault("late_on_old_link", self.name)
            for number, (header, body) in enumerate(frames):
                delay_s = network.world.random.uniform(0.0, 4.0) + number * 5.0
                network.world.after(delay_s, network.arrived, link, self.name, header, body)
        elif frames:
            network.world.fault("lost_in_flight", self.name)
        network.world.after(network.world.random.uniform(0.1, 2.0), self.try_connect)

    def close(self) -> None:
        """The process closes it, or has died. What it sent may still arrive."""
        self.closed = True
        if self.link:
            self._network.forget(self.link)
            self.link = 0


class Network:
    """All connections of one world."""

    def __init__(self, world: World, *, drop_share: float, repeat_share: float, latency_s: float) -> None:
        self.world = world
        self.broker: Callable[[int, str, bytes, bytes], None] | None = None
        """Where frames for the broker go while its process lives."""
        self.drop_share = drop_share
        self.repeat_share = repeat_share
        self._latency_s = latency_s
        self.slow: dict[str, float] = {}
        """Seconds that frames of a slow peer take."""
        self._links: dict[int, Connection] = {}
        self._newest_link = 0
        self._cut: dict[str, tuple[bool, bool]] = {}
        """By peer: (towards the broker, from it)."""

    def dial(self, name: str, deliver: Callable[[bytes, bytes], None]) -> Connection:
        """Open a socket to the broker."""
        return Connection(self, name, deliver)

    def latency_s(self, name: str) -> float:
        """Draw how long a frame takes."""
        return self.slow.get(name) or self._latency_s * (0.5 + self.world.random.random())

    def new_link(self, connection: Connection) -> int:
        self._newest_link += 1
        self._links[self._newest_link] = connection
        return self._newest_link

    def forget(self, link: int) -> None:
        self._links.pop(link, None)

    # --- frames -------------------------------------------------------------------------------------------

    def to_broker(self, connection: Connection, header: bytes, body: bytes) -> None:
        for _ in range(self._copies(header) if self.drop_share or self.repeat_share else 1):
            connection.inwards.put(header, body, self.latency_s(connection.name))

    def to_peer(self, link: int, header: bytes, body: bytes) -> bool:
        """Send from the broker; False when the link is gone."""
        connection = self._links.get(link)
        if connection is None:
            return False
        if self.drop_share and header[1] == Kind.RECIPE and self.world.chance(0.01):
            self.world.fault("recipe_unreadable", connection.name)
            body = encode(msgspec.structs.replace(decode(body, Recipe), body=_NEWER))
        for _ in range(self._copies(header) if self.drop_share or self.repeat_share else 1):
            connection.outwards.put(header, body, self.latency_s(connection.name))
        return True

    def _copies(self, header: bytes) -> int:
        if self.drop_share and len(header) > 1 and header[1] in _MAY_DROP and self.world.chance(self.drop_share):
            name = Kind(header[1]).name
            self.world.fault("drop", name)
            self.world.faults[f"drop_{name.lower()}"] += 1
            return 0
        if (
            self.repeat_share
            and len(header) > 1
            and header[1] in _MAY_REPEAT
            and self.world.chance(self.repeat_share)
        ):
            self.world.fault("duplicate", Kind(header[1]).name)
            return 2
        return 1

    def arrived(self, link: int, name: str, header: bytes, body: bytes) -> None:
        if self.broker is not None:
            self.broker(link, name, header, body)

    # --- what happens to them -----------------------------------------------------------------------------

    def is_cut(self, name: str) -> bool:
        """Whether no connection can be made."""
        return self._cut.get(name, (False, False)) != (False, False)

    def cut(self, name: str, *, inwards: bool, outwards: bool) -> None:
        """Let nothing through in these directions."""
        self._cut[name] = (inwards, outwards)
        for connection in self._of(name):
            connection.set_blocked(inwards, outwards)

    def heal(self, name: str) -> None:
        """Let everything through; a link that stood still long was given up meanwhile."""
        if self._cut.pop(name, None) is None:
            return
        broken = self.world.chance(0.5)
        for connection in self._of(name):
            if broken:
                connection.break_link()
            else:
                connection.set_blocked(inwards=False, outwards=False)

    def heal_all(self) -> None:
        """Nothing is cut, dropped, repeated or slow any more."""
        for name in list(self._cut):
            self.heal(name)
        self.drop_share = self.repeat_share = 0.0
        self.slow.clear()

    def break_links(self, name: str | None = None) -> None:
        """Break the links of one peer, or all."""
        for connection in self._of(name):
            connection.break_link()

    def shut(self, link: int) -> None:
        """The broker cuts one connection."""
        connection = self._links.get(link)
        if connection is not None:
            connection.break_link()

    def _of(self, name: str | None) -> list[Connection]:
        return [connection for connection in self._links.values() if name is None or connection.name == name]
