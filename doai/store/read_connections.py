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
from functools import partial
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


class _Connection(aiosqlite.Connection):
    """One connection, and the file it was opened on.

    A transaction is one call in the connection's thread: each call there and back costs a tenth of a millisecond of
    CPU, which is more than a usual question.
    """

    def __init__(self, path: Path, file_id: tuple[int, int], read_max_s: float) -> None:
        uri = f"file:{quote(str(path.absolute()))}?mode=ro"
        connect = partial(sqlite3.connect, uri, uri=True, isolation_level=None, timeout=read_max_s)
        super().__init__(connect, iter_chunk_size=1)
        self.file_id = file_id
        self._read_max_s = read_max_s
        self._deadline_s = 0.0
        """By then what it does must end."""

    def is_late(self) -> bool:
        return time.monotonic() > self._deadline_s

    async def transact(self, version: int, questions: Sequence[Question]) -> tuple[int, list[Answer]]:
        """Return the schema's version and, if that is the one wanted, all rows of each question.

        Raises sqlite3.Error.
        """
        self._deadline_s = time.monotonic() + self._read_max_s
        done = self._execute(self._transact, version, questions)  # type: ignore[no-untyped-call]
        found: tuple[int, list[Answer]] = await done
        return found

    def _transact(self, version: int, questions: Sequence[Question]) -> tuple[int, list[Answer]]:
        database = self._conn
        database.execute("BEGIN")
        [(found,)] = database.execute("PRAGMA user_version").fetchall()
        asked = questions if found == version else ()  # another schema may not even know the words
        answers = [database.execute(sql, bindings).fetchall() for sql, bindings in asked]
        database.execute("ROLLBACK")
        return int(found), answers


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
            await self._free.pop().close()

    async def _answer(self, questions: Sequence[Question]) -> list[Answer]:
        connection = await self._take()
        try:
            answers = await self._transact(connection, questions)
        except BaseException:
            await connection.close()
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
            await connection.close()  # the store was restored: this is the file of before
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
        try:
            connection = _Connection(self._path, file_id, self._read_max_s)
            await connection
        except sqlite3.Error as error:
            raise self._unreadable(error) from error
        await connection.set_progress_handler(connection.is_late, _OPCODES_PER_LOOK)
        return connection

    async def _transact(self, connection: _Connection, questions: Sequence[Question]) -> list[Answer]:
        try:
            version, answers = await connection.transact(self._version, questions)
        except sqlite3.Error as error:
            if connection.is_late():
                raise StoreUnavailable(
                    f"the question took longer than {self._read_max_s} s: ask for less at once, or with a filter",
                    code="store_slow",
                ) from error
            raise self._unreadable(error) from error
        self._check_version(version)
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
