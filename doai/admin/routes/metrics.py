"""Metrics for Prometheus: numbers of the store as text, rendered here and never in the broker's loop (step 14)."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Final

from litestar import Response, get

from doai import __version__
from doai.admin import examples
from doai.admin.access import VIEWER, require_token
from doai.admin.routes.parameters import Given, now_ms
from doai.changes.statistics import OUTCOMES, PERIOD_MS, Period, StatisticsRow, summed
from doai.histogram import Histogram
from doai.states import QueueState

MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
QUANTILES: Final = (0.5, 0.95, 0.99)
_STARTED_S: Final = time.monotonic()
_EXAMPLE: Final = '# TYPE doai_queue_tasks gauge\ndoai_queue_tasks{queue="default",state="waiting"} 40\n'

Labels = Mapping[str, str]
Samples = Iterable[tuple[Labels, float]]


@get(
    "/metrics",
    guards=[require_token],
    opt={"needs": VIEWER},
    tags=["statistics"],
    summary="Metrics for Prometheus",
    media_type=MEDIA_TYPE,
    responses=examples.answer(200, str, _EXAMPLE, "The text format 0.0.4.", media_type="text/plain"),
)
async def metrics(services: Given) -> Response[str]:
    """Gauges as of now; durations and outcomes of the last hour, by queue."""
    reader = services.reader
    numbers = await reader.overview.now()
    queues = await reader.queues.all()
    hours = _by_queue(await reader.statistics(Period.MINUTE, now_ms() - PERIOD_MS[Period.HOUR], now_ms()))
    families = [
        _family("build_info", "The version of the admin.", [({"version": __version__}, 1)]),
        _family("admin_uptime_seconds", "Since the admin started.", [({}, time.monotonic() - _STARTED_S)]),
        _family("broker_connected", "1 while the broker knows this admin.", [({}, not services.mesh.why_not_live)]),
        _family("events_position", "Newest position of the event log.", [({}, numbers.position)]),
        _family("tasks_open", "Tasks that have not ended, by state.", _by_state(numbers.tasks)),
        _family("devices", "Devices by state; silent: their node is not heard.", _by_state(numbers.devices)),
        _family("nodes", "Nodes by state.", _by_state(numbers.nodes)),
        _family("runs_open", "Runs that have not ended.", [({}, numbers.runs)]),
        _family("incidents_open", "Incidents that are not over.", [({}, numbers.incidents)]),
        _family("dead_letters_open", "What gave up and waits for a person.", [({}, numbers.dead_letters)]),
        _family(
            "queue_tasks",
            "Tasks of a queue; held: by nodes.",
            [
                ({"queue": queue.name, "state": state}, getattr(queue, state))
                for queue in queues
                for state in ("waiting", "delayed", "held")
            ],
        ),
        _family(
            "queue_running",
            "1 while a queue gives tasks out and takes runs.",
            [({"queue": queue.name}, queue.state is QueueState.RUNNING) for queue in queues],
        ),
        _family(
            "tasks_ended_last_hour",
            "Tasks that ended in the last 60 minutes.",
            [
                ({"queue": name, "outcome": one}, getattr(row, one))
                for name, row in hours.items()
                for one in OUTCOMES
            ],
        ),
        _family(
            "failure_ratio_last_hour",
            "Failed and unknown among those that passed, failed or are unknown.",
            [({"queue": name}, _failure_ratio(row)) for name, row in hours.items() if _judged(row)],
        ),
        *(
            _family(
                f"task_{what}_seconds_last_hour",
                help_text,
                [
                    ({"queue": name, "quantile": str(share)}, value)
                    for name, row in hours.items()
                    for share in QUANTILES
                    if (value := Histogram.decoded(getattr(row, what)).percentile_s(share)) is not None
                ],
            )
            for what, help_text in (
                ("wait", "From the creation of a task to the start of its last attempt."),
                ("duration", "From the start of the last attempt of a task to its end."),
            )
        ),
    ]
    return Response("".join(families), media_type=MEDIA_TYPE, headers={"Cache-Control": "no-store"})


def _by_queue(rows: Iterable[StatisticsRow]) -> dict[str, StatisticsRow]:
    found: dict[str, list[StatisticsRow]] = {}
    for row in rows:
        found.setdefault(row.queue, []).append(row)
    return {name: summed(of, "", Period.HOUR, 0) for name, of in sorted(found.items())}


def _judged(row: StatisticsRow) -> int:
    return row.passed + row.failed + row.unknown


def _failure_ratio(row: StatisticsRow) -> float:
    return (row.failed + row.unknown) / _judged(row)


def _by_state(counts: Mapping[str, int]) -> Samples:
    return [({"state": state}, count) for state, count in sorted(counts.items())]


def _family(name: str, help_text: str, samples: Samples) -> str:
    """Return one metric with its samples in the text format: a line each."""
    lines = [f"# HELP doai_{name} {help_text}", f"# TYPE doai_{name} gauge"]
    for labels, value in samples:
        inside = ",".join(f'{label}="{escaped(text)}"' for label, text in labels.items())
        lines.append(f"doai_{name}{f'{{{inside}}}' if inside else ''} {float(value):.10g}")
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """Return a label's value as the format wants it."""
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
