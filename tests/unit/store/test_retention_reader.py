"""Plans of retention over a real file: what goes, slice by slice, and what is told of it afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import apsw
import pytest

from doai.changes import ops, retention
from doai.changes.audit import AuditOutcome, AuditRow
from doai.changes.retention import DAY_MS, UsageKind
from doai.changes.rows import ArtifactRow, RunRow, TaskRow, TaskStatusRow
from doai.changes.samples import HOUR_MS, MINUTE_MS
from doai.ids import make_id
from doai.messages.commands import TargetKind
from doai.states import Outcome, RunState, TaskState
from doai.store.retention_reader import Cleanable, Cleaning, Going, Policy, RetentionReader
from doai.store.sqlite_writer import SqliteWriter, open_writer
from tests.conformance.store_ops import make_envelope

NOW_MS = 1_000 * DAY_MS
ResultT = TypeVar("ResultT")
THIRTY = ("tasks_days", "events_days", "audit_days")


def run_id(days_ago: float) -> str:
    return make_id(round(NOW_MS - days_ago * DAY_MS), 1)


def run_ops(days_ago: float, *, tasks: int = 2, state: RunState = RunState.COMPLETED) -> list[ops.Op]:
    """A run that was made and ended so long ago, with an artifact of 100 bytes a task."""
    name, at_ms = run_id(days_ago), round(NOW_MS - days_ago * DAY_MS)
    ended = state is RunState.COMPLETED
    row = RunRow(
        run_id=name,
        workflow="look",
        version=1,
        recipe_hash="h",
        params_body=b"{}",
        targets_body=b"{}",
        step_timeouts_body=b"{}",
        queue="default",
        priority=0,
        attempts_max=1,
        tasks=tasks,
        created_at_ms=at_ms,
        actor="user/ann",
        interface="cli",
        trace_id="",
        state=state,
        outcome=Outcome.PASSED if ended else None,
        ended_at_ms=at_ms if ended else None,
    )
    found: list[ops.Op] = [ops.InsertRun(row)]
    for number in range(tasks):
        task_id = make_id(at_ms, number + 2)
        status = TaskStatusRow(state=TaskState.PASSED, order=number, ended_at_ms=at_ms)
        task = TaskRow(
            task_id=task_id,
            run_id=name,
            target_kind=TargetKind.DEVICES,
            selector_body=None,
            queue="default",
            priority=0,
            created_at_ms=at_ms,
            expires_at_ms=None,
            timeout_s=1.0,
            status=status,
        )
        artifact = ArtifactRow(
            path=f"video/n1/a/{name}/{number}.png",
            sha256="s",
            size_bytes=100,
            media_type="image/png",
            node_id="n1",
            device_serial="a",
            run_id=name,
            task_id=task_id,
            step_id="look",
            stored_at_ms=at_ms,
        )
        found += [ops.InsertTask(task), ops.InsertArtifact(artifact)]
    return found


def event_ops(first: int, *subjects: str, days_ago: float) -> list[ops.Op]:
    at_ms = round(NOW_MS - days_ago * DAY_MS)
    return [
        ops.AppendEvent(first + n, make_envelope(f"e{first + n}", subject, "device.online"), at_ms)
        for n, subject in enumerate(subjects)
    ]


def audit_op(days_ago: float) -> ops.AppendAudit:
    fields = dict.fromkeys(["actor", "role", "token", "address", "interface", "process", "action", "subject"], "x")
    at_ms = round(NOW_MS - days_ago * DAY_MS)
    return ops.AppendAudit(AuditRow(at_ms=at_ms, outcome=AuditOutcome.DONE, **fields))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "broker.db"
    writer = open_writer(path, new_store_id="S", now_ms=1)
    old = run_id(40)
    writer.commit(run_ops(60, state=RunState.ACTIVE))
    writer.commit(run_ops(40))
    writer.commit(run_ops(20))
    writer.commit(run_ops(0.01))
    writer.commit(event_ops(1, f"run/{old}", "device/a", "workflow/look", days_ago=40))
    writer.commit(event_ops(4, "node/n1", f"task/{old}", days_ago=20))
    writer.commit(event_ops(6, "device/a", days_ago=0.01))
    writer.commit([audit_op(40), audit_op(20), audit_op(0.01)])
    writer.close()
    return path


def asked(path: Path, work: Callable[[RetentionReader], Awaitable[ResultT]]) -> ResultT:
    async def ask() -> ResultT:
        reader = RetentionReader(path)
        try:
            return await work(reader)
        finally:
            await reader.close()

    return asyncio.run(ask())


def going(path: Path, disk_bytes: int = 0, **policy: Any) -> Going:
    async def work(reader: RetentionReader) -> Going:
        wanted = Policy(**{name: policy.get(name, 0) for name in Policy.__struct_fields__})
        return await reader.going(await reader.bounds(wanted, await reader.held(), disk_bytes, NOW_MS))

    return asked(path, work)


def nothing(**but: int) -> Going:
    counts = dict.fromkeys(Going.__struct_fields__, 0)
    return Going(**{**counts, **but})


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ({}, nothing()),
        ({"tasks_days": 30}, nothing(runs=1, tasks=2)),
        ({"tasks_days": 10}, nothing(runs=2, tasks=4)),
        ({"tasks_max": 7}, nothing(runs=1, tasks=2)),
        ({"tasks_max": 1}, nothing(runs=2, tasks=4)),
        ({"artifacts_days": 30}, nothing(artifacts=2, artifact_bytes=200)),
        ({"artifacts_disk_percent": 50, "disk_bytes": 1300}, nothing(artifacts=2, artifact_bytes=200)),
        ({"events_days": 30}, nothing(events=2)),
        ({"events_days": 10}, nothing(events=3)),
        ({"events_max": 2}, nothing(events=2)),
        ({"audit_days": 30}, nothing(audit=1)),
        ({"audit_max": 1}, nothing(audit=2)),
        ({"tasks_days": 0.0001}, nothing(runs=2, tasks=4)),
    ],
    ids=str,
)
def test_what_would_go(path: Path, policy: dict[str, Any], expected: Going) -> None:
    assert going(path, **policy) == expected


def test_what_is_there_is_counted(path: Path) -> None:
    held = asked(path, lambda reader: reader.held())
    assert (held.tasks, held.runs, held.events, held.artifacts, held.artifact_bytes, held.audit) == (
        8,
        4,
        6,
        8,
        800,
        3,
    )


def test_samples_are_counted_and_those_that_would_go(path: Path) -> None:
    minute, hour = NOW_MS // MINUTE_MS, NOW_MS // HOUR_MS
    store = apsw.Connection(str(path))
    for serial in ("d1", "d2"):
        rows = [(serial, minute - ago, b"x") for ago in (0, 30, 90)]
        store.executemany("INSERT INTO device_samples VALUES (?, ?, ?)", rows)
        store.execute(
            "INSERT INTO devices VALUES (?, 'n', 'online', '', '', '', '', '', 0, '', 0, 0, '[]', 0, 0, "
            "NULL, '', NULL, NULL)",
            (serial,),
        )
    store.execute("INSERT INTO device_sample_hours VALUES ('d1', ?, x'00')", (hour - 24 * 3,))
    store.close()
    held = asked(path, lambda reader: reader.held())
    assert (held.samples, held.sample_hours) == (6, 1)
    assert going(path, samples_hours=1) == nothing(samples=2)
    assert going(path, sample_hours_days=2) == nothing(sample_hours=1)


def test_slices_take_what_would_go_and_are_told_afterwards(path: Path) -> None:
    old = run_id(40)

    async def plan(
        reader: RetentionReader,
    ) -> tuple[list[str], list[str], list[tuple[str, int]], list[int], list[int]]:
        days = Policy(
            **{**dict.fromkeys(Policy.__struct_fields__, 0), "tasks_days": 30, "events_days": 30, "audit_days": 30}
        )
        bounds = await reader.bounds(days, await reader.held(), 0, NOW_MS)
        runs = await reader.runs(bounds, "")
        assert await reader.runs(bounds, runs[-1]) == []
        tasks = await reader.tasks_of(old)
        return runs, tasks, await reader.artifacts_of(old), await reader.events(bounds), await reader.audit(bounds)

    runs, tasks, artifacts, events, audit = asked(path, plan)
    assert (runs, len(tasks), events, audit) == ([old], 2, [2, 3], [1])
    assert artifacts == [(f"video/n1/a/{old}/{n}.png", 100) for n in range(2)]
    writer: SqliteWriter = open_writer(path, new_store_id="S", now_ms=1)
    writer.commit([retention.PruneArtifacts([name for name, _ in artifacts]), retention.PruneTasks(tasks, 77)])
    writer.commit([retention.PruneRuns(runs, 78), retention.PruneEvents(events)])
    writer.commit([retention.PruneAudit(audit[-1], 79)])
    writer.close()
    assert going(path, tasks_days=30, events_days=30, audit_days=30) == nothing()
    assert asked(path, lambda reader: reader.removed_at_ms(tasks[0])) == 77
    assert asked(path, lambda reader: reader.removed_at_ms(old)) == 78
    assert asked(path, lambda reader: reader.removed_at_ms(run_id(20))) is None


def test_an_open_run_goes_in_no_plan(path: Path) -> None:
    assert asked(path, lambda reader: reader.tasks_of(run_id(60))) == []
    everything = going(path, tasks_days=0.001, tasks_max=1, artifacts_days=0.001)
    assert (everything.runs, everything.artifacts) == (2, 4)


def add_open_letter(path: Path, task_id: str, of_run: str) -> None:
    connection = apsw.Connection(str(path))
    names = [row[1] for row in connection.execute("PRAGMA table_info(dead_letters)")]
    given = {"letter_id": "L", "kind": "task", "state": "open", "task_id": task_id, "run_id": of_run, "data": b""}
    numbers = {"created_at_ms", "position", "attempts", "seq", "data_bytes"}
    values = [given.get(name, 1 if name in numbers else None if name == "settled_at_ms" else "") for name in names]
    connection.execute(f"INSERT INTO dead_letters VALUES ({', '.join('?' * len(names))})", values)
    connection.close()


def test_an_open_dead_letter_keeps_its_task(path: Path) -> None:
    old = run_id(40)
    [kept, other] = asked(path, lambda reader: reader.tasks_of(old))
    add_open_letter(path, kept, old)
    assert asked(path, lambda reader: reader.tasks_of(old)) == [other]
    assert [name for name, _ in asked(path, lambda reader: reader.artifacts_of(old))] == [f"video/n1/a/{old}/1.png"]
    assert going(path, artifacts_days=30).artifacts == 1
    writer: SqliteWriter = open_writer(path, new_store_id="S", now_ms=1)
    writer.commit([retention.PruneTasks([kept, other], 77), retention.PruneRuns([old], 78)])
    writer.close()
    held = asked(path, lambda reader: reader.held())
    assert (held.tasks, held.runs) == (7, 4)


def test_use_is_summed_and_by_day(path: Path) -> None:
    writer = open_writer(path, new_store_id="S", now_ms=1)
    names = {UsageKind.DEVICE: "a", UsageKind.ACTOR: "user/ann"}
    writer.commit([retention.AddUsage(5, names, TaskState.PASSED, 0, 0)])
    writer.commit([retention.AddUsage(5, names, None, 1, 700)])
    writer.commit([retention.AddUsage(6, names, TaskState.FAILED, 1, 300)])
    writer.close()
    [total] = asked(path, lambda reader: reader.usage(UsageKind.DEVICE, 0, daily=False))
    assert (total.name, total.day, total.tasks, total.passed, total.failed) == ("a", 5, 2, 1, 1)
    assert (total.attempts, total.device_ms) == (2, 1000)
    days = asked(path, lambda reader: reader.usage(UsageKind.ACTOR, 6, daily=True))
    assert [(row.name, row.day, row.tasks) for row in days] == [("user/ann", 6, 1)]


def cleanable(path: Path, *, days: float, outcomes: tuple[Outcome, ...] = (), queue: str = "default") -> Cleanable:
    before_ms = round(NOW_MS - days * DAY_MS)
    cleaning = Cleaning(queue=queue, ended_before_ms=before_ms, outcomes=list(outcomes))
    return asked(path, lambda reader: reader.cleanable(cleaning))


def test_what_a_cleaning_would_remove_and_which_runs(path: Path) -> None:
    assert (cleanable(path, days=30).runs, cleanable(path, days=30).tasks) == (1, 2)
    both = cleanable(path, days=10)
    assert (both.runs, both.tasks) == (2, 4)
    assert both == cleanable(path, days=9, outcomes=(Outcome.PASSED, Outcome.FAILED)), "the same set is known again"
    assert both.digest != cleanable(path, days=30).digest
    assert cleanable(path, days=10, outcomes=(Outcome.FAILED,)).runs == 0
    assert cleanable(path, days=10, queue="other").runs == 0
    cleaning = Cleaning(queue="default", ended_before_ms=NOW_MS - 10 * DAY_MS, outcomes=[])
    assert asked(path, lambda reader: reader.next_cleanable(cleaning, "")) == [run_id(40), run_id(20)]
    assert asked(path, lambda reader: reader.next_cleanable(cleaning, run_id(40))) == [run_id(20)]


def test_a_run_with_an_open_dead_letter_is_in_no_cleaning(path: Path) -> None:
    [kept, _] = asked(path, lambda reader: reader.tasks_of(run_id(40)))
    add_open_letter(path, kept, run_id(40))
    assert (cleanable(path, days=10).runs, cleanable(path, days=10).tasks) == (1, 2)


def test_the_newest_pass_through_everything_is_told_from_those_of_queues(path: Path) -> None:
    assert asked(path, lambda reader: reader.newest_pass_ms()) is None
    writer = open_writer(path, new_store_id="S", now_ms=1)
    for name, queue in (("p1", ""), ("p2", "default")):
        row = retention.RetentionPass(
            pass_id=name, began_at_ms=1, ended_at_ms=int(name[1]), actor="user/ann", queue=queue
        )
        writer.commit([retention.PutRetentionPass(row)])
    writer.close()
    assert asked(path, lambda reader: reader.newest_pass_ms()) == 1
    assert [row.queue for row in asked(path, lambda reader: reader.passes(2))] == ["default", ""]
