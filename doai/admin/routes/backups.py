"""Backups of the broker's store: make, list, check (step 13)."""

from __future__ import annotations

from pathlib import Path

from litestar import get, post
from litestar.params import FromPath

from doai.admin import examples
from doai.admin.access import ADMIN
from doai.admin.routes.parameters import Cursor, Given, Limit, Text, named, part
from doai.admin.views import View
from doai.store.backup import Manifest


class BackupJson(View, frozen=True, kw_only=True):
    """A backup: a folder on the admin's host."""

    name: str
    folder: str
    created_at_ms: int
    doai_version: str
    store_id: str
    last_position: int
    """Of the event log; what came later is not in it."""
    size_bytes: int
    runs: int
    tasks: int
    open_tasks: int
    artifacts: int
    """That the store names; their files are not copied."""


class BackupPage(View, frozen=True, kw_only=True):
    """Backups, oldest first."""

    items: list[BackupJson]
    next: str | None


_EXAMPLE = BackupJson(
    name="20261121T080000.123Z",
    folder="/var/lib/doai/backups/20261121T080000.123Z",
    created_at_ms=1_795_248_000_123,
    doai_version="0.1.0",
    store_id="01KAJD8B00STRE000000000001",
    last_position=4711,
    size_bytes=1_048_576,
    runs=12,
    tasks=240,
    open_tasks=3,
    artifacts=240,
)


def _json(folder: Path, manifest: Manifest) -> BackupJson:
    return BackupJson(
        name=folder.name,
        folder=str(folder),
        created_at_ms=manifest.created_at_ms,
        doai_version=manifest.doai_version,
        store_id=manifest.store_id,
        last_position=manifest.last_position,
        size_bytes=manifest.size_bytes,
        runs=manifest.runs,
        tasks=manifest.tasks,
        open_tasks=manifest.open_tasks,
        artifacts=manifest.artifacts,
    )


@get(
    "/backups",
    opt={"needs": ADMIN},
    tags=["backups"],
    summary="List the backups",
    responses=examples.answer(200, BackupPage, BackupPage(items=[_EXAMPLE], next=None), "A page of backups."),
)
async def list_backups(services: Given, text: Text = "", cursor: Cursor = None, limit: Limit = 500) -> BackupPage:
    """Oldest first."""
    found = named([_json(*each) for each in await services.backups.all()], lambda backup: backup.name, text)
    items, following = part(found, lambda backup: backup.name, cursor, limit)
    return BackupPage(items=list(items), next=following)


@post(
    "/backups",
    opt={"needs": ADMIN},
    tags=["backups"],
    summary="Make a backup now",
    responses=examples.answer(201, BackupJson, _EXAMPLE, "It is made, opened and checked.", problems=(409,)),
)
async def make_backup(services: Given) -> BackupJson:
    """Copies the store beside the load and answers when the copy was opened and checked; the oldest are removed."""
    return _json(*await services.backups.make())


@post(
    "/backups/{name:str}/check",
    status_code=200,
    opt={"needs": ADMIN},
    tags=["backups"],
    summary="Read a whole backup and open it",
    responses=examples.answer(200, BackupJson, _EXAMPLE, "It is whole.", problems=(404, 422)),
)
async def check_backup(name: FromPath[str], services: Given) -> BackupJson:
    """422 says what is wrong with it."""
    return _json(services.backups.folder / name, await services.backups.check(name))
