"""Times in the addresses and forms of pages: since when, until when (step 14).

An address has ms since 1970, or what a form sends: a local time such as `2026-11-22T09:30`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

_MS_MAX: Final = 253_402_214_400_000
"""The last day of the year 9999, behind which no calendar goes on."""
_MS: Final = timedelta(milliseconds=1)
_BEGIN: Final = datetime(1970, 1, 1, tzinfo=UTC)


def at_ms(text: str, zone: tzinfo | None) -> int | None:
    """Return a time, ms since 1970 (UTC), of text local to a zone (None = this host's); None = it is no time."""
    if text.isascii() and text.isdigit():
        return min(int(text), _MS_MAX) if len(text) < 18 else None
    try:
        found = datetime.fromisoformat(text)
        if found.tzinfo is None:
            found = found.replace(tzinfo=zone) if zone is not None else found.astimezone()
        return min(max(0, (found - _BEGIN) // _MS), _MS_MAX)
    except (ValueError, OverflowError):
        return None


def field_value(time_ms: int | None, zone: tzinfo | None) -> str:
    """Return a time as the field of a form has it: local, to the second where it is no whole minute."""
    if time_ms is None:
        return ""
    local = _moment(time_ms).astimezone(zone).replace(tzinfo=None)
    return local.isoformat(timespec="minutes" if time_ms % 60_000 == 0 else "seconds")


def command_value(time_ms: int | None) -> str:
    """Return a time as a command takes it, exactly."""
    if time_ms is None:
        return ""
    rest = "minutes" if time_ms % 60_000 == 0 else "seconds" if time_ms % 1000 == 0 else "milliseconds"
    return _moment(time_ms).replace(tzinfo=None).isoformat(timespec=rest) + "Z"


def _moment(time_ms: int) -> datetime:
    return _BEGIN + time_ms * _MS
