"""SQL lives in .sql files: named blocks and numbered migrations, read once at start (step 3).

A block begins at a line ``-- name: NAME`` and ends before the next; ``{other}`` in it stands for another
block of the same folder. A migration is ``NNN_what.sql``; the schema's version is the number of the last.

Migrations expand first and contract later: one that takes away what an earlier schema had (drops, renames, makes
unique) begins with the line ``-- contracts: unused since RELEASE``, and that release is out before it is written.
"""

from __future__ import annotations

import re
from importlib import resources
from typing import Final

import msgspec

from doai.errors import LocalProtocolError

_NAME: Final = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_REFERENCE: Final = re.compile(r"\{(\w+)\}")
_MIGRATION: Final = re.compile(r"(\d{3})_\w+\.sql")
_CONTRACTS: Final = re.compile(r"-- contracts: unused since (\d+\.\d+\.\d+)$", re.MULTILINE)


class Migration(msgspec.Struct, frozen=True):
    """One step from version - 1 to version."""

    version: int
    name: str
    script: str

    @property
    def unused_since(self) -> str:
        """The release from which on nothing uses what it takes away; empty = it only expands."""
        match = _CONTRACTS.match(self.script)
        return match[1] if match is not None else ""


def load_statements(folder: str, *files: str) -> dict[str, str]:
    """Return the named blocks of ``sql/folder/file.sql``, references resolved."""
    blocks: dict[str, str] = {}
    for file in files:
        parts = _NAME.split(_folder(folder).joinpath(f"{file}.sql").read_text("utf-8"))
        for name, body in zip(parts[1::2], parts[2::2], strict=True):
            if name in blocks:
                raise LocalProtocolError(f"sql/{folder}/{file}.sql names {name} a second time: rename one")
            blocks[name] = body.strip()
    return {name: _REFERENCE.sub(lambda found: blocks[found[1]], body) for name, body in blocks.items()}


def load_migrations(folder: str) -> list[Migration]:
    """Return the migrations of ``sql/folder`` in order; they are numbered 1, 2, 3 ... without a gap."""
    found: list[Migration] = []
    for file in _folder(folder).iterdir():
        match = _MIGRATION.fullmatch(file.name)
        if match is not None:
            found.append(Migration(int(match[1]), file.name, file.read_text("utf-8")))
    found.sort(key=lambda migration: migration.version)
    if [migration.version for migration in found] != list(range(1, len(found) + 1)):
        raise LocalProtocolError(f"the migrations of sql/{folder} are not numbered 1, 2, 3 ...: {found}")
    return found


def _folder(folder: str) -> resources.abc.Traversable:
    return resources.files("doai.store").joinpath("sql", folder)
