"""The spool: artifacts on their way to the admin, on disk until it has them (step 10).

An entry is two files in ``data_dir/spool/``: ``<id>.data`` and ``<id>.json``. The json is written last and removed
first, each time with its folder synced, so it alone says whether the entry exists: a crash leaves a whole entry or
none. A start reads them back and removes what was left half-way. What the admin refuses for good lies in
``spool/refused/`` as the same pair, the reason in its json; moving both files back into ``spool/`` and starting the
node tries them again.
"""

from __future__ import annotations

import errno
import heapq
import logging
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar

import msgspec
import trio

from doai.errors import ErrorClass, StepError
from doai.ids import Token
from doai.node.artifacts import ArtifactOwner, KeptArtifact, KeptArtifacts
from doai.node.durable_file import UNFINISHED, link_file, make_folder, remove_file, write_file
from doai.node.steps.base import ArtifactRef, step_failed

FILE_THREADS: Final = 4
"""Threads that wait for the disk at once: more only queue there. Their own limiter, because calls that hang on a
phone may fill the default one."""

WRITTEN_AT_ONCE_BYTES: Final = 64 * 1024
"""Up to this a file of an attempt is written and hashed in the event loop: it is not synced, so that this takes
0.1 ms, and a thread costs more than that."""

_DATA: Final = ".data"
_META: Final = ".json"
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_log: Final = logging.getLogger(__name__)
_T = TypeVar("_T")


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Why the admin will never take an artifact."""

    status: int
    """HTTP status; 0 when the node itself found the file damaged."""
    reason: str


class SpoolEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One artifact to upload: what the json of its pair holds."""

    entry_id: str
    """Name of the pair: task, token and the artifact's name; spooling the same artifact again is the same entry."""
    path: str
    """Destination, see doai.artifact_path."""
    sha256: str
    size_bytes: int
    media_type: str
    node_id: str
    run_id: str
    task_id: str
    token: Token
    step_id: str
    device_serial: str
    refusal: Refusal | None = None


class SpoolStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """Files that the node holds."""

    kept: int
    """Made by steps of attempts that go on; not to be uploaded yet."""
    waiting: int
    """Entries that the admin does not have yet, those being uploaded among them."""
    waiting_bytes: int
    refused: int


class Spool:
    """Keeps the files of attempts and hands those that were spooled to the uploader, oldest first.

    Every call that changes entries is on disk when it returns. A failing disk is a StepError of class
    infrastructure: ``disk_full`` or ``disk_error``.
    """

    def __init__(self, data_dir: Path, node_id: str) -> None:
        """Read the entries back and remove unfinished files; blocks for a moment. Raises OSError."""
        self._node_id = node_id
        self._folder = data_dir / "spool"
        self._refused_folder = self._folder / "refused"
        make_folder(self._refused_folder)
        self._kept = KeptArtifacts(data_dir, node_id)
        self._refused = len(_read_entries(self._refused_folder)[0])
        entries, damaged = _read_entries(self._folder)
        for meta, reason in damaged:
            _log.error(
                "the spool entry %s can not be uploaded: %s; it is kept in %s", meta, reason, self._refused_folder
            )
            _set_aside(self._folder, self._refused_folder, meta.name.removesuffix(_META))
            self._refused += 1
        self._entries: dict[str, SpoolEntry] = {entry.entry_id: entry for entry in entries}
        self._ready: deque[str] = deque(self._entries)
        self._delayed: list[tuple[float, str]] = []
        self._changed = trio.Event()
        self._spooling = trio.Lock()
        self._threads = trio.CapacityLimiter(FILE_THREADS)

    async def keep(
        self,
        owner: ArtifactOwner,
        data: bytes,
        *,
        extension: str,
        media_type: str,
        utc_ms: int,
        name: str | None = None,
    ) -> ArtifactRef:
        """Write a file of an attempt; ``name`` takes the place of the step's id in its name and path.

        Raises StepError: ``bad_artifact_path``, ``artifact_too_large`` (class user), ``disk_full``, ``disk_error``.
        """
        ref = self._kept.plan(
            owner, size_bytes=len(data), extension=extension, media_type=media_type, name=name, utc_ms=utc_ms
        )
        try:
            if len(data) > WRITTEN_AT_ONCE_BYTES:
                return await self._in_thread(lambda: self._kept.write(owner, ref, data))
            await trio.lowlevel.checkpoint_if_cancelled()
            return self._on_disk(lambda: self._kept.write(owner, ref, data))
        except BaseException:
            self._kept.forget(owner, ref)
            raise

    async def spool(self, task_id: str, token: Token, name: str) -> ArtifactRef:
        """Hand a kept file over for upload; doing it again changes nothing.

        Raises StepError: ``unknown_artifact`` (class user), ``disk_full``, ``disk_error``.
        """
        kept = self._kept.find(task_id, token, name)
        entry = _entry_of(kept, self._node_id)
        async with self._spooling:
            if entry.entry_id not in self._entries:
                await self._in_thread(lambda: self._write_entry(kept.file, entry))
                self._entries[entry.entry_id] = entry
                self._ready.append(entry.entry_id)
                self._wake()
        return kept.ref

    async def drop_tasks(self, attempts: Sequence[tuple[str, Token]]) -> None:
        """Remove the kept files of attempts that have ended; what was spooled stays."""

        def drop() -> None:
            failed: OSError | None = None
            for task_id, token in attempts:
                try:
                    self._kept.drop(task_id, token)
                except OSError as error:
                    failed = error
            if failed is not None:
                raise failed

        await self._in_thread(drop)

    async def take(self) -> SpoolEntry:
        """Wait for an entry to upload; end with `stored`, `refuse` or `give_back`."""
        await trio.lowlevel.checkpoint()
        while True:
            while self._delayed and self._delayed[0][0] <= trio.current_time():
                self._ready.append(heapq.heappop(self._delayed)[1])
            if self._ready:
                return self._entries[self._ready.popleft()]
            with trio.move_on_at(self._delayed[0][0] if self._delayed else float("inf")):
                await self._changed.wait()

    def give_back(self, entry: SpoolEntry, *, delay_s: float = 0.0) -> None:
        """Let a taken entry be taken again, after a delay; one that has ended stays ended."""
        if entry.entry_id not in self._entries:
            return
        if delay_s > 0:
            heapq.heappush(self._delayed, (trio.current_time() + delay_s, entry.entry_id))
        else:
            self._ready.appendleft(entry.entry_id)
        self._wake()

    async def stored(self, entry: SpoolEntry) -> None:
        """Remove a taken entry: the admin has it."""
        await self._in_thread(lambda: self._remove_entry(entry.entry_id))
        del self._entries[entry.entry_id]

    async def refuse(self, entry: SpoolEntry, refusal: Refusal) -> SpoolEntry:
        """Set a taken entry aside in ``spool/refused`` with the reason, and return it with that."""
        refused = msgspec.structs.replace(entry, refusal=refusal)
        await self._in_thread(lambda: self._refuse_entry(refused))
        del self._entries[entry.entry_id]
        self._refused += 1
        return refused

    def file_of(self, entry: SpoolEntry) -> Path:
        """Where the bytes of an entry are."""
        return self._folder / (entry.entry_id + _DATA)

    def statistics(self) -> SpoolStatistics:
        """Count what is held now."""
        return SpoolStatistics(
            kept=self._kept.count,
            waiting=len(self._entries),
            waiting_bytes=sum(entry.size_bytes for entry in self._entries.values()),
            refused=self._refused,
        )

    def _write_entry(self, source: Path, entry: SpoolEntry) -> None:
        link_file(source, self.file_of(entry))
        try:
            write_file(self._folder / (entry.entry_id + _META), msgspec.json.encode(entry))
        except OSError:
            self.file_of(entry).unlink(missing_ok=True)
            raise

    def _remove_entry(self, entry_id: str) -> None:
        remove_file(self._folder / (entry_id + _META))
        (self._folder / (entry_id + _DATA)).unlink(missing_ok=True)  # a start removes one that comes back

    def _refuse_entry(self, entry: SpoolEntry) -> None:
        data = self.file_of(entry)
        if data.exists():
            link_file(data, self._refused_folder / data.name)
        write_file(self._refused_folder / (entry.entry_id + _META), msgspec.json.encode(entry))
        self._remove_entry(entry.entry_id)

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def _in_thread(self, call: Callable[[], _T]) -> _T:
        return await trio.to_thread.run_sync(self._on_disk, call, limiter=self._threads)

    def _on_disk(self, call: Callable[[], _T]) -> _T:
        try:
            return call()
        except OSError as error:
            raise _disk_failed(error, self._folder.parent) from error


