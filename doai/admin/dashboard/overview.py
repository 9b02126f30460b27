"""The first page: how everything stands, and the curves of the last hour or day (step 14)."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from litestar import Response, get

from doai.admin.access import VIEWER
from doai.admin.dashboard import drawing, plots
from doai.admin.dashboard.visit import Visit, Visiting
from doai.admin.rates import DAY_HOURS, MINUTES, counted_to_ms, rates, rows_of_all
from doai.admin.routes.incidents import incident_json
from doai.admin.routes.statistics import statistics_json
from doai.admin.translation import run_json
from doai.changes.statistics import PERIOD_MS, Period, StatisticsRow
from doai.histogram import Histogram
from doai.incidents import Severity

RUNS_SHOWN: Final = 8
INCIDENTS_SHOWN: Final = 3
WIDTH: Final = 600.0
HEIGHT: Final = 120.0
_GRAVITY: Final = {severity: place for place, severity in enumerate(Severity)}


class Charts(msgspec.Struct, frozen=True, kw_only=True):
    """The curves of a while."""

    bars: list[drawing.Bar]
    most: int
    wait: drawing.Curve
    wait_p95: drawing.Curve
    duration: drawing.Curve
    duration_p95: drawing.Curve
    throughput_plot: str
    wait_plot: str
    duration_plot: str
    """The same as `plots.plot_text` says it."""
    most_wait_s: float
    most_duration_s: float
    begin_ms: int
    end_ms: int


@get("/", opt={"needs": VIEWER})
async def overview(visit: Visiting) -> Response[str]:
    """Numbers, incidents, curves, queues, the newest runs."""
    reader = visit.services.reader
    numbers = await reader.overview.now()
    incidents = (await reader.incidents.page(limit=100)).items
    gravest = sorted(incidents, key=lambda row: _GRAVITY[row.severity], reverse=True)
    runs = await reader.runs(limit=RUNS_SHOWN)
    minutes = await rows_of_all(reader, Period.MINUTE, MINUTES, visit.at_ms)
    hours = await rows_of_all(reader, Period.HOUR, DAY_HOURS, visit.at_ms)
    return await visit.page(
        "overview.html",
        numbers=numbers,
        devices_total=sum(numbers.devices.values()),
        nodes_total=sum(numbers.nodes.values()),
        rates=rates(minutes, hours, visit.at_ms),
        charts=charts(minutes, Period.MINUTE, MINUTES, visit),
        queues=await reader.queues.all(),
        runs=[run_json(view) for view in runs.items],
        incidents=[incident_json(row) for row in gravest[:INCIDENTS_SHOWN]],
        width=WIDTH,
        height=HEIGHT,
    )


@get("/throughput", opt={"needs": VIEWER})
async def throughput(visit: Visiting) -> Response[str]:
    """What the numbers of throughput and success are made of, row by row."""
    by_hour = visit.given("by") == "hour"
    period, count = (Period.HOUR, DAY_HOURS) if by_hour else (Period.MINUTE, MINUTES)
    rows = await rows_of_all(visit.services.reader, period, count, visit.at_ms)
    return await visit.page(
        "throughput.html",
        items=[statistics_json(row) for row in sorted(rows.values(), key=lambda row: -row.at_ms)],
        charts=charts(rows, period, count, visit),
        by_hour=by_hour,
        step_ms=PERIOD_MS[period],
        to_ms=counted_to_ms(visit.at_ms),
        width=WIDTH,
        height=HEIGHT,
    )


def charts(rows: dict[int, StatisticsRow], period: Period, count: int, visit: Visit) -> Charts:
    """Return the curves of rows by time; where there is no row nothing is drawn."""
    step_ms = PERIOD_MS[period]
    end_ms = visit.at_ms - visit.at_ms % step_ms
    times = [end_ms - n * step_ms for n in range(count - 1, -1, -1)]
    picked: list[StatisticsRow | None] = [rows.get(at_ms) for at_ms in times]
    counts = [
        (visit.words.moment(at_ms)[11:16], row.passed if row else 0, row.failed + row.unknown if row else 0)
        for at_ms, row in zip(times, picked, strict=True)
    ]
    wait, duration = _percentiles(picked, "wait"), _percentiles(picked, "duration")
    most_wait_s, most_duration_s = (_most(pair) for pair in (wait, duration))
    return Charts(
        throughput_plot=plots.plot_text(
            times,
            [
                plots.Line(visit.words.state("failed"), "failed", [float(failed) for _, _, failed in counts]),
                plots.Line(visit.words.state("passed"), "passed", [float(passed) for _, passed, _ in counts]),
            ],
            visit.words,
            bars=True,
        ),
        wait_plot=_pair(times, wait, visit),
        duration_plot=_pair(times, duration, visit),
        bars=drawing.bars(counts, WIDTH, HEIGHT),
        most=max((passed + failed for _, passed, failed in counts), default=0),
        wait=drawing.curve(wait[0], most_wait_s, WIDTH, HEIGHT),
        wait_p95=drawing.curve(wait[1], most_wait_s, WIDTH, HEIGHT),
        duration=drawing.curve(duration[0], most_duration_s, WIDTH, HEIGHT),
        duration_p95=drawing.curve(duration[1], most_duration_s, WIDTH, HEIGHT),
        most_wait_s=most_wait_s,
        most_duration_s=most_duration_s,
        begin_ms=times[0],
        end_ms=times[-1] + step_ms,
    )


Line = list[float | None]


def _percentiles(rows: list[StatisticsRow | None], name: str) -> tuple[Line, Line]:
    found: tuple[Line, Line] = ([], [])
    for row in rows:
        body: Any = getattr(row, name) if row is not None else None
        histogram = Histogram.decoded(body) if body is not None else Histogram()
        for line, share in zip(found, (0.5, 0.95), strict=True):
            line.append(histogram.percentile_s(share))
    return found


def _pair(times_ms: list[int], pair: tuple[Line, Line], visit: Visit) -> str:
    words = visit.words
    lines = [
        plots.Line(words("overview.p95"), "high", pair[1]),
        plots.Line(words("overview.median"), "median", pair[0]),
    ]
    return plots.plot_text(times_ms, lines, words, unit=words("overview.seconds"))


def _most(lines: tuple[Line, Line]) -> float:
    return max((value for line in lines for value in line if value is not None), default=1.0) or 1.0
