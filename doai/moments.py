"""Times and durations as a person says them (step 14)."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Final, NamedTuple


class Units(NamedTuple):
    """What follows numbers of a time in some language."""

    second: str
    minute: str
    unknown: str
    """Said instead of what is no time."""


_ENGLISH: Final = Units(second=" s", minute=" min", unknown="an unknown time")


def duration(ms: object, units: Units = _ENGLISH) -> str:
    """Return milliseconds as a person says them: ``0.8 s``, ``12 s``, ``3 min 05 s``."""
    if not isinstance(ms, int | float) or not math.isfinite(ms):
        return units.unknown
    if ms < 9_950:
        return f"{ms / 1000:.1f}{units.second}"
    seconds = round(ms / 1000)
    if seconds < 60:
        return f"{seconds}{units.second}"
    return f"{seconds // 60}{units.minute} {seconds % 60:02d}{units.second}"


def moment(ms: object, units: Units = _ENGLISH) -> str:
    """Return ms since 1970 as UTC, to the second; whatever is no time is said to be none."""
    try:
        return datetime.fromtimestamp(float(ms) / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError, OSError):
        return units.unknown
