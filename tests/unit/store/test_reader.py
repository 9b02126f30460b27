"""The reader's own promises: clear refusals, no transaction left open, proofs of devices, a stopped broker."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from doai.changes import ops
from doai.changes.rows import DeviceRow, NodeRow, SampleRow
from doai.changes.statistics import Period, StatisticsRow
from doai.codec import encode
from doai.errors import StoreUnavailable, UserError
from doai.histogram import Histogram
from doai.messages.link import DeviceProof, Heartbeat, HostSample
from doai.states import DeviceState
from doai.store.process_writer import ProcessWriter, open_process_writer
from doai.store.reader import StoreReader
from tests.conformance.store_ops import make_envelope
from tests.unit.store.test_retention_reader import run_id, run_ops


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "broker.db"


@pytest.fixture
def writer(path: Path) -> Iterator[ProcessWriter]:
    writer = open_process_writer(path, new_store_id="S", now_ms=1)
    yield writer
    writer.close()


def event(position: int) -> ops.AppendEvent:
    return ops.AppendEvent(position, make_envelope(f"e{position}", "task/t1", "task.queued"), 7)


def read(path: Path, work: Any, **options: Any) -> Any:
    """Run a coroutine function over a reader of its own."""

    async def run() -> Any:
        reader = StoreReader(path, **options)
        try:
            return await work(reader)
        finally:
            await reader.close()

    coroutine: Coroutine[Any, Any, Any] = run()
    return asyncio.run(coroutine)


def refusal(path: Path, **options: Any) -> StoreUnavailable:
    with pytest.raises(StoreUnavailable) as error:
        read(path, lambda reader: reader.events(limit=1000), **options)
    return error.value


def test_a_missing_store_is_told_and_not_created(path: Path) -> None:
    error = refusal(path)
    assert error.code == "store_missing"
    assert "start the broker" in str(error)
    assert not path.exists()


@pytest.mark.parametrize(("version", "code"), [(99, "store_newer"), (0, "store_older")])
def test_another_schema_version_is_refused(path: Path, writer: ProcessWriter, version: int, code: str) -> None:
    writer.close()
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {version}")
    connection.close()
    assert refusal(path).code == code


def test_no_database_at_all_is_told(path: Path) -> None:
    path.write_bytes(b"a letter" * 1000)
    assert refusal(path).code == "store_unreadable"


def test_a_question_that_takes_too_long_is_given_up(path: Path, writer: ProcessWriter) -> None:
    writer.commit([event(n) for n in range(1, 20_000)])
    error = refusal(path, read_max_s=0.0)
    assert error.code == "store_slow"
    assert "0.0 s" in str(error)


def test_it_reads_while_the_broker_writes_and_after_it_stopped(path: Path, writer: ProcessWriter) -> None:
    async def follow(reader: StoreReader) -> list[int]:
        seen = []
        for position in range(1, 6):
            writer.commit([event(position)])
            writer.checkpoint()
            assert writer.log_bytes == 0, "a reader holds the log back"
            seen.append(await reader.last_position())
        writer.close()
        seen.append(await reader.last_position())
        return seen

    assert read(path, follow) == [1, 2, 3, 4, 5, 5]
    assert read(path, lambda reader: reader.last_position()) == 5


def test_a_restored_file_is_read_anew(path: Path, writer: ProcessWriter, tmp_path: Path) -> None:
    other = open_process_writer(tmp_path / "other.db", new_store_id="T", now_ms=1)
    other.commit([event(1), event(2)])
    other.close()
    writer.commit([event(1)])
    writer.close()

    async def look_twice(reader: StoreReader) -> tuple[int, int]:
        before = await reader.last_position()
        (tmp_path / "other.db").rename(path)
        return before, await reader.last_position()

    assert read(path, look_twice) == (1, 2)


def test_who_stops_waiting_leaves_nothing_open(path: Path, writer: ProcessWriter) -> None:
    writer.commit([event(n) for n in range(1, 2000)])

    async def give_up(reader: StoreReader) -> int:
        for _ in range(8):
            asking = asyncio.ensure_future(reader.events(limit=1000))
            await asyncio.sleep(0)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
        writer.checkpoint()
        assert writer.log_bytes == 0
        return await reader.last_position()

    assert read(path, give_up) == 1999


def test_many_questions_at_once_are_answered(path: Path, writer: ProcessWriter) -> None:
    writer.commit([event(1)])

    async def ask(reader: StoreReader) -> list[int]:
        return await asyncio.gather(*[reader.last_position() for _ in range(20)])

    assert read(path, ask) == [1] * 20


def test_a_wrong_limit_is_the_askers_fault(path: Path) -> None:
    with pytest.raises(UserError, match="1 to 1000 items, not 0"):
        read(path, lambda reader: reader.runs(limit=0))


def test_devices_show_the_proofs_of_their_nodes_newest_heartbeat(path: Path, writer: ProcessWriter) -> None:
    def heartbeat(adb_age_s: float) -> bytes:
        sample = HostSample(host="h", pid=1, version="1", started_at_ms=1)
        return encode(Heartbeat(sample=sample, devices=[DeviceProof("d1", adb_age_s, -1)]))

    device = DeviceRow(
        serial="d1",
        node_id="n1",
        state=DeviceState.ONLINE,
        reason="",
        driver="adb",
        connection="usb",
        model="m",
        manufacturer="f",
        sdk=34,
        android="14",
        screen_width=1,
        screen_height=2,
        tags=["a"],
        first_seen_at_ms=1,
        changed_at_ms=2,
    )
    node = NodeRow(
        node_id="n1",
        host="h",
        version="1",
        slots=20,
        capabilities=["driver:adb"],
        started_at_ms=1,
        first_seen_at_ms=1,
        connected_at_ms=1,
        state="online",
        state_reason="",
        changed_at_ms=1,
    )
    newest = SampleRow(name="n1", instance="1", received_at_ms=9, body=heartbeat(0.5))
    writer.commit([ops.PutDevice(device), ops.PutNode(node), ops.PutSample(newest)])

    async def look(reader: StoreReader) -> tuple[Any, Any, Any]:
        return await reader.device("d1"), await reader.device("d2"), await reader.node("n1")

    shown, nobody, its_node = read(path, look)
    assert (shown.row, shown.proof_at_ms, shown.adb_age_s, shown.answer_age_s) == (device, 9, 0.5, None)
    assert nobody is None
    assert (its_node.row, its_node.sample) == (node, newest)


def test_statistics_of_a_time(path: Path, writer: ProcessWriter) -> None:
    def row(row_id: str, period: Period, at_ms: int, queue: str = "default") -> StatisticsRow:
        looked = dict.fromkeys(["waiting", "running", "delayed", "unproven", "nodes_online", "nodes_total"], None)
        ended = dict.fromkeys(["passed", "failed", "cancelled", "expired", "unknown"], 1)
        body = Histogram().encoded()
        return StatisticsRow(
            row_id=row_id, queue=queue, period=period, at_ms=at_ms, position=1, observed_ms=0,
            wait=body, duration=body, **looked, **ended,
        )  # fmt: skip

    minutes = [row("b", Period.MINUTE, 60_000), row("a", Period.MINUTE, 60_000), row("c", Period.MINUTE, 120_000)]
    other = [row("d", Period.MINUTE, 180_000), row("e", Period.HOUR, 0), row("f", Period.MINUTE, 60_000, "urgent")]
    writer.commit([ops.InsertStatistics(r) for r in (*minutes, *other)])
    found = read(path, lambda reader: reader.statistics(Period.MINUTE, 60_000, 180_000))
    assert [r.row_id for r in found] == ["a", "b", "f", "c"]
    assert found[0] == minutes[1]


def test_runs_are_found_by_campaign_and_project(path: Path, writer: ProcessWriter) -> None:
    made = [("nightly", "shelf-1"), ("", "shelf-1"), ("", "")]
    names = [run_id(days_ago) for days_ago in (1, 2, 3)]
    for days_ago, (campaign, project) in zip((1, 2, 3), made, strict=True):
        [insert] = run_ops(days_ago, tasks=0)
        row = msgspec.structs.replace(insert.row, campaign=campaign, project=project)  # type: ignore[union-attr]
        writer.commit([ops.InsertRun(row)])

    async def ask(reader: StoreReader) -> list[list[str]]:
        pages = [
            await reader.runs(campaign="nightly"),
            await reader.runs(project="shelf-1"),
            await reader.runs(campaign="nightly", project="other"),
            await reader.runs(campaign=""),
        ]
        return [[view.row.run_id for view in page.items] for page in pages]

    assert read(path, ask) == [names[:1], names[:2], [], names]
