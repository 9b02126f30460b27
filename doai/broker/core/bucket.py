"""A token bucket on the broker's monotonic clock (step 12)."""

from __future__ import annotations

from doai.broker.core.settings import RateLimit


class Bucket:
    """A token bucket."""

    __slots__ = ("_burst", "_level", "_rate_per_s", "_seen_s")

    def __init__(self, limit: RateLimit, now_s: float) -> None:
        self._rate_per_s = limit.rate_per_s
        self._burst = self._level = limit.burst
        self._seen_s = now_s

    def take(self, now_s: float) -> bool:
        """Take one, if there is one."""
        self._level = min(self._burst, self._level + (now_s - self._seen_s) * self._rate_per_s)
        self._seen_s = now_s
        if self._level < 1.0:
            return False
        self._level -= 1.0
        return True
