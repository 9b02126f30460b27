"""What is read of queues beside the writer (step 14)."""

from __future__ import annotations

from collections.abc import Mapping

from doai.changes.queues import QueueRow
from doai.store.queue_columns import queue_row
from doai.store.read_connections import ReadConnections


class QueueReader:
    """Answers questions about queues, over the connections of a `StoreReader`."""

    def __init__(self, connections: ReadConnections, sql: Mapping[str, str]) -> None:
        self._connections = connections
        self._sql = sql

    async def all(self) -> list[QueueRow]:
        """Return all queues, by name; their counts are a second old at most."""
        [answer] = await self._connections.ask((self._sql["queues"], ()))
        return [queue_row(c) for c in answer]
