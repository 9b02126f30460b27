"""Lists of tasks: what each filter takes, cursors that lose and repeat nothing, and which index is walked."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from doai.changes.rows import TaskRow
from doai.errors import UserError
from doai.states import HELD, TERMINAL, TaskState
from doai.store import task_reader
from doai.store.database import BROKER
from doai.store.process_writer import open_process_writer
from doai.store.reader import StoreReader
from doai.store.sql_files import load_migrations, load_statements
from doai.store.task_reader import TaskFilter, TaskReader, questions

TASKS = 60
STATES = tuple(TaskState)
PASSED, FAILED, QUEUED = TaskState.PASSED, TaskState.FAILED, TaskState.QUEUED
FAILURE = '{"code":"tap_failed","errorClass":"app","message":"m"}'
FILTERS = [
    TaskFilter(states=states, run_id=run, device=device, node=node, queue=queue, code=code, since_ms=since)
    for states, run, device, node, queue, code, since in itertools.product(
        ((), (PASSED,), (QUEUED,), (PASSED, FAILED), tuple(HELD)),
        (None, "r1"),
        (None, "d2"),
        (None, "n1"),
        (None, "other"),
        (None, "tap_failed"),
        (None, 1_020),
    )
]


def ended_at_ms(n: int) -> int | None:
    return 1_000 + 7 * n % 60 if STATES[n % len(STATES)] in TERMINAL else None


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "broker.db"
    open_process_writer(path, new_store_id="S", now_ms=1).close()
    connection = apsw.Connection(str(path))
    for n in range(TASKS):
        state = STATES[n % len(STATES)]
        failure = FAILURE if state is FAILED else None
        connection.execute(
            "INSERT INTO tasks (task_id, run_id, target_kind, queue, priority, created_at_ms, timeout_s, state, "
            "fifo_order, device_serial, attempt, node_id, ended_at_ms, failure, reason) "
            "VALUES (?, ?, 'devices', ?, 0, 1, 60, ?, 1, ?, 1, ?, ?, ?, '')",
            (f"t{n:03}", f"r{n % 2}", "other" if n % 3 else "default", state.value, f"d{n % 4}", f"n{n % 5}",
             ended_at_ms(n), failure),
        )  # fmt: skip
        if state in TERMINAL:
            table = "device_tasks" if n < TASKS // 2 else "ended_lately"
            connection.execute(f"INSERT INTO {table} VALUES (?, ?)", (f"d{n % 4}", f"t{n:03}"))
    connection.close()
    return path


def asked(path: Path, work: Callable[[TaskReader], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        reader = StoreReader(path)
        try:
            return await work(reader.task_lists)
        finally:
            await reader.close()

    return asyncio.run(run())


async def walked(reader: TaskReader, which: TaskFilter, limit: int) -> list[TaskRow]:
    """All pages, one behind the other."""
    rows: list[TaskRow] = []
    cursor = None
    for _ in range(TASKS + 1):
        page = await reader.page(which, cursor=cursor, limit=limit)
        assert len(page.items) <= limit
        rows += page.items
        cursor = page.next_cursor
        if cursor is None:
            return rows
    raise AssertionError(f"the pages of {which} do not end")


def wanted(which: TaskFilter, row: TaskRow) -> bool:
    status = row.status
    return (
        (not which.states or status.state in which.states)
        and which.run_id in (None, row.run_id)
        and which.device in (None, status.device_serial)
        and which.node in (None, status.node_id)
        and which.queue in (None, row.queue)
        and (which.code is None or (status.failure is not None and status.failure.code == which.code))
        and (which.since_ms is None or (status.ended_at_ms is not None and status.ended_at_ms >= which.since_ms))
        and (which.until_ms is None or (status.ended_at_ms is not None and status.ended_at_ms < which.until_ms))
    )


def in_order(which: TaskFilter, rows: list[TaskRow]) -> list[str]:
    if which.by_end:
        rows = sorted(rows, key=lambda row: (row.status.ended_at_ms or 0, row.task_id), reverse=True)
    else:
        rows = sorted(rows, key=lambda row: row.task_id, reverse=which.run_id is None)
    return [row.task_id for row in rows]


@pytest.mark.parametrize("walk_max", [5, 20_000])
def test_each_filter_takes_what_it_says_and_its_pages_lose_and_repeat_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch, walk_max: int
) -> None:
    monkeypatch.setattr(task_reader, "WALK_MAX", walk_max)

    async def work(reader: TaskReader) -> None:
        everything = (await reader.page(TaskFilter(), limit=1000)).items
        assert len(everything) == TASKS
        for which in FILTERS:
            expected = in_order(which, [row for row in everything if wanted(which, row)])
            found = [row.task_id for row in await walked(reader, which, 7)]
            assert found == expected, which

    asked(path, work)


def test_a_time_begins_with_its_first_ms_and_ends_before_its_last(path: Path) -> None:
    async def work(reader: TaskReader) -> None:
        minutes = [TaskFilter(since_ms=at_ms, until_ms=at_ms + 10) for at_ms in range(1_000, 1_060, 10)]
        parts = [await walked(reader, which, 3) for which in minutes]
        ids = [row.task_id for rows in parts for row in rows]
        assert len(ids) == len(set(ids)) == sum(ended_at_ms(n) is not None for n in range(TASKS))
        for which, rows in zip(minutes, parts, strict=True):
            assert all(wanted(which, row) for row in rows)

    asked(path, work)


@pytest.mark.parametrize("cursor", ["x", "12", "12.", ".t001", "-1.t001", "9" * 30 + ".t001"])
def test_a_cursor_that_is_none_is_refused(path: Path, cursor: str) -> None:
    with pytest.raises(UserError) as error:
        asked(path, lambda reader: reader.page(TaskFilter(since_ms=0), cursor=cursor))
    assert error.value.code == "bad_cursor"


# --- which index is walked ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def connection() -> Iterator[apsw.Connection]:
    made = apsw.Connection(":memory:")
    for migration in load_migrations(BROKER.folder):
        made.execute(migration.script)
    yield made
    made.close()


def index_of(which: TaskFilter) -> str:
    """The one that holds the fewest tasks beside the wanted ones."""
    if which.run_id is not None:
        return "tasks_of_run"
    if which.device is not None:
        return "tasks_by_state"  # open ones: few, and no index by device
    if which.by_end:
        return "tasks_ended"
    return "tasks_of_code" if which.code is not None else ""


@pytest.mark.parametrize("cursor", [None, "1020.t030"])
def test_a_list_walks_the_index_of_its_strongest_filter(connection: apsw.Connection, cursor: str | None) -> None:
    statements = load_statements("broker", "columns", "queries")
    for which in FILTERS:
        floor = "t001" if task_reader._walks(which) else None
        for sql, bindings in questions(statements, which, cursor, floor, 101):
            plan = [row[3] for row in connection.execute("EXPLAIN QUERY PLAN " + sql, bindings)]
            told = (which, sql, plan)
            index = index_of(which)
            if "filed_id" in sql:
                assert plan[0] in ("SEARCH device_tasks USING PRIMARY KEY (device_serial=?)",
                                   "SEARCH device_tasks USING PRIMARY KEY (device_serial=? AND task_id<?)",
                                   "SCAN ended_lately"), told  # fmt: skip
                assert plan[1] == "SEARCH tasks USING INDEX sqlite_autoindex_tasks_1 (task_id=?)", told
            elif index:
                assert f"USING INDEX {index} (" in plan[0], told
            elif floor is not None:
                assert plan[0].startswith("SEARCH"), told  # of so many tasks at most
            elif which.states:
                assert "USING INDEX tasks_by_state (state=?" in plan[0], told
            elif which.queue is not None:
                assert "USING INDEX tasks_of_queue (queue=?" in plan[0], told
            is_sorted_anew = any("TEMP B-TREE" in step for step in plan)
            assert not is_sorted_anew or which.run_id or which.device, told


@pytest.mark.parametrize("name", ["", "_before", "_of_queue", "_of_queue_before"])
def test_how_far_a_page_goes_is_read_from_an_index_alone(connection: apsw.Connection, name: str) -> None:
    sql = load_statements("broker", "columns", "queries")["oldest_of_walk" + name]
    [step] = [row[3] for row in connection.execute("EXPLAIN QUERY PLAN " + sql, ("?",) * sql.count("?"))]
    assert "USING COVERING INDEX" in step
