"""What a browser draws a chart of: its times and values as JSON, as `static/charts.js` reads them (step 14)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from doai.admin.dashboard.wording import Wording

DIGITS: Final = 3
"""Behind the point: a thousandth of a second, of a degree."""


class Line(msgspec.Struct, frozen=True):
    """One line, or the bars of one kind."""

    label: str
    look: str
    """passed, failed, median or high: what its colour says."""
    values: Sequence[float | None]
    """One a time; None = nothing is known, a gap."""


class Plot(msgspec.Struct, frozen=True, kw_only=True):
    """A whole chart."""

    x: Sequence[float]
    """Times in s since 1970, growing."""
    series: Sequence[Line]
    """Drawn in this order. Bars stand on each other, the last at the bottom."""
    unit: str = ""
    bars: bool = False
    low: float | None = None
    high: float | None = None
    """What the axis reaches; None = from 0 to the most."""
    zone: str = ""
    """Of the times as they are read; empty = the browser's."""


def plot_text(
    times_ms: Sequence[int],
    lines: Sequence[Line],
    words: Wording,
    *,
    unit: str = "",
    bars: bool = False,
    ends: tuple[float, float] | None = None,
) -> str:
    """Return a chart as the attribute of a page has it; ``ends`` = what its axis reaches."""
    rounded = [
        Line(each.label, each.look, [None if value is None else round(value, DIGITS) for value in each.values])
        for each in lines
    ]
    low, high = ends or (None, None)
    plot = Plot(
        x=[at_ms / 1000 for at_ms in times_ms],
        series=rounded,
        unit=unit,
        bars=bars,
        low=low,
        high=high,
        zone=getattr(words.zone, "key", ""),
    )
    return msgspec.json.encode(plot).decode()
