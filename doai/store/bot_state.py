"""A bot's own file: what its handlers want to know again after a restart, by key (step 14)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol, cast

import apsw

from doai.store.database import BOT, Database
from doai.store.sql_files import load_statements

_AFTER_ALL: Final = chr(0x10FFFF)
"""No key that a person writes comes after a prefix with this."""


class BotStateFile(Protocol):
    """Keys and values. Used from one thread at a time."""

    def get(self, key: str) -> bytes | None:
        """Return a value; None = there is none. Raises StoreError."""
        ...

    def list(self, prefix: str, limit: int) -> list[tuple[str, bytes]]:
        """Return entries whose keys begin so, by key. Raises StoreError."""
        ...

    def apply(self, changes: Mapping[str, bytes | None]) -> None:
        """Put or (None) drop all of them in one transaction; on disk when it returns. Raises StoreError."""
        ...

    def close(self) -> None:
        """Let go of the file; may be called twice."""
        ...


class MemoryBotState:
    """`BotStateFile` without a file, for tests."""

    def __init__(self) -> None:
        self._entries: dict[str, bytes] = {}

    def get(self, key: str) -> bytes | None:
        return self._entries.get(key)

    def list(self, prefix: str, limit: int) -> list[tuple[str, bytes]]:
        return [(key, self._entries[key]) for key in sorted(self._entries) if key.startswith(prefix)][:limit]

    def apply(self, changes: Mapping[str, bytes | None]) -> None:
        for key, value in changes.items():
            if value is None:
                self._entries.pop(key, None)
            else:
                self._entries[key] = value

    def close(self) -> None:
        """Nothing is open: a second process of a test finds what the first one left."""


class SqliteBotState:
    """`BotStateFile` over an SQLite file; one process at a time."""

    def __init__(self, path: Path) -> None:
        """Open or create. Raises StoreUnavailable (in use, or no such file of ours) and StoreError."""
        self._database = Database(path, BOT)
        self._sql = load_statements(BOT.folder, "statements")

    def get(self, key: str) -> bytes | None:
        rows = self._database.query(self._sql["get"], (key,))
        return cast(bytes, rows[0][0]) if rows else None

    def list(self, prefix: str, limit: int) -> list[tuple[str, bytes]]:
        rows = self._database.query(self._sql["list"], (prefix, prefix + _AFTER_ALL, limit))
        return [(str(key), cast(bytes, value)) for key, value in rows]

    def apply(self, changes: Mapping[str, bytes | None]) -> None:
        def work(connection: apsw.Connection) -> None:
            for key, value in changes.items():
                if value is None:
                    connection.execute(self._sql["drop"], (key,))
                else:
                    connection.execute(self._sql["put"], (key, value))

        self._database.transact(work)
        self._database.checkpoint()

    def close(self) -> None:
        self._database.close()
