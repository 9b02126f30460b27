"""Drives the commit pipeline with a writer on trio: gathers, commits, then lets effects leave (steps 3, 13)."""

from __future__ import annotations

import enum
import math
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

import msgspec
import trio

from doai import limits
from doai.store.base import Writer
from doai.store.disk_wait import DiskWait
from doai.store.pipeline import Pipeline, PipelineStatistics

OpT = TypeVar("OpT")
EffectT = TypeVar("EffectT")
_ResultT = TypeVar("_ResultT")


class WriterMode(enum.Enum):
    """Where commits run."""

    ADAPTIVE = "adaptive"
    """In the event loop while the disk is fast, as `DiskWait` has it; else in a thread."""
    INLINE = "inline"
    THREAD = "thread"
    PROCESS = "process"
    """In the process of a `ProcessWriter`: a thread of this one only waits for it."""


class CommitterStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """What was done so far."""

    pipeline: PipelineStatistics
    inline_commits: int
    other_commits: int
    checkpoints: int
    disk_wait_s: float
    """An eighth of the latest commits in the event loop waited no longer than this for the disk."""
    log_bytes: int


class Committer(Generic[OpT, EffectT]):
    """The only user of a pipeline and its writer. `run` it in a nursery; a StoreError out of it ends the process.

    ``release`` is called for every effect, in order, when it may leave; it must not block. It may call `submit`.
    """

    def __init__(
        self,
        pipeline: Pipeline[OpT, EffectT],
        writer: Writer[OpT, Any],
        release: Callable[[EffectT], None],
        *,
        mode: WriterMode = WriterMode.ADAPTIVE,
        disk_wait: DiskWait | None = None,
        apart_s: Callable[[], float] | None = None,
        enough_ops: int = limits.COMMIT_ROWS_MAX,
    ) -> None:
        """``apart_s`` tells how far apart commits are to begin now, unless ``enough_ops`` wait; the first after
        a quiet moment waits for nothing. None = not at all."""
        self._pipeline = pipeline
        self._writer = writer
        self._release = release
        self._mode = mode
        self._apart_s = apart_s
        self._enough_ops = enough_ops
        self._enough = trio.Event()
        self._began_s = -math.inf
        self._wake = trio.Event()
        self._idle = trio.Event()
        self._turned = trio.Event()
        self._writer_lock = trio.Lock()
        self._leaving: deque[EffectT] = deque()
        self._releasing = False
        self._disk_wait = disk_wait or DiskWait()
        self._checkpoint_at = limits.WAL_CHECKPOINT_BYTES
        self._checkpoint_by = limits.WAL_BYTES_MAX
        self._inline_commits = 0
        self._other_commits = 0
        self._checkpoints = 0

    @property
    def has_room(self) -> bool:
        """Whether intake may go on; see `Pipeline.has_room`."""
        return self._pipeline.has_room

    @property
    def has_batch(self) -> bool:
        """Whether the event loop is to have a turn, for a commit to begin; see `Pipeline.has_batch`."""
        return self._pipeline.has_batch

    def submit(self, ops: Sequence[OpT], effects: Sequence[EffectT]) -> None:
        """Take one decision: its effects leave after its ops, and all ops before them, are on disk.

        Nothing is committed within the call, so what one turn of the event loop submits is one batch. Effects
        that rest on nothing leave within the call.
        """
        leaving = self._pipeline.add(ops, effects)
        if leaving:
            self._leave(leaving)
        elif ops:
            self._wake.set()
            if self._pipeline.waiting_ops >= self._enough_ops:
                self._enough.set()

    async def run(self) -> None:
        """Commit what is submitted, until cancelled. Raises StoreError: exit, reload, recover."""
        while True:
            if not self._pipeline.waiting_ops:
                await self._rest()
            if self._apart_s is not None:
                await self._keep_apart(self._apart_s())
            await self._commit_next()
            if self._writer.log_bytes >= self._checkpoint_by:
                await self._checkpoint()

    async def wait_idle(self) -> None:
        """Return when all that was submitted is on disk and its effects have left. Needs a running `run`."""
        while not self._pipeline.idle or self._leaving:
            self._idle = trio.Event() if self._idle.is_set() else self._idle
            await self._idle.wait()
        await trio.lowlevel.checkpoint()

    async def wait_turn(self) -> None:
        """Return when nothing waits for the disk, or when the next batch is on it: so not while a commit hangs."""
        if self._pipeline.idle:
            await trio.lowlevel.checkpoint()
            return
        self._turned = trio.Event() if self._turned.is_set() else self._turned
        await self._turned.wait()

    async def with_writer(self, work: Callable[[], _ResultT], *, brief: bool = False) -> _ResultT:
        """Run ``work`` in a thread while no commit uses the writer, e.g. to read facts again from an outbox.

        What is ``brief`` runs where a commit would.
        """
        async with self._writer_lock:
            if brief and self._may_run_inline():
                return work()
            return await trio.to_thread.run_sync(work)

    def statistics(self) -> CommitterStatistics:
        """Return counts since the start and sizes now."""
        return CommitterStatistics(
            pipeline=self._pipeline.statistics(),
            inline_commits=self._inline_commits,
            other_commits=self._other_commits,
            checkpoints=self._checkpoints,
            disk_wait_s=self._disk_wait.wait_s,
            log_bytes=self._writer.log_bytes,
        )

    async def _keep_apart(self, apart_s: float) -> None:
        until_s = self._began_s + apart_s
        if self._pipeline.waiting_ops < self._enough_ops and trio.current_time() < until_s:
            self._enough = trio.Event()
            with trio.move_on_at(until_s):
                await self._enough.wait()
        self._began_s = trio.current_time()

    async def _rest(self) -> None:
        self._wake = trio.Event()
        if self._writer.log_bytes >= self._checkpoint_at:
            with trio.move_on_after(limits.CHECKPOINT_IDLE_S):
                await self._wake.wait()
                return
            await self._checkpoint()
        await self._wake.wait()

    async def _commit_next(self) -> None:
        async with self._writer_lock:
            batch = self._pipeline.begin()
            if batch is None:
                return
            try:
                if self._may_run_inline():
                    self._disk_wait.run(partial(self._writer.commit, batch.ops))
                    self._inline_commits += 1
                else:
                    with trio.CancelScope(shield=True):  # a batch that was begun is finished
                        await trio.to_thread.run_sync(self._writer.commit, batch.ops)
                    self._other_commits += 1
            except BaseException:
                self._pipeline.failed(batch.n)
                raise
        self._turned.set()
        self._leave(self._pipeline.committed(batch.n))

    def _may_run_inline(self) -> bool:
        if self._mode is WriterMode.ADAPTIVE:
            return not self._disk_wait.is_worth_a_thread(more_waits=self._pipeline.waiting_ops > 0)
        return self._mode is WriterMode.INLINE

    async def _checkpoint(self) -> None:
        await self.with_writer(self._writer.checkpoint)
        self._checkpoints += 1
        # What a reader holds back stays in the log: the next attempt waits until there is more to gain.
        left = self._writer.log_bytes
        self._checkpoint_at = left + limits.WAL_CHECKPOINT_BYTES
        self._checkpoint_by = left + limits.WAL_BYTES_MAX

    def _leave(self, effects: Sequence[EffectT]) -> None:
        self._leaving.extend(effects)
        if self._releasing:  # an effect that submits: the ones before it leave first
            return
        self._releasing = True
        try:
            while self._leaving:
                self._release(self._leaving.popleft())
        finally:
            self._releasing = False
        if self._pipeline.idle:
            self._idle.set()
