"""How many tasks of a run go at once, which go first, and when the rest does not go at all (steps 2, 4 and 12).

All of it follows from the run's row and from how its tasks stand, so that nothing of it needs to be stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from doai.changes.runs import Bounds
from doai.errors import UserError
from doai.messages.commands import CreateRun
from doai.reasons import reason as because
from doai.states import Outcome

if TYPE_CHECKING:
    from doai.broker.core.tables import Device, Task

JUDGED_FROM: Final = 10
"""Ended tasks from which on their share of failures says something; of a canary all of it does."""
_PASSED: Final = Outcome.PASSED.value
_FAILED: Final = Outcome.FAILED.value
_UNKNOWN: Final = Outcome.UNKNOWN.value


class Gate:
    """The bounds of one open run, and how far it has come."""

    __slots__ = ("_counts", "blocked", "bounds", "held", "tried_open")

    def __init__(self, bounds: Bounds, counts: dict[str, int]) -> None:
        self.bounds = bounds
        self._counts = counts
        """Ended tasks of the run by outcome."""
        self.held = 0
        """Tasks of it that nodes hold."""
        self.tried_open = 0
        """Open tasks of it that were given to a node and not given back untouched."""
        self.blocked: dict[Device, None] = {}
        """Devices that could have taken one of its tasks: they are asked again when it opens."""

    @property
    def ended(self) -> int:
        """Tasks of which the outcome says something about the run."""
        counts = self._counts
        return counts.get(_PASSED, 0) + counts.get(_FAILED, 0) + counts.get(_UNKNOWN, 0)

    @property
    def takes_fresh(self) -> bool:
        """Whether a task that was not tried yet may go: one of the canary, or any once that is over."""
        return self.canary_over or self.ended + self.tried_open < self.bounds.canary

    @property
    def canary_over(self) -> bool:
        """Whether as many tasks as the canary has have ended."""
        return self.ended >= self.bounds.canary

    def lets(self, task: Task) -> bool:
        """Whether the task may be given out now."""
        most = self.bounds.max_parallel
        return (most is None or self.held < most) and (task.tried or self.takes_fresh)

    def stops_because(self) -> str:
        """Return why the rest of the run must not go, in words; empty when it may."""
        return stops_because(self.bounds, self._counts)


def bounds_of(create: CreateRun) -> Bounds:
    """Return the bounds that a person asks for; a canary alone is one of which nothing may fail."""
    stop_rate = create.stop_rate
    if create.canary and stop_rate is None and create.stop_after is None:
        stop_rate = 0.0
    return Bounds(
        max_parallel=create.max_parallel,
        canary=create.canary or 0,
        stop_rate=stop_rate,
        stop_after=create.stop_after,
    )


def check_bounds(create: CreateRun) -> None:
    """Raise UserError for bounds that can not be."""
    for name, count in (
        ("max-parallel", create.max_parallel),
        ("canary", create.canary),
        ("stop-after", create.stop_after),
    ):
        if count is not None and count < 1:
            raise UserError(f"{name} {count} can not be: it is a number of tasks above 0", code="bad_bounds")
    if create.stop_rate is not None and not 0 <= create.stop_rate < 1:
        raise UserError(
            f"stop-rate {create.stop_rate:g} can not be: it is a share from 0 to below 1, such as 0.2",
            code="bad_bounds",
        )


def stops_because(bounds: Bounds, counts: Mapping[str, int]) -> str:
    """Return why a run with so many ended tasks by outcome goes no further; empty when it does."""
    failed = counts.get(_FAILED, 0) + counts.get(_UNKNOWN, 0)
    ended = failed + counts.get(_PASSED, 0)
    if bounds.stop_after is not None and failed >= bounds.stop_after:
        return because("stop_after", failed=failed, most=bounds.stop_after)
    if bounds.stop_rate is None or ended < (bounds.canary or JUDGED_FROM):
        return ""
    if failed > bounds.stop_rate * ended:
        code = "stop_canary" if ended <= bounds.canary else "stop_rate"
        return because(code, failed=failed, ended=ended, share=f"{bounds.stop_rate:.0%}")
    return ""
