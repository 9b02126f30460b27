"""How everything stands in a few numbers, read beside the writer (step 14)."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from doai.store.read_connections import ReadConnections


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of one moment; each is the length of a list that can be asked for."""

    tasks: dict[str, int]
    """Open tasks by state."""
    devices: dict[str, int]
    """Devices by state; ``silent``: their node is not heard."""
    nodes: dict[str, int]
    incidents: int
    """That are not over."""
    dead_letters: int
    """That wait for a person."""
    runs: int
    """That are open."""
    position: int
    """Newest of the event log."""


class OverviewReader:
    """Counts, over the connections of a `StoreReader`."""

    def __init__(self, connections: ReadConnections, sql: Mapping[str, str]) -> None:
        self._connections = connections
        self._sql = sql

    async def now(self) -> Overview:
        """Return all numbers in one transaction."""
        names = (
            "count_open_tasks",
            "count_devices",
            "count_nodes",
            "count_open_incidents",
            "count_open_dead_letters",
            "count_open_runs",
            "last_position",
        )
        answers = await self._connections.ask(*((self._sql[name], ()) for name in names))
        tasks, devices, nodes, *rest = answers
        incidents, letters, runs, position = (int(answer[0][0]) for answer in rest)
        return Overview(
            tasks={str(state): int(count) for state, count in tasks},
            devices={str(state): int(count) for state, count in devices},
            nodes={str(state): int(count) for state, count in nodes},
            incidents=incidents,
            dead_letters=letters,
            runs=runs,
            position=position,
        )

    async def running_of_nodes(self) -> dict[str, int]:
        """Return how many tasks run on each node that has one."""
        [answer] = await self._connections.ask((self._sql["count_running_of_nodes"], ()))
        return {str(node): int(count) for node, count in answer}

    async def runs_of_campaigns(self) -> dict[str, int]:
        """Return how many runs of each campaign are still stored: fewer than it made, once retention was there."""
        [answer] = await self._connections.ask((self._sql["count_runs_of_campaigns"], ()))
        return {str(campaign): int(count) for campaign, count in answer}
