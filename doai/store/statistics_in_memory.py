"""Statistics in the memory store: the same answers as the SQL of the real one (steps 3, 13)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from doai import topics
from doai.changes.ops import AppendEvent
from doai.changes.rows import TaskRow
from doai.changes.statistics import PERIOD_MS, EndedTask, Period, StatisticsRow

_ENDS: Final = frozenset(
    {topics.TASK_COMPLETED, topics.TASK_FAILED, topics.TASK_CANCELLED, topics.TASK_EXPIRED, topics.TASK_UNKNOWN}
)


def minutes_without_hour(rows: Iterable[StatisticsRow]) -> list[StatisticsRow]:
    """Return the minutes whose hour has no row yet, by time and id."""
    kept = list(rows)
    begins = [row.at_ms + PERIOD_MS[Period.HOUR] for row in kept if row.period is Period.HOUR]
    minutes = [row for row in kept if row.period is Period.MINUTE and row.at_ms >= max(begins, default=0)]
    return sorted(minutes, key=lambda row: (row.at_ms, row.row_id))


def ended_since(events: Iterable[AppendEvent], tasks: Mapping[str, TaskRow], position: int) -> list[EndedTask]:
    """Return the tasks whose end came behind a position, by position."""
    found: list[EndedTask] = []
    for event in events:
        if event.position <= position:
            continue
        task = tasks.get(event.envelope.subject[5:])
        if event.envelope.type in _ENDS and task is not None and task.status.ended_at_ms is not None:
            found.append(
                EndedTask(
                    queue=task.queue,
                    state=task.status.state,
                    created_at_ms=task.created_at_ms,
                    started_at_ms=task.status.started_at_ms,
                    ended_at_ms=task.status.ended_at_ms,
                    position=event.position,
                )
            )
    return found


def statistics_key(row: StatisticsRow) -> tuple[str, int, str, str]:
    """Return the key of a row."""
    return row.period.value, row.at_ms, row.queue, row.row_id