def _entry_of(kept: KeptArtifact, node_id: str) -> SpoolEntry:
    owner, ref = kept.owner, kept.ref
    return SpoolEntry(
        entry_id=kept.file.name,
        path=ref.path,
        sha256=ref.sha256,
        size_bytes=ref.size_bytes,
        media_type=ref.media_type,
        node_id=node_id,
        run_id=owner.run_id,
        task_id=owner.task_id,
        token=owner.token,
        step_id=owner.step_id,
        device_serial=owner.device_serial,
    )


def _read_entries(folder: Path) -> tuple[list[SpoolEntry], list[tuple[Path, str]]]:
    """Return the entries by name, and the json files that are none with the reason; remove unfinished files."""
    entries: list[SpoolEntry] = []
    damaged: list[tuple[Path, str]] = []
    for file in sorted(folder.iterdir()):
        if file.name.endswith(UNFINISHED) or (file.suffix == _DATA and not file.with_suffix(_META).exists()):
            file.unlink()
        elif file.suffix == _META:
            try:
                entry = msgspec.json.decode(file.read_bytes(), type=SpoolEntry)
            except msgspec.MsgspecError as error:
                damaged.append((file, f"its json can not be read ({error})"))
                continue
            if entry.entry_id + _META != file.name:
                damaged.append((file, f"its json names {entry.entry_id!r}"))
            else:
                entries.append(msgspec.structs.replace(entry, refusal=None))
    return entries, damaged


def _set_aside(folder: Path, refused_folder: Path, entry_id: str) -> None:
    """Move a damaged pair as it is, data first: its json goes on saying that it exists."""
    data = folder / (entry_id + _DATA)
    if data.exists():
        link_file(data, refused_folder / data.name)
    meta = folder / (entry_id + _META)
    write_file(refused_folder / meta.name, meta.read_bytes())
    remove_file(meta)
    data.unlink(missing_ok=True)


def _disk_failed(error: OSError, data_dir: Path) -> StepError:
    if error.errno in _FULL:
        return step_failed(
            ErrorClass.INFRASTRUCTURE,
            "disk_full",
            f"The node's disk is full under {data_dir}: make room there, then the step can be tried again.",
        )
    return step_failed(
        ErrorClass.INFRASTRUCTURE,
        "disk_error",
        f"The node can not write under {data_dir}: {error.strerror or error}; check the disk and its permissions.",
    )
