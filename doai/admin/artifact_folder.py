"""The folder of artifacts: a file is there wholly and durably, or not at all (step 10).

A name is never given to other bytes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Final

from doai.admin.receiving import Announced, Draft, Intake, digest_of, read_chunks
from doai.artifact_path import ArtifactPath
from doai.errors import ConflictError, NotFoundError

_log: Final = logging.getLogger(__name__)


class ArtifactFolder:
    """Receives and serves files below one folder; every call that touches the disk runs in a thread."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._root = intake.root

    def open(self) -> None:
        """Make the folder and remove what was left half-received; raises ConfigError."""
        self._intake.open("artifacts", "artifacts_dir")

    async def store(self, path: ArtifactPath, announced: Announced, body: AsyncIterator[bytes]) -> bool:
        """Receive a file; True = it is new, False = it was there with the same bytes.

        Raises DamagedUpload, ConflictError (the name has other bytes), DiskFull; then nothing has changed.
        """
        async with self._intake.receive(announced, body) as draft:
            return await self._intake.in_thread(lambda: self._place(draft, path, announced))

    async def size_of(self, path: ArtifactPath) -> int:
        """Return the bytes of a stored file; raises NotFoundError when it is gone from the disk."""
        try:
            return (await asyncio.to_thread((self._root / str(path)).stat, follow_symlinks=False)).st_size
        except OSError as error:
            _log.error("the artifact %s is in the store and not on disk: %s", path, error)
            raise NotFoundError(
                f"the file of {path} is gone from the admin's disk", code="file_not_found"
            ) from None

    def read(self, path: ArtifactPath) -> AsyncIterator[bytes]:
        """Yield a file's bytes from the start."""
        return read_chunks(self._root / str(path))

    def _place(self, draft: Draft, path: ArtifactPath, announced: Announced) -> bool:
        target = self._root / str(path)
        if self._intake.place(draft, target):
            return True
        if digest_of(target) != announced.sha256:
            raise ConflictError(
                f"{path} is stored with other bytes, and a stored artifact never changes: use another name"
            )
        # Its first upload may have ended before its folder was synced.
        self._intake.sync_folder(target.parent)
        return False
