"""The bytes of files that people put for phones, by their SHA-256; names and versions are the broker's (step 2).

A file is there wholly and durably before the broker hears of it, and goes only after the broker forgot its last
name. What a process that ended in between leaves, nobody names: a start removes it once it is old enough not to be
another admin's that is just being put.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import time
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Final

from doai.admin.receiving import INCOMING, Announced, Draft, Intake, read_chunks
from doai.apk.errors import ApkError
from doai.apk.package import Apk, read_apk_file
from doai.errors import NotFoundError, UserError

UNNAMED_KEPT_S: Final = 3600.0
"""Between the last byte of a file and the broker's answer there are seconds."""
APPS_REMEMBERED: Final = 256
"""Packages whose description is kept in memory: some hundred bytes each; to make one, all bytes are read."""
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_log: Final = logging.getLogger(__name__)


class FileFolder:
    """Receives, serves and drops bytes below one folder."""

    def __init__(self, intake: Intake, *, size_max_bytes: int) -> None:
        self._intake = intake
        self._root = intake.root
        self.size_max_bytes = size_max_bytes
        self.naming = asyncio.Lock()
        """Held while bytes get a name or lose one: what is dropped is not being named meanwhile."""
        self._apps: dict[str, Apk] = {}
        """What is in packages, by the SHA-256 of their bytes; the oldest goes first."""

    def open(self) -> None:
        """Make the folder and remove what was left half-received; raises ConfigError."""
        self._intake.open("files", "files_dir")

    def receive(
        self, announced: Announced, body: AsyncIterator[bytes]
    ) -> contextlib.AbstractAsyncContextManager[Draft]:
        """Receive a whole file; `place` it within the block. Raises DamagedUpload, DiskFull."""
        return self._intake.receive(announced, body)

    async def sync(self, draft: Draft) -> None:
        """Bring a received file to the disk; a large one takes seconds, so do it before `naming` is held."""
        await self._intake.in_thread(lambda: self._intake.sync_draft(draft))

    async def place(self, draft: Draft) -> None:
        """Keep the bytes of a received file; they are durable when this returns."""
        target = self._path(draft.sha256)

        def work() -> None:
            if not self._intake.place(draft, target):
                self._intake.sync_folder(target.parent)

        await self._intake.in_thread(work)

    async def drop(self, sha256: str) -> None:
        """Remove bytes that have no name any more."""
        await self._intake.in_thread(lambda: self._path(sha256).unlink(missing_ok=True))

    async def size_of(self, sha256: str) -> int:
        """Return how many bytes there are; raises NotFoundError when they are gone from the disk."""
        try:
            return (await asyncio.to_thread(self._path(sha256).stat, follow_symlinks=False)).st_size
        except OSError as error:
            _log.error("the file %s is in the store and not on disk: %s", sha256, error)
            raise NotFoundError(
                f"the bytes {sha256} are gone from the admin's disk: put the file again as a new version",
                code="file_not_found",
            ) from None

    def read(self, sha256: str, start: int = 0) -> AsyncIterator[bytes]:
        """Yield the bytes from a place on."""
        return read_chunks(self._path(sha256), start)

    async def app(self, sha256: str, name: str) -> Apk:
        """Return what is in an application package. Raises UserError (``not_an_app``), NotFoundError."""
        if sha256 not in self._apps:
            await self.size_of(sha256)
            try:
                apk = await asyncio.to_thread(read_apk_file, self._path(sha256))
            except ApkError as error:
                raise UserError(
                    f"the file {name} is no app that can be installed: {error}", code=error.code
                ) from None
            while len(self._apps) >= APPS_REMEMBERED:
                del self._apps[next(iter(self._apps))]
            self._apps[sha256] = apk
        return self._apps[sha256]

    async def sweep(self, named: Iterable[str]) -> None:
        """Remove bytes that nobody names, but for new ones."""
        known = frozenset(named)
        removed = await self._intake.in_thread(lambda: self._remove_unnamed(known))
        if removed:
            _log.warning("removed %d files that no name stands for", removed)

    def _remove_unnamed(self, known: frozenset[str]) -> int:
        removed = 0
        before_s = time.time() - UNNAMED_KEPT_S
        for folder in self._root.iterdir():
            if folder.name == INCOMING or not folder.is_dir():
                continue
            for path in folder.iterdir():
                if _SHA256.fullmatch(path.name) and path.name not in known and path.stat().st_mtime < before_s:
                    path.unlink(missing_ok=True)
                    removed += 1
        return removed

    def _path(self, sha256: str) -> Path:
        # 256 folders: some file systems are slow with many names in one.
        return self._root / sha256[:2] / sha256
