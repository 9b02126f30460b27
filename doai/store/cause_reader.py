"""Why tasks of a run did not pass, counted by cause (step 14)."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from doai.store.read_connections import ReadConnections


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """Tasks that ended alike."""

    state: str
    """failed or unknown."""
    error_class: str
    """Empty where nothing said why."""
    code: str
    message: str
    """Of one of them."""
    count: int
    task_id: str
    """That one."""


class CauseReader:
    """Answers questions about failures, over the connections of a `StoreReader`."""

    def __init__(self, connections: ReadConnections, sql: Mapping[str, str]) -> None:
        self._connections = connections
        self._sql = sql

    async def of_run(self, run_id: str) -> list[Cause]:
        """Return the causes of a run's failed and unknown tasks, the most frequent first."""
        [rows] = await self._connections.ask((self._sql["causes_of_run"], (run_id,)))
        return [
            Cause(
                state=str(state),
                error_class=error_class or "",
                code=code or "",
                message=message or "",
                count=int(count),
                task_id=str(task_id),
            )
            for state, error_class, code, message, count, task_id in rows
        ]
