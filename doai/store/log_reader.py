"""Reads parts of the event log for bots, over a connection of its own beside the writer's (step 14)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import apsw

from doai.changes.log import LoggedRow, LogRequest, LogSlice
from doai.codec import decode
from doai.envelope import Envelope
from doai.errors import StoreError
from doai.store.database import BROKER
from doai.store.sql_files import load_statements
from doai.topics import matches

_BUSY_MS: Final = 5000
"""A checkpoint that begins the log anew holds readers up for moments."""


class SqliteLogReader:
    """`LogReader` over the broker's file: every read is a transaction of its own, which ends with it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sql = load_statements(BROKER.folder, "columns", "statements")
        self._connection: apsw.Connection | None = None

    def read(self, request: LogRequest) -> LogSlice:
        try:
            connection = self._open()
            connection.execute("BEGIN")
            try:
                return self._read(connection, request)
            finally:
                connection.execute("COMMIT")
        except apsw.Error as error:
            raise StoreError(
                f"the event log of {self._path} could not be read: {error}; look at the disk"
            ) from error

    def close(self) -> None:
        """Let go of the file; may be called twice."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> apsw.Connection:
        if self._connection is None:
            self._connection = apsw.Connection(str(self._path), flags=apsw.SQLITE_OPEN_READONLY)
            self._connection.set_busy_timeout(_BUSY_MS)
        return self._connection

    def _read(self, connection: apsw.Connection, request: LogRequest) -> LogSlice:
        if request.positions:
            at, found_at = self._sql["log_at"], list[tuple[Any, ...]]()
            for position in request.positions:
                found_at += connection.execute(at, (position,)).fetchall()
            logged = {row[0] for row in found_at}
            kept = list[tuple[Any, ...]]()
            for position in request.positions:
                if position not in logged:
                    kept += connection.execute(self._sql["kept_event"], (position,)).fetchall()
            return LogSlice(rows=[LoggedRow(*row) for row in found_at] + [kept_row(*row) for row in kept])
        if request.subjects:
            of = self._sql["log_of_subject"]
            found = {
                subject: connection.execute(of, (subject, first, request.up_to, request.rows_max)).fetchall()
                for subject, first in request.subjects
            }
            return slice_of_subjects(request, found)
        after = self._begin(connection, request) if request.since_ms else request.after
        bounds = after, request.up_to, request.rows_max
        return slice_of_log(request, connection.execute(self._sql["log_slice"], bounds).fetchall())

    def _begin(self, connection: apsw.Connection, request: LogRequest) -> int:
        """Return the position before the first event recorded at or after a time; times grow with positions."""
        low, high = request.after, request.up_to
        while low < high:
            middle = (low + high) // 2
            row = connection.execute(self._sql["log_begin"], (middle, high)).fetchone()
            if row is None or row[1] >= request.since_ms:
                high = middle
            else:
                low = row[0]
        return low


def kept_row(position: int, body: bytes) -> LoggedRow:
    """Return an event that the log has no more, as its dead letter keeps it."""
    envelope = decode(body, Envelope)
    return LoggedRow(position, envelope.type, envelope.subject, body)


def slice_of_log(request: LogRequest, rows: Iterable[tuple[Any, ...]]) -> LogSlice:
    """Keep what matches and fits, of rows (position, type, subject, body) after `request.after`."""
    taken: list[LoggedRow] = []
    size = 0
    through = request.up_to
    for looked, row in enumerate(rows, 1):
        wanted = any(matches(pattern, row[1]) for pattern in request.topics)
        if wanted and taken and size + len(row[3]) > request.bytes_max:
            through = row[0] - 1
            break
        if wanted:
            taken.append(LoggedRow(*row))
            size += len(row[3])
        if looked >= request.rows_max:
            through = row[0]
    return LogSlice(rows=taken, through=through)


def slice_of_subjects(request: LogRequest, found: dict[str, list[tuple[Any, ...]]]) -> LogSlice:
    """Keep what matches and fits, of the rows of each subject."""
    taken: list[LoggedRow] = []
    looked: dict[str, int] = {}
    size = 0
    for subject, rows in found.items():
        through = request.up_to if len(rows) < request.rows_max else rows[-1][0]
        for row in rows:
            if not any(matches(pattern, row[1]) for pattern in request.topics):
                continue
            if taken and size + len(row[3]) > request.bytes_max:
                through = row[0] - 1
                break
            taken.append(LoggedRow(*row))
            size += len(row[3])
        looked[subject] = through
    return LogSlice(rows=taken, subjects=looked)
