"""Questions about dead letters: part of what `StoreReader` answers (step 14)."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from doai.changes.dead_letters import DeadLetterRow
from doai.messages.dead_letters import LetterFilter
from doai.states import DeadLetterState
from doai.store.dead_letter_columns import dead_letter_row
from doai.store.read_connections import ReadConnections
from doai.store.views import Page

EVERY: Final = LetterFilter()
"""No filter: all of them are meant."""


class RetryLinks(msgspec.Struct, frozen=True):
    """Tasks that try the same as another."""

    retried_as: str | None
    retry_of: str | None


class DeadLetterReader:
    """Dead letters, open and settled; raises as `StoreReader` does."""

    def __init__(self, connections: ReadConnections, sql: dict[str, str]) -> None:
        self._connections = connections
        self._sql = sql

    async def page(
        self, which: LetterFilter, *, state: DeadLetterState | None, cursor: str | None, limit: int
    ) -> Page[DeadLetterRow]:
        """Return those that are meant, newest first and without their bytes; ``state`` None = in any."""
        conditions, bindings = _conditions(which)
        if state is not None:
            # Literally: SQLite uses a partial index only where the question contains its condition.
            conditions.append(f"state = '{state.value}'")
        if cursor is not None:
            conditions.append("letter_id < ?")
            bindings.append(cursor)
        parts = [self._sql["dead_letters"]]
        if conditions:
            parts.append("WHERE " + " AND ".join(conditions))
        parts.append("ORDER BY letter_id DESC LIMIT ?")
        [answer] = await self._connections.ask(("\n".join(parts), [*bindings, limit + 1]))
        rows = [dead_letter_row(c) for c in answer]
        return Page(rows[:limit], rows[limit - 1].letter_id if len(rows) > limit else None)

    async def count_open(self, which: LetterFilter = EVERY) -> int:
        """Return how many of those that are meant wait for a person."""
        conditions, bindings = _conditions(which)
        sql = "\n".join([self._sql["count_open_dead_letters"], *(f"AND {each}" for each in conditions)])
        [[(count,)]] = await self._connections.ask((sql, bindings))
        return int(count)

    async def count_open_of_run(self, run_id: str) -> int:
        """Return how many tasks of a run gave up and wait for a person."""
        [[(count,)]] = await self._connections.ask((self._sql["count_open_letters_of_run"], (run_id,)))
        return int(count)

    async def count_open_events(self) -> dict[str, int]:
        """Return how many events wait for a person, by ``bot/subscription``."""
        [rows] = await self._connections.ask((self._sql["count_open_event_letters"], ()))
        return {str(subscription): int(count) for subscription, count in rows}

    async def find(self, name: str) -> DeadLetterRow | None:
        """Return the one with this id, or the newest of the task with this id, with its bytes."""
        [answer] = await self._connections.ask((self._sql["dead_letter"], (name, name)))
        return dead_letter_row(answer[0]) if answer else None

    async def retries(self, task_id: str) -> RetryLinks:
        """Return how a task is linked to others that try the same."""
        questions = [(self._sql[name], (task_id,)) for name in ("retried_as", "retry_of")]
        [after, before] = await self._connections.ask(*questions)
        return RetryLinks(
            retried_as=str(after[0][0]) if after else None, retry_of=str(before[0][0]) if before else None
        )


_COLUMNS = {
    "kind": "kind",
    "reason": "reason",
    "code": "code",
    "error_class": "error_class",
    "run_id": "run_id",
    "queue": "queue",
    "device": "device_serial",
    "node": "node_id",
}


def _conditions(which: LetterFilter) -> tuple[list[str], list[Any]]:
    given = {column: getattr(which, name) for name, column in _COLUMNS.items() if getattr(which, name)}
    conditions, bindings = [f"{column} = ?" for column in given], list(given.values())
    if which.bot:
        # The first condition is that of the index of events: literally, as above.
        conditions.append("kind = 'event' AND (subscription = ? OR substr(subscription, 1, ?) = ?)")
        bindings += [which.bot, len(which.bot) + 1, f"{which.bot}/"]
    if which.workflow:
        if "@" in which.workflow:
            conditions.append("workflow = ?")
            bindings.append(which.workflow)
        else:
            conditions.append("substr(workflow, 1, ?) = ?")
            bindings += [len(which.workflow) + 1, f"{which.workflow}@"]
    return conditions, bindings
