"""The admin's file of log lines: what every process logged, by arrival, for some days (step 14).

Lines are worth less than results: a power cut may take the newest, and the oldest go when there are too many.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

import apsw
import msgspec

from doai.store.database import LOG, Database, Row, SqlValue
from doai.store.sql_files import load_statements

SCAN_MAX: Final = 200_000
"""Lines that one page looks through at most; some 50 ms."""
DROP_MAX: Final = 20_000
"""Lines that are removed in one transaction."""
_WARNING: Final = 30
_encode: Final = msgspec.json.Encoder().encode


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A line as it is stored."""

    n: int = 0
    """Its place among all, by arrival; 0 = it has none yet."""
    received_at_ms: int
    at_ms: int
    """By the clock of its host."""
    level: int
    program: str
    source: str
    """Address of its process on the mesh: ``node-1/...``, ``broker/main``."""
    logger: str
    message: str
    fields: Mapping[str, str] = {}
    exception: str = ""


class LineFilter(msgspec.Struct, frozen=True, kw_only=True):
    """All that is given holds."""

    level_min: int = 0
    program: str = ""
    source: str = ""
    """A whole address, or its name: ``node-1``."""
    run_id: str = ""
    task_id: str = ""
    device_serial: str = ""
    text: str = ""
    """In the message or the exception, in whatever case."""
    since_ms: int | None = None
    until_ms: int | None = None
    """By arrival."""


class LinePage(msgspec.Struct, frozen=True):
    """Lines, newest first."""

    lines: list[Line]
    older: int | None
    """Lines before this number come next; None = there are none."""
    newest: int
    """Number of the newest line there is."""


class LineStore:
    """Used from one thread at a time; every method may raise StoreError."""

    def __init__(self, path: Path) -> None:
        """Open or create; raises StoreUnavailable and StoreError."""
        self._database = Database(path, LOG)
        self._sql = load_statements(LOG.folder, "statements")

    def append(self, lines: Sequence[Line]) -> None:
        """Keep lines, in this order."""
        rows = [_row(line) for line in lines]
        self._database.transact(lambda connection: _insert(connection, self._sql["insert"], rows))
        self._database.checkpoint()

    def page(self, wanted: LineFilter, *, before: int | None, after: int | None, limit: int) -> LinePage:
        """Return the newest lines before a number, or (``after``) those that came since one."""
        oldest, newest = self._ends()
        if not newest:
            return LinePage([], None, 0)
        low = max(oldest, (after or 0) + 1)
        high = newest if before is None else min(newest, before - 1)
        if wanted.since_ms is not None:
            low = max(low, self._first_at(wanted.since_ms, oldest, newest))
        if wanted.until_ms is not None:
            high = min(high, self._first_at(wanted.until_ms + 1, oldest, newest) - 1)
        by_index = wanted.run_id or wanted.task_id or wanted.device_serial or wanted.level_min >= _WARNING
        from_n = low if by_index else max(low, high - SCAN_MAX + 1)
        conditions, bindings = _conditions(wanted)
        conditions = ["n BETWEEN ? AND ?", *conditions]
        sql = f"{self._sql['page']} WHERE {' AND '.join(conditions)} ORDER BY n DESC LIMIT ?"
        found = [_line(row) for row in self._database.query(sql, (from_n, high, *bindings, limit))]
        if len(found) == limit:
            older: int | None = found[-1].n if found[-1].n > low else None
        else:
            older = from_n if from_n > low else None
        return LinePage(found, older, newest)

    def drop(self, *, before_ms: int, lines_max: int) -> int:
        """Remove the oldest lines that arrived before a time or are too many; at most DROP_MAX. Return how many."""
        oldest, newest = self._ends()
        if not newest:
            return 0
        keep_from = max(self._first_at(before_ms, oldest, newest), newest - lines_max + 1)
        # The newest stays, so that no number is given twice.
        up_to = min(keep_from - 1, oldest + DROP_MAX - 1, newest - 1)
        if up_to < oldest:
            return 0
        self._database.transact(lambda connection: _drop(connection, self._sql["drop_up_to"], up_to))
        self._database.checkpoint()
        return up_to - oldest + 1

    def close(self) -> None:
        """Let go of the file; may be called twice."""
        self._database.close()

    def _ends(self) -> tuple[int, int]:
        [(oldest, newest)] = self._database.query(self._sql["ends"])
        return cast(int, oldest), cast(int, newest)

    def _first_at(self, at_ms: int, oldest: int, newest: int) -> int:
        """Return the number of the first line that arrived at a time or later; one after the newest if none did.

        Numbers and arrivals grow together (a clock that was set back makes it roughly right), so it is a bisection.
        """
        low, high = oldest, newest + 1
        while low < high:
            middle = (low + high) // 2
            [(n, received_at_ms)] = self._database.query(self._sql["first_from"], (middle,))
            if cast(int, received_at_ms) < at_ms:
                low = cast(int, n) + 1
            else:
                high = middle
        return low


def _conditions(wanted: LineFilter) -> tuple[list[str], list[SqlValue]]:
    given: list[tuple[str, SqlValue]] = [
        ("run_id = ?", wanted.run_id),
        ("task_id = ?", wanted.task_id),
        ("device_serial = ?", wanted.device_serial),
        ("program = ?", wanted.program),
    ]
    found = [(condition, [value]) for condition, value in given if value]
    if wanted.source:
        # The name of a peer, or one of its processes: `node-1` is not `node-10`.
        found.append(("(source = ? OR source >= ? AND source < ?)", [wanted.source, *_below(wanted.source)]))
    if wanted.level_min >= _WARNING:
        # Also as in the schema: SQLite uses a partial index only where the question contains its condition.
        found.append(("level >= 30 AND level >= ?", [wanted.level_min]))
    elif wanted.level_min:
        found.append(("level >= ?", [wanted.level_min]))
    if wanted.text:
        pattern = "%" + wanted.text.replace("\\", "\\\\").replace("%", r"\%").replace("_", r"\_") + "%"
        found.append((r"(message LIKE ? ESCAPE '\' OR exception LIKE ? ESCAPE '\')", [pattern, pattern]))
    return [condition for condition, _ in found], [value for _, values in found for value in values]


def _below(name: str) -> tuple[str, str]:
    return f"{name}/", f"{name}0"  # 0 follows / in Unicode


def _insert(connection: apsw.Connection, sql: str, rows: list[tuple[Any, ...]]) -> None:
    connection.executemany(sql, rows)


def _drop(connection: apsw.Connection, sql: str, up_to: int) -> None:
    connection.execute(sql, (up_to,))


def _row(line: Line) -> tuple[Any, ...]:
    ids = (line.fields.get(name) for name in ("run_id", "task_id", "device_serial"))
    return (
        line.received_at_ms,
        line.at_ms,
        line.level,
        line.program,
        line.source,
        line.logger,
        line.message,
        *ids,
        _encode(line.fields).decode(),
        line.exception,
    )


def _line(row: Row) -> Line:
    n, received_at_ms, at_ms, level, program, source, logger, message, fields, exception = cast(Any, row)
    return Line(
        n=n,
        received_at_ms=received_at_ms,
        at_ms=at_ms,
        level=level,
        program=program,
        source=source,
        logger=logger,
        message=message,
        fields=msgspec.json.decode(fields, type=dict[str, str]),
        exception=exception,
    )
