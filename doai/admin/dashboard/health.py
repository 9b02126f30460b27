"""How a device was: curves of battery and temperature over the last day (step 14)."""

from __future__ import annotations

from typing import Final

import msgspec

from doai.admin.dashboard import drawing, plots
from doai.admin.dashboard.visit import Visit

DAY_MS: Final = 24 * 3_600_000
STEP_MS: Final = 15 * 60_000
WIDTH: Final = 600.0
HEIGHT: Final = 120.0
MEASURES: Final = (("battery_percent", 0.0, 100.0), ("battery_temp_c", 15.0, 55.0))
"""Measure, and the values at the lower and the upper edge of its chart."""


class HealthCurve(msgspec.Struct, frozen=True, kw_only=True):
    """One measure over a day; where nothing was told the line has a gap."""

    measure: str
    path: str
    plot: str
    """The same as `plots.plot_text` says it."""
    last: float
    low: float
    high: float


async def health_curves(visit: Visit, serial: str) -> list[HealthCurve]:
    """Return the curves of what was told in the last 24 hours; empty = no samples are kept."""
    end_ms = visit.at_ms - visit.at_ms % STEP_MS + STEP_MS
    begin_ms = end_ms - DAY_MS
    sums = dict(await visit.services.reader.device_samples.sums(serial, begin_ms, end_ms, STEP_MS))
    curves = []
    for measure, floor, ceiling in MEASURES:
        found = {at_ms: each.spreads[measure] for at_ms, each in sums.items() if measure in each.spreads}
        if not found:
            continue
        times = range(begin_ms, end_ms, STEP_MS)
        means = [found[at_ms].mean if at_ms in found else None for at_ms in times]
        line = [None if mean is None else max(0.0, mean - floor) for mean in means]
        shown = plots.Line(visit.words(f"health.{measure}"), "median", means)
        curves.append(
            HealthCurve(
                measure=measure,
                plot=plots.plot_text(times, [shown], visit.words, ends=(floor, ceiling)),
                path=drawing.curve(line, ceiling - floor, WIDTH, HEIGHT).path,
                last=found[max(found)].mean,
                low=min(spread.low for spread in found.values()),
                high=max(spread.high for spread in found.values()),
            )
        )
    return curves
