"""A run as CSV: a row a task, or a row a try of a step, for spreadsheets and scripts (step 14).

RFC 4180, UTF-8 with a byte order mark, without which spreadsheets take Korean for something else. Times are ISO
8601 (UTC), durations seconds. A text that a spreadsheet would take for a formula has an apostrophe before it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from doai.report.results import Failure, Results

TASK_COLUMNS: Final = (
    "run_id",
    "workflow",
    "task_id",
    "device",
    "node",
    "outcome",
    "attempts",
    "started_at",
    "ended_at",
    "duration_s",
    "error_class",
    "code",
    "step",
    "message",
    "artifacts",
)
STEP_COLUMNS: Final = (
    "run_id",
    "workflow",
    "task_id",
    "device",
    "attempt",
    "step",
    "use",
    "label",
    "try",
    "outcome",
    "retried",
    "optional",
    "started_at",
    "duration_s",
    "error_class",
    "code",
    "message",
    "outputs",
)
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")

Cell = str | int | float | bool | None


def table(results: Results, *, by_step: bool = False) -> bytes:
    """Return the CSV file."""
    if by_step:
        return _write(STEP_COLUMNS, _step_rows(results))
    return _write(TASK_COLUMNS, _task_rows(results))


def _write(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(cell) for cell in row])
    return text.getvalue().encode("utf-8-sig", "replace")


def _task_rows(results: Results) -> Iterator[Sequence[Cell]]:
    paths: dict[str, list[str]] = {}
    for artifact in results.artifacts:
        paths.setdefault(artifact.task_id, []).append(artifact.path)
    run = results.run
    for task in results.tasks:
        error_class, code, step, message = _failure(task.failure)
        yield (
            run.run_id,
            run.title,
            task.task_id,
            task.device_serial,
            task.node_id,
            task.state,
            task.attempt,
            _time(task.started_at_ms),
            _time(task.ended_at_ms),
            task.took_s,
            error_class,
            code,
            step,
            message or task.reason,
            " ".join(paths.get(task.task_id, [])),
        )


def _step_rows(results: Results) -> Iterator[Sequence[Cell]]:
    run = results.run
    for step in results.steps:
        error_class, code, _, message = _failure(step.failure)
        yield (
            run.run_id,
            run.title,
            step.task_id,
            step.device_serial,
            step.attempt,
            step.step_id,
            step.use,
            step.label,
            step.try_number,
            step.state,
            step.retried,
            step.optional,
            _time(step.started_at_ms),
            step.took_s,
            error_class,
            code,
            message,
            msgspec.json.encode(step.outputs).decode() if step.outputs else None,
        )


def _failure(failure: Failure | None) -> tuple[Cell, Cell, Cell, str | None]:
    if failure is None:
        return None, None, None, None
    return failure.error_class, failure.code, failure.step, failure.message


def _time(at_ms: int | None) -> str | None:
    if at_ms is None:
        return None
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")


def _cell(cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, str):
        text = cell.replace("\0", "�")
        return f"'{text}" if text.startswith(_FORMULA) else text
    return str(cell)
