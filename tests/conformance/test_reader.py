"""The reader against the twin in memory; the writer runs in another process, as it must (POSIX locks)."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings

from doai.admin.task_lists import tasks_page
from doai.changes import ops
from doai.changes.samples import HOUR_MS, MINUTE_MS, health_of, sum_of
from doai.errors import StoreError
from doai.states import HELD, DeviceState, RunState, TaskState, WorkflowState
from doai.store.memory import MemoryTables, MemoryWriter
from doai.store.process_writer import open_process_writer
from doai.store.reader import StoreReader
from doai.store.views import Page
from doai.topics import matches
from tests.conformance.store_ops import UNITS, numbered

LOST = ("failed", "unknown")


async def all_pages(ask: Callable[[str | None], Awaitable[Page[Any]]]) -> list[Any]:
    items: list[Any] = []
    cursor: str | None = None
    while True:
        page = await ask(cursor)
        items += page.items
        cursor = page.next_cursor
        if cursor is None:
            return items


def newest_first(table: dict[str, Any], wanted: Callable[[Any], bool]) -> list[Any]:
    return [row for _, row in sorted(table.items(), reverse=True) if wanted(row)]


async def compare(reader: StoreReader, t: MemoryTables) -> None:
    await compare_runs_and_tasks(reader, t)
    await compare_lines(reader, t)
    await compare_events(reader, t)
    await compare_samples(reader, t)
    await compare_the_rest(reader, t)


async def compare_samples(reader: StoreReader, t: MemoryTables) -> None:
    for serial in ("a", "b"):
        there = {minute: body for (name, minute), body in sorted(t.device_samples.items()) if name == serial}
        newest = await reader.device_samples.newest(serial)
        assert newest == (health_of(there[max(there)]) if there else None)
        minutes = await reader.device_samples.sums(serial, 30 * MINUTE_MS, 90 * MINUTE_MS, MINUTE_MS)
        assert minutes == [(m * MINUTE_MS, sum_of(health_of(there[m]))) for m in there if 30 <= m < 90]
        wide = await reader.device_samples.sums(serial, 0, 200 * MINUTE_MS, 10 * MINUTE_MS)
        assert sum(found.samples for _, found in wide) == len(there)
        assert all(at_ms % (10 * MINUTE_MS) == 0 for at_ms, _ in wide)
        hours = await reader.device_samples.sums(serial, 0, 3 * HOUR_MS, HOUR_MS)
        kept = {hour: body for (name, hour), body in t.sample_hours.items() if name == serial}
        assert {at_ms // HOUR_MS for at_ms, _ in hours} == set(kept), "hours outlive their minutes"


async def compare_by_words(reader: StoreReader, t: MemoryTables) -> None:
    """Lists by queue, by the code of a failure, by a word for several states; and how many failed of what."""
    views = await all_pages(lambda c: reader.runs(is_open=True, cursor=c, limit=2))
    assert [view.row for view in views] == newest_first(t.runs, lambda row: row.state is not RunState.COMPLETED)
    for queue in {row.queue for row in t.tasks.values()}:
        rows = await all_pages(lambda c, q=queue: tasks_page(reader, state="held", queue=q, cursor=c, limit=1))
        assert rows == newest_first(t.tasks, lambda r, q=queue: r.queue == q and r.status.state in HELD)
    for run_id in ("a", "b", "nobody"):
        causes = await reader.causes.of_run(run_id)
        lost = [row for row in t.tasks.values() if row.run_id == run_id and row.status.state.value in LOST]
        assert sum(cause.count for cause in causes) == len(lost)
        for cause in (cause for cause in causes if cause.code):
            rows = await all_pages(
                lambda c, r=run_id, w=cause: tasks_page(reader, run_id=r, state=w.state, code=w.code, cursor=c)
            )
            alike = [row for row in rows if row.status.failure.error_class.value == cause.error_class]
            assert len(alike) == cause.count
            [example] = [row for row in alike if row.task_id == cause.task_id]
            assert example.status.failure.message == cause.message


async def compare_runs_and_tasks(reader: StoreReader, t: MemoryTables) -> None:
    for state in (None, *RunState):
        for workflow in (None, "a"):
            views = await all_pages(
                lambda c, s=state, w=workflow: reader.runs(state=s, workflow=w, cursor=c, limit=2)
            )
            expected = newest_first(
                t.runs, lambda r, s=state, w=workflow: s in (None, r.state) and w in (None, r.workflow)
            )
            assert [view.row for view in views] == expected
    for run_id in ("a", "b", "nobody"):
        view = await reader.run(run_id)
        assert (view.row if view else None) == t.runs.get(run_id)
        if view:
            of_run = [task for task in t.tasks.values() if task.run_id == run_id]
            assert view.counts == Counter(task.status.state.value for task in of_run)
    for state in (None, *TaskState):
        for device in (None, "a"):
            for run_id in (None, "a"):
                for node in (None, "b"):
                    rows = await all_pages(
                        lambda c, q=(run_id, state, device, node): reader.tasks(
                            run_id=q[0], state=q[1], device=q[2], node=q[3], cursor=c, limit=1
                        )
                    )
                    expected = newest_first(
                        t.tasks,
                        lambda r, q=(run_id, state, device, node): (
                            q[0] in (None, r.run_id)
                            and q[1] in (None, r.status.state)
                            and q[2] in (None, r.status.device_serial)
                            and q[3] in (None, r.status.node_id)
                        ),
                    )
                    assert rows == (expected if run_id is None else expected[::-1])
    await compare_by_words(reader, t)
    for task_id in ("t1", "t2", "nobody"):
        task = await reader.task(task_id)
        assert (task.row if task else None) == t.tasks.get(task_id)
        if task:
            assert task.attempts == [row for key, row in sorted(t.attempts.items()) if key[0] == task_id]


async def compare_lines(reader: StoreReader, t: MemoryTables) -> None:
    for row in t.tasks.values():
        line = await reader.line(row)
        serial, order = row.status.device_serial, row.status.order
        others = [other for other in t.tasks.values() if other.task_id != row.task_id]
        queued = [other for other in others if other.status.state is TaskState.QUEUED]
        if serial is None:
            ahead = [
                other
                for other in queued
                if (other.run_id, other.status.device_serial) == (row.run_id, None) and other.status.order < order
            ]
        else:
            ahead = [
                other
                for other in queued
                if (other.status.device_serial, other.queue) == (serial, row.queue)
                and (-other.priority, other.status.order) < (-row.priority, order)
            ]
        assert line.ahead == len(ahead)
        held = [other for other in t.tasks.values() if other.status.state in HELD]
        on_device = {x.task_id for x in held if serial is not None and x.status.device_serial == serial}
        assert {other.task_id for other in line.held} == on_device - {row.task_id}
        node = t.devices[serial].node_id if serial in t.devices else None
        assert line.node_held == sum(node is not None and x.status.node_id == node for x in held)


async def compare_events(reader: StoreReader, t: MemoryTables) -> None:
    assert await reader.last_position() == len(t.events)
    for subject in (None, "task/t1"):
        for pattern in (None, "task.*", "**", "run.created", "*.started"):
            seen: list[tuple[int, Any]] = []
            after = 0
            while after < len(t.events):
                page = await reader.events(after=after, subject=subject, pattern=pattern, limit=2)
                assert page.last_position == len(t.events)
                assert page.next_after > after
                seen += [(event.position, event.envelope) for event in page.events]
                after = page.next_after
            assert seen == [
                (event.position, event.envelope)
                for event in t.events
                if subject in (None, event.envelope.subject)
                and (pattern is None or matches(pattern, event.envelope.type))
            ]
    story = await reader.story_of_run("a")
    subjects = {"run/a"} | {f"task/{task.task_id}" for task in t.tasks.values() if task.run_id == "a"}
    assert [event.position for event in story.events] == [
        event.position for event in t.events if event.envelope.subject in subjects
    ]


async def compare_the_rest(reader: StoreReader, t: MemoryTables) -> None:
    for name in (None, "a"):
        files = sorted(t.files.values(), key=lambda row: row.position)
        found = await reader.files(name=name)
        assert sorted(found, key=str) == sorted((row for row in files if name in (None, row.name)), key=str)
        assert [row.position for row in found] == sorted(row.position for row in found)
    for state in (None, *DeviceState):
        devices = await reader.devices(state=state)
        assert [view.row for view in devices] == [
            row for _, row in sorted(t.devices.items()) if state in (None, row.state)
        ]
        for view in devices:
            node = t.nodes.get(view.row.node_id)
            assert view.node_state.value == (node.state if node else "offline")
    assert [view.row for view in await reader.nodes()] == [row for _, row in sorted(t.nodes.items())]
    assert sorted(await reader.samples(), key=lambda row: (row.name, row.instance)) == [
        row for _, row in sorted(t.samples.items())
    ]
    assert await reader.workflows() == [row for _, row in sorted(t.workflows.items())]
    active = await reader.workflow("a")
    of_a = [row for _, row in sorted(t.workflows.items()) if row.name == "a" and row.state is WorkflowState.ACTIVE]
    assert active == (of_a[-1] if of_a else None)
    assert await reader.workflow("a", 2) == t.workflows.get(("a", 2))
    files = await all_pages(lambda c: reader.artifacts(run_id="a", cursor=c, limit=1))
    assert files == [row for _, row in sorted(t.artifacts.items()) if row.run_id == "a"]
    for name in ("a", "b"):
        assert await reader.artifact(name) == t.artifacts.get(name)
        assert await reader.key(name) == t.keys.get(name)
        of_run = await all_pages(lambda c, n=name: reader.artifacts(run_id=n, task_id="t1", cursor=c))
        assert of_run == [
            row for _, row in sorted(t.artifacts.items()) if row.run_id == name and row.task_id == "t1"
        ]
    assert await reader.tokens() == [row for _, row in sorted(t.tokens.items())]
    token = await reader.token("x")
    found = [row for row in t.tokens.values() if row.token_sha256 == "x"]
    assert (token is not None) == bool(found)
    if token is not None and token.revoked_at_ms is not None:
        assert all(row.revoked_at_ms is not None for row in found)


@settings(deadline=None, max_examples=8, suppress_health_check=[HealthCheck.too_slow])
@given(units=UNITS)
def test_the_reader_sees_what_was_committed(units: list[list[ops.Op]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "broker.db"
        tables = MemoryTables("S")
        memory = MemoryWriter(tables)
        writer = open_process_writer(path, new_store_id="S", now_ms=1)

        async def read_along() -> None:
            nonlocal memory
            reader = StoreReader(path)
            try:
                for drawn in units:
                    # samples hold what a heartbeat encodes; the made ones do not, and the reader decodes them
                    unit = [op for op in numbered(drawn, len(tables.events)) if not isinstance(op, ops.PutSample)]
                    try:
                        memory.commit(unit)
                    except StoreError:
                        memory.close()
                        memory = MemoryWriter(tables)
                    else:
                        writer.commit(unit)
                await compare(reader, tables)
            finally:
                await reader.close()

        try:
            asyncio.run(read_along())
        finally:
            writer.close()
