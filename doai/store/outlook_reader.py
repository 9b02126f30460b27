"""What is still to do on devices, and how long tasks of a workflow took of late (step 14)."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from doai.store.read_connections import ReadConnections


class OpenLoad(msgspec.Struct, frozen=True, kw_only=True):
    """Open tasks of one run on one device, or for any that matches."""

    run_id: str
    workflow: str
    version: int
    device_serial: str | None
    tasks: int
    running: int
    """Of those."""


class OutlookReader:
    """Answers over the connections of a StoreReader."""

    def __init__(self, connections: ReadConnections, sql: Mapping[str, str]) -> None:
        self._connections = connections
        self._sql = sql

    async def loads(self) -> list[OpenLoad]:
        """Return all that is open, by run: the oldest first."""
        [answer] = await self._connections.ask((self._sql["open_loads"], ()))
        return [OpenLoad(**dict(zip(OpenLoad.__struct_fields__, row, strict=True))) for row in answer]

    async def durations_s(self, workflow: str, version: int) -> list[float]:
        """Return how long the newest passed tasks of a workflow took, in no order; some hundreds at most."""
        [answer] = await self._connections.ask((self._sql["recent_durations"], (workflow, version)))
        return [max(0.0, ms / 1000) for (ms,) in answer]
