"""How numbers, times and curves look on a page (step 14)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

PRETTY_MAX: Final = 4000
"""Characters of a value that a page shows; the API has all of it."""


class Bar(msgspec.Struct, frozen=True):
    """One bar of a chart: a place, and two heights in the units of the drawing."""

    x: float
    width: float
    passed: float
    failed: float
    title: str


class Curve(msgspec.Struct, frozen=True):
    """A line through a chart."""

    path: str
    last: float | None


def number(value: object) -> str:
    """Return a number for people; a dash for none."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def iso(at_ms: int | None) -> str:
    """Return a time as machines read it."""
    return datetime.fromtimestamp((at_ms or 0) / 1000, UTC).isoformat()


def short(name: str) -> str:
    """Return the part of an id by which people tell it from others."""
    return name[-8:] if len(name) > 12 else name


def pretty(value: Any) -> str:
    """Return a value as people read JSON."""
    return json.dumps(value, ensure_ascii=False, indent=2, default=str)[:PRETTY_MAX]


def bars(counts: Sequence[tuple[str, int, int]], width: float, height: float) -> list[Bar]:
    """Return bars of (title, passed, failed), as high as the largest needs."""
    most = max((passed + failed for _, passed, failed in counts), default=0) or 1
    step = width / max(1, len(counts))
    return [
        Bar(n * step, step * 0.7, passed / most * height, failed / most * height, title)
        for n, (title, passed, failed) in enumerate(counts)
    ]


def curve(values: Sequence[float | None], most: float, width: float, height: float) -> Curve:
    """Return a line through values; where there is none it has a gap."""
    step = width / max(1, len(values) - 1)
    parts, pen_up = [], True
    for n, value in enumerate(values):
        if value is None:
            pen_up = True
            continue
        y = height - min(value, most) / (most or 1) * height
        parts.append(f"{'M' if pen_up else 'L'}{n * step:.1f} {y:.1f}")
        pen_up = False
    known = [value for value in values if value is not None]
    return Curve(" ".join(parts), known[-1] if known else None)
