"""How a file is received: beside its place, compared, synced, then linked to its name (step 10).

What an earlier process left half-received is removed at the start; files that are being received by a living
process are locked, and stay. A file that would take from the disk's reserve is refused before its first byte.
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
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from doai.disk_reserve import DiskReserve
from doai.disk_space import free_bytes
from doai.errors import ConfigError, DoaiError, UserError

INCOMING: Final = ".incoming"
"""Begins with a dot, which no part of a stored path does."""
CHUNK_BYTES: Final = 256 * 1024
"""Written or read at once: one thread hop a chunk, and each transfer holds at most this."""
READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_MB: Final = 1024 * 1024

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
    """64 lowercase hexadecimal digits; empty = it does not say."""
    size_bytes: int


class Draft:
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


class Intake:
    """Receives files below one folder; every call that touches the disk runs in a thread."""

    def __init__(
        self,
        root: Path,
        *,
        reserve_bytes: int = 0,
        sync: Callable[[int], None] = os.fsync,
        free: Callable[[Path], int | None] = free_bytes,
    ) -> None:
        self.root = root
        self._incoming = root / INCOMING
        self._reserve_bytes = reserve_bytes
        self._reserve = DiskReserve(reserve_bytes)
        self._sync = sync
        self._free = free

    def open(self, what: str, setting: str) -> None:
        """Make the folder and remove what was left half-received; raises ConfigError."""
        try:
            self._incoming.mkdir(mode=0o700, parents=True, exist_ok=True)
            left = [path for path in self._incoming.iterdir() if _remove_unless_locked(path)]
        except OSError as error:
            raise ConfigError(
                f"the {what} folder {self.root} can not be used: {error.strerror}; check its owner, or name "
                f"another one with {setting}"
            ) from error
        if left:
            _log.warning("removed %d half-received files of an earlier start", len(left))

    @asynccontextmanager
    async def receive(self, announced: Announced, body: AsyncIterator[bytes]) -> AsyncIterator[Draft]:
        """Receive a whole file; it is gone at the end of the block unless it was linked to another name.

        Raises DamagedUpload, and DiskFull also when the disk's reserve would be touched.
        """
        self._check_room(announced.size_bytes)
        draft = await self.in_thread(lambda: Draft(self._incoming / secrets.token_hex(16)))
        try:
            await self._fill(draft, announced, body)
            yield draft
        finally:
            await to_its_end(draft.discard)

    async def in_thread(self, work: Callable[[], _ResultT]) -> _ResultT:
        """Do what touches the disk; a full one raises DiskFull."""
        try:
            return await to_its_end(work)
        except OSError as error:
            if error.errno in _NO_SPACE:
                raise DiskFull(f"the disk of {self.root} is full: make space, then send the file again") from error
            raise

    def _check_room(self, size_bytes: int) -> None:
        free = self._free(self.root)
        if free is None:
            return
        self._reserve.note(free)
        if self._reserve.closed_because:
            raise DiskFull(f"the admin takes no file now: {self._reserve.closed_because}")
        if free - size_bytes < self._reserve_bytes:
            raise DiskFull(
                f"the file has {size_bytes // _MB} MB, the disk of {self.root} has {free // _MB} MB left, and "
                f"{self._reserve_bytes // _MB} MB are kept for what has begun: make space, or lower disk_reserve_mb"
            )

    async def _fill(self, draft: Draft, announced: Announced, body: AsyncIterator[bytes]) -> None:
        waiting = bytearray()
        async for part in body:
            waiting += part
            if draft.size_bytes + len(waiting) > announced.size_bytes:
                raise DamagedUpload(f"more than the announced {announced.size_bytes} bytes arrived")
            if len(waiting) >= CHUNK_BYTES:
                await self.in_thread(partial(draft.write, bytes(waiting)))
                waiting.clear()
        await self.in_thread(partial(draft.write, bytes(waiting)))
        if draft.size_bytes != announced.size_bytes:
            raise DamagedUpload(f"{draft.size_bytes} of the announced {announced.size_bytes} bytes arrived")
        if announced.sha256 and draft.sha256 != announced.sha256:
            raise DamagedUpload(
                f"the bytes that arrived have the SHA-256 {draft.sha256}, not that of X-Content-Sha256: "
                "the file is damaged at its source"
            )

    # --- in a thread ------------------------------------------------------------------------------------------

    def place(self, draft: Draft, target: Path) -> bool:
        """Give a received file its name, durably; False when the name is taken, whatever its bytes are."""
        self.sync_draft(draft)
        self._make_folders(target.parent)
        try:
            # A link never replaces what another upload of the same name has just placed.
            os.link(draft.path, target)
        except FileExistsError:
            return False
        self.sync_folder(target.parent)
        return True

    def sync_draft(self, draft: Draft) -> None:
        """Bring a received file's bytes to the disk."""
        self._sync(draft.descriptor)

    def sync_folder(self, folder: Path) -> None:
        """Make the names in a folder durable."""
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._sync(descriptor)
        finally:
            os.close(descriptor)

    def _make_folders(self, folder: Path) -> None:
        missing = []
        while not folder.exists():
            missing.append(folder)
            folder = folder.parent
        for made in reversed(missing):
            made.mkdir(mode=0o700, exist_ok=True)
            self.sync_folder(made.parent)


async def read_chunks(path: Path, start: int = 0) -> AsyncIterator[bytes]:
    """Yield a file's bytes from a place on."""
    descriptor = await asyncio.to_thread(os.open, path, READ)
    try:
        offset = start
        while chunk := await to_its_end(partial(os.pread, descriptor, CHUNK_BYTES, offset)):
            offset += len(chunk)
            yield chunk
    finally:
        os.close(descriptor)


async def to_its_end(work: Callable[[], _ResultT]) -> _ResultT:
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


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file; blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _remove_unless_locked(path: Path) -> bool:
    descriptor = os.open(path, READ)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True
