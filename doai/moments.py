"""Times and durations as a person says them (step 14)."""

from __future__ import annotations

import math
from datetime import UTC, datetime


def duration(ms: object) -> str:
    """Return milliseconds as a person says them: ``0.8 s``, ``12 s``, ``3 min 05 s``."""
    if not isinstance(ms, int | float) or not math.isfinite(ms):
        return "an unknown time"
    if ms < 9_950:
        return f"{ms / 1000:.1f} s"
    seconds = round(ms / 1000)
    return f"{seconds} s" if seconds < 60 else f"{seconds // 60} min {seconds % 60:02d} s"


def moment(ms: object) -> str:
    """Return ms since 1970 as UTC, to the second; whatever is no time is said to be none."""
    try:
        return datetime.fromtimestamp(float(ms) / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError, OSError):
        return "an unknown time"
