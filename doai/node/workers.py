"""Tasks of the event loop that perform one try after the other, each within a time of its own (step 8).

A task and a cancel scope of it serve many tries, one at a time; only a scope that was cancelled is replaced.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import trio

WorkT = TypeVar("WorkT")
ResultT = TypeVar("ResultT")


class Worker(Generic[WorkT]):
    """One task; ``work`` is what it performs now, and ``scope`` is around that."""

    __slots__ = ("scope", "task", "work")

    def __init__(self, work: WorkT) -> None:
        self.work: WorkT | None = work
        # It exists from now on, so that a cancel that comes before the first step of the task is not lost.
        self.scope = trio.CancelScope()
        self.task: trio.lowlevel.Task


class Workers(Generic[WorkT, ResultT]):
    """As many tasks as ever performed at once; `run` must be running in a nursery."""

    def __init__(
        self,
        perform: Callable[[WorkT], Awaitable[ResultT]],
        cut_off: Callable[[WorkT, Exception | None], ResultT],
        done: Callable[[ResultT], None],
    ) -> None:
        """``perform`` raises nothing by itself; when it is cut off by its scope, ``cut_off`` gives the result, and
        is told what else was raised then. ``done`` takes each result; what that raises ends everything."""
        self._perform = perform
        self._cut_off = cut_off
        self._done = done
        self._idle: list[Worker[WorkT]] = []
        self._nursery: trio.Nursery | None = None

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Perform until cancelled; what runs then is cancelled, and there is no result of it."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            try:
                await trio.sleep_forever()
            finally:
                self._nursery = None

    def start(self, work: WorkT, timeout_s: float) -> trio.CancelScope:
        """Begin; return the scope that ends it, which is of this work until its result is taken."""
        if self._nursery is None:
            raise RuntimeError("nothing runs here: work can be started within `run` only")
        if self._idle:
            worker = self._idle.pop()
            worker.work = work
            trio.lowlevel.reschedule(worker.task)
        else:
            worker = Worker(work)
            self._nursery.start_soon(self._serve, worker)
        worker.scope.deadline = trio.current_time() + timeout_s
        return worker.scope

    async def _serve(self, worker: Worker[WorkT]) -> None:
        while True:
            error = None
            try:
                with worker.scope as scope:
                    await self._work(worker, scope)
            except Exception as raised:
                if worker.work is None:
                    raise  # of `done`
                error = raised
            worker.scope = trio.CancelScope()
            if worker.work is not None:
                result = self._cut_off(worker.work, error)
                worker.work = error = None
                self._done(result)
                del result

    async def _work(self, worker: Worker[WorkT], scope: trio.CancelScope) -> None:
        """Perform what comes until a cancel comes too."""
        while True:
            if worker.work is None:
                await self._rest(worker)
            assert worker.work is not None
            result = await self._perform(worker.work)
            worker.work = None
            self._done(result)
            del result  # it may be large, and the next work may be long in coming
            if scope.cancel_called:
                return
            # Its deadline stays until the next work sets another: one that passes in idleness costs less than
            # taking it back after each work, and only replaces the scope.

    async def _rest(self, worker: Worker[WorkT]) -> None:
        def leave(_: object) -> trio.lowlevel.Abort:
            self._idle.remove(worker)
            return trio.lowlevel.Abort.SUCCEEDED

        worker.task = trio.lowlevel.current_task()
        self._idle.append(worker)
        await trio.lowlevel.wait_task_rescheduled(leave)
