"""Tasks for *any device that matches*: one pool a run, bound to a device only at dispatch (step 4)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from doai.broker.core.lanes import goes_before, may_go, offers
from doai.broker.core.recipes import Recipe
from doai.broker.core.tables import Device, Run, Task
from doai.states import TaskState
from doai.workflow.selection import DeviceFacts, matches, unmet_requirement


class Pool:
    """The waiting tasks of one run that may go to any device that matches, first in first out."""

    __slots__ = ("_again", "_fits", "_recipe", "_tasks", "run")

    def __init__(self, run: Run, recipe: Recipe) -> None:
        self.run = run
        self._recipe = recipe
        self._tasks: deque[tuple[int, Task]] = deque()
        self._again: deque[tuple[int, Task]] = deque()
        """Those that were tried: they may go where the run holds up the others."""
        self._fits: dict[str, tuple[int, bool]] = {}

    def add(self, task: Task) -> None:
        """Let it wait; one that was given back takes its old place."""
        tasks = self._again if task.tried else self._tasks
        if tasks and task.order < tasks[0][0]:
            tasks.appendleft((task.order, task))
        else:
            tasks.append((task.order, task))

    def head(self) -> Task | None:
        """Return the task that is next: the older one of those that the run lets go."""
        fresh = self._next(self._tasks) if self._tasks else None
        again = self._next(self._again) if self._again else None
        if fresh is None or again is None:
            return fresh or again
        gate = self.run.gate
        held_up = gate is not None and not gate.takes_fresh
        return again if held_up or again.order < fresh.order else fresh

    def _next(self, tasks: deque[tuple[int, Task]]) -> Task | None:
        while tasks:
            order, task = tasks[0]
            if task.state is TaskState.QUEUED and task.order == order and task.device is None and not task.doomed:
                return task
            tasks.popleft()
        return None

    def fits(self, device: Device) -> bool:
        """Whether the device matches the run's selector and what the recipe requires, as it is known now."""
        if self.run.needs and not offers(device, self.run.needs):
            return False
        known = self._fits.get(device.serial)
        if known is not None and known[0] == device.facts:
            return known[1]
        fits = self._compare(device)
        self._fits[device.serial] = device.facts, fits
        return fits

    def _compare(self, device: Device) -> bool:
        facts = facts_of(device)
        if facts is None or (self.run.selector is not None and not matches(self.run.selector, facts)):
            return False
        requires = self._recipe.requires
        return requires is None or unmet_requirement(requires, facts) is None


class Pools:
    """All pools with waiting tasks."""

    __slots__ = ("_pools",)

    def __init__(self) -> None:
        self._pools: dict[str, Pool] = {}

    def __bool__(self) -> bool:
        return bool(self._pools)

    def __iter__(self) -> Iterator[Pool]:
        return iter(list(self._pools.values()))

    def add(self, task: Task, recipe: Recipe) -> Pool:
        """Let a task wait in the pool of its run."""
        pool = self._pools.get(task.run.row.run_id)
        if pool is None:
            pool = self._pools[task.run.row.run_id] = Pool(task.run, recipe)
        pool.add(task)
        return pool

    def of(self, run: Run) -> Pool | None:
        """Return the pool of a run, if it has one."""
        return self._pools.get(run.row.run_id)

    def forget(self, run: Run) -> None:
        """The run has ended."""
        self._pools.pop(run.row.run_id, None)

    def first(self, device: Device, *, oldest: bool = False) -> Task | None:
        """Return the waiting task that is next for the device: by priority, or the one that waits longest."""
        best: Task | None = None
        for pool in self._pools.values():
            task = pool.head()
            if task is None or (best is not None and not goes_before(task, best, oldest=oldest)):
                continue
            if pool.fits(device) and may_go(task, device):
                best = task
        return best


def facts_of(device: Device) -> DeviceFacts | None:
    """Return what selectors look at; None while no node has told of the device."""
    row = device.row
    if row is None:
        return None
    said = row.description
    return DeviceFacts(
        serial=row.serial,
        node_id=row.node_id,
        model=row.model,
        sdk=row.sdk,
        tags=row.tags if said is None else [*row.tags, *said.tags],
        groups=() if said is None else said.groups,
    )
