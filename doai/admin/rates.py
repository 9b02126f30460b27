"""How much ends and how much of it passes, from the rows of the statistics: one sum for pages and API (step 14)."""

from __future__ import annotations

from typing import Final

import msgspec

from doai.changes.statistics import PERIOD_MS, Period, StatisticsRow, summed
from doai.store.reader import StoreReader

MINUTES: Final = 60
DAY_HOURS: Final = 24
_RECENT: Final = 3
"""Minutes: an older row says nothing of now."""


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """What the statistics come to."""

    tasks_per_min: float | None
    """Of the last whole minute; None = the broker was not there."""
    minute_ms: int
    """The beginning of that minute."""
    day_ms: int
    """The beginning of the last 24 hours, a whole hour."""
    to_ms: int
    """Their end: the beginning of the minute that is not over."""
    passed: int
    """In the last 24 hours, as the next."""
    judged: int
    """Passed, failed and unknown ones: what was cancelled or not begun says nothing of success."""

    @property
    def success_percent(self) -> float | None:
        return 100.0 * self.passed / self.judged if self.judged else None


async def rows_of_all(reader: StoreReader, period: Period, count: int, at_ms: int) -> dict[int, StatisticsRow]:
    """Return one row for each minute or hour of all queues together, by its beginning.

    The hour that is not over has no row yet: its minutes are added up. The minute that is not over is in none: what
    a broker wrote of it when it began is not all of it (`counted_to_ms` says up to when all is counted).
    """
    step_ms = PERIOD_MS[period]
    end_ms = at_ms - at_ms % step_ms + step_ms
    begin_ms = end_ms - count * step_ms
    found: dict[int, list[StatisticsRow]] = {}
    whole_ms = counted_to_ms(at_ms)
    for row in await reader.statistics(period, begin_ms, min(end_ms, whole_ms)):
        found.setdefault(row.at_ms, []).append(row)
    if period is Period.HOUR:
        newest_ms = max(found, default=begin_ms - step_ms) + step_ms
        for row in await reader.statistics(Period.MINUTE, max(newest_ms, begin_ms), whole_ms):
            found.setdefault(row.at_ms - row.at_ms % step_ms, []).append(row)
    return {at_ms: summed(rows, "", period, at_ms) for at_ms, rows in sorted(found.items())}


def counted_to_ms(at_ms: int) -> int:
    """Return the beginning of the minute that is not over: what ended before is in the rows."""
    return at_ms - at_ms % PERIOD_MS[Period.MINUTE]


def rates(minutes: dict[int, StatisticsRow], hours: dict[int, StatisticsRow], at_ms: int) -> Rates:
    """Return what rows of the last hour and of the last day come to."""
    hour_ms = PERIOD_MS[Period.HOUR]
    newest = max(minutes, default=0)
    recent = newest >= at_ms - _RECENT * PERIOD_MS[Period.MINUTE]
    passed = sum(row.passed for row in hours.values())
    return Rates(
        tasks_per_min=float(minutes[newest].ended) if recent else None,
        minute_ms=newest,
        day_ms=at_ms - at_ms % hour_ms - (DAY_HOURS - 1) * hour_ms,
        to_ms=counted_to_ms(at_ms),
        passed=passed,
        judged=passed + sum(row.failed + row.unknown for row in hours.values()),
    )
