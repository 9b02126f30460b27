"""store: the life of a task in three commits of 128 tasks, against bare executemany of the same rows.

A life is one task row, three events, two updates and one attempt. The bare side has its rows made beforehand, so
the difference is what the writer adds: making columns of ops, encoding envelopes, gathering by table. The modes
of the committer are measured with 128 decisions submitted at a time, from the first submit to the last effect.
Then events alone by the size of a commit: writer and bare executemany in turn into one and the same file.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, TypeVar

import apsw
import trio

from bench import store_events
from bench.report import Line, compared
from doai.changes import ops, rows
from doai.codec import encode, raw
from doai.envelope import Envelope
from doai.ids import RandomIds, Token
from doai.messages.commands import TargetKind
from doai.states import Outcome, TaskState
from doai.store import columns
from doai.store.broker_store import open_broker_store
from doai.store.committer import Committer, WriterMode
from doai.store.database import BROKER, Database
from doai.store.pipeline import Pipeline
from doai.store.sql_files import load_statements
from doai.store.sqlite_writer import open_writer

TASKS: Final = 6400
BATCH: Final = 128
ROUNDS: Final = 5
NOW_MS: Final = 1_700_000_000_000
DEVICES: Final = 100

_BatchT = TypeVar("_BatchT")
Unit = list[ops.Op]
Statements = list[tuple[str, list[tuple[object, ...]]]]


def run() -> Iterator[Line]:
    """Yield CPU a task and rows a second of the writer, and tasks a second of each committer mode."""
    units = [phase for part in lives(TASKS) for phase in part]
    ours: list[tuple[float, float]] = []
    bare: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory(prefix="doai-bench-") as folder:
        for turn in range(ROUNDS):
            bare.append(measure_bare(Path(folder) / f"bare-{turn}.db", units))
            ours.append(measure_writer(Path(folder) / f"ours-{turn}.db", units))
        against = "bare executemany"
        yield compared("store.task_cpu", "us", [c for c, _ in ours], [c for c, _ in bare], against, "less")
        yield compared("store.rows", "rows/s", [r for _, r in ours], [r for _, r in bare], against, "more")
        inline: list[float] = []
        for mode in (WriterMode.INLINE, WriterMode.ADAPTIVE, WriterMode.THREAD, WriterMode.PROCESS):
            rates = [
                trio.run(measure_committer, Path(folder) / f"{mode.value}-{turn}.db", mode, units)
                for turn in range(3)
            ]
            inline = inline or rates
            yield compared(f"store.committer.{mode.value}", "tasks/s", rates, inline, "inline", "more")
        yield from store_events.lines(
            store_events.measure(Path(folder) / "events.db", store_events.BATCHES, ROUNDS)
        )


def measure_writer(path: Path, units: Sequence[list[Unit]]) -> tuple[float, float]:
    """Return (us of CPU a task, rows a second)."""
    writer = open_writer(path, new_store_id="bench", now_ms=NOW_MS)
    try:
        return timed(writer.commit, [[op for unit in batch for op in unit] for batch in units], units)
    finally:
        writer.close()


def measure_bare(path: Path, units: Sequence[list[Unit]]) -> tuple[float, float]:
    """The same for statements and rows made beforehand, over the same connection settings and schema."""
    prepared = [bare_statements([op for unit in batch for op in unit]) for batch in units]
    database = Database(path, BROKER)

    def commit(statements: Statements) -> None:
        def work(connection: apsw.Connection) -> None:
            for sql, bindings in statements:
                connection.executemany(sql, bindings)

        database.transact(work)

    try:
        return timed(commit, prepared, units)
    finally:
        database.close()


def timed(
    commit: Callable[[_BatchT], None], batches: Sequence[_BatchT], units: Sequence[list[Unit]]
) -> tuple[float, float]:
    """Commit the batches and return (us of CPU a task, rows a second)."""
    row_count = sum(len(unit) for batch in units for unit in batch)
    cpu, wall = time.process_time(), time.perf_counter()
    for batch in batches:
        commit(batch)
    return (time.process_time() - cpu) / TASKS * 1e6, row_count / (time.perf_counter() - wall)


async def measure_committer(path: Path, mode: WriterMode, units: Sequence[list[Unit]]) -> float:
    """Return tasks a second, each phase of 128 tasks submitted in one turn of the loop."""
    writer = open_broker_store(path, mode, new_store_id="bench", now_ms=NOW_MS)
    left: list[int] = []
    committer: Committer[ops.Op, int] = Committer(Pipeline(), writer, left.append, mode=mode)
    started = time.perf_counter()
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(committer.run)
            for number, batch in enumerate(units):
                for unit in batch:
                    committer.submit(unit, [number])
                await trio.lowlevel.checkpoint()
            await committer.wait_idle()
            nursery.cancel_scope.cancel()
        return TASKS / (time.perf_counter() - started)
    finally:
        writer.close()


def bare_statements(batch: list[ops.Op]) -> Statements:
    """The statements of a batch and their rows."""
    sql = load_statements("broker", "columns", "statements")
    by_name: dict[str, list[tuple[object, ...]]] = {}
    for op in batch:
        if isinstance(op, ops.InsertTask):
            by_name.setdefault("insert_task", []).append(columns.task_columns(op.row))
        elif isinstance(op, ops.UpdateTask):
            by_name.setdefault("update_task", []).append((*columns.task_status_columns(op.status), op.task_id))
        elif isinstance(op, ops.InsertAttempt):
            by_name.setdefault("insert_attempt", []).append(columns.attempt_columns(op.row))
        elif isinstance(op, ops.AppendEvent):
            envelope = op.envelope
            by_name.setdefault("append_event", []).append(
                (op.position, envelope.subject, envelope.type, op.recorded_at_ms, encode(envelope))
            )
    return [(sql[name], bindings) for name, bindings in by_name.items()]


def lives(count: int, *, after_position: int = 0) -> Iterator[list[list[Unit]]]:
    """Yield, for 128 tasks at a time, the decisions of their three phases."""
    ids = RandomIds(random.Random(1).getrandbits)
    run_id = ids.new_id(NOW_MS)
    position = after_position
    for first in range(0, count, BATCH):
        tasks = [ids.new_id(NOW_MS + first) for _ in range(BATCH)]
        phases: list[list[Unit]] = []
        for phase in range(3):
            units: list[Unit] = []
            for index, task_id in enumerate(tasks, first):
                position += 1
                units.append(decision(ids, run_id, task_id, index, position, phase))
            phases.append(units)
        yield phases


def decision(ids: RandomIds, run_id: str, task_id: str, index: int, position: int, phase: int) -> Unit:
    """What the core writes when a task is queued (0), dispatched (1), or has passed (2)."""
    serial, token = f"device-{index % DEVICES}", Token(1, index + 1)
    held = {"node_id": "node-1", "token": token, "dispatched_at_ms": NOW_MS} if phase else {}
    ended = {"started_at_ms": NOW_MS, "ended_at_ms": NOW_MS} if phase == 2 else {}
    state = (TaskState.QUEUED, TaskState.DISPATCHED, TaskState.PASSED)[phase]
    status = rows.TaskStatusRow(state=state, order=position, device_serial=serial, **held, **ended)  # type: ignore[arg-type]
    envelope = Envelope(
        event_id=ids.new_id(NOW_MS + position),
        type=("task.queued", "task.dispatched", "task.completed")[phase],
        subject=f"task/{task_id}",
        source="broker/1",
        trace_id="ab" * 16,
        occurred_at_ms=NOW_MS,
        payload=raw(
            {"taskId": task_id, "runId": run_id, "token": token, "deviceSerial": serial, "nodeId": "node-1"}
        ),
    )
    event = ops.AppendEvent(position, envelope, NOW_MS)
    if phase == 0:
        return [ops.InsertTask(task_row(run_id, task_id, status)), event]
    if phase == 1:
        return [ops.UpdateTask(task_id, status), event]
    attempt = rows.AttemptRow(
        task_id=task_id,
        token=token,
        attempt=1,
        node_id="node-1",
        device_serial=serial,
        dispatched_at_ms=NOW_MS,
        started_at_ms=NOW_MS,
        ended_at_ms=NOW_MS,
        outcome=Outcome.PASSED,
    )
    return [ops.UpdateTask(task_id, status), event, ops.InsertAttempt(attempt)]


def task_row(run_id: str, task_id: str, status: rows.TaskStatusRow) -> rows.TaskRow:
    """A task of the run as it is first stored."""
    return rows.TaskRow(
        task_id=task_id,
        run_id=run_id,
        target_kind=TargetKind.DEVICES,
        selector_body=None,
        queue="default",
        priority=0,
        created_at_ms=NOW_MS,
        expires_at_ms=None,
        timeout_s=600.0,
        status=status,
    )
