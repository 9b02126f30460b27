"""What runs here and what it stores, for whoever is about to upgrade it (before all steps)."""

from __future__ import annotations

import asyncio
from pathlib import Path

from litestar import get

from doai import __version__
from doai.admin import examples
from doai.admin.access import VIEWER
from doai.admin.routes.parameters import Given
from doai.admin.views import View
from doai.disk_space import free_bytes
from doai.store.schemas import newest_schemas, size_of
from doai.wire_versions import SPOKEN


class VersionsJson(View, frozen=True, kw_only=True):
    """Releases of broker and admin, wire versions, the schema of the store and its room."""

    admin: str
    broker: str
    """Empty = it does not answer."""
    wire_lowest: int
    wire_highest: int
    """The admin speaks these wire versions and those between."""
    schema_version: int
    """Of the broker's store."""
    store_bytes: int
    free_bytes: int | None
    """On the disk of the store."""


_EXAMPLE = VersionsJson(
    admin="0.1.0",
    broker="0.1.0",
    wire_lowest=1,
    wire_highest=1,
    schema_version=17,
    store_bytes=1_048_576,
    free_bytes=20_000_000_000,
)


def _look(path: Path) -> tuple[int, int | None]:
    return size_of(path), free_bytes(path.parent)


@get(
    "/versions",
    opt={"needs": VIEWER},
    tags=["health"],
    summary="Show what runs, and which schema its store has",
    responses=examples.answer(200, VersionsJson, _EXAMPLE, "Releases, wire versions, schema, room."),
)
async def show_versions(services: Given) -> VersionsJson:
    """`doai upgrade --check` compares it with the release that is to be installed."""
    # The reader answers of a store of its own schema only; of any other it says which program to start.
    await services.reader.last_position()
    size, free = await asyncio.to_thread(_look, services.backups.store_path)
    return VersionsJson(
        admin=__version__,
        broker=services.mesh.broker_version,
        wire_lowest=SPOKEN.lowest,
        wire_highest=SPOKEN.highest,
        schema_version=newest_schemas()["broker"],
        store_bytes=size,
        free_bytes=free,
    )
