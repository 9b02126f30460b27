"""Fills the store of a broker that does not run with ended runs, by bare executemany of the store's own statements.

A process of its own. Ended long ago: what retention takes, and what a queue is cleaned of; and tasks that gave up
yesterday, each with its open dead letter.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import apsw
import msgspec

from bench.report import ROOT
from doai.changes.dead_letters import DeadLetterKind, DeadLetterRow, DeadReason
from doai.changes.retention import DAY_MS
from doai.changes.rows import AttemptRow, RunRow, TaskRow, TaskStatusRow
from doai.codec import encode, raw
from doai.envelope import Envelope
from doai.ids import Token, make_id
from doai.messages.commands import TargetKind
from doai.states import Outcome, RunState, TaskState
from doai.store.columns import attempt_columns, run_columns, task_columns
from doai.store.database import BROKER, Database
from doai.store.dead_letter_columns import dead_letter_columns
from doai.store.sql_files import load_statements

PER_RUN: Final = 100
ROWS_A_TASK: Final = 4
"""Its own, an attempt, two events."""
RETIRED_DAYS: Final = 70.0
CLEANED_DAYS: Final = 40.0
OLD: Final = "old"
"""Queue of what ended long ago."""
FAILED: Final = "failed"
"""Queue of what gave up."""
SLICE_RUNS: Final = 50
LOG_BYTES_MAX: Final = 64 * 1024 * 1024
FILL_TIMEOUT_S: Final = 1200.0


class Fill(msgspec.Struct, frozen=True, kw_only=True):
    """What is added; tasks are rounded up to whole runs."""

    path: str
    workflow: str
    """``name@version``."""
    serials: list[str]
    retired: int
    """Tasks that retention would take."""
    cleaned: int
    """Tasks that a cleaning of the queue `old` would take, and retention not yet."""
    failed: int
    events: int = 2
    """Of each task, at most three."""


def fill_ended(fill: Fill) -> None:
    """Add it in a process of its own. Raises CalledProcessError and TimeoutExpired."""
    command = [sys.executable, "-m", "bench.ops_fill"]
    subprocess.run(command, input=msgspec.json.encode(fill), cwd=ROOT, check=True, timeout=FILL_TIMEOUT_S)


def main(fill: Fill) -> None:
    """Open the store, add to it, close it."""
    sql = load_statements("broker", "columns", "statements")
    database = Database(Path(fill.path), BROKER)
    try:
        [(position,)] = database.query("SELECT coalesce(max(position), 0) FROM events")
        maker = _Maker(fill, position)
        now_ms = time.time_ns() // 1_000_000
        kinds = (
            (fill.retired, OLD, now_ms - round(RETIRED_DAYS * DAY_MS), TaskState.PASSED),
            (fill.cleaned, OLD, now_ms - round(CLEANED_DAYS * DAY_MS), TaskState.PASSED),
            (fill.failed, FAILED, now_ms - DAY_MS, TaskState.FAILED),
        )
        for tasks, queue, at_ms, state in kinds:
            runs = -(-tasks // PER_RUN)
            for first in range(0, runs, SLICE_RUNS):
                rows = maker.runs(range(first, min(first + SLICE_RUNS, runs)), queue, at_ms, state)
                database.transact(_writing(sql, rows))
                if database.log_bytes > LOG_BYTES_MAX:
                    database.checkpoint()
        database.checkpoint()
    finally:
        database.close()


def _writing(sql: dict[str, str], rows: dict[str, list[tuple[object, ...]]]) -> Callable[[apsw.Connection], None]:
    def write(connection: apsw.Connection) -> None:
        for name, bindings in rows.items():
            connection.executemany(sql[name], bindings)
        for name in ("file_ended", "drop_ended"):
            connection.execute(sql[name])

    return write


class _Maker:
    """Makes rows as the broker would have written them."""

    def __init__(self, fill: Fill, position: int) -> None:
        self._fill = fill
        self._position = position
        self._n = 0

    def runs(
        self, numbers: Iterable[int], queue: str, at_ms: int, state: TaskState
    ) -> dict[str, list[tuple[object, ...]]]:
        """Return the rows of some runs, by statement."""
        found: dict[str, list[tuple[object, ...]]] = {
            name: []
            for name in (
                "insert_run",
                "insert_task",
                "add_ended",
                "insert_attempt",
                "append_event",
                "insert_dead_letter",
            )
        }
        workflow, _, version = self._fill.workflow.partition("@")
        for _ in numbers:
            row = RunRow(
                run_id=self._id(at_ms),
                workflow=workflow,
                version=int(version),
                recipe_hash="h",
                params_body=b"{}",
                targets_body=b'{"kind":"devices"}',
                step_timeouts_body=b"{}",
                queue=queue,
                priority=0,
                attempts_max=1,
                tasks=PER_RUN,
                created_at_ms=at_ms,
                actor="user/bench",
                interface="cli",
                trace_id="a" * 32,
                state=RunState.COMPLETED,
                outcome=Outcome(state.value),
                ended_at_ms=at_ms,
            )
            found["insert_run"].append(run_columns(row))
            for serial in self._serials():
                self._task(found, row, serial, state)
        return found

    def _task(self, found: dict[str, list[tuple[object, ...]]], run: RunRow, serial: str, state: TaskState) -> None:
        task_id, at_ms = self._id(run.created_at_ms), run.created_at_ms
        token = Token(1, self._n)
        status = TaskStatusRow(
            state=state,
            order=self._position,
            device_serial=serial,
            token=token,
            node_id="node-1",
            dispatched_at_ms=at_ms,
            started_at_ms=at_ms,
            ended_at_ms=at_ms,
        )
        task = TaskRow(
            task_id=task_id,
            run_id=run.run_id,
            target_kind=TargetKind.DEVICES,
            selector_body=None,
            queue=run.queue,
            priority=0,
            created_at_ms=at_ms,
            expires_at_ms=None,
            timeout_s=600.0,
            status=status,
        )
        attempt = AttemptRow(
            task_id=task_id,
            token=token,
            attempt=1,
            node_id="node-1",
            device_serial=serial,
            dispatched_at_ms=at_ms,
            started_at_ms=at_ms,
            ended_at_ms=at_ms,
            outcome=Outcome(state.value),
        )
        found["insert_task"].append(task_columns(task))
        found["add_ended"].append((serial, task_id))
        found["insert_attempt"].append(attempt_columns(attempt))
        # Not of its end: what the log tells of ends behind the last minute is counted by a broker that starts.
        for event_type in ("task.queued", "task.started", "task.dispatched")[: self._fill.events]:
            found["append_event"].append(self._event(event_type, task))
        if state is TaskState.FAILED:
            letter = DeadLetterRow(
                letter_id=self._id(at_ms),
                created_at_ms=at_ms,
                kind=DeadLetterKind.TASK,
                reason=DeadReason.FAILED,
                code="broken",
                error_class="app",
                message="it did not work: look at it",
                node_id="node-1",
                device_serial=serial,
                task_id=task_id,
                run_id=run.run_id,
                workflow=self._fill.workflow,
                queue=run.queue,
                attempts=1,
                position=self._position,
            )
            found["insert_dead_letter"].append(dead_letter_columns(letter))

    def _event(self, event_type: str, task: TaskRow) -> tuple[object, ...]:
        self._position += 1
        subject = f"task/{task.task_id}"
        envelope = Envelope(
            event_id=f"E{self._position:025}",
            type=event_type,
            subject=subject,
            source="broker/main",
            trace_id="a" * 32,
            occurred_at_ms=task.created_at_ms,
            payload=raw(
                {
                    "taskId": task.task_id,
                    "runId": task.run_id,
                    "token": [1, self._position],
                    "attempt": 1,
                    "deviceSerial": task.status.device_serial,
                }
            ),
        )
        return self._position, subject, event_type, task.created_at_ms, encode(envelope)

    def _id(self, at_ms: int) -> str:
        self._n += 1
        return make_id(at_ms, self._n)

    def _serials(self) -> Iterable[str]:
        serials = self._fill.serials
        return (serials[number % len(serials)] for number in range(PER_RUN))


if __name__ == "__main__":
    main(msgspec.json.decode(sys.stdin.buffer.read(), type=Fill))
