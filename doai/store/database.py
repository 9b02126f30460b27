"""Opens an SQLite file the one way that keeps promises: WAL, FULL, locked, private, migrated (steps 3, 10)."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

import apsw
import msgspec

from doai.errors import STORE_NEWER, LocalProtocolError, StoreError, StoreUnavailable
from doai.store.damage import told_damage
from doai.store.file_lock import FileLock
from doai.store.sql_files import load_migrations

SqlValue = None | int | float | str | bytes
Row = tuple[SqlValue, ...]

_SQLITE_CORRUPT_OR_FOREIGN: Final = (apsw.NotADBError, apsw.CorruptError)
_UNREADABLE: Final = (apsw.Error, UnicodeDecodeError)
"""What reading a damaged page raises: SQLite does not check that text is UTF-8."""


class Kind(msgspec.Struct, frozen=True):
    """What a file is for: decides its schema, and the mark in its header that tells it from others."""

    folder: str
    """Folder of its SQL files under ``sql/``."""
    application_id: int
    title: str
    """How messages call it."""
    synchronous: str = "FULL"
    """What a commit waits for; NORMAL: a power cut may take the newest commits."""


BROKER: Final = Kind("broker", 0x646F6162, "the broker's store")
OUTBOX: Final = Kind("outbox", 0x646F616F, "the node's outbox")
BOT: Final = Kind("bot", 0x646F6174, "the state of a bot")
LOG: Final = Kind("log", 0x646F616C, "the log lines of the admin", synchronous="NORMAL")


class Database:
    """An open file: one connection that writes and checkpoints, and the lock that keeps others out.

    Used from one thread at a time. After a commit that failed, only `close` is left.
    """

    def __init__(self, path: Path, kind: Kind, *, vfs: str | None = None) -> None:
        """Open or create, check, migrate. Raises StoreUnavailable (nothing changed) or StoreError.

        ``vfs``: name of a registered SQLite VFS, e.g. one that simulates power cuts; it then creates the file.
        """
        self._kind = kind
        self._path = path
        self._failed = ""
        self._closed = False
        self._log_pages = 0
        self._copied_pages = 0
        self._lock = FileLock(path, kind.title)
        try:
            if vfs is None:
                _create_private(path)
            self._connection = self._open(vfs)
        except BaseException:
            self._lock.release()
            raise
        self._page_bytes = self._pragma_int("page_size")

    @property
    def log_bytes(self) -> int:
        """Bytes of the write-ahead log that no checkpoint has copied yet."""
        return max(0, self._log_pages - self._copied_pages) * self._page_bytes

    def transact(self, work: Callable[[apsw.Connection], None]) -> None:
        """Run ``work`` in one transaction (BEGIN IMMEDIATE) and commit; StoreError for every failure."""
        if self._failed:
            raise LocalProtocolError(f"{self._failed}; exit and reload")
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            work(connection)
            connection.execute("COMMIT")
        except BaseException as error:
            self._failed = f"a commit to {self._path} failed before this one"
            if connection.in_transaction:
                self._roll_back()
            if isinstance(error, StoreError) or not isinstance(error, Exception):
                raise
            raise self._commit_error(error) from error

    def query(self, sql: str, bindings: Sequence[SqlValue] = ()) -> list[Row]:
        """Return all rows of one SELECT."""
        try:
            return list(self._connection.execute(sql, bindings))
        except _UNREADABLE as error:
            raise StoreError(f"{self._path} could not be read: {error}; restore it from a backup") from error

    def told_damage(self) -> AbstractContextManager[None]:
        """Within it, a value that no version of doai wrote is a StoreError."""
        return told_damage(self._path)

    def query_until(self, sql: str, bindings: Sequence[SqlValue], enough: Callable[[Row], bool]) -> list[Row]:
        """Return the rows of one SELECT before the first that is ``enough``; no later row is read."""
        rows: list[Row] = []
        cursor = self._connection.cursor()
        try:
            for row in cursor.execute(sql, bindings):
                if enough(row):
                    break
                rows.append(row)
        except _UNREADABLE as error:
            raise StoreError(f"{self._path} could not be read: {error}; restore it from a backup") from error
        finally:
            cursor.close(True)
        return rows

    def limit_pages(self, count: int) -> None:
        """Let the file grow to this many pages at most: the next commit beyond is as on a full disk."""
        self._connection.pragma("max_page_count", count)

    def checkpoint(self) -> None:
        """Copy the log into the database as far as readers allow."""
        try:
            pages, copied = self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except apsw.BusyError:
            return  # a reader is just recovering the log; the next checkpoint copies more
        except apsw.Error as error:
            self._failed = f"the checkpoint of {self._path} failed"
            raise StoreError(f"{self._failed}: {error}; look at the disk, then start again") from error
        self._log_pages, self._copied_pages = max(pages, 0), max(copied, 0)

    def close(self) -> None:
        """Close the connection, which copies the log, and free the lock; may be called twice.

        Raises StoreError when the disk fails: what was committed is in the log, and the next start reads it.
        """
        if self._closed:
            return
        self._closed = True
        try:
            self._connection.set_wal_hook(None)
            self._connection.close()
        except apsw.Error as error:
            raise StoreError(
                f"{self._path} could not be closed in order ({type(error).__name__}: {error}): what was committed "
                "is in its log; look at the disk, then start again"
            ) from error
        finally:
            self._lock.release()

    def _open(self, vfs: str | None) -> apsw.Connection:
        try:
            connection = apsw.Connection(str(self._path), vfs=vfs)
        except apsw.Error as error:
            raise StoreUnavailable(
                f"{self._path} can not be opened: {error}; check its folder and permissions",
                code="store_unreadable",
            ) from error
        try:
            self._prepare(connection)
        except BaseException as error:
            connection.close()
            if isinstance(error, _SQLITE_CORRUPT_OR_FOREIGN):
                raise StoreUnavailable(
                    f"{self._path} is no SQLite database, or damaged ({error}): restore it from a backup",
                    code="store_foreign",
                ) from error
            if isinstance(error, apsw.Error):
                raise self._commit_error(error) from error
            raise
        return connection

    def _prepare(self, connection: apsw.Connection) -> None:
        # Nothing else opens this file for writing, but a reader that opens it first holds locks for moments.
        connection.set_busy_timeout(5000)
        self._check_header(connection)
        connection.execute(
            f"PRAGMA journal_mode = WAL; PRAGMA synchronous = {self._kind.synchronous};"
            "PRAGMA wal_autocheckpoint = 0;"
            "PRAGMA temp_store = MEMORY; PRAGMA cache_size = -8000; PRAGMA journal_size_limit = 33554432"
        )
        connection.set_wal_hook(self._log_grew)
        self._migrate(connection)

    def _check_header(self, connection: apsw.Connection) -> None:
        application_id = connection.pragma("application_id")
        empty = connection.execute("SELECT count(*) = 0 FROM sqlite_master").get
        if application_id != self._kind.application_id and not (application_id == 0 and empty):
            raise StoreUnavailable(
                f"{self._path} is a database of another program, not {self._kind.title}: choose another path",
                code="store_foreign",
            )

    def _migrate(self, connection: apsw.Connection) -> None:
        migrations = load_migrations(self._kind.folder)
        version = int(connection.pragma("user_version"))
        if version > len(migrations):
            raise StoreUnavailable(
                f"{self._path} has schema version {version}, this doai knows {len(migrations)}: "
                "start the newer doai, or restore a backup that is older",
                code=STORE_NEWER,
            )
        for migration in migrations[version:]:
            connection.execute(
                f"BEGIN IMMEDIATE; {migration.script};"
                f"PRAGMA user_version = {migration.version}; PRAGMA application_id = {self._kind.application_id};"
                "COMMIT"
            )

    def _pragma_int(self, name: str) -> int:
        return int(self._connection.pragma(name))

    def _log_grew(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        if pages < self._copied_pages:  # the log began anew
            self._copied_pages = 0
        self._log_pages = pages
        return apsw.SQLITE_OK

    def _roll_back(self) -> None:
        try:
            self._connection.execute("ROLLBACK")
        except apsw.Error as error:
            # The file decides at the next start; the failure that led here is the one to tell.
            self._failed += f" and its rollback too ({error})"

    def _commit_error(self, error: Exception) -> StoreError:
        if isinstance(error, apsw.FullError):
            return StoreError(
                f"the disk of {self._path} is full, the commit failed: make space, then start again",
                code="disk_full",
            )
        if isinstance(error, apsw.ConstraintError):
            return StoreError(
                f"the commit to {self._path} contradicts what is stored ({error}): start again to reload",
                code="contradiction",
            )
        return StoreError(
            f"the commit to {self._path} failed and its outcome is unknown ({type(error).__name__}: {error}): "
            "look at the disk, then start again"
        )


def _create_private(path: Path) -> None:
    """Create the file with mode 0600 (log and index inherit it), and make its name durable in its folder."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return
    except OSError as error:
        raise StoreUnavailable(f"{path} can not be created: {error.strerror}", code="store_unreadable") from error
    os.fsync(fd)
    os.close(fd)
    folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
