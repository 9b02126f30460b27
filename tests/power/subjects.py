"""The two files under test, each with its twin in memory and one way to see all that it holds."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from doai.changes.ops import Op
from doai.changes.outbox import OutboxOp
from doai.codec import encode
from doai.store.database import Database
from doai.store.memory import MemoryTables, MemoryWriter
from doai.store.memory_outbox import MemoryOutbox, MemoryOutboxFile
from doai.store.outbox import SqliteOutbox, open_outbox
from doai.store.sqlite_writer import SqliteWriter, open_writer
from tests.power.workload import broker_unit, outbox_unit

Opened = SqliteWriter | SqliteOutbox
FIRST_ID = "S"


class Twin(Protocol):
    """The memory twin after some commits."""

    def draw(self, rng: random.Random) -> list[Any]:
        """Return what may be committed next."""
        ...

    def commit(self, unit: Sequence[Any]) -> None: ...

    def state(self) -> Any:
        """Return everything that is stored, comparable."""
        ...


class BrokerTwin:
    """The broker's store in memory."""

    def __init__(self) -> None:
        self._tables = MemoryTables(FIRST_ID)
        self._writer = MemoryWriter(self._tables)

    def draw(self, rng: random.Random) -> list[Op]:
        return broker_unit(self._tables, rng)

    def commit(self, unit: Sequence[Op]) -> None:
        self._writer.commit(unit)

    def state(self) -> Any:
        tables = self._tables
        return (
            self._writer.load(),
            [encode(op.envelope) for op in tables.events],
            sorted((row.path, row.sha256) for row in tables.artifacts.values()),
            sorted((task_id, row.status.state.value, row.status.order) for task_id, row in tables.tasks.items()),
            sorted((row.name, row.received_at_ms, row.body) for row in tables.samples.values()),
        )


class OutboxTwin:
    """A node's file in memory."""

    def __init__(self) -> None:
        self._file = MemoryOutboxFile(FIRST_ID)
        self._outbox = MemoryOutbox(self._file)

    def draw(self, rng: random.Random) -> list[OutboxOp]:
        return outbox_unit(self._file, rng)

    def commit(self, unit: Sequence[OutboxOp]) -> None:
        self._outbox.commit(unit)

    def state(self) -> Any:
        facts = [(fact.seq, fact.envelope, int(fact.is_result)) for fact in self._file.facts.values()]
        return self._outbox.load(), facts, [fact.envelope for fact in self._file.kept]


class Subject(Protocol):
    """One kind of file."""

    name: str

    def open(self, path: Path, vfs: str | None, new_id: str = FIRST_ID) -> Opened: ...

    def twin(self) -> Twin: ...

    def state(self, opened: Any) -> Any: ...


class BrokerStore:
    """The broker's store."""

    name = "broker's store"

    def open(self, path: Path, vfs: str | None, new_id: str = FIRST_ID) -> Opened:
        return open_writer(path, new_store_id=new_id, now_ms=1, vfs=vfs)

    def twin(self) -> Twin:
        return BrokerTwin()

    def state(self, opened: SqliteWriter) -> Any:
        query = database_of(opened).query
        return (
            opened.load(),
            [row[0] for row in query("SELECT envelope FROM events ORDER BY position")],
            query("SELECT path, sha256 FROM artifacts ORDER BY path"),
            query("SELECT task_id, state, fifo_order FROM tasks ORDER BY task_id"),
            query("SELECT name, received_at_ms, body FROM samples ORDER BY name"),
        )


class NodeOutbox:
    """A node's outbox."""

    name = "node's outbox"

    def open(self, path: Path, vfs: str | None, new_id: str = FIRST_ID) -> Opened:
        return open_outbox(path, new_incarnation=new_id, vfs=vfs)

    def twin(self) -> Twin:
        return OutboxTwin()

    def state(self, opened: SqliteOutbox) -> Any:
        query, loaded = database_of(opened).query, opened.load()
        facts = "SELECT seq, envelope, is_result FROM facts WHERE seq > ? ORDER BY seq"
        kept = "SELECT envelope FROM facts WHERE seq <= ? ORDER BY seq"
        trimmed = loaded.trimmed_seq
        return loaded, query(facts, (trimmed,)), [row[0] for row in query(kept, (trimmed,))]


def database_of(opened: Opened) -> Database:
    """The database under a writer: to look at all of it, and to weaken it."""
    return opened._database


SUBJECTS: tuple[Subject, ...] = (BrokerStore(), NodeOutbox())
