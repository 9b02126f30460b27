"""Rows of statistics as tuples of columns and back, in the order of sql/broker/columns.sql (steps 12, 14)."""

from __future__ import annotations

from doai.changes.statistics import EndedTask, Period, StatisticsRow
from doai.states import TaskState
from doai.store.columns import Columns


def statistics_columns(row: StatisticsRow) -> Columns:
    return (
        row.row_id,
        row.queue,
        row.period.value,
        row.at_ms,
        row.position,
        row.observed_ms,
        row.waiting,
        row.running,
        row.delayed,
        row.unproven,
        row.nodes_online,
        row.nodes_total,
        row.passed,
        row.failed,
        row.cancelled,
        row.expired,
        row.unknown,
        row.wait,
        row.duration,
    )


def statistics_row(c: Columns) -> StatisticsRow:
    return StatisticsRow(
        row_id=c[0],
        queue=c[1],
        period=Period(c[2]),
        at_ms=c[3],
        position=c[4],
        observed_ms=c[5],
        waiting=c[6],
        running=c[7],
        delayed=c[8],
        unproven=c[9],
        nodes_online=c[10],
        nodes_total=c[11],
        passed=c[12],
        failed=c[13],
        cancelled=c[14],
        expired=c[15],
        unknown=c[16],
        wait=c[17],
        duration=c[18],
    )


def ended_task(c: Columns) -> EndedTask:
    return EndedTask(
        queue=c[0],
        state=TaskState(c[1]),
        created_at_ms=c[2],
        started_at_ms=c[3],
        ended_at_ms=c[4],
        position=c[5],
    )
