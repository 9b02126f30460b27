"""Online, late or offline: what follows from the age of a peer's last proof (step 11)."""

from __future__ import annotations

import msgspec

from doai.limits import BOT_OFFLINE_AFTER_S, LATE_AFTER_S, OFFLINE_AFTER_S
from doai.messages.link import Role
from doai.reasons import reason as because
from doai.states import PEER_TABLE, PeerState, PeerTrigger, move


class Change(msgspec.Struct, frozen=True):
    """A peer's liveness moved."""

    before: PeerState
    after: PeerState
    reason: str


class Liveness:
    """The liveness of one peer. Any frame is a proof; only time or a farewell takes it away."""

    def __init__(self, name: str, role: Role, state: PeerState = PeerState.OFFLINE, proven_s: float = 0.0) -> None:
        self._name = name
        self._offline_after_s = OFFLINE_AFTER_S if role is Role.NODE else BOT_OFFLINE_AFTER_S
        self.state = state
        self.proven_s = proven_s
        """Monotonic time of the last proof."""

    def prove(self, mono_s: float) -> Change | None:
        """Note a proof; returns the change if the peer was late or offline."""
        self.proven_s = mono_s
        if self.state is PeerState.ONLINE:
            return None
        return self._move(PeerTrigger.PROVE, because("heard_again"))

    def bye(self, reason: str) -> Change | None:
        """The peer left on purpose: offline at once."""
        if self.state is PeerState.OFFLINE:
            return None
        return self._move(PeerTrigger.BYE, reason)

    def due_s(self) -> float | None:
        """Return the monotonic time at which `age` may move it, None while it is offline."""
        if self.state is PeerState.ONLINE:
            return self.proven_s + LATE_AFTER_S
        if self.state is PeerState.LATE:
            return self.proven_s + self._offline_after_s
        return None

    def age(self, mono_s: float) -> Change | None:
        """Let time pass; returns the change if there is one."""
        silent_s = mono_s - self.proven_s
        if self.state is not PeerState.OFFLINE and silent_s > self._offline_after_s:
            return self._move(PeerTrigger.AGE_OFFLINE, because("no_word", seconds=f"{self._offline_after_s:.0f}"))
        if self.state is PeerState.ONLINE and silent_s > LATE_AFTER_S:
            return self._move(PeerTrigger.AGE_LATE, because("no_word", seconds=f"{LATE_AFTER_S:.0f}"))
        return None

    def _move(self, trigger: PeerTrigger, reason: str) -> Change:
        before = self.state
        self.state = move(PEER_TABLE, before, trigger, f"peer {self._name}")
        return Change(before, self.state, reason)
