"""What attempts tell of the device and the node they ran on, and when that is too much (steps 12 and 4).

Only what the recipe had no part in counts. Kept in memory: a broker that starts again begins to count anew.
"""

from __future__ import annotations

import enum
from collections import deque
from typing import Final

from doai.errors import NODE_RESTARTED, ErrorClass, Failure
from doai.limits import (
    QUARANTINE_FIRST_S,
    QUARANTINE_MAX_S,
    QUARANTINE_OF_RECENT,
    QUARANTINE_RECENT,
    QUARANTINE_WITHIN_S,
)
from doai.reasons import reason as because
from doai.states import Outcome


class Blame(enum.Enum):
    """On what the end of an attempt throws light."""

    NOTHING = "nothing"
    WORKED = "worked"
    """Device and node did what was asked, whatever came of it."""
    DEVICE = "device"
    NODE = "node"
    """The node, its adb server or its process."""


_PASSED: Final = Outcome.PASSED
_WORKED: Final = Blame.WORKED
_BLAME: Final = {
    ErrorClass.DEVICE: Blame.DEVICE,
    ErrorClass.INFRASTRUCTURE: Blame.NODE,
    # The app or a service behind it answered: the way to it is sound.
    ErrorClass.APP: Blame.WORKED,
    ErrorClass.RATE_LIMIT: Blame.WORKED,
    ErrorClass.AUTH: Blame.WORKED,
}


def blame(outcome: Outcome | None, failure: Failure | None) -> Blame:
    """Return what the end of an attempt speaks of."""
    if outcome is _PASSED:
        return _WORKED
    if failure is None or outcome not in (Outcome.FAILED, Outcome.UNKNOWN):
        return Blame.NOTHING
    if failure.code == NODE_RESTARTED:
        return Blame.NODE
    return _BLAME.get(failure.error_class, Blame.NOTHING)


def term_s(count: int, first_s: float = QUARANTINE_FIRST_S, longest_s: float = QUARANTINE_MAX_S) -> float:
    """Return how long the ``count``-th quarantine (from 1) without a success between lasts."""
    # Capped exponent: the longest term rules far earlier.
    return min(first_s * 2.0 ** min(count - 1, 32), longest_s)


class Health:
    """The newest attempts of one device or node. Times are monotonic seconds."""

    __slots__ = ("_told",)

    def __init__(self) -> None:
        self._told: deque[tuple[float, bool]] = deque(maxlen=QUARANTINE_RECENT)
        """(time, failed), oldest first; begins with a failure, because what came before it never matters."""

    def worked(self, now_s: float) -> None:
        """An attempt did what was asked."""
        if self._told:
            self._told.append((now_s, False))
            self._drop_successes()

    def failed(self, now_s: float, burst_s: float = 0.0) -> None:
        """An attempt failed; all that fail within ``burst_s`` of a failure are that one failure."""
        for at_s, failed in reversed(self._told):
            if failed:
                if now_s - at_s < burst_s:
                    return
                break
        self._told.append((now_s, True))
        self._drop_successes()

    def verdict(self, now_s: float, in_a_row_max: int) -> str:
        """Return why it is too much, for a person; empty while it is not."""
        told = self._told
        in_a_row = 0
        while in_a_row < len(told) and told[-1 - in_a_row][1]:
            in_a_row += 1
        if in_a_row >= in_a_row_max:
            return because("in_a_row", count=in_a_row)
        recent = sum(failed and now_s - at_s <= QUARANTINE_WITHIN_S for at_s, failed in told)
        if recent >= max(QUARANTINE_OF_RECENT, in_a_row_max):
            minutes = f"{QUARANTINE_WITHIN_S / 60:.0f}"
            return because("of_recent", failed=recent, tried=len(told), minutes=minutes)
        return ""

    def clear(self) -> None:
        """Begin anew."""
        self._told.clear()

    def _drop_successes(self) -> None:
        while self._told and not self._told[0][1]:
            self._told.popleft()
