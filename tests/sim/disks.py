"""Disks: commits that take time, fail, or land unseen; copies of them; some on real SQLite (steps 3, 6, 13)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from doai.changes.log import LogRequest, LogSlice
from doai.changes.ops import Op, Snapshot
from doai.changes.outbox import OutboxOp, OutboxState
from doai.store.bots_in_memory import MemoryLogReader
from doai.store.log_reader import SqliteLogReader
from doai.store.memory import MemoryTables, MemoryWriter
from doai.store.memory_outbox import MemoryOutbox, MemoryOutboxFile
from doai.store.outbox import SqliteOutbox, open_outbox
from doai.store.sqlite_writer import SqliteWriter, open_writer
from tests.sim.world import Violation, World


class DiskPace:
    """How long commits take."""

    def __init__(self, world: World, mean_s: float) -> None:
        self._world = world
        self._mean_s = mean_s
        self.slow_until_s = 0.0

    def commit_s(self) -> float:
        """Draw one."""
        random = self._world.random
        if self._world.now_s < self.slow_until_s:
            return random.uniform(0.1, 3.0)
        return self._mean_s * (0.2 + random.random() * 1.6)

    def read_s(self) -> float:
        """Draw how long a read takes; now and then the disk is busy."""
        return 0.001 if self._world.random.random() < 0.9 else self._world.random.uniform(0.01, 2.0)


class BrokerDisk:
    """The broker's store: memory tables, and beside them a real file in some worlds; both must agree."""

    def __init__(self, world: World, store_id: str, folder: Path | None) -> None:
        self.tables = MemoryTables(store_id)
        self.pace = DiskPace(world, world.random.choice((0.0005, 0.003, 0.02)))
        self.observers: list[Callable[[Sequence[Op]], None]] = []
        self._folder = folder
        self._memory: MemoryWriter | None = None
        self._real: SqliteWriter | None = None

    def load(self) -> Snapshot:
        """Read all of it, while it is open."""
        assert self._memory is not None
        return self._memory.load()

    def open(self) -> Snapshot:
        """Open it, as a new process does."""
        self._memory = MemoryWriter(self.tables)
        snapshot = self._memory.load()
        if self._folder is not None:
            self._real = open_writer(self._folder / "broker.db", new_store_id=self.tables.store_id, now_ms=0)
            real = self._real.load()
            if real != snapshot:
                raise Violation(
                    "store_differs", "SQLite and the memory store hold different rows after one history"
                )
            snapshot = real
        return snapshot

    def read_log(self, request: LogRequest) -> LogSlice:
        """Read a part of the event log, as a thread beside the writer does."""
        found = MemoryLogReader(self.tables).read(request)
        if self._folder is not None:
            reader = SqliteLogReader(self._folder / "broker.db")
            try:
                if reader.read(request) != found:
                    raise Violation("store_differs", f"SQLite and the memory store have another log: {request}")
            finally:
                reader.close()
        return found

    def commit(self, ops: Sequence[Op]) -> None:
        """Land a batch."""
        assert self._memory is not None
        self._memory.commit(ops)
        if self._real is not None:
            self._real.commit(ops)
        for observe in self.observers:
            observe(ops)

    def close(self) -> None:
        """The process ended."""
        if self._memory is not None:
            self._memory.close()
        if self._real is not None:
            self._real.close()
        self._memory = self._real = None

    def backup(self) -> MemoryTables:
        """Copy the tables as they are."""
        tables = MemoryTables(self.tables.store_id, self.tables.generation)
        for name, table in vars(self.tables).items():
            if isinstance(table, dict | list):
                setattr(tables, name, copy.copy(table))
        return tables

    def restore(self, backup: MemoryTables, store_id: str) -> None:
        """Put a backup in place: a new life of the store, whose tokens are larger than any before."""
        generation = self.tables.generation + 1
        self.tables = backup
        self.tables.store_id = store_id
        self.tables.generation = generation


class NodeDisk:
    """A node's own file; `clone` is what a copied virtual machine has."""

    def __init__(self, world: World, file: MemoryOutboxFile, folder: Path | None) -> None:
        self._world = world
        self.file = file
        self.pace = DiskPace(world, world.random.choice((0.0005, 0.003, 0.02)))
        self.observers: list[Callable[[Sequence[OutboxOp]], None]] = []
        self.history: list[str] = []
        """Ids of all facts that were ever on it, in order; a copy has those of its original."""
        self._folder = folder
        self._memory: MemoryOutbox | None = None
        self._real: SqliteOutbox | None = None

    def open(self) -> OutboxState:
        """Open it, as a new process does."""
        self._memory = MemoryOutbox(self.file)
        if self._folder is not None:
            self._real = open_outbox(self._folder, new_incarnation=self.file.incarnation)
        return self.load()

    def load(self) -> OutboxState:
        """Read it again."""
        assert self._memory is not None
        state = self._memory.load()
        if self._real is not None and (real := self._real.load()) != state:
            raise Violation("store_differs", f"SQLite and the memory outbox differ: {real} and {state}")
        return state

    def read_facts(self, after_seq: int, records: int, size: int) -> list[tuple[int, bytes]]:
        """Read facts."""
        assert self._memory is not None
        facts = self._memory.read_facts(after_seq, records, size)
        if self._real is not None and self._real.read_facts(after_seq, records, size) != facts:
            raise Violation("store_differs", "SQLite and the memory outbox give different facts")
        return facts

    def commit(self, ops: Sequence[OutboxOp]) -> None:
        """Land a batch."""
        assert self._memory is not None
        self._memory.commit(ops)
        if self._real is not None:
            self._real.commit(ops)
        for observe in self.observers:
            observe(ops)

    def close(self) -> None:
        """The process ended."""
        for writer in (self._memory, self._real):
            if writer is not None:
                writer.close()
        self._memory = self._real = None

    @property
    def is_real(self) -> bool:
        """Whether a file of SQLite is beside it."""
        return self._folder is not None


AnyDisk = BrokerDisk | NodeDisk
CommitOps = Sequence[Any]
