"""What a benchmark sees of a broker's store while the broker runs, over a read-only connection (step 14)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import apsw
import msgspec
import trio

from doai.errors import DoaiError

POLL_S: Final = 0.02
BUSY_MS: Final = 1000
_ENDS: Final = ("task.completed", "task.failed")


class CountsWrong(DoaiError):
    """What was asked for and what the store has are not the same: the figures would be of something else."""

    code = "counts_wrong"


class StoredCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of a store after a measurement."""

    tasks: int
    passed: int
    attempts: int
    runs: int
    completed: int
    """Distinct subjects of ``task.completed``."""
    events: int
    first_position: int
    last_position: int


class StoreView:
    """Asks one store; every question is a transaction of its own."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    def rows(self, sql: str, bindings: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return all rows of a question."""
        return list(self._connection.execute(sql, bindings))

    def number(self, sql: str, bindings: Sequence[Any] = ()) -> int:
        """Return the one number that a question asks for; no row or NULL is 0."""
        rows = self.rows(sql, bindings)
        return int(rows[0][0] or 0) if rows else 0

    def last_position(self) -> int:
        """Return the newest position of the event log."""
        return self.number("SELECT max(position) FROM events")

    def ended_after(self, position: int) -> tuple[int, list[str]]:
        """Return the newest position, and the ids of the tasks of which a result was stored after ``position``."""
        newer = self.rows("SELECT position, type, subject FROM events WHERE position > ? ORDER BY 1", (position,))
        ended = [subject.removeprefix("task/") for _, event_type, subject in newer if event_type in _ENDS]
        return (newer[-1][0] if newer else position), ended

    async def wait_devices(self, count: int) -> list[str]:
        """Return the serials once so many devices are online."""
        online = "SELECT count(*) FROM devices WHERE state = 'online'"
        while self.number(online) < count:  # noqa: ASYNC110 - another process's state
            await trio.sleep(POLL_S)
        return [serial for (serial,) in self.rows("SELECT serial FROM devices ORDER BY serial")]

    async def wait_runs_ended(self, poll_s: float = POLL_S) -> None:
        """Return once no run is open; it is looked every ``poll_s`` seconds, which takes 0.4 ms of CPU."""
        open_runs = "SELECT EXISTS (SELECT 1 FROM runs WHERE state IN ('active', 'cancelling'))"
        while self.number(open_runs):  # noqa: ASYNC110 - another process's state
            await trio.sleep(poll_s)

    def counts(self) -> StoredCounts:
        """Return the rows of the store."""
        [(events, first, last)] = self.rows("SELECT count(*), min(position), max(position) FROM events")
        return StoredCounts(
            tasks=self.number("SELECT count(*) FROM tasks"),
            passed=self.number("SELECT count(*) FROM tasks WHERE state = 'passed'"),
            attempts=self.number("SELECT count(*) FROM attempts WHERE outcome = 'passed'"),
            runs=self.number("SELECT count(*) FROM runs WHERE state = 'completed' AND outcome = 'passed'"),
            completed=self.number("SELECT count(DISTINCT subject) FROM events WHERE type = 'task.completed'"),
            events=events,
            first_position=first or 0,
            last_position=last or 0,
        )

    def verify(self, tasks: int, runs: int) -> StoredCounts:
        """Return the counts; raises CountsWrong unless every task passed once and no place of the log is empty."""
        counts = self.counts()
        wrong = [
            f"{name} {found} instead of {wanted}"
            for name, found, wanted in (
                ("tasks", counts.tasks, tasks),
                ("passed tasks", counts.passed, tasks),
                ("passed attempts", counts.attempts, tasks),
                ("tasks with a result in the log", counts.completed, tasks),
                ("passed runs", counts.runs, runs),
                ("first position", counts.first_position, 1),
                ("last position", counts.last_position, counts.events),
            )
            if found != wanted
        ]
        if wrong:
            raise CountsWrong(f"the store is not as it should be: {', '.join(wrong)}; the figures mean nothing")
        return counts


@contextmanager
def open_store_view(path: Path) -> Iterator[StoreView]:
    """Open the store of a broker that runs, or of one that has ended, for reading."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        connection.set_busy_timeout(BUSY_MS)
        yield StoreView(connection)
    finally:
        connection.close()
