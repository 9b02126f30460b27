"""What ended on a device is in its list from the commit on, filed or not, until it is removed."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from doai.changes import ops, retention
from doai.changes.rows import TaskRow, TaskStatusRow
from doai.messages.commands import TargetKind
from doai.states import TaskState
from doai.store import device_tasks
from doai.store.database import BROKER
from doai.store.sql_files import load_migrations
from doai.store.sqlite_writer import open_writer

QUEUED = TaskStatusRow(state=TaskState.QUEUED, order=1, device_serial="d1")
PASSED = TaskStatusRow(state=TaskState.PASSED, order=1, device_serial="d1", ended_at_ms=5)


def task(n: int, status: TaskStatusRow) -> ops.InsertTask:
    return ops.InsertTask(
        TaskRow(
            task_id=f"t{n}",
            run_id="r1",
            target_kind=TargetKind.DEVICES,
            selector_body=None,
            queue="default",
            priority=0,
            created_at_ms=1,
            expires_at_ms=None,
            timeout_s=60,
            status=status,
        )
    )


def listed(path: Path, table: str) -> list[tuple[str, str]]:
    connection = apsw.Connection(str(path))
    rows = [(str(serial), str(task_id)) for serial, task_id in connection.execute(f"SELECT * FROM {table}")]
    connection.close()
    return rows


def test_those_that_ended_are_filed_together_also_after_a_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_tasks, "FILED_TOGETHER", 3)
    path = tmp_path / "broker.db"
    writer = open_writer(path, new_store_id="S", now_ms=1)
    writer.commit([task(n, QUEUED) for n in range(6)])
    writer.commit([ops.UpdateTask("t1", PASSED), ops.UpdateTask("t0", PASSED), ops.UpdateTask("t2", QUEUED)])
    writer.close()
    assert listed(path, "ended_lately") == [("d1", "t1"), ("d1", "t0")]
    assert listed(path, "device_tasks") == []
    writer = open_writer(path, new_store_id="S", now_ms=1)
    writer.commit([ops.UpdateTask("t2", PASSED)])
    writer.commit([ops.UpdateTask("t3", PASSED)])
    writer.close()
    assert listed(path, "device_tasks") == [("d1", "t0"), ("d1", "t1"), ("d1", "t2")]
    assert listed(path, "ended_lately") == [("d1", "t3")]


def test_one_that_ended_as_it_was_made_is_there_and_one_of_no_device_is_not(tmp_path: Path) -> None:
    path = tmp_path / "broker.db"
    writer = open_writer(path, new_store_id="S", now_ms=1)
    nowhere = TaskStatusRow(state=TaskState.CANCELLED, order=1, ended_at_ms=5)
    writer.commit([task(1, PASSED), task(2, nowhere)])
    writer.close()
    assert listed(path, "ended_lately") == [("d1", "t1")]


def test_what_is_removed_leaves_its_list_and_what_stays_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "broker.db"
    writer = open_writer(path, new_store_id="S", now_ms=1)
    writer.commit([task(1, PASSED), task(2, PASSED), task(3, QUEUED)])
    writer.commit([retention.PruneTasks(["t1", "t3"], 7)])
    writer.close()
    assert listed(path, "ended_lately") + listed(path, "device_tasks") == [("d1", "t2")]


def test_the_migration_files_all_that_ended_before(tmp_path: Path) -> None:
    path = tmp_path / "broker.db"
    connection = apsw.Connection(str(path))
    migrations = load_migrations(BROKER.folder)
    for migration in migrations[:26]:
        connection.execute(migration.script)
    connection.execute(
        "INSERT INTO tasks (task_id, run_id, target_kind, queue, priority, created_at_ms, timeout_s, state, "
        "fifo_order, device_serial, attempt, ended_at_ms, reason) VALUES"
        " ('t2', 'r', 'devices', 'q', 0, 1, 1, 'passed', 1, 'd1', 1, 5, ''),"
        " ('t1', 'r', 'devices', 'q', 0, 1, 1, 'failed', 1, 'd1', 1, 5, ''),"
        " ('t3', 'r', 'devices', 'q', 0, 1, 1, 'running', 1, 'd1', 1, NULL, ''),"
        " ('t4', 'r', 'devices', 'q', 0, 1, 1, 'expired', 1, NULL, 1, 5, '')"
    )
    connection.execute(migrations[26].script)
    connection.close()
    assert listed(path, "device_tasks") == [("d1", "t1"), ("d1", "t2")]
