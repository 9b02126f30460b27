"""Incidents, read beside the writer: the admin's side (step 14)."""

from __future__ import annotations

from collections.abc import Mapping

from doai.changes.incidents import IncidentRow
from doai.incidents import IncidentType
from doai.store.incident_columns import incident_row
from doai.store.read_connections import ReadConnections
from doai.store.views import Page


class IncidentReader:
    """Answers questions about incidents."""

    def __init__(self, connections: ReadConnections, sql: Mapping[str, str]) -> None:
        self._connections = connections
        self._sql = sql

    async def page(
        self,
        *,
        resolved: bool = False,
        incident_type: IncidentType | None = None,
        subject: str | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page[IncidentRow]:
        """Return incidents that are not over, newest first; ``resolved``: those that are over too."""
        sql = self._sql["all_incidents" if resolved else "open_incidents"]
        wanted = (None if incident_type is None else incident_type.value, subject, cursor)
        twice = [value for value in wanted for _ in ("whether it is wanted", "what it must be")]
        [answer] = await self._connections.ask((sql, (*twice, limit + 1)))
        rows = [incident_row(c) for c in answer]
        return Page(rows[:limit], rows[limit - 1].incident_id if len(rows) > limit else None)

    async def one(self, incident_id: str) -> IncidentRow | None:
        """Return an incident by its id."""
        [answer] = await self._connections.ask((self._sql["incident"], (incident_id,)))
        return incident_row(answer[0]) if answer else None
