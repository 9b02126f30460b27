"""Puts a backup in the place of a broker's store, as a new life of it that every peer tells from the old one.

The store's id is new and its generation higher than any before, so that nodes see that the broker lost its past,
and no token is given out a second time (steps 4 and 12). The broker must not run.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Final

import apsw
import msgspec

from doai.errors import StoreError
from doai.store.backup import (
    ARTIFACTS_FILE,
    KEYS_FOLDER,
    STORE_FILE,
    Manifest,
    check_backup,
    sync_path,
    write_private,
)
from doai.store.file_lock import FileLock

_DRAFT: Final = STORE_FILE + ".restoring"
_LOG_SUFFIXES: Final = ("-wal", "-shm")


class Restored(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What was done, for a person."""

    manifest: Manifest
    store_id: str
    generation: int
    replaced: str
    """Where the store that was there is now; empty = there was none."""
    keys_added: list[str]
    keys_kept: list[str]
    """Files of keys that were there with other content, and stayed."""
    artifacts_missing: list[str]
    """Paths that the restored store names and that have no file of that size here."""


def restore_store(backup: Path, data_dir: Path, artifacts_dir: Path, *, new_store_id: str, now_ms: int) -> Restored:
    """Restore a backup into the data folder of a broker that does not run.

    Raises BadBackup, StoreUnavailable (the store is in use) and StoreError; the store that was there is then
    still in place. Afterwards it lies beside, under the name in ``replaced``.
    """
    manifest = check_backup(backup)
    target = data_dir / STORE_FILE
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = FileLock(target, "the broker's store", wait_s=0.0)
        try:
            generation = _next_generation(manifest.generation, target, now_ms)
            _prepare(backup / STORE_FILE, data_dir / _DRAFT, new_store_id, generation)
            keys_added, keys_kept = _restore_keys(backup / KEYS_FOLDER, data_dir / KEYS_FOLDER)
            replaced = _put_in_place(data_dir / _DRAFT, target, now_ms)
        finally:
            lock.release()
    except (OSError, apsw.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
        raise StoreError(
            f"{backup} could not be restored to {data_dir} ({reason}): look at the disk, its room and the owner "
            "of the folder, then try again",
            code="restore_failed",
        ) from error
    return Restored(
        manifest=manifest,
        store_id=new_store_id,
        generation=generation,
        replaced=replaced,
        keys_added=keys_added,
        keys_kept=keys_kept,
        artifacts_missing=_missing(backup / ARTIFACTS_FILE, artifacts_dir),
    )


def _next_generation(backed_up: int, target: Path, now_ms: int) -> int:
    """Return a generation above all that gave tokens out before.

    The store that is replaced knows how many restores there were. Where it can not be asked, seconds since 1970
    are above every count, and of two such restores the later is the higher.
    """
    present = 0
    if target.exists():
        try:
            connection = apsw.Connection(str(target))
            try:
                present = int(connection.execute("SELECT generation FROM meta").get or 0)
                # What is in its log goes into the file, which then can be moved alone.
                connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
            finally:
                connection.close()
        except apsw.Error:
            present = 0  # damaged: the reason, perhaps, for which a backup is restored
    if not present:
        present = now_ms // 1000
    return max(present, backed_up) + 1


def _prepare(source: Path, draft: Path, store_id: str, generation: int) -> None:
    draft.unlink(missing_ok=True)
    write_private(draft, b"")
    shutil.copyfile(source, draft)
    connection = apsw.Connection(str(draft))
    try:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("UPDATE meta SET store_id = ?, generation = ?", (store_id, generation))
    finally:
        connection.close()
    sync_path(draft)


def _restore_keys(source: Path, target: Path) -> tuple[list[str], list[str]]:
    added: list[str] = []
    kept: list[str] = []
    target.mkdir(mode=0o700, exist_ok=True)
    for path in sorted(source.iterdir()) if source.is_dir() else ():
        content = path.read_bytes()
        try:
            write_private(target / path.name, content)
            added.append(path.name)
        except FileExistsError:
            if (target / path.name).read_bytes() != content:
                kept.append(path.name)
    sync_path(target)
    return added, kept


def _put_in_place(draft: Path, target: Path, now_ms: int) -> str:
    replaced = ""
    if target.exists():
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now_ms / 1000))
        beside = target.with_name(f"{target.name}.replaced-{stamp}")
        # A link first: at no moment is there no store, which a broker would take for a first start.
        os.link(target, beside)
        for suffix in _LOG_SUFFIXES:
            log = target.with_name(target.name + suffix)
            if log.exists():  # of a store that could not be opened
                log.rename(beside.with_name(beside.name + suffix))
        replaced = str(beside)
    draft.replace(target)
    sync_path(target.parent)
    return replaced


def _missing(listing: Path, artifacts_dir: Path) -> list[str]:
    missing: list[str] = []
    with listing.open("rb") as lines:
        for line in lines:
            entry = msgspec.json.decode(line)
            try:
                there = (artifacts_dir / entry["path"]).stat().st_size == entry["sizeBytes"]
            except OSError:
                there = False
            if not there:
                missing.append(entry["path"])
    return missing
