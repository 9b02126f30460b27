"""How everything stands, in one answer (step 14)."""

from __future__ import annotations

from typing import Final

from litestar import get

from doai.admin import examples
from doai.admin.access import VIEWER
from doai.admin.rates import DAY_HOURS, MINUTES, rates, rows_of_all
from doai.admin.routes.parameters import Given, now_ms
from doai.admin.routes.queues import QUEUE, QueueJson, queue_json
from doai.admin.views import View
from doai.changes.statistics import Period

_NODES_HEARD: Final = "online"


class OverviewJson(View, frozen=True, kw_only=True):
    """Numbers of one moment; each but the rates is the length of a list that can be asked for."""

    queues: list[QueueJson]
    tasks: dict[str, int]
    """Open ones, by state."""
    devices: dict[str, int]
    """By state; ``silent``: their node is not heard."""
    nodes_online: int
    nodes_total: int
    tasks_per_min: float | None
    """That ended in the last whole minute; null = the broker was not there."""
    success_percent: float | None
    """Of the tasks that passed, failed or are unknown within 24 hours; null = there were none."""
    runs_open: int
    incidents_open: int
    dead_letters_open: int
    position: int
    """Newest of the event log."""


_EXAMPLE: Final = OverviewJson(
    queues=[QUEUE],
    tasks={"queued": 40, "running": 20},
    devices={"online": 98, "offline": 2},
    nodes_online=1,
    nodes_total=1,
    tasks_per_min=118.0,
    success_percent=98.3,
    runs_open=1,
    incidents_open=0,
    dead_letters_open=2,
    position=1042,
)


@get(
    "/overview",
    opt={"needs": VIEWER},
    tags=["overview"],
    summary="How everything stands",
    responses=examples.answer(200, OverviewJson, _EXAMPLE, "Numbers of one moment."),
)
async def show_overview(services: Given) -> OverviewJson:
    """Queues with their counts, nodes, devices, throughput, success, and what waits for a person."""
    reader, at_ms = services.reader, now_ms()
    numbers = await reader.overview.now()
    minutes = await rows_of_all(reader, Period.MINUTE, MINUTES, at_ms)
    hours = await rows_of_all(reader, Period.HOUR, DAY_HOURS, at_ms)
    found = rates(minutes, hours, at_ms)
    return OverviewJson(
        queues=[queue_json(row, services) for row in await reader.queues.all()],
        tasks=numbers.tasks,
        devices=numbers.devices,
        nodes_online=numbers.nodes.get(_NODES_HEARD, 0),
        nodes_total=sum(numbers.nodes.values()),
        tasks_per_min=found.tasks_per_min,
        success_percent=found.success_percent,
        runs_open=numbers.runs,
        incidents_open=numbers.incidents,
        dead_letters_open=numbers.dead_letters,
        position=numbers.position,
    )
