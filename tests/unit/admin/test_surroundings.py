"""What is read to say why tasks wait: for one answer once, and nothing for one that waits for nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from doai.admin.routes.surroundings import Around, surroundings
from doai.changes import ops
from doai.changes.rows import RunRow
from doai.states import TaskState
from doai.store.process_writer import open_process_writer
from doai.store.reader import StoreReader
from tests.unit.admin.task_rows import task_row

RUN = RunRow(
    run_id="r1", workflow="w", version=1, recipe_hash="h", params_body=b"{}", targets_body=b"{}",
    step_timeouts_body=b"{}", queue="default", priority=0, attempts_max=1, tasks=3, created_at_ms=1, actor="user/a",
    interface="cli", trace_id="",
)  # fmt: skip


class Counted:
    """A reader that counts what it is asked for."""

    def __init__(self, reader: StoreReader) -> None:
        self.asked = Counter[str]()
        self._reader = reader

    def __getattr__(self, name: str) -> Any:
        self.asked[name] += 1
        return getattr(self._reader, name)


def test_what_tasks_of_a_page_share_is_read_once_and_nothing_for_one_that_runs(tmp_path: Path) -> None:
    waiting = [task_row(TaskState.QUEUED, f"t{n}") for n in range(3)]
    writer = open_process_writer(tmp_path / "broker.db", new_store_id="S", now_ms=1)
    writer.commit([ops.InsertRun(RUN), *map(ops.InsertTask, waiting)])
    writer.close()

    async def ask() -> None:
        reader = StoreReader(tmp_path / "broker.db")
        counted: Any = Counted(reader)
        try:
            run = await reader.run("r1")
            assert run is not None
            about = Around(counted, run)
            found = [await about.of(row) for row in waiting]
            assert counted.asked == {"line": 3, "queues": 1, "nodes": 1, "devices": 1, "workflow": 1}
            alone = [await surroundings(reader, row) for row in waiting]
            assert [_without_time(each) for each in found] == [_without_time(each) for each in alone]
            counted.asked.clear()
            assert await surroundings(counted, task_row(TaskState.RUNNING, device_serial="A1")) is None
            assert not counted.asked
        finally:
            await reader.close()

    asyncio.run(ask())


def _without_time(found: Any) -> Any:
    return msgspec.structs.replace(found, now_ms=0)
