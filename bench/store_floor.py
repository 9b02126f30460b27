"""The floor under a measurement: the rows that its tasks left in the store, written again by bare executemany.

Read from the store that was measured, so that their number and size are the real ones: each task's row once, its
status once for every change of state that the log tells of (once for a start and an end of one millisecond), its
attempt, its events with their envelopes, and its run. In the order of the log, as many rows a commit as the broker
gathers at most; same schema and settings (WAL, FULL). Left out is what can not be told from the store any more: the
counts of use, digests of facts and rows of the audit that the broker writes besides, so this floor is a low one.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import apsw
import msgspec

from bench.store_view import StoreView
from doai.limits import COMMIT_ROWS_MAX
from doai.store.database import BROKER, Database
from doai.store.sql_files import load_statements

BATCH: Final = COMMIT_ROWS_MAX
"""Rows a commit."""
_CHANGES: Final[Mapping[str, tuple[str, ...]]] = {
    "run.created": ("insert_run",),
    "task.queued": ("insert_task",),
    "task.dispatched": ("update_task",),
    "task.started": ("update_task",),
    "task.completed": ("update_task", "insert_attempt", "add_ended"),
    "run.completed": ("update_run",),
}
"""Event type -> the statements of the store that go with it."""
_STATUS_FROM: Final = 9
"""First column of a task that an update writes, in the order of doai/store/sql/broker/columns.sql."""
_DEVICE_SERIAL: Final = 11
"""Where a task has it in the same order."""
_RUN_STATUS: Final = slice(15, 18)
"""State, outcome and end of a run in the same order."""


class Floor(msgspec.Struct, frozen=True):
    """What the bare side came to."""

    tasks: int
    rows_a_task: float
    seconds: float
    cpu_s: float


Rows = dict[str, tuple[Any, ...]]
Statements = list[tuple[str, list[tuple[Any, ...]]]]


def measure_floor(store: StoreView, after_position: int, folder: Path, *, rounds: int = 3) -> Floor:
    """Write the rows of every task whose first event came after a position, ``rounds`` times; fastest counts."""
    batches, tasks = _batches(store, after_position)
    rows = sum(len(bindings) for batch in batches for _, bindings in batch)
    seconds, cpu_s = min(_write(folder / f"floor-{number}.db", batches) for number in range(rounds))
    return Floor(tasks, rows / tasks, seconds, cpu_s)


def write_one_by_one(path: Path, rows: int) -> float:
    """Return the seconds of so many commits of one event each."""
    sql = load_statements("broker", "columns", "statements")["append_event"]
    database = Database(path, BROKER)
    try:
        began = time.perf_counter()
        for position in range(1, rows + 1):
            row = (position, f"task/{position:026d}", "task.queued", 0, bytes(300))
            database.transact(lambda connection, row=row: connection.execute(sql, row))  # type: ignore[misc]
        return time.perf_counter() - began
    finally:
        database.close()


def _write(path: Path, batches: list[Statements]) -> tuple[float, float]:
    """Return seconds of wall time and of CPU."""
    database = Database(path, BROKER)
    try:
        began, cpu = time.perf_counter(), time.process_time()
        for batch in batches:

            def work(connection: apsw.Connection, batch: Statements = batch) -> None:
                for sql, bindings in batch:
                    connection.executemany(sql, bindings)

            database.transact(work)
        return time.perf_counter() - began, time.process_time() - cpu
    finally:
        database.close()


def _batches(store: StoreView, after_position: int) -> tuple[list[Statements], int]:
    sql = load_statements("broker", "columns", "statements")
    tasks, attempts, runs = (
        {row[0]: row for row in store.rows(f"SELECT {sql[name + '_columns']} FROM {name}s")}
        for name in ("task", "attempt", "run")
    )
    events = store.rows(
        "SELECT position, subject, type, recorded_at_ms, envelope FROM events WHERE position > ? ORDER BY position",
        (after_position,),
    )
    together = _ended_as_told(events)
    batches: list[Statements] = []
    batch: dict[str, list[tuple[Any, ...]]] = {}
    rows = 0
    for event in events:
        batch.setdefault("append_event", []).append(event)
        rows += 1
        key = event[1].partition("/")[2]
        for statement in _CHANGES.get(event[2], ()):
            if event[2] == "task.started" and event[0] in together:
                continue
            batch.setdefault(statement, []).append(_row(statement, key, tasks, attempts, runs))
            rows += 1
        if rows >= BATCH or event is events[-1]:
            batches.append([(sql[statement], bindings) for statement, bindings in batch.items()])
            batch, rows = {}, 0
    return batches, sum(event[2] == "task.queued" for event in events)


def _ended_as_told(events: list[tuple[Any, ...]]) -> set[int]:
    """Return the positions of starts whose task ended within the same millisecond: they may have come together."""
    started: dict[str, tuple[int, int]] = {}
    found: set[int] = set()
    for position, subject, event_type, recorded_at_ms, _ in events:
        if event_type == "task.started":
            started[subject] = position, recorded_at_ms
        elif event_type == "task.completed" and started[subject][1] == recorded_at_ms:
            found.add(started[subject][0])
    return found


def _row(statement: str, key: str, tasks: Rows, attempts: Rows, runs: Rows) -> tuple[Any, ...]:
    if statement == "insert_task":
        return tasks[key]
    if statement == "update_task":
        return (*tasks[key][_STATUS_FROM:], key)
    if statement == "insert_attempt":
        return attempts[key]
    if statement == "add_ended":
        return tasks[key][_DEVICE_SERIAL], key
    if statement == "insert_run":
        return runs[key]
    return (*runs[key][_RUN_STATUS], key)
