"""One suite for the broker's store on disk and its twin in memory: same answers, same refusals."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import astuple

from doai import limits
from doai.changes import ops
from doai.changes.rows import StreamRow
from doai.errors import StoreError
from doai.store.audit_columns import audit_row
from doai.store.memory import MemoryTables, MemoryWriter
from doai.store.sqlite_writer import open_writer
from tests.conformance.store_ops import UNITS, numbered


def refused(commit: object, unit: list[ops.Op]) -> bool:
    try:
        commit(unit)  # type: ignore[operator]
    except StoreError:
        return True
    return False


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(units=UNITS, wrong_at=st.integers(0, 40))
def test_both_stores_keep_the_same(units: list[list[ops.Op]], wrong_at: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "broker.db"
        tables = MemoryTables("S")
        disk, memory = open_writer(path, new_store_id="S", now_ms=1), MemoryWriter(tables)
        for index, drawn in enumerate(units):
            unit = numbered(drawn, tables.last_position, wrong=index == wrong_at)
            outcome = refused(disk.commit, unit)
            assert refused(memory.commit, unit) is outcome, unit
            if outcome:  # an unknown outcome: exit and reload
                disk.close()
                memory.close()
                disk, memory = open_writer(path, new_store_id="other", now_ms=2), MemoryWriter(tables)
            assert disk.load() == memory.load()
        disk.close()
        assert_same_rows(path, tables)
        disk = open_writer(path, new_store_id="other", now_ms=2)
        assert disk.load() == memory.load()
        disk.close()


def assert_same_rows(path: Path, tables: MemoryTables) -> None:
    """What no start loads, but readers see, is the same too."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)

    def rows(sql: str) -> list[tuple[Any, ...]]:
        return list(connection.execute(sql))

    assert [row[0] for row in rows("SELECT position FROM events ORDER BY position")] == [
        event.position for event in tables.events
    ]
    assert {row[0] for row in rows("SELECT task_id FROM tasks")} == set(tables.tasks)
    ended = [row for row in tables.tasks.values() if row.status.ended_at_ms is not None]
    listed = set(rows("SELECT * FROM device_tasks")) | set(rows("SELECT * FROM ended_lately"))
    assert {(row.status.device_serial, row.task_id) for row in ended if row.status.device_serial} <= listed
    assert {row[0] for row in rows("SELECT run_id FROM runs")} == set(tables.runs)
    assert {row[0] for row in rows("SELECT path FROM artifacts")} == set(tables.artifacts)
    assert rows("SELECT count(*) FROM attempts") == [(len(tables.attempts),)]
    assert {row[0]: audit_row(row[1:]) for row in rows("SELECT * FROM audit")} == tables.audit
    assert {row[:3]: row[3:] for row in rows("SELECT * FROM removals")} == tables.removals
    usage = [(row.kind.value, *astuple(row)[1:]) for row in tables.usage.values()]
    assert sorted(rows("SELECT * FROM usage")) == sorted(usage)
    assert {row[:2]: row[2] for row in rows("SELECT * FROM device_samples")} == tables.device_samples
    assert {row[:2]: row[2] for row in rows("SELECT * FROM device_sample_hours")} == tables.sample_hours
    connection.close()


def test_digests_are_kept_up_to_the_bound(tmp_path: Path) -> None:
    disk = open_writer(tmp_path / "broker.db", new_store_id="S", now_ms=1)
    memory = MemoryWriter(MemoryTables("S"))
    row = StreamRow(name="n", instance="1", incarnation="i", epoch=1, last_seq=0)
    batch = 300
    for writer in (disk, memory):
        writer.commit([ops.PutStream(row)])
        seq = 1
        while seq < limits.HASHES_KEPT + 3 * batch:
            digests = [n.to_bytes(8, "big") for n in range(seq, seq + batch)]
            writer.commit([ops.AdvanceStream("n", "1", "i", seq, digests)])
            seq += batch
    [state] = disk.load().streams
    assert len(state.digests) == limits.HASHES_KEPT
    assert state.digests[-1] == state.row.last_seq.to_bytes(8, "big")
    assert disk.load() == memory.load()
    disk.close()


def test_steps_of_two_streams_in_one_commit_are_as_if_alone(tmp_path: Path) -> None:
    disk = open_writer(tmp_path / "broker.db", new_store_id="S", now_ms=1)
    memory = MemoryWriter(MemoryTables("S"))
    names = ("n", "m")
    for writer in (disk, memory):
        rows = [StreamRow(name=name, instance="1", incarnation="i", epoch=1, last_seq=0) for name in names]
        writer.commit([ops.PutStream(row) for row in rows])
        writer.commit(
            [
                ops.AdvanceStream(name, "1", "i", seq, [n.to_bytes(8, "big") for n in range(seq, seq + 3)])
                for seq in range(1, 31, 3)
                for name in names
            ]
        )
    assert [state.row.last_seq for state in disk.load().streams] == [30, 30]
    assert disk.load() == memory.load()
    disk.close()


@pytest.mark.parametrize(
    "second",
    [ops.AdvanceStream("n", "1", "i", 3, [b"12345678"]), ops.AdvanceStream("n", "1", "i", 2, [])],
    ids=["a gap", "no digests"],
)
def test_a_wrong_step_behind_a_right_one_is_found(tmp_path: Path, second: ops.AdvanceStream) -> None:
    disk = open_writer(tmp_path / "broker.db", new_store_id="S", now_ms=1)
    disk.commit([ops.PutStream(StreamRow(name="n", instance="1", incarnation="i", epoch=1, last_seq=0))])
    with pytest.raises(StoreError):
        disk.commit([ops.AdvanceStream("n", "1", "i", 1, [b"12345678"]), second])
    disk.close()
