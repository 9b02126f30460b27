"""Times as people type them: how far back, `12h`, `30d`; a day, `2026-11-01`; a moment; how long (step 1).

A moment is `2026-11-01T09:30Z`; where it names no zone it is UTC.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import Final

from doai.errors import UserError
from doai.workflow.duration import parse_duration

_DAYS: Final = re.compile(r"([0-9]{1,5})d")
_MOMENT: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+(Z|[+-][0-9]{2}:?[0-9]{2})?")
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DAY_S: Final = 86_400


def seconds_of(text: str) -> float:
    """Return how long ``90d`` or ``12h`` is; raises UserError for what is no such time."""
    days = _DAYS.fullmatch(text)
    return float(int(days[1]) * _DAY_S) if days is not None else _duration_s(text, "duration", "90s, 12h or 30d")


def since_ms(text: str, now_s: float | None = None) -> int:
    """Return the time from which on, ms since 1970; raises UserError for what is none."""
    now_s = time.time() if now_s is None else now_s
    days = _DAYS.fullmatch(text)
    if days is not None:
        return max(0, round((now_s - int(days[1]) * _DAY_S) * 1000))
    if _DAY.fullmatch(text) is not None or _MOMENT.fullmatch(text) is not None:
        try:
            found = datetime.fromisoformat(text)
        except ValueError as error:
            raise UserError(f"there is no time {text}: {error}") from error
        return max(0, round((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000))
    return max(0, round((now_s - _duration_s(text, "time", "12h, 30d, 2026-11-01 or 2026-11-01T09:30Z")) * 1000))


def _duration_s(text: str, what: str, such_as: str) -> float:
    try:
        return parse_duration(text)
    except UserError:
        raise UserError(f"{text[:100]!r} is no {what}: write one such as {such_as}") from None
