"""Which schema a store has, and what would be migrated, without opening it for writing (before all steps)."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import apsw
import msgspec

from doai.errors import StoreUnavailable
from doai.store.database import BOT, BROKER, LOG, OUTBOX, Kind
from doai.store.sql_files import Migration, load_migrations

_KINDS: Final = {kind.application_id: kind for kind in (BROKER, OUTBOX, BOT, LOG)}


class Schema(msgspec.Struct, frozen=True, kw_only=True):
    """How a store stands to the migrations of this program."""

    path: Path
    title: str
    """What it is: the broker's store, a node's outbox, the state of a bot."""
    version: int
    newest: int
    """To which this program would bring it; below `version` = a newer program has written it."""
    pending: list[Migration]
    size_bytes: int
    """With its log."""


def newest_schemas() -> dict[str, int]:
    """Return the schema version that this program brings each kind of store to."""
    return {kind.folder: len(load_migrations(kind.folder)) for kind in _KINDS.values()}


def size_of(path: Path) -> int:
    """Return the bytes of a store with its log."""
    return sum(part.stat().st_size for part in (path, Path(f"{path}-wal")) if part.exists())


def read_schema(path: Path) -> Schema:
    """Look at a store, beside a program that may have it open. Raises StoreUnavailable."""
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            connection.set_busy_timeout(2000)
            version, mark = int(connection.pragma("user_version")), int(connection.pragma("application_id"))
        finally:
            connection.close()
        size_bytes = size_of(path)
    except (apsw.Error, OSError) as error:
        raise StoreUnavailable(
            f"{path} can not be looked at ({error}): run this as the user of doai", code="store_unreadable"
        ) from error
    kind: Kind | None = _KINDS.get(mark)
    if kind is None:
        raise StoreUnavailable(f"{path} is no store of doai: choose another path", code="store_foreign")
    migrations = load_migrations(kind.folder)
    return Schema(
        path=path,
        title=kind.title,
        version=version,
        newest=len(migrations),
        pending=migrations[version:],
        size_bytes=size_bytes,
    )
