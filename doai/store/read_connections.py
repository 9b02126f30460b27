"""Read-only connections to the broker's file, for the admin's asyncio loop (step 14).

Every question is one short transaction that checks the schema's version, fetches all, and ends: nothing is
held while the loop does other things, because an open reader makes the write-ahead log grow. A plain
read-only connection (never immutable, which misses rows), in a process that does not open the file for writing.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import aiosqlite

from doai import limits
from doai.errors import STORE_NEWER, StoreUnavailable
from doai.store.sql_files import load_migrations

Question = tuple[str, Sequence[Any] | dict[str, Any]]
Answer = list[tuple[Any, ...]]

_CONNECTIONS: Final = 4
"""Questions answered at once; each connection is a thread of two cores."""
_OPCODES_PER_LOOK: Final = 2000
"""SQLite looks at the clock after so many steps: some 20 us."""


class _Connection:
    """One connection, the file it was opened on, and the time at which what it does must end."""

    def __init__(self, database: aiosqlite.Connection, file_id: tuple[int, int]) -> None:
        self.database = database
        self.file_id = file_id
        self.deadline_s = 0.0

    def is_late(self) -> bool:
        return time.monotonic() > self.deadline_s


class ReadConnections:
    """A few connections to one file, opened when needed. Every error is a StoreUnavailable."""

    def __init__(self, path: Path, *, read_max_s: float = limits.READ_MAX_S) -> None:
        self._path = path
        self._read_max_s = read_max_s
        self._version = len(load_migrations("broker"))
        self._free: list[_Connection] = []
        self._asking: set[asyncio.Task[list[Answer]]] = set()
        self._turn = asyncio.Semaphore(_CONNECTIONS)

    async def ask(self, *questions: Question) -> list[Answer]:
        """Return all rows of each question, all from one moment of the store."""
        async with self._turn:
            # A task of its own: who no longer wants the answer, however often it is cancelled, leaves no
            # transaction open and no connection half-opened, whose thread would keep the process alive.
            asking = asyncio.ensure_future(self._answer(questions))
            self._asking.add(asking)
            asking.add_done_callback(self._answered)
            return await asyncio.shield(asking)

    async def close(self) -> None:
        """Close what is open, once what is being asked has its answer; may be called twice."""
        if self._asking:
            await asyncio.wait(self._asking)
        while self._free:
            await self._free.pop().database.close()

    async def _answer(self, questions: Sequence[Question]) -> list[Answer]:
        connection = await self._take()
        try:
            answers = await self._transact(connection, questions)
        except BaseException:
            await connection.database.close()
            raise
        self._free.append(connection)
        return answers

    def _answered(self, asking: asyncio.Task[list[Answer]]) -> None:
        self._asking.discard(asking)
        if not asking.cancelled():
            asking.exception()  # looked at, so that nobody's interest in it is no warning

    async def _take(self) -> _Connection:
        file_id = self._file_id()
        while self._free:
            connection = self._free.pop()
            if connection.file_id == file_id:
                return connection
            await connection.database.close()  # the store was restored: this is the file of before
        return await self._open(file_id)

    def _file_id(self) -> tuple[int, int]:
        try:
            status = self._path.stat()
        except OSError as error:
            raise StoreUnavailable(
                f"there is no store at {self._path} ({error.strerror}): start the broker, or correct the path",
                code="store_missing",
            ) from error
        return status.st_dev, status.st_ino

    async def _open(self, file_id: tuple[int, int]) -> _Connection:
        uri = f"file:{quote(str(self._path.absolute()))}?mode=ro"
        try:
            database = await aiosqlite.connect(uri, uri=True, isolation_level=None, timeout=self._read_max_s)
        except sqlite3.Error as error:
            raise self._unreadable(error) from error
        connection = _Connection(database, file_id)
        await database.set_progress_handler(connection.is_late, _OPCODES_PER_LOOK)
        return connection

    async def _transact(self, connection: _Connection, questions: Sequence[Question]) -> list[Answer]:
        connection.deadline_s = time.monotonic() + self._read_max_s
        database = connection.database
        try:
            await database.execute("BEGIN")
            [(version,)] = await database.execute_fetchall("PRAGMA user_version")
            self._check_version(int(version))
            answers: list[Answer] = []
            for sql, bindings in questions:
                rows = await database.execute_fetchall(sql, bindings)
                answers.append([tuple(row) for row in rows])
            await database.execute("ROLLBACK")
        except sqlite3.Error as error:
            if connection.is_late():
                raise StoreUnavailable(
                    f"the question took longer than {self._read_max_s} s: ask for less at once, or with a filter",
                    code="store_slow",
                ) from error
            raise self._unreadable(error) from error
        return answers

    def _check_version(self, version: int) -> None:
        if version > self._version:
            raise StoreUnavailable(
                f"{self._path} has schema version {version}, this admin knows {self._version}: "
                "start the newer admin",
                code=STORE_NEWER,
            )
        if version < self._version:
            raise StoreUnavailable(
                f"{self._path} has schema version {version}, this admin needs {self._version}: "
                "start the broker of this version first, it brings the store up to date",
                code="store_older",
            )

    def _unreadable(self, error: sqlite3.Error) -> StoreUnavailable:
        return StoreUnavailable(
            f"{self._path} can not be read ({error}): admin and broker must run as one user on one host",
            code="store_unreadable",
        )
