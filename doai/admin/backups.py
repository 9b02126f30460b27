"""Backups: made on demand and on a schedule, beside the load, the oldest removed (step 13)."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path
from typing import Final

from doai import __version__
from doai.errors import ConflictError, DoaiError, NotFoundError
from doai.schedule import Schedule, next_time_ms
from doai.store.backup import Manifest, check_backup, list_backups, make_backup, remove_oldest

RETRY_S: Final = 600.0
"""After a scheduled backup that failed."""
LOOK_S: Final = 60.0
"""The clock is looked at so often at least."""
_OLDEST_KEY: Final = "broker.key"
_log: Final = logging.getLogger(__name__)


class Backups:
    """Makes backups of one store into one folder, one at a time."""

    def __init__(
        self,
        store_path: Path,
        keys_dir: Path,
        backups_dir: Path,
        *,
        every_h: float,
        keep: int,
        schedule: Schedule | None = None,
    ) -> None:
        """``every_h`` = 0: only on demand, or by the ``schedule``; ``keep`` is how many stay, the newest."""
        self.folder = backups_dir
        self.store_path = store_path
        self._keys_dir = keys_dir
        self.every_h = every_h
        self.keep = keep
        self.schedule = schedule
        self._busy = asyncio.Lock()

    async def wait_free(self) -> None:
        """Return when none is being made."""
        async with self._busy:
            return

    async def make(self) -> tuple[Path, Manifest]:
        """Make one; raises ConflictError while another is being made, and StoreError."""
        if self._busy.locked():
            raise ConflictError("a backup is being made: wait until it is done", code="backup_running")
        async with self._busy:
            made = asyncio.create_task(asyncio.to_thread(self._make))
            # Whoever asked may be gone meanwhile; the thread is not, and the next must wait for it.
            try:
                return await asyncio.shield(made)
            finally:
                if not made.done():
                    await asyncio.wait([made])

    async def all(self) -> list[tuple[Path, Manifest]]:
        """Return the backups, oldest first."""
        return await asyncio.to_thread(list_backups, self.folder)

    async def check(self, name: str) -> Manifest:
        """Read one wholly; raises NotFoundError, or BadBackup with what is wrong with it."""
        known = {folder.name: folder for folder, _ in await self.all()}
        if name not in known:
            raise NotFoundError(f"there is no backup {name[:80]!r} in {self.folder}: `doai backups` lists them")
        return await asyncio.to_thread(check_backup, known[name])

    async def run(self) -> None:
        """Make one whenever the newest is as old as was set, or a time of the schedule has passed since."""
        while self.every_h or self.schedule is not None:
            # The clock on the wall decides, and it may be set meanwhile.
            while (wait_s := await self._due_in_s()) > 0:  # noqa: ASYNC110 - a time passes, no event
                await asyncio.sleep(min(wait_s, LOOK_S))
            try:
                await self.make()
            except DoaiError as error:
                _log.error("the scheduled backup failed: %s", error)
                await asyncio.sleep(RETRY_S)
        await asyncio.Event().wait()

    async def _due_in_s(self) -> float:
        made = await self.all()
        # The first one is due a term after the installation: its key file is as old as that.
        newest_s = made[-1][1].created_at_ms / 1000 if made else (self._keys_dir / _OLDEST_KEY).stat().st_mtime
        return due_in_s(newest_s, time.time(), every_s=self.every_h * 3600, schedule=self.schedule)

    def _make(self) -> tuple[Path, Manifest]:
        now_ms = time.time_ns() // 1_000_000
        folder, manifest = make_backup(
            self.store_path, self._keys_dir, self.folder, doai_version=__version__, now_ms=now_ms
        )
        removed = remove_oldest(self.folder, self.keep)
        _log.info(
            "backup %s: %d bytes, up to event %d; %d older removed",
            folder,
            manifest.size_bytes,
            manifest.last_position,
            len(removed),
        )
        return folder, manifest


def due_in_s(newest_s: float, now_s: float, *, every_s: float, schedule: Schedule | None) -> float:
    """Return in how many seconds a backup is due when the newest was made at ``newest_s``; 0 = now.

    A clock that was set back must not stop the backups until it has caught up: none is further away than from now.
    """
    if schedule is None:
        return min(max(0.0, newest_s + every_s - now_s), every_s)
    times = [next_time_ms(schedule, round(after_s * 1000)) for after_s in (newest_s, now_s)]
    return max(0.0, min(at / 1000 for at in times if at is not None) - now_s)
