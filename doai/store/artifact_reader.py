"""Which artifacts the broker's store names, as it is read beside the writer (step 14)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import msgspec

from doai.store.read_connections import ReadConnections


class StoreIdentity(msgspec.Struct, frozen=True):
    """Which store it is: a restore begins a new one, of a higher generation."""

    store_id: str
    generation: int


class ArtifactNames:
    """Compares the store with what lies on disk, over the connections of a `StoreReader`."""

    def __init__(self, connections: ReadConnections, sql: Mapping[str, str]) -> None:
        self._connections = connections
        self._sql = sql

    async def identity(self) -> StoreIdentity:
        """Return which store is read."""
        [[(store_id, generation)]] = await self._connections.ask((self._sql["store_identity"], ()))
        return StoreIdentity(store_id, generation)

    async def missing(self, paths: Sequence[str]) -> list[str]:
        """Return those of the paths that have no row."""
        [answer] = await self._connections.ask((self._sql["artifacts_missing"], (json.dumps(paths),)))
        return [path for (path,) in answer]
