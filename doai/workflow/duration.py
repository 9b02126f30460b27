"""A duration as people write it, ``500ms`` or ``1h30m``, and its seconds (steps 2 and 8)."""

from __future__ import annotations

import functools
import re
from typing import Final

from doai.errors import UserError

DURATION_PATTERN: Final = r"^([0-9]{1,9}(\.[0-9]{1,9})?(ms|s|m|h))+$(?!\n)"
"""One or several numbers, each with its unit; the sum counts."""
DURATION_CHARS_MAX: Final = 32
DURATION_S_MAX: Final = 7 * 24 * 3600.0
"""A week: nothing a device does takes longer, and a typing mistake such as ``1000h`` is found."""

_WHOLE: Final = re.compile(DURATION_PATTERN)
_PART: Final = re.compile(r"([0-9.]+)(ms|s|m|h)")
_UNIT_S: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_UNIT_MS: Final = (("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1))


class DurationError(UserError):
    """The text is no duration."""

    code = "bad_duration"


@functools.lru_cache(maxsize=1024)  # every task reads those of its recipe anew
def parse_duration(text: str) -> float:
    """Return the seconds of ``500ms``, ``90s``, ``2.5m``, ``1h30m``; raises DurationError."""
    if len(text) > DURATION_CHARS_MAX or _WHOLE.match(text) is None or not text.isascii():
        raise DurationError(f"{text[:40]!r} is no duration; write a number and ms, s, m or h, such as 90s or 1h30m")
    seconds = sum(float(number) * _UNIT_S[unit] for number, unit in _PART.findall(text))
    if seconds > DURATION_S_MAX:
        raise DurationError(f"the duration {text} is longer than a week; write a shorter one")
    return round(seconds, 9)


def format_duration(seconds: float) -> str:
    """Return the shortest text that `parse_duration` reads as these seconds, to the millisecond."""
    left_ms = round(seconds * 1000)
    parts = []
    for unit, unit_ms in _UNIT_MS:
        count, left_ms = divmod(left_ms, unit_ms)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
