"""What the broker agrees on with a peer: the wire version, and what it ignores of a newer one (steps 1, 11)."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from doai import __version__
from doai.broker.core.decision import Decision
from doai.broker.core.state import State
from doai.broker.core.tables import Peer
from doai.changes.ops import PutNode
from doai.changes.rows import NodeRow
from doai.messages.link import Hello, Role
from doai.states import PeerState
from doai.wire_versions import REFUSED, WireVersions, refusal, unknown_frame


class Versions:
    """Chooses, refuses, counts."""

    def __init__(self, state: State, leave: Callable[[Decision, Peer, str], None]) -> None:
        """``leave`` makes a peer offline at once, with a reason."""
        self._state = state
        self._leave = leave

    def agreed(self, hello: Hello) -> int | None:
        """Return the highest version that both speak, None if there is none."""
        return self._state.settings.wire.agreed(WireVersions(hello.wire_lowest, hello.wire_highest))

    def refuse(self, decision: Decision, link: int, hello: Hello) -> None:
        """Fence a peer that shares no version with this broker; of a node its row says why it is away."""
        theirs = WireVersions(hello.wire_lowest, hello.wire_highest)
        kind = hello.role.value
        peer_is = hello.name if hello.name == kind else f"{kind} {hello.name}"
        sentence = refusal(peer_is, theirs, self._state.settings.wire, hello.sample.version, __version__)
        decision.fence(link, sentence)
        ids = {"node_id": hello.name} if hello.role is Role.NODE else {}
        decision.log("error", f"{REFUSED}{sentence}", ids)
        peer = self._state.nodes.get(hello.name) if hello.role is Role.NODE else None
        if peer is None or peer.row is None or peer.link not in (None, link):
            return  # another process of this node is connected, or none ever was
        reason = f"{REFUSED}{sentence}"
        if peer.liveness.state is not PeerState.OFFLINE:
            self._leave(decision, peer, reason)
        self._note(decision, peer.row, peer, reason, hello.sample.version)

    def _note(self, decision: Decision, row: NodeRow, peer: Peer, reason: str, version: str) -> None:
        if row.state_reason == reason and row.version == version:
            return  # it asks again and again: one write says it
        peer.row = msgspec.structs.replace(
            row,
            state=PeerState.OFFLINE.value,
            state_reason=reason,
            version=version,
            changed_at_ms=decision.now.utc_ms,
        )
        decision.ops.append(PutNode(peer.row))

    def unknown(self, decision: Decision, peer: Peer, kind: int) -> None:
        """A frame of a kind that only a newer peer knows came: it is counted and does nothing."""
        peer.unknown_frames += 1
        if text := unknown_frame(kind, peer.address, peer.unknown_frames):
            ids = {"node_id": peer.name} if peer.role is Role.NODE else {}
            decision.log("warning", text, ids)
