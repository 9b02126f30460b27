"""Backups of the broker's store: copied beside the load, opened to be checked, described by a manifest (step 13).

A backup is a folder: ``broker.db`` (one file, no log beside it), ``keys/`` (without them no node would know the
restored broker), ``artifacts.jsonl`` (path, SHA-256 and size of every artifact that the store names: their files
are not copied), and ``backup.json``, the manifest, written last: a folder without one is no backup.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import apsw
import msgspec

from doai.errors import ConflictError, StoreError, UserError
from doai.ids import make_id
from doai.states import TERMINAL
from doai.store.database import BROKER
from doai.store.sql_files import load_migrations

STORE_FILE: Final = "broker.db"
MANIFEST_FILE: Final = "backup.json"
ARTIFACTS_FILE: Final = "artifacts.jsonl"
KEYS_FOLDER: Final = "keys"
_FORMAT: Final = 1
_PAGES_A_SLICE: Final = 256
"""1 MiB at 4 KiB a page: between two slices the disk belongs to the broker's commits."""
_SHARE: Final = 0.5
"""Of the time, that copying may take."""
_READ_BYTES: Final = 1024 * 1024
_COUNTS: Final = {
    "last_position": "SELECT coalesce(max(position), 0) FROM events",
    "runs": "SELECT count(*) FROM runs",
    "tasks": "SELECT count(*) FROM tasks",
    "open_tasks": f"SELECT count(*) FROM tasks WHERE state NOT IN {tuple(state.value for state in TERMINAL)}",  # noqa: S608 - our own words
}
_UNREADABLE: Final = (apsw.Error, UnicodeDecodeError)


class Manifest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a backup says of itself."""

    format: int = _FORMAT
    backup_id: str
    created_at_ms: int
    doai_version: str
    schema_version: int
    store_id: str
    generation: int
    last_position: int
    """Of the event log: what came later is not in the backup."""
    sha256: str
    """Of ``broker.db``."""
    size_bytes: int
    runs: int
    tasks: int
    open_tasks: int
    artifacts: int
    """Lines of ``artifacts.jsonl``."""
    artifacts_sha256: str
    keys: list[str]
    """Names of the files in ``keys/``."""


class BadBackup(UserError):
    """A folder is no backup, or not what its manifest says."""

    code = "bad_backup"


def make_backup(
    store_path: Path,
    keys_dir: Path,
    backups_dir: Path,
    *,
    doai_version: str,
    now_ms: int,
    pause: Callable[[float], None] = time.sleep,
) -> tuple[Path, Manifest]:
    """Copy a store that may be in use into a new folder of ``backups_dir``; returns the folder and its manifest.

    Blocks: call it in a thread. Raises StoreError (the disk fails or is full) with nothing left behind, and
    BadBackup when the copy is damaged, which the store then is too.
    """
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now_ms / 1000))
    folder = backups_dir / f"{stamp}.{now_ms % 1000:03d}Z"
    draft = folder.with_name(f".{folder.name}.part")
    with _disk_errors(folder):
        backups_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.exists():
            raise ConflictError(f"{folder} exists: there was a backup in the same millisecond; try again")
        draft.mkdir(mode=0o700)
        try:
            _copy_store(store_path, draft / STORE_FILE, pause)
            keys = _copy_keys(keys_dir, draft / KEYS_FOLDER)
            manifest = _describe(draft, doai_version, now_ms, keys)
            write_private(draft / MANIFEST_FILE, msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
            sync_path(draft)
            draft.rename(folder)
            sync_path(backups_dir)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
    return folder, manifest


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of a backup; raises BadBackup."""
    try:
        body = (folder / MANIFEST_FILE).read_bytes()
    except OSError as error:
        raise BadBackup(
            f"{folder} is no backup: its {MANIFEST_FILE} can not be read ({error.strerror}); "
            "name a folder that `doai backup` made"
        ) from None
    try:
        manifest = msgspec.json.decode(body, type=Manifest)
    except msgspec.DecodeError as error:
        raise BadBackup(f"{folder / MANIFEST_FILE} can not be understood ({error}): take another backup") from None
    if manifest.format != _FORMAT:
        raise BadBackup(f"{folder} has the form {manifest.format}, this doai knows {_FORMAT}: use a newer doai")
    return manifest


def check_backup(folder: Path) -> Manifest:
    """Read a whole backup and open its store; returns its manifest, or raises BadBackup with what is wrong."""
    manifest = read_manifest(folder)
    newest = len(load_migrations(BROKER.folder))
    if manifest.schema_version > newest:
        raise BadBackup(
            f"{folder} has schema version {manifest.schema_version}, this doai knows {newest}: use the doai that "
            f"made it ({manifest.doai_version}), or a newer one"
        )
    for name, wanted in ((STORE_FILE, manifest.sha256), (ARTIFACTS_FILE, manifest.artifacts_sha256)):
        try:
            digest = _sha256(folder / name)
        except OSError as error:
            raise BadBackup(f"{folder / name} can not be read ({error.strerror}): take another backup") from None
        if digest != wanted:
            raise BadBackup(f"{folder / name} is not the file that was backed up: take another backup")
    _check_store(folder / STORE_FILE)
    return manifest


