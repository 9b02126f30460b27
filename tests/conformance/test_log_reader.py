"""Both readers of the event log give the same slices, however it was asked for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from doai.changes.bots import KeepEvent
from doai.changes.dead_letters import DeadLetterKind, DeadLetterRow, DeadReason
from doai.changes.log import LogRequest
from doai.changes.ops import AppendEvent, InsertDeadLetter, Op
from doai.changes.retention import PruneEvents
from doai.envelope import Envelope
from doai.store.base import LogReader
from doai.store.bots_in_memory import MemoryLogReader
from doai.store.log_reader import SqliteLogReader
from doai.store.memory import MemoryTables, MemoryWriter
from doai.store.sqlite_writer import open_writer

TYPES = ["task.queued", "task.failed", "run.created", "device.online"]


def event(position: int) -> AppendEvent:
    envelope = Envelope(
        event_id=str(position),
        type=TYPES[position % 4],
        subject=f"thing/{position % 3}",
        source="t/1",
        trace_id="a" * 32,
        occurred_at_ms=position,
        payload=msgspec.Raw(b"\x80"),
    )
    return AppendEvent(position, envelope, 1000 + position // 2)


LETTER = DeadLetterRow(
    letter_id="l", kind=DeadLetterKind.EVENT, reason=DeadReason.GIVEN_UP, created_at_ms=1, seq=7, subscription="b/s"
)
OPS: list[Op] = [*map(event, range(1, 31)), InsertDeadLetter(LETTER), KeepEvent("l"), PruneEvents([1, 2, 7, 11])]


@pytest.fixture(params=["memory", "sqlite"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LogReader]:
    if request.param == "memory":
        tables = MemoryTables("s")
        MemoryWriter(tables).commit(OPS)
        yield MemoryLogReader(tables)
        return
    writer = open_writer(tmp_path / "broker.db", new_store_id="s", now_ms=1)
    writer.commit(OPS)
    reader = SqliteLogReader(tmp_path / "broker.db")
    yield reader
    reader.close()
    writer.close()


def ask(topics: list[str], **about: object) -> LogRequest:
    wish = {"up_to": 30, "rows_max": 100, "bytes_max": 1 << 20, **about}
    return msgspec.convert({"topics": topics, **wish}, LogRequest)


@pytest.mark.parametrize(
    ("request_", "positions", "through"),
    [
        (ask(["task.*"]), [4, 5, 8, 9, 12, 13, 16, 17, 20, 21, 24, 25, 28, 29], 30),
        (ask(["run.created"], after=10, up_to=20), [14, 18], 20),
        (ask(["**"], rows_max=3), [3, 4, 5], 5),
        (ask(["secret.stored"], rows_max=3), [], 5),
        (ask(["task.queued", "run.*"], bytes_max=150), [4, 6], 7),
        (ask(["**"], since_ms=1013, up_to=28), [26, 27, 28], 28),
        (ask(["**"], since_ms=5000), [], 30),
    ],
)
def test_the_log_after_a_position(log: LogReader, request_: LogRequest, positions: list[int], through: int) -> None:
    found = log.read(request_)
    assert ([row.position for row in found.rows], found.through) == (positions, through)


def test_what_is_left_of_subjects(log: LogReader) -> None:
    found = log.read(ask(["task.*", "run.*"], rows_max=4, subjects=[("thing/0", 5), ("thing/1", 20), ("gone", 1)]))
    assert [row.position for row in found.rows] == [6, 9, 12, 22, 25, 28]
    assert found.subjects == {"thing/0": 15, "thing/1": 30, "gone": 30}


def test_single_events_also_one_that_only_its_dead_letter_has(log: LogReader) -> None:
    found = log.read(ask(["**"], positions=[5, 7, 11]))
    assert [(row.position, row.type, row.subject) for row in found.rows] == [
        (5, "task.failed", "thing/2"),
        (7, "device.online", "thing/1"),
    ]
