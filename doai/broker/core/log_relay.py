"""Log lines of every process, passed on to the admins that listen, unread and never stored (step 14).

They are worth less than anything else on the mesh: of one peer and of all there are only so many a second, and what
is more is dropped. Lines are numbered, so the admin sees the gap.
"""

from __future__ import annotations

from typing import Final

import msgspec

from doai.broker.core.bucket import Bucket
from doai.broker.core.decision import Decision
from doai.broker.core.settings import RateLimit
from doai.broker.core.state import State
from doai.broker.core.tables import Peer
from doai.codec import Kind, encode
from doai.limits import FRAME_BYTES_MAX
from doai.messages.link import Hello, Role
from doai.messages.logs import HEARS_LOG, LogLines, RelayedLines

OF_A_PEER: Final = RateLimit(rate_per_s=4.0, burst=20.0)
"""Frames. A peer sends two a second; after it was away, what it has held."""
OF_ALL: Final = RateLimit(rate_per_s=400.0, burst=400.0)
"""Of a hundred nodes and as many bots, with as much again: some MB a second at the worst."""
_ROOM_BYTES: Final = 512
"""What the broker adds to a frame, at most."""


class LogRelay:
    """Knows who listens."""

    def __init__(self, state: State, now_s: float) -> None:
        self._state = state
        self._listening: dict[int, Peer] = {}
        self._of_peer: dict[str, Bucket] = {}
        self._of_all = Bucket(OF_ALL, now_s)

    def greeted(self, link: int, hello: Hello) -> None:
        """A connection said HELLO: it may be an admin that wants to hear."""
        peer = self._state.links.get(link)
        if peer is not None and peer.role is Role.ADMIN and HEARS_LOG in hello.capabilities:
            self._listening[link] = peer

    def heard(self, decision: Decision, peer: Peer, link: int, lines: msgspec.Raw) -> None:
        """A peer told what it logged."""
        if not self._listening:
            return
        bucket = self._of_peer.get(peer.name)
        if bucket is None:
            bucket = self._of_peer[peer.name] = Bucket(OF_A_PEER, decision.now.mono_s)
        if bucket.take(decision.now.mono_s) and len(bytes(lines)) <= FRAME_BYTES_MAX - _ROOM_BYTES:
            self._relay(decision, peer.address, lines)

    def own(self, decision: Decision, lines: LogLines) -> None:
        """The broker's own process logged this."""
        if self._listening:
            self._relay(decision, self._state.settings.source, msgspec.Raw(encode(lines)))

    @property
    def is_wanted(self) -> bool:
        """Whether anybody listens."""
        return bool(self._listening)

    def _relay(self, decision: Decision, source: str, lines: msgspec.Raw) -> None:
        if not self._of_all.take(decision.now.mono_s):
            return
        body = encode(RelayedLines(source=source, lines=lines))
        for link, peer in list(self._listening.items()):
            if self._state.links.get(link) is peer:
                decision.send_to(peer, Kind.RELAYED_LINES, body)
            else:
                del self._listening[link]
