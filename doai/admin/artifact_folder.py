"""The folder of artifacts: a file is there wholly and durably, or not at all (step 10).

A file is received beside its place, checked, synced, and linked to its name; a name is never given to other
bytes. What an earlier process left half-received is removed at the start; files that are being received by a
living process are locked, and stay.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import hashlib
import logging
import os
import secrets
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from doai.artifact_path import ArtifactPath
from doai.errors import ConfigError, ConflictError, DoaiError, NotFoundError, UserError

INCOMING: Final = ".incoming"
"""Begins with a dot, which no part of an artifact's path does."""
CHUNK_BYTES: Final = 256 * 1024
"""Written or read at once: one thread hop a chunk, and each transfer holds at most this."""
_NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT})

_log: Final = logging.getLogger(__name__)
_ResultT = TypeVar("_ResultT")


class DiskFull(DoaiError):
    """There is no space for the file; nothing of it is left behind."""

    code = "disk_full"


class DamagedUpload(UserError):
    """What arrived is not what was announced."""

    code = "damaged_upload"


class Announced(msgspec.Struct, frozen=True, kw_only=True):
    """What an upload says of itself."""

    sha256: str
    """64 lowercase hexadecimal digits."""
    size_bytes: int


class ArtifactFolder:
    """Receives and serves files below one folder; every call that touches the disk runs in a thread."""

    def __init__(self, root: Path, *, sync: Callable[[int], None] = os.fsync) -> None:
        self._root = root
        self._incoming = root / INCOMING
        self._sync = sync

    def open(self) -> None:
        """Make the folder and remove what was left half-received; raises ConfigError."""
        try:
            self._incoming.mkdir(mode=0o700, parents=True, exist_ok=True)
            left = [path for path in self._incoming.iterdir() if _remove_unless_locked(path)]
        except OSError as error:
            raise ConfigError(
                f"the artifacts folder {self._root} can not be used: {error.strerror}; check its owner, or name "
                "another one with artifacts_dir"
            ) from error
        if left:
            _log.warning("removed %d half-received files of an earlier start", len(left))

    async def store(self, path: ArtifactPath, announced: Announced, body: AsyncIterator[bytes]) -> bool:
        """Receive a file; True = it is new, False = it was there with the same bytes.

        Raises DamagedUpload, ConflictError (the name has other bytes), DiskFull; then nothing has changed.
        """
        draft = await self._in_thread(lambda: _Draft(self._incoming / secrets.token_hex(16)))
        try:
            await self._receive(draft, announced, body)
            return await self._in_thread(lambda: self._place(draft, path, announced))
        finally:
            await _to_its_end(draft.discard)

    async def size_of(self, path: ArtifactPath) -> int:
        """Return the bytes of a stored file; raises NotFoundError when it is gone from the disk."""
        try:
            return (await asyncio.to_thread((self._root / str(path)).stat, follow_symlinks=False)).st_size
        except OSError as error:
            _log.error("the artifact %s is in the store and not on disk: %s", path, error)
            raise NotFoundError(
                f"the file of {path} is gone from the admin's disk", code="file_not_found"
            ) from None

    async def read(self, path: ArtifactPath) -> AsyncIterator[bytes]:
        """Yield a file's bytes from the start."""
        descriptor = await asyncio.to_thread(os.open, self._root / str(path), _READ)
        try:
            offset = 0
            while chunk := await _to_its_end(partial(os.pread, descriptor, CHUNK_BYTES, offset)):
                offset += len(chunk)
                yield chunk
        finally:
            os.close(descriptor)

    async def _in_thread(self, work: Callable[[], _ResultT]) -> _ResultT:
        try:
            return await _to_its_end(work)
        except OSError as error:
            if error.errno in _NO_SPACE:
                raise DiskFull(
                    f"the disk of {self._root} is full: make space, the node will send the file again"
                ) from error
            raise

    async def _receive(self, draft: _Draft, announced: Announced, body: AsyncIterator[bytes]) -> None:
        waiting = bytearray()
        async for part in body:
            waiting += part
            if draft.size_bytes + len(waiting) > announced.size_bytes:
                raise DamagedUpload(f"more than the announced {announced.size_bytes} bytes arrived")
            if len(waiting) >= CHUNK_BYTES:
                await self._in_thread(partial(draft.write, bytes(waiting)))
                waiting.clear()
        await self._in_thread(partial(draft.write, bytes(waiting)))
        if draft.size_bytes != announced.size_bytes:
            raise DamagedUpload(f"{draft.size_bytes} of the announced {announced.size_bytes} bytes arrived")
        if draft.sha256 != announced.sha256:
            raise DamagedUpload(
                f"the bytes that arrived have the SHA-256 {draft.sha256}, not that of X-Content-Sha256: "
                "the file is damaged at its source"
            )

    def _place(self, draft: _Draft, path: ArtifactPath, announced: Announced) -> bool:
        target = self._root / str(path)
        self._sync(draft.descriptor)
        self._make_folders(target.parent)
        try:
            # A link never replaces what another upload of the same name has just placed.
            os.link(draft.path, target)
        except FileExistsError:
            if _digest(target) != announced.sha256:
                raise ConflictError(
                    f"{path} is stored with other bytes, and a stored artifact never changes: use another name"
                ) from None
            # Its first upload may have ended before its folder was synced.
            self._sync_folder(target.parent)
            return False
        self._sync_folder(target.parent)
        return True

    def _make_folders(self, folder: Path) -> None:
        missing = []
        while not folder.exists():
            missing.append(folder)
            folder = folder.parent
        for made in reversed(missing):
            made.mkdir(mode=0o700, exist_ok=True)
            self._sync_folder(made.parent)

    def _sync_folder(self, folder: Path) -> None:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._sync(descriptor)
        finally:
            os.close(descriptor)


_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


class _Draft:
    """A file that is being received; locked while it is open, so that a cleaner knows it is in use."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size_bytes = 0
        self._hash = hashlib.sha256()
        self.descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def write(self, chunk: bytes) -> None:
        self._hash.update(chunk)
        self.size_bytes += len(chunk)
        rest = memoryview(chunk)
        while rest:
            rest = rest[os.write(self.descriptor, rest) :]

    def discard(self) -> None:
        """Remove the name it was received under, and close it."""
        self.path.unlink(missing_ok=True)
        os.close(self.descriptor)


async def _to_its_end(work: Callable[[], _ResultT]) -> _ResultT:
    """Run in a thread; cancelled, it still waits, because the descriptor that is in use is closed next."""
    working = asyncio.ensure_future(asyncio.to_thread(work))
    cancelled: asyncio.CancelledError | None = None
    while not working.done():
        try:
            await asyncio.wait([working])
        except asyncio.CancelledError as error:  # may come again and again, from the framework's scopes
            cancelled = error
    if cancelled is not None:
        working.exception()
        raise cancelled
    return working.result()


def _remove_unless_locked(path: Path) -> bool:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
