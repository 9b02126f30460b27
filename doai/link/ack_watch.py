"""Whether acks come: what has none for too long is sent again, ever more seldom (step 11)."""

from __future__ import annotations

from doai.limits import ACK_TIMEOUT_S


class AckWatch:
    """Compares how far a stream is with how far it was at the last look."""

    __slots__ = ("_acked_seq", "_sent_seq", "_wait_s", "due_s")

    def __init__(self, acked_seq: int) -> None:
        self._acked_seq = self._sent_seq = acked_seq
        self._wait_s = ACK_TIMEOUT_S
        self.due_s = 0.0
        """Monotonic time of the next look."""

    def overdue(self, acked_seq: int, sent_seq: int, mono_s: float) -> bool:
        """Look: whether some ack was due at the last look and none came since; not before `due_s`."""
        if mono_s < self.due_s:
            return False
        overdue = acked_seq == self._acked_seq and self._sent_seq > acked_seq
        self._wait_s = self._wait_s * 2 if overdue else ACK_TIMEOUT_S
        self.due_s = mono_s + self._wait_s
        self._acked_seq, self._sent_seq = acked_seq, sent_seq
        return overdue
