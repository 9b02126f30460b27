"""Until when the broker counts on a task that waits here: past that, it may be somebody else's (step 7).

The broker gives an attempt up when its holder was silent for the task's timeout, the grace of `always` and a
margin. The holder acts for that timeout and grace after it began. So it must begin within the margin after the
broker's last proof of it; of that proof the node knows only what the broker's answers say:
- a heartbeat that was answered was a proof of all that it listed, at its sending or later;
- frames keep their order, so a Dispatch was sent after the answers that came before it.
"""

from __future__ import annotations

import math

import msgspec

from doai.limits import SILENCE_S


class Taken(msgspec.Struct, frozen=True):
    """When a task was taken (monotonic seconds), and the newest word of this node that was answered by then."""

    at_s: float
    answered_s: float


class Vouched:
    """What the broker has surely heard of this node; all times are this process's monotonic seconds."""

    def __init__(self) -> None:
        self._listed_s = self._answered_s = -math.inf

    def greeted(self, said_s: float) -> None:
        """A HELLO of then was answered: no word on what was held before."""
        self._answered_s = max(self._answered_s, said_s)

    def listed(self, said_s: float) -> None:
        """A heartbeat of then was answered: what was held then, it listed."""
        self._listed_s = max(self._listed_s, said_s)
        self._answered_s = max(self._answered_s, said_s)

    def taken(self, now_s: float) -> Taken:
        """Return what is to be remembered of a task that comes now."""
        return Taken(now_s, self._answered_s)

    def covers(self, taken: Taken, now_s: float) -> bool:
        """Whether the broker has not given this task up yet, and will not before it ends here."""
        proven_s = self._listed_s if self._listed_s > taken.at_s else taken.answered_s
        return now_s - proven_s < SILENCE_S
