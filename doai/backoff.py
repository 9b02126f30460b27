"""Delays before another try: exponential with full jitter, from given randomness (steps 5, 8, 11)."""

from __future__ import annotations

import msgspec


class Backoff(msgspec.Struct, frozen=True, kw_only=True):
    """How long to wait before try ``n`` (counted from 1 for the first repetition)."""

    first_s: float = 2.0
    factor: float = 2.0
    longest_s: float = 300.0
    jitter: bool = True
    """Full jitter: the delay is uniform between 0 and the exponential bound, so that a fleet spreads out."""

    def delay_s(self, n: int, random01: float) -> float:
        """Return the delay in seconds before repetition ``n`` >= 1; ``random01`` is uniform in [0, 1)."""
        # Capped exponent: a float overflows near 2**1024, and the longest delay rules far earlier.
        bound = min(self.longest_s, self.first_s * self.factor ** min(n - 1, 64))
        return bound * random01 if self.jitter else bound