def list_backups(backups_dir: Path) -> list[tuple[Path, Manifest]]:
    """Return the backups of a folder, oldest first; what is none is left out."""
    folders = sorted(backups_dir.glob("[!.]*")) if backups_dir.is_dir() else []
    return [(folder, read_manifest(folder)) for folder in folders if (folder / MANIFEST_FILE).is_file()]


def remove_oldest(backups_dir: Path, keep: int) -> list[Path]:
    """Remove all but the newest ``keep`` backups, and what a process that died left half-made."""
    backups = list_backups(backups_dir)
    old = [folder for folder, _ in backups[: max(0, len(backups) - keep)]]
    half = [folder for folder in backups_dir.glob(".*.part") if folder.is_dir()]
    for folder in (*old, *half):
        # Without its manifest it is no backup any more, also when the rest stays for a while.
        (folder / MANIFEST_FILE).unlink(missing_ok=True)
        shutil.rmtree(folder)
    return old


def _copy_store(source_path: Path, target_path: Path, pause: Callable[[float], None]) -> None:
    source = apsw.Connection(str(source_path), flags=apsw.SQLITE_OPEN_READONLY)
    os.close(os.open(target_path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    target = apsw.Connection(str(target_path))
    try:
        source.set_busy_timeout(5000)
        # One snapshot from the first page to the last: without it every commit would begin the copy anew.
        source.execute("BEGIN; SELECT store_id FROM meta")
        with target.backup("main", source, "main") as copying:
            while not copying.done:
                begun_s = time.monotonic()
                copying.step(_PAGES_A_SLICE)
                if not copying.done:
                    pause((time.monotonic() - begun_s) * (1 / _SHARE - 1))
        source.execute("ROLLBACK")
        # The copy says that it has a log, as its source does; a backup is one file.
        target.execute("PRAGMA synchronous = FULL; PRAGMA journal_mode = DELETE")
    finally:
        target.close()
        source.close()
    _check_store(target_path)
    sync_path(target_path)


def _check_store(path: Path) -> None:
    try:
        with _reading(path) as connection:
            found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(3)")]
            foreign = int(connection.pragma("application_id")) != BROKER.application_id
    except _UNREADABLE as error:
        raise BadBackup(f"{path} can not be opened ({error}): take another backup") from error
    if foreign:
        raise BadBackup(f"{path} is no store of a broker: take another backup")
    if found != ["ok"]:
        raise BadBackup(f"{path} is damaged ({'; '.join(found)}): take another backup, and look at the disk")


def _describe(draft: Path, doai_version: str, now_ms: int, keys: list[str]) -> Manifest:
    with _reading(draft / STORE_FILE) as connection:
        store_id, generation = next(connection.execute("SELECT store_id, generation FROM meta"))
        counts = {name: int(connection.execute(sql).get or 0) for name, sql in _COUNTS.items()}
        rows = connection.execute("SELECT path, sha256, size_bytes FROM artifacts ORDER BY path")
        artifacts = 0
        with (draft / ARTIFACTS_FILE).open("xb") as file:
            for path, sha256, size_bytes in rows:
                line = {"path": path, "sha256": sha256, "sizeBytes": size_bytes}
                file.write(msgspec.json.encode(line) + b"\n")
                artifacts += 1
            file.flush()
            os.fsync(file.fileno())
        schema_version = int(connection.pragma("user_version"))
    return Manifest(
        backup_id=make_id(now_ms, int.from_bytes(os.urandom(10))),
        created_at_ms=now_ms,
        doai_version=doai_version,
        schema_version=schema_version,
        store_id=str(store_id),
        generation=int(str(generation)),
        sha256=_sha256(draft / STORE_FILE),
        size_bytes=(draft / STORE_FILE).stat().st_size,
        artifacts=artifacts,
        artifacts_sha256=_sha256(draft / ARTIFACTS_FILE),
        keys=keys,
        **counts,
    )


def _copy_keys(source: Path, target: Path) -> list[str]:
    target.mkdir(mode=0o700)
    names = sorted(path.name for path in source.iterdir() if path.is_file()) if source.is_dir() else []
    for name in names:
        write_private(target / name, (source / name).read_bytes())
    sync_path(target)
    return names


def write_private(path: Path, content: bytes) -> None:
    """Write a new file that only this user may read, synced; raises FileExistsError."""
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)


@contextmanager
def _reading(path: Path) -> Iterator[apsw.Connection]:
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        yield connection
    finally:
        connection.close()


@contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, apsw.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
        raise StoreError(
            f"the backup {folder} could not be made ({reason}): look at the disk and its room, then try again",
            code="backup_failed",
        ) from error


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(_READ_BYTES):
            digest.update(part)
    return digest.hexdigest()


def sync_path(path: Path) -> None:
    """Have a file, or the names in a folder, on disk when it returns."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
