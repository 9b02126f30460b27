"""Retention: plans what may go over a read connection and has it removed in small slices beside the load (step 13).

Files of artifacts go before their rows: a run that has ended never opens again, and what a crash leaves is a row
without a file, which the next pass takes. After each slice it rests longer than the slice took: a busy broker
answers later, and is asked less.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

from doai.envelope import Message
from doai.errors import ConflictError, DoaiError
from doai.messages.retention import PruneStore, RecordRetention
from doai.store.retention_reader import MIN_AGE_MS, SLICE, Bounds, Cleaning, Going, Held, Policy, RetentionReader

REST: Final = 4.0
"""Rests this many times as long as the slice took: a fifth of the time at most is spent on retention."""
REST_MIN_S: Final = 0.02
FIRST_S: Final = 120.0
"""After a start: who starts a broker has other things in mind."""
RETRY_S: Final = 600.0
CLEANINGS_MAX: Final = 20
"""That wait for their turn: each was confirmed by a person."""
SUBJECT: Final = "retention"
_log: Final = logging.getLogger(__name__)

Command = Callable[[Message], Coroutine[Any, Any, object]]
"""Has the broker execute a command in the name of whoever asked."""
Work = Callable[[], Coroutine[Any, Any, object]]


class Outlook(msgspec.Struct, frozen=True, kw_only=True):
    """What there is, and what a pass would remove now."""

    held: Held
    going: Going
    bounds: Bounds


class Janitor:
    """Goes through the store, one pass at a time."""

    def __init__(
        self,
        reader: RetentionReader,
        artifacts: Path,
        policy: Policy,
        *,
        every_h: float,
        wait_free: Callable[[], Awaitable[None]],
    ) -> None:
        """``every_h`` = 0: only on demand. ``wait_free`` returns when no backup is being made: it needs what is."""
        self.reader = reader
        self.policy = policy
        self.every_h = every_h
        self._artifacts = artifacts
        self._wait_free = wait_free
        self._busy = asyncio.Lock()
        self._tasks: set[asyncio.Task[object]] = set()
        self.progress = RecordRetention(began_at_ms=0)
        """Of the pass that is under way, or was the last."""
        self.cleaning: list[Cleaning] = []
        """Of queues: the one that is under way, and those that wait for their turn."""

    @property
    def is_running(self) -> bool:
        """Whether a pass is under way."""
        return self._busy.locked()

    async def outlook(self) -> Outlook:
        """Return what would go now."""
        held = await self.reader.held()
        bounds = await self._bounds(held)
        return Outlook(held=held, going=await self.reader.going(bounds), bounds=bounds)

    async def _bounds(self, held: Held) -> Bounds:
        return await self.reader.bounds(self.policy, held, disk_bytes(self._artifacts), _now_ms())

    def begin(self, command: Command) -> None:
        """Begin a pass and return; raises ConflictError while one is under way."""
        if self.is_running:
            raise ConflictError("retention is under way: `doai retention` tells how far it is", code="running")
        self._start(partial(self.sweep, command))

    def check_room(self) -> None:
        """Raise ConflictError when too many cleanings wait for their turn."""
        if len(self.cleaning) >= CLEANINGS_MAX:
            raise ConflictError(
                f"{CLEANINGS_MAX} queues are being cleaned already: `doai retention` tells how far that is",
                code="running",
            )

    def begin_cleaning(self, command: Command, cleaning: Cleaning) -> None:
        """Remove what has ended of a queue once its turn comes, and return."""
        if cleaning not in self.cleaning:
            self.cleaning.append(cleaning)
            self._start(partial(self.clean, command, cleaning))

    def _start(self, work: Work) -> None:
        task = asyncio.create_task(self._logged(work), name="retention")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def run(self, command: Command) -> None:
        """Make a pass whenever the newest is as old as was set."""
        await asyncio.sleep(FIRST_S)
        while self.every_h:
            await asyncio.sleep(await self._due_in_s())
            if not self.is_running:
                await self._logged(partial(self.sweep, command))
            await asyncio.sleep(RETRY_S)
        await asyncio.Event().wait()

    async def close(self) -> None:
        """End what is under way; the next pass goes on."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.reader.close()

    async def _due_in_s(self) -> float:
        newest_ms = await self.reader.newest_pass_ms()
        age_s = (_now_ms() - newest_ms) / 1000 if newest_ms is not None else self.every_h * 3600
        return min(max(0.0, self.every_h * 3600 - age_s), self.every_h * 3600)

    async def _logged(self, work: Work) -> None:
        try:
            await work()
        except DoaiError as error:
            _log.error("retention could not be recorded: %s", error)

    async def sweep(self, command: Command) -> RecordRetention:
        """Make one pass; what it did is recorded, also when it had to end early."""
        return await self._pass(command, partial(self._remove, command), "")

    async def clean(self, command: Command, cleaning: Cleaning) -> RecordRetention:
        """Remove what has ended of a queue, after what is under way; it is recorded as a pass is."""
        try:
            return await self._pass(command, partial(self._clean, command, cleaning), cleaning.queue)
        finally:
            if cleaning in self.cleaning:
                self.cleaning.remove(cleaning)

    async def _pass(self, command: Command, work: Work, queue: str) -> RecordRetention:
        async with self._busy:
            self.progress = RecordRetention(began_at_ms=_now_ms(), queue=queue)
            try:
                await work()
            except DoaiError as error:
                _log.error("retention ended early: %s", error)
                self.progress = msgspec.structs.replace(self.progress, problem=str(error))
            done = self.progress
            await command(done)
        _log.info(
            "retention%s removed %d tasks, %d runs, %d events, %d artifacts (%d bytes), %d rows of the audit",
            f" of queue {queue}" if queue else "",
            done.tasks,
            done.runs,
            done.events,
            done.artifacts,
            done.freed_bytes,
            done.audit,
        )
        return done

    async def _remove(self, command: Command) -> None:
        bounds = await self._bounds(await self.reader.held())
        while found := await self.reader.artifacts(bounds):
            await self._remove_artifacts(command, found)
        after = ""
        while run_ids := await self.reader.runs(bounds, after):
            await self._remove_runs(command, bounds.now_ms - MIN_AGE_MS, run_ids)
            after = run_ids[-1]
        while positions := await self.reader.events(bounds):
            await self._slice(command, PruneStore(events=positions), events=len(positions))
        while numbers := await self.reader.audit(bounds):
            await self._slice(command, PruneStore(audit_up_to=numbers[-1]), audit=len(numbers))
        after = ""
        while serials := await self.reader.samples(bounds, after):
            before = bounds.sample_minute_before, bounds.sample_hour_before
            prune = PruneStore(samples=serials, sample_minute_before=before[0], sample_hour_before=before[1])
            await self._slice(command, prune)
            after = serials[-1]

    async def _clean(self, command: Command, cleaning: Cleaning) -> None:
        after = ""
        while run_ids := await self.reader.next_cleanable(cleaning, after):
            await self._remove_runs(command, cleaning.ended_before_ms, run_ids)
            after = run_ids[-1]

    async def _remove_runs(self, command: Command, ended_before_ms: int, run_ids: list[str]) -> None:
        """Remove runs with all that is theirs; of small ones several share a slice."""

        async def remove(task_ids: list[str]) -> None:
            prune = PruneStore(tasks=task_ids, ended_before_ms=ended_before_ms)
            await self._slice(command, prune, tasks=len(task_ids))

        gathered: list[str] = []
        for run_id in run_ids:
            while artifacts := await self.reader.artifacts_of(run_id):
                await self._remove_artifacts(command, artifacts)
            while len(task_ids := await self.reader.tasks_of(run_id)) >= SLICE:
                await remove(task_ids)
            if gathered and len(gathered) + len(task_ids) > SLICE:
                await remove(gathered)
                gathered = []
            gathered += task_ids
        if gathered:
            await remove(gathered)
        await self._slice(command, PruneStore(runs=run_ids), runs=len(run_ids))

    async def _remove_artifacts(self, command: Command, artifacts: list[tuple[str, int]]) -> None:
        paths = [path for path, _ in artifacts]
        freed_bytes = await asyncio.to_thread(remove_files, self._artifacts, paths)
        await self._slice(command, PruneStore(artifacts=paths), artifacts=len(paths), freed_bytes=freed_bytes)

    async def _slice(self, command: Command, prune: PruneStore, **counts: int) -> None:
        await self._wait_free()
        begun_s = time.monotonic()
        await command(prune)
        sums = {name: getattr(self.progress, name) + count for name, count in counts.items()}
        self.progress = msgspec.structs.replace(self.progress, **sums)
        await asyncio.sleep(max(REST_MIN_S, REST * (time.monotonic() - begun_s)))


def remove_files(root: Path, paths: list[str]) -> int:
    """Remove files below a folder and the folders that become empty; return the bytes that were freed."""
    freed_bytes = 0
    for path in paths:
        file = root / path
        try:
            size_bytes = file.stat(follow_symlinks=False).st_size
            file.unlink()
        except FileNotFoundError:
            continue
        except OSError as error:
            # Its row goes all the same: what can not be removed is for whoever keeps the disk.
            _log.error("%s can not be removed: %s", file, error.strerror)
            continue
        freed_bytes += size_bytes
        _remove_empty(file.parent, root)
    return freed_bytes


def _remove_empty(folder: Path, root: Path) -> None:
    while folder != root and folder.is_relative_to(root):
        try:
            folder.rmdir()
        except OSError:
            return  # something is in it, or came into it meanwhile
        folder = folder.parent


def disk_bytes(folder: Path) -> int:
    """Return the size of the disk of a folder; 0 when it can not be looked at."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return 0
    return found.f_blocks * found.f_frsize


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
