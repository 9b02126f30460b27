"""Stored files on a node: fetched once however many tasks ask, kept by SHA-256 below a size limit (step 8).

On disk: ``data_dir/files/<sha256>``. A file has that name only when it is whole, verified and synced; whatever
has another name is left over from a process that ended amid something, and a start removes it. What was used
longest ago goes first when room is needed, and never what an open attempt asked for.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol, TypeVar

import msgspec
import trio

from doai.errors import ErrorClass, Failure, StepError
from doai.ids import Token
from doai.messages.work import FilePin
from doai.node.durable_file import UNFINISHED, make_folder, sync_folder
from doai.node.steps.base import step_failed

FETCHES_AT_ONCE: Final = 4
"""Different files that are fetched at a time; more would only share the same line and disk."""
_MB: Final = 1024 * 1024
_WHOLE: Final = re.compile(r"[0-9a-f]{64}")
_EVICTED: Final = ".evicted"
_log: Final = logging.getLogger(__name__)
_ResultT = TypeVar("_ResultT")
_User = tuple[str, Token]
"""The attempt that asked."""


class Fetch(Protocol):
    """Brings the bytes of a file to a path; `doai.node.fetch.Fetcher` is one."""

    async def fetch(self, pin: FilePin, path: Path) -> None:
        """Write the file, verified and synced, or raise StepError; a part of it may be left at the path."""
        ...


class CacheStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """Counts since the cache was opened, and what it holds."""

    files: int
    bytes: int
    fetched: int
    hits: int
    evicted: int


class _Entry:
    """A whole file on the disk."""

    __slots__ = ("checked", "size_bytes")

    def __init__(self, size_bytes: int, *, checked: bool) -> None:
        self.size_bytes = size_bytes
        self.checked = checked
        """Its bytes were compared with its name by this process."""


class _Flight:
    """One fetch that tasks wait for together."""

    __slots__ = ("done", "failure", "scope", "waiters")

    def __init__(self) -> None:
        self.done = trio.Event()
        self.scope = trio.CancelScope()
        self.failure: Failure | None = None
        self.waiters = 0


class FileCache:
    """A `FileSource` for the runner; `run` must be running."""

    def __init__(
        self,
        folder: Path,
        source: Fetch,
        *,
        limit_bytes: int,
        free_bytes: Callable[[], int | None] = lambda: None,
        reserve_bytes: int = 0,
    ) -> None:
        """Open the folder and clean it; raises OSError. ``free_bytes`` looks at its disk, None = unknown.

        Nothing is fetched that would leave less than ``reserve_bytes`` on the disk.
        """
        self._folder = folder
        self._source = source
        self._limit_bytes = limit_bytes
        self._free_bytes = free_bytes
        self._reserve_bytes = reserve_bytes
        self._threads = trio.CapacityLimiter(FETCHES_AT_ONCE)
        self._fetches = trio.CapacityLimiter(FETCHES_AT_ONCE)
        self._flights: dict[str, _Flight] = {}
        self._reserved: dict[str, int] = {}
        """Bytes of files that are on their way."""
        self._users: dict[str, set[_User]] = {}
        self._fetched = self._hits = self._evicted = 0
        self._nursery: trio.Nursery | None = None
        make_folder(folder)
        self._entries = _found(folder)
        """By SHA-256, the one used longest ago first."""

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Fetch what is asked for until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            try:
                await trio.sleep_forever()
            finally:
                self._nursery = None

    async def get(self, pin: FilePin, task_id: str, token: Token) -> Path:
        """Return the file of a pin; it stays until `release` for this attempt. Raises StepError."""
        self._users.setdefault(pin.sha256, set()).add((task_id, token))
        while True:
            entry = self._entries.get(pin.sha256)
            if entry is not None and entry.checked and await self._touched(pin.sha256):
                self._hits += 1
                return self._path(pin.sha256)
            flight = self._flights.get(pin.sha256) or self._start(pin)
            flight.waiters += 1
            try:
                await flight.done.wait()
            finally:
                flight.waiters -= 1
                if not flight.waiters:
                    flight.scope.cancel()
            if flight.failure is not None:
                raise StepError(flight.failure)

    def release(self, task_id: str, token: Token) -> None:
        """The attempt has ended: what it asked for may go when room is needed."""
        for sha256, users in list(self._users.items()):
            users.discard((task_id, token))
            if not users:
                del self._users[sha256]

    def statistics(self) -> CacheStatistics:
        """Count what was done."""
        return CacheStatistics(
            files=len(self._entries),
            bytes=sum(entry.size_bytes for entry in self._entries.values()),
            fetched=self._fetched,
            hits=self._hits,
            evicted=self._evicted,
        )

    # --- one fetch --------------------------------------------------------------------------------------------

    def _start(self, pin: FilePin) -> _Flight:
        if self._nursery is None:
            raise RuntimeError("the file cache does not run: files can be had within `run` only")
        flight = self._flights[pin.sha256] = _Flight()
        self._nursery.start_soon(self._fly, flight, pin)
        return flight

    async def _fly(self, flight: _Flight, pin: FilePin) -> None:
        try:
            with flight.scope:
                async with self._fetches:
                    await self._bring(pin)
        except StepError as error:
            flight.failure = error.failure
        except OSError as error:
            flight.failure = _infrastructure(
                "cache_unusable", f"The folder {self._folder} can not be used: {error.strerror or error}."
            ).failure
        finally:
            self._reserved.pop(pin.sha256, None)
            del self._flights[pin.sha256]
            flight.done.set()

    async def _bring(self, pin: FilePin) -> None:
        if await self._is_here(pin):
            return
        self._make_room(pin)
        self._reserved[pin.sha256] = pin.size_bytes
        draft = self._folder / f"{pin.sha256}{UNFINISHED}"
        try:
            await self._source.fetch(pin, draft)
            await self._in_thread(lambda: self._place(draft, pin))
        finally:
            with trio.CancelScope(shield=True):
                await self._in_thread(lambda: draft.unlink(missing_ok=True))
        self._entries[pin.sha256] = _Entry(pin.size_bytes, checked=True)
        self._fetched += 1
        _log.info("file fetched: %s (%d bytes), version %s", pin.reference, pin.size_bytes, pin.version)

    def _place(self, draft: Path, pin: FilePin) -> None:
        draft.replace(self._path(pin.sha256))
        sync_folder(self._folder)

    async def _is_here(self, pin: FilePin) -> bool:
        """Whether the file is there from before; its bytes are compared, a disk may have changed them."""
        entry = self._entries.get(pin.sha256)
        if entry is None:
            return False
        if not entry.checked and await self._in_thread(lambda: _digest(self._path(pin.sha256))) == pin.sha256:
            entry.checked = True
        if entry.checked:
            return True
        _log.warning("the cached file of %s is damaged or gone: it is fetched again", pin.reference)
        self._drop(pin.sha256)
        return False

    # --- room -------------------------------------------------------------------------------------------------

    def _make_room(self, pin: FilePin) -> None:
        """Evict what nobody needs until the file fits; raises StepError when it can not."""
        if pin.size_bytes > self._limit_bytes:
            raise step_failed(
                ErrorClass.USER,
                "file_too_large",
                f"{pin.reference} has {pin.size_bytes // _MB} MB and this node keeps files of "
                f"{self._limit_bytes // _MB} MB in all: raise file_cache_mb on the node.",
            )
        coming = sum(self._reserved.values())
        held = sum(entry.size_bytes for entry in self._entries.values()) + coming
        free_bytes = self._free_bytes()
        if free_bytes is not None:
            free_bytes -= coming
        unneeded = [sha256 for sha256 in self._entries if sha256 not in self._users]
        while True:
            over = held + pin.size_bytes > self._limit_bytes
            low = free_bytes is not None and free_bytes - pin.size_bytes < self._reserve_bytes
            if not over and not low:
                return
            if not unneeded:
                raise self._no_room(pin, held) if over else self._disk_low(pin, free_bytes or 0)
            size_bytes = self._drop(unneeded.pop(0))
            self._evicted += 1
            held -= size_bytes
            if free_bytes is not None:
                free_bytes += size_bytes

    def _no_room(self, pin: FilePin, held: int) -> StepError:
        return _infrastructure(
            "file_cache_full",
            f"There is no room for {pin.reference} ({pin.size_bytes // _MB} MB): open tasks of this node need "
            f"{held // _MB} of the {self._limit_bytes // _MB} MB; try again later, or raise file_cache_mb.",
        )

    def _disk_low(self, pin: FilePin, free_bytes: int) -> StepError:
        return _infrastructure(
            "disk_low",
            f"There is no room for {pin.reference} ({pin.size_bytes // _MB} MB): the node's disk has "
            f"{free_bytes // _MB} MB left and {self._reserve_bytes // _MB} MB are kept; make space.",
        )

    def _drop(self, sha256: str) -> int:
        """Take a file out; its name is free at once, its bytes a moment later. Return how many."""
        entry = self._entries.pop(sha256)
        gone = self._folder / f"{sha256}{_EVICTED}"
        try:
            self._path(sha256).replace(gone)
        except FileNotFoundError:
            return entry.size_bytes
        assert self._nursery is not None
        self._nursery.start_soon(self._in_thread, lambda: gone.unlink(missing_ok=True))
        return entry.size_bytes

    # --- the disk ---------------------------------------------------------------------------------------------

    async def _touched(self, sha256: str) -> bool:
        """Note the use of a file, for the order in which they go; False when somebody removed it."""
        path = self._path(sha256)
        try:
            await self._in_thread(lambda: os.utime(path))
        except FileNotFoundError:
            entry = self._entries.get(sha256)
            if entry is not None:
                entry.checked = False
            return False
        if sha256 in self._entries:
            self._entries[sha256] = self._entries.pop(sha256)
            return True
        return False

    def _path(self, sha256: str) -> Path:
        return self._folder / sha256

    async def _in_thread(self, work: Callable[[], _ResultT]) -> _ResultT:
        return await trio.to_thread.run_sync(work, limiter=self._threads)


def _found(folder: Path) -> dict[str, _Entry]:
    """Return what is whole, by its last use; remove what is not."""
    whole = []
    for path in folder.iterdir():
        if _WHOLE.fullmatch(path.name) is None:
            path.unlink()
        else:
            about = path.stat()
            whole.append((about.st_mtime_ns, path.name, about.st_size))
    return {name: _Entry(size_bytes, checked=False) for _, name, size_bytes in sorted(whole)}


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return ""


def _infrastructure(code: str, message: str) -> StepError:
    return step_failed(ErrorClass.INFRASTRUCTURE, code, message)
