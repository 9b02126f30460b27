"""The node's clock: monotonic time that goes on while the host sleeps (steps 6-11)."""

from __future__ import annotations

import time

from doai.clock import Now


class BootClock:
    """Reads CLOCK_BOOTTIME: a deadline that passed while a laptop slept has passed."""

    def now(self) -> Now:
        return Now(time.clock_gettime(time.CLOCK_BOOTTIME), time.time_ns() // 1_000_000)
