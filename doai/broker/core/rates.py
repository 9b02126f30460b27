"""How fast tasks of a queue may be given out: GCRA in whole microseconds of the broker's monotonic time (step 4).

Of a rate above one a second, a second's worth may go at once, so that the broker wakes once a second and not once a
task; the interval is as much longer as keeps every minute, whenever it begins, at the rate.
"""

from __future__ import annotations

from typing import Final

MINUTE_US: Final = 60_000_000
RATE_PER_MIN_MAX: Final = 60_000


class Rate:
    """A rate that is obeyed. Nothing of it is stored: one that is not fresh takes all of it for used."""

    __slots__ = ("_interval_us", "_slack_us", "_theoretical_us", "per_min")

    def __init__(self, per_min: int, now_s: float, *, fresh: bool) -> None:
        at_once = -(-per_min // 60)
        self.per_min = per_min
        self._interval_us = -(-MINUTE_US // (per_min - at_once + 1))
        self._slack_us = (at_once - 1) * self._interval_us
        now_us = _us(now_s)
        self._theoretical_us = now_us if fresh else now_us + self._interval_us + self._slack_us
        """When the next task were due if all had come at equal distances."""

    @property
    def opens_s(self) -> float:
        """When the next task may go."""
        return (self._theoretical_us - self._slack_us) / 1_000_000

    def is_open(self, now_s: float) -> bool:
        """Whether a task may go now."""
        return _us(now_s) >= self._theoretical_us - self._slack_us

    def take(self, now_s: float) -> None:
        """A task goes now."""
        self._theoretical_us = max(_us(now_s), self._theoretical_us) + self._interval_us


def _us(seconds: float) -> int:
    return round(seconds * 1_000_000)
