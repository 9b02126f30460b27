"""Every writer mode with a real file: effects in order, nothing lost, nothing twice; and how the file is read."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest
import trio

from doai.changes import ops
from doai.store.broker_store import open_broker_store
from doai.store.committer import Committer, WriterMode
from doai.store.memory import MemoryTables, MemoryWriter
from doai.store.pipeline import Pipeline
from doai.store.sql_files import load_migrations, load_statements
from doai.store.sqlite_writer import open_writer
from tests.conformance.store_ops import make_envelope


def event(position: int) -> ops.AppendEvent:
    return ops.AppendEvent(position, make_envelope(f"e{position}", "task/t1", "task.queued"), 7)


@pytest.mark.parametrize("mode", list(WriterMode))
async def test_effects_leave_in_order_behind_their_commits(tmp_path: Path, mode: WriterMode) -> None:
    path = tmp_path / "broker.db"
    writer = open_broker_store(path, mode, new_store_id="S", now_ms=1)
    left: list[int] = []
    committer: Committer[ops.Op, int] = Committer(Pipeline(batch_ops_max=16), writer, left.append, mode=mode)
    try:
        with trio.fail_after(90):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(committer.run)
                for position in range(1, 401):
                    committer.submit([event(position)], [position])
                    if position % 37 == 0:
                        await trio.lowlevel.checkpoint()
                await committer.wait_idle()
                assert left == list(range(1, 401))
                snapshot = await committer.with_writer(writer.load)
                assert snapshot.last_position == 400
                assert committer.statistics().pipeline.held_effects == 0
                nursery.cancel_scope.cancel()
    finally:
        writer.close()
    again = open_writer(path, new_store_id="S", now_ms=1)
    twin = MemoryWriter(MemoryTables("S"))
    twin.commit([event(position) for position in range(1, 401)])
    assert again.load() == twin.load()
    again.close()


def test_a_start_reads_open_work_not_the_past(tmp_path: Path) -> None:
    path = tmp_path / "broker.db"
    open_writer(path, new_store_id="S", now_ms=1).close()
    statements = load_statements("broker", "columns", "statements")
    connection = apsw.Connection(str(path))
    for name in ("load_runs", "load_tasks", "load_ended_counts", "load_last_position"):
        plan = [row[3] for row in connection.execute("EXPLAIN QUERY PLAN " + statements[name])]
        for step in plan:
            assert "runs_open" in step or not step.startswith("SCAN"), (name, plan)
    connection.close()


@pytest.mark.parametrize("name", ["insert_task", "update_task", "insert_attempt", "append_event", "add_usage"])
def test_what_every_task_writes_makes_no_table_of_its_own(name: str) -> None:
    connection = apsw.Connection(":memory:")
    for migration in load_migrations("broker"):
        connection.execute(migration.script)
    sql = load_statements("broker", "columns", "statements")[name]
    steps = [row[1] for row in connection.execute("EXPLAIN " + sql, (None,) * sql.count("?"))]
    connection.close()
    assert "MakeRecord" in steps
    assert "OpenEphemeral" not in steps, f"{name}: a list in the condition of an index is a table at each row"
