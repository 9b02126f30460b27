"""What is read of the samples of devices beside the writer (step 14)."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from doai.changes.samples import HOUR_MS, MINUTE_MS, SampleSum, health_of, sum_of
from doai.messages.samples import DeviceHealth
from doai.store.read_connections import ReadConnections


class SampleReader:
    """Answers questions about samples, over the connections of a `StoreReader`."""

    def __init__(self, connections: ReadConnections, sql: Mapping[str, str]) -> None:
        self._connections = connections
        self._sql = sql

    async def sums(self, serial: str, begin_ms: int, end_ms: int, step_ms: int) -> list[tuple[int, SampleSum]]:
        """Return what samples within [begin_ms, end_ms) come to: when each step begins, and its sum; oldest first.

        ``step_ms``: whole minutes, from an hour on whole hours. Steps without a sample are left out.
        """
        by_hour = step_ms >= HOUR_MS
        unit_ms, name = (HOUR_MS, "samples_of_hours") if by_hour else (MINUTE_MS, "samples_of_minutes")
        [rows] = await self._connections.ask(
            (self._sql[name], (serial, begin_ms // unit_ms, -(-end_ms // unit_ms)))
        )
        found: dict[int, SampleSum] = {}
        for at, body in rows:
            at_ms = int(at) * unit_ms // step_ms * step_ms
            one = msgspec.json.decode(body, type=SampleSum) if by_hour else sum_of(health_of(bytes(body)))
            found[at_ms] = found[at_ms].plus(one) if at_ms in found else one
        return list(found.items())

    async def newest(self, serial: str) -> DeviceHealth | None:
        """Return the newest sample that is kept."""
        [rows] = await self._connections.ask((self._sql["newest_sample"], (serial,)))
        return health_of(bytes(rows[0][1])) if rows else None
