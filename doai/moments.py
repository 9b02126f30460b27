"""Times and durations as a person says them (step 14)."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Final, NamedTuple


class Units(NamedTuple):
    """What follows numbers of a time in some language."""

    second: str
    minute: str
    hour: str
    unknown: str
    """Said instead of what is no time."""


ENGLISH: Final = Units(second=" s", minute=" min", hour=" h", unknown="an unknown time")
KOREAN: Final = Units(second="초", minute="분", hour="시간", unknown="알 수 없는 시간")


def duration(ms: object, units: Units = ENGLISH) -> str:
    """Return milliseconds as a person says them: ``0.8 s``, ``12 s``, ``3 min 05 s``, ``2 h 10 min``."""
    if not isinstance(ms, int | float) or not math.isfinite(ms):
        return units.unknown
    if ms < 9_950:
        return f"{ms / 1000:.1f}{units.second}"
    seconds = round(ms / 1000)
    if seconds < 60:
        return f"{seconds}{units.second}"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes}{units.minute} {seconds:02d}{units.second}"
    return f"{minutes // 60}{units.hour} {minutes % 60:02d}{units.minute}"


def moment(ms: object, units: Units = ENGLISH) -> str:
    """Return ms since 1970 as UTC, to the second; whatever is no time is said to be none."""
    try:
        return datetime.fromtimestamp(float(ms) / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError, OSError):
        return units.unknown
