"""Statistics of queues: how much waits, ended, and how long it took, a minute or an hour at a time (step 14)."""

from __future__ import annotations

from typing import Annotated

from litestar import get
from litestar.params import FromPath, QueryParameter

from doai.admin import examples
from doai.admin.access import VIEWER
from doai.admin.routes.parameters import Given, not_found, now_ms
from doai.admin.services import Services
from doai.admin.views import View
from doai.changes.statistics import PERIOD_MS, Period, StatisticsRow, summed
from doai.histogram import Histogram

_HOURS_BY_MINUTE = 24


class PercentilesJson(View, frozen=True, kw_only=True):
    """Within 1.6 %; null when nothing is counted."""

    count: int
    p50_s: float | None
    p95_s: float | None
    p99_s: float | None


class StatisticsJson(View, frozen=True, kw_only=True):
    """A queue over a minute or an hour; null where nobody looked."""

    queue: str
    period: str
    at_ms: int
    """Its beginning."""
    observed_ms: int
    """How much of it the broker was there: what ended is complete, also where this is less."""
    waiting: int | None
    """At the end of the minute; of an hour the largest, as the next four; of nodesOnline the smallest."""
    running: int | None
    delayed: int | None
    unproven: int | None
    nodes_online: int | None
    nodes_total: int | None
    passed: int
    failed: int
    cancelled: int
    expired: int
    unknown: int
    tasks_per_min: float | None
    """Tasks that ended a minute; null while the broker was not there the whole time."""
    wait: PercentilesJson
    """From a task's creation to the start of its last attempt; counted when it ended."""
    duration: PercentilesJson
    """From that start to its end."""


class StatisticsPage(View, frozen=True, kw_only=True):
    """Oldest first."""

    items: list[StatisticsJson]
    next: str | None


_SOME = PercentilesJson(count=120, p50_s=4.1, p95_s=9.8, p99_s=12.0)
_EXAMPLE = StatisticsJson(
    queue="default",
    period="minute",
    at_ms=examples.AT_MS,
    observed_ms=60_000,
    waiting=40,
    running=20,
    delayed=0,
    unproven=0,
    nodes_online=2,
    nodes_total=2,
    passed=118,
    failed=2,
    cancelled=0,
    expired=0,
    unknown=0,
    tasks_per_min=120.0,
    wait=_SOME,
    duration=_SOME,
)


@get(
    "/statistics",
    opt={"needs": VIEWER},
    tags=["statistics"],
    summary="Statistics of queues",
    responses=examples.answer(
        200, StatisticsPage, StatisticsPage(items=[_EXAMPLE], next=None), "By time and queue."
    ),
)
async def list_statistics(
    services: Given,
    hours: Annotated[int, QueryParameter(ge=1, le=24 * 90, description="how far back from now")] = 1,
    period: Annotated[
        Period | None, QueryParameter(description="not given = minutes up to 24 hours back, hours beyond")
    ] = None,
    queue: Annotated[str | None, QueryParameter(max_length=63, description="one queue only")] = None,
) -> StatisticsPage:
    """Minutes are kept for 24 hours, hours for 90 days; a minute appears when it is over."""
    return await _page(services, hours, period, queue)


@get(
    "/queues/{name:str}/trend",
    opt={"needs": VIEWER},
    tags=["queues"],
    summary="Show what a queue did of late",
    responses=examples.answer(
        200, StatisticsPage, StatisticsPage(items=[_EXAMPLE], next=None), "By time.", problems=(404,)
    ),
)
async def show_trend(
    name: FromPath[str],
    services: Given,
    hours: Annotated[int, QueryParameter(ge=1, le=24 * 90, description="how far back from now")] = 1,
) -> StatisticsPage:
    """Minutes up to 24 hours back, hours beyond."""
    known = [row.name for row in await services.reader.queues.all()]
    if name not in known:
        raise not_found("queue", name, "queues", known)
    return await _page(services, hours, None, name)


async def _page(services: Services, hours: int, period: Period | None, queue: str | None) -> StatisticsPage:
    chosen = period or (Period.MINUTE if hours <= _HOURS_BY_MINUTE else Period.HOUR)
    end_ms = now_ms()
    begin_ms = end_ms - hours * PERIOD_MS[Period.HOUR]
    rows = await services.reader.statistics(chosen, begin_ms - begin_ms % PERIOD_MS[chosen], end_ms)
    groups: dict[tuple[int, str], list[StatisticsRow]] = {}
    for row in rows:
        if queue in (None, row.queue):
            groups.setdefault((row.at_ms, row.queue), []).append(row)
    items = [
        statistics_json(summed(group, "", chosen, at_ms))
        for (at_ms, _), group in sorted(groups.items(), key=_place)
    ]
    return StatisticsPage(items=items, next=None)


def statistics_json(row: StatisticsRow) -> StatisticsJson:
    """Return a row as the API shows it."""
    whole = row.observed_ms >= PERIOD_MS[row.period]
    return StatisticsJson(
        queue=row.queue,
        period=row.period.value,
        at_ms=row.at_ms,
        observed_ms=row.observed_ms,
        waiting=row.waiting,
        running=row.running,
        delayed=row.delayed,
        unproven=row.unproven,
        nodes_online=row.nodes_online,
        nodes_total=row.nodes_total,
        passed=row.passed,
        failed=row.failed,
        cancelled=row.cancelled,
        expired=row.expired,
        unknown=row.unknown,
        tasks_per_min=row.ended / (PERIOD_MS[row.period] / PERIOD_MS[Period.MINUTE]) if whole else None,
        wait=_percentiles(row.wait),
        duration=_percentiles(row.duration),
    )


def _percentiles(body: bytes) -> PercentilesJson:
    histogram = Histogram.decoded(body)
    return PercentilesJson(
        count=histogram.count,
        p50_s=histogram.percentile_s(0.5),
        p95_s=histogram.percentile_s(0.95),
        p99_s=histogram.percentile_s(0.99),
    )


def _place(item: tuple[tuple[int, str], object]) -> tuple[int, str]:
    return item[0]
