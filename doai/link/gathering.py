"""When facts leave: some at once, the rest gathers for the next frame (step 11).

A frame and its ack cost both sides what a hundred facts cost. Whoever looks at a run does not see whether a step is
told 50 ms late; whoever waits for a result does, unless the node that has it is busy with other tasks anyway.
"""

from __future__ import annotations

from doai.limits import FACTS_APART_S, RESULTS_TOGETHER


class Gathering:
    """What is known of the facts that have not left, and of when the last frame of them did."""

    __slots__ = ("_at_once_seq", "_results", "due_s")

    def __init__(self) -> None:
        self._at_once_seq = 0
        self._results = 0
        """Since the last frame, of those that may wait."""
        self.due_s = 0.0
        """Monotonic time from which on any fact may leave."""

    def at_once(self, seq: int) -> None:
        """This fact, and with it all before it, waits for nothing."""
        self._at_once_seq = seq

    def result(self, seq: int) -> None:
        """This one is a result that may wait, until there are enough of them."""
        self._results += 1
        if self._results >= RESULTS_TOGETHER:
            self.at_once(seq)

    def is_over(self, sent_seq: int, mono_s: float) -> bool:
        """Whether what comes after ``sent_seq`` may leave now."""
        return self._at_once_seq > sent_seq or mono_s >= self.due_s

    def left(self, mono_s: float) -> None:
        """A frame left: what comes now gathers for the next."""
        self.due_s = mono_s + FACTS_APART_S
        self._results = 0
