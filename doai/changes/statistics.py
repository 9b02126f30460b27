"""What is counted of queues and nodes: rows and the ops that write them (step 12)."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from doai.histogram import Histogram
from doai.states import TaskState


class Period(enum.Enum):
    """How much time a row covers."""

    MINUTE = "minute"
    HOUR = "hour"


PERIOD_MS: Final = {Period.MINUTE: 60_000, Period.HOUR: 3_600_000}
OUTCOMES: Final = ("passed", "failed", "cancelled", "expired", "unknown")


class StatisticsRow(msgspec.Struct, frozen=True, kw_only=True):
    """One queue over one minute or hour. Rows of the same time add up: a part of it, a clock that went back.

    ``waiting`` to ``nodes_total`` are as at the end of a minute, and the largest of an hour's minutes (but
    ``nodes_online``: the smallest); None where nobody looked, because the broker was down at the end of it.
    """

    row_id: str
    queue: str
    period: Period
    at_ms: int
    """Its beginning, ms since 1970 (UTC), a whole minute or hour."""
    position: int
    """Of the event log: the ends of tasks up to here are counted in this row and those before it."""
    observed_ms: int
    """How much of it the broker was there."""
    waiting: int | None
    running: int | None
    """Dispatched, running or being cancelled."""
    delayed: int | None
    unproven: int | None
    nodes_online: int | None
    nodes_total: int | None
    passed: int
    """Tasks that ended so within it; as the next four."""
    failed: int
    cancelled: int
    expired: int
    unknown: int
    wait: bytes
    """`doai.histogram` of the time from a task's creation to the start of its last attempt, at its end."""
    duration: bytes
    """`doai.histogram` of the time from that start to the task's end."""

    @property
    def ended(self) -> int:
        """Tasks that ended within it, however."""
        return self.passed + self.failed + self.cancelled + self.expired + self.unknown


class EndedTask(msgspec.Struct, frozen=True, kw_only=True):
    """What is counted of a task at its end."""

    queue: str
    state: TaskState
    created_at_ms: int
    started_at_ms: int | None
    ended_at_ms: int
    position: int
    """Of the event of its end."""


def summed(rows: Sequence[StatisticsRow], row_id: str, period: Period, at_ms: int) -> StatisticsRow:
    """Return one row for several of one queue: what ended is added, of what was looked at the extremes are kept."""
    wait, duration = Histogram(), Histogram()
    for row in rows:
        wait.merge(Histogram.decoded(row.wait))
        duration.merge(Histogram.decoded(row.duration))
    return StatisticsRow(
        row_id=row_id,
        queue=rows[0].queue,
        period=period,
        at_ms=at_ms,
        position=max(row.position for row in rows),
        observed_ms=sum(row.observed_ms for row in rows),
        nodes_online=_extreme(min, rows, "nodes_online"),
        nodes_total=_extreme(max, rows, "nodes_total"),
        wait=wait.encoded(),
        duration=duration.encoded(),
        waiting=_extreme(max, rows, "waiting"),
        running=_extreme(max, rows, "running"),
        delayed=_extreme(max, rows, "delayed"),
        unproven=_extreme(max, rows, "unproven"),
        **{name: sum(getattr(row, name) for row in rows) for name in OUTCOMES},
    )


def _extreme(choose: Callable[[Iterable[int]], int], rows: Sequence[StatisticsRow], name: str) -> int | None:
    looked = [value for row in rows if (value := getattr(row, name)) is not None]
    return choose(looked) if looked else None
