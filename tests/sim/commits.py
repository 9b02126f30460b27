"""Drives the production pipeline with a simulated disk, as the committer does with a real one (steps 3, 13)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from doai.store.pipeline import Batch, Pipeline
from tests.sim.disks import BrokerDisk, NodeDisk
from tests.sim.world import World


class Commits:
    """One process's way to its disk. A commit takes time; what is submitted meanwhile goes into the next."""

    def __init__(
        self,
        world: World,
        disk: BrokerDisk | NodeDisk,
        perform: Callable[[Any], None],
        failed: Callable[[], None],
    ) -> None:
        self.pipeline: Pipeline[Any, Any] = Pipeline()
        self.fail_next = False
        self._world = world
        self._disk = disk
        self._perform = perform
        self._failed = failed
        self._batch: Batch[Any] | None = None
        self._late = False
        self._frozen = False
        self._dead = False
        self._leaving: deque[Any] = deque()
        self._releasing = False
        self._work: deque[tuple[Callable[[], Any], Callable[[Any], None]]] = deque()

    def submit(self, ops: Sequence[Any], effects: Sequence[Any]) -> None:
        """Take one decision."""
        if self._dead or not (ops or effects):
            return
        leaving = self.pipeline.add(ops, effects)
        if leaving:
            self._leave(leaving)
        if ops and self._batch is None:
            self._begin()

    def with_disk(self, work: Callable[[], Any], then: Callable[[Any], None]) -> None:
        """Read while no commit is under way; the answer comes a little later."""
        self._work.append((work, then))
        if self._batch is None:
            self._do_work()

    def freeze(self) -> None:
        """The process stands still: what the disk does meanwhile is seen later."""
        self._frozen = True

    def thaw(self) -> None:
        """It goes on."""
        self._frozen = False
        if self._late and self._batch is not None:
            self._late = False
            self._land(self._batch)

    def close(self) -> None:
        """The world ends."""
        self._dead = True
        self._disk.close()

    def die(self) -> None:
        """The process is killed. What is in flight has landed, or has not."""
        if self._dead:
            return
        self._dead = True
        if self._batch is not None:
            if self._world.chance(0.5):
                self._disk.commit(self._batch.ops)
                self._world.fault("crash_after_landing")
            else:
                self._world.fault("crash_loses_commit")
        self._disk.close()

    @property
    def idle(self) -> bool:
        """Nothing is uncommitted and nothing waits to leave."""
        return self.pipeline.idle and not self._leaving

    def _begin(self) -> None:
        self._do_work()
        self._batch = self.pipeline.begin()
        if self._batch is not None:
            self._world.after(self._disk.pace.commit_s(), self._land, self._batch)

    def _land(self, batch: Batch[Any]) -> None:
        if self._dead:
            return
        if self._frozen:
            self._late = True
            return
        if self.fail_next:
            self._fail(batch)
            return
        self._disk.commit(batch.ops)
        self._batch = None
        self._leave(self.pipeline.committed(batch.n))
        if not self._dead and self._batch is None and not (self.pipeline.idle and not self._work):
            self._begin()

    def _fail(self, batch: Batch[Any]) -> None:
        if self._world.chance(0.5):
            self._disk.commit(batch.ops)
            self._world.fault("commit_failed_landed")
        else:
            self._world.fault("commit_failed_lost")
        self.pipeline.failed(batch.n)
        self._batch = None
        self._failed()

    def _do_work(self) -> None:
        while self._work:
            work, then = self._work.popleft()
            self._world.after(self._disk.pace.read_s(), self._answer, then, work())

    def _answer(self, then: Callable[[Any], None], result: Any) -> None:
        if not self._dead:
            then(result)

    def _leave(self, effects: Sequence[Any]) -> None:
        leaving = self._leaving
        leaving.extend(effects)
        if self._releasing or not leaving:  # an effect that submits: the ones before it leave first
            return
        self._releasing = True
        perform = self._perform
        while leaving and not self._dead:
            perform(leaving.popleft())
        self._releasing = False
