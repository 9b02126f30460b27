"""Where tasks wait: queues, and the lanes of a device, one a queue and priority (step 4)."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Final

from doai.broker.core.holders import made_by
from doai.broker.core.rates import Rate
from doai.changes.queues import QueueRow
from doai.states import HELD, QueueState, TaskState

if TYPE_CHECKING:
    from doai.broker.core.tables import Device, Task

_WAITS: Final = TaskState.QUEUED
_DELAYED: Final = TaskState.DELAYED
_Key = tuple[str, int, str]
"""Queue, priority, and the run where it is bounded or needs a plug-in: what waits for that holds nobody up."""


class Queue:
    """A queue in memory: its row, and how many of its open tasks stand where."""

    __slots__ = (
        "changed",
        "delayed",
        "exhausted",
        "held",
        "open",
        "priority",
        "rate",
        "row",
        "stored",
        "waiting",
        "waiting_by_priority",
    )

    def __init__(self, row: QueueRow, changed: dict[Queue, None], *, stored: bool) -> None:
        self.changed = changed
        """Queues whose row is to be written again; one for all queues."""
        self.stored = stored
        self.waiting = 0
        self.delayed = 0
        self.held = 0
        self.waiting_by_priority: dict[int, int] = {}
        """Waiting tasks by the priority of their run; what there is none of is not in it."""
        self.rate: Rate | None = None
        self.exhausted = False
        """Its rate is used up for now."""
        self.configure(row)

    def configure(self, row: QueueRow) -> None:
        """Take another row."""
        self.row = row
        self.priority = row.priority
        self.open = row.state is not QueueState.PAUSED and not self.exhausted
        """Whether its tasks may be given out now."""
        self.changed[self] = None

    def limit(self, rate: Rate | None, now_s: float) -> None:
        """Obey another rate, or none."""
        self.rate = rate
        self.look_at_rate(now_s)

    def look_at_rate(self, now_s: float) -> None:
        """Open or close as its rate says."""
        self.exhausted = self.rate is not None and not self.rate.is_open(now_s)
        self.open = self.row.state is not QueueState.PAUSED and not self.exhausted

    def count(self, state: TaskState, priority: int, by: int) -> None:
        """So many more of its tasks are in a state; what has ended is not counted."""
        if state is _WAITS:
            self.waiting += by
            there = self.waiting_by_priority.get(priority, 0) + by
            if there:
                self.waiting_by_priority[priority] = there
            else:
                del self.waiting_by_priority[priority]
        elif state is _DELAYED:
            self.delayed += by
        elif state in HELD:
            self.held += by
        self.changed[self] = None

    def moved(self, before: TaskState, after: TaskState, priority: int) -> None:
        """One of its tasks went from one state to another."""
        if before in HELD and after in HELD:  # it counts as what it did
            self.changed[self] = None
        else:
            self.count(before, priority, -1)
            self.count(after, priority, 1)


class Lane:
    """Tasks of one queue and priority, and of one run where it is bounded, that wait for one device, as a FIFO."""

    __slots__ = ("_tasks",)

    def __init__(self) -> None:
        self._tasks: list[tuple[int, Task]] = []
        """Heap by the place in the FIFO; entries of tasks that went elsewhere are dropped when they are met."""

    def add(self, task: Task) -> None:
        """Let it wait; one that was given back takes its old place."""
        heapq.heappush(self._tasks, (task.order, task))

    def head(self, device: Device) -> Task | None:
        """Return the task that is next; None when none waits."""
        tasks = self._tasks
        while tasks:
            order, task = tasks[0]
            if task.state is _WAITS and task.order == order and task.device is device and not task.doomed:
                return task
            heapq.heappop(tasks)
        return None

    def take(self) -> None:
        """The head is given out."""
        heapq.heappop(self._tasks)


class Lanes:
    """All that waits for one device and for no other."""

    __slots__ = ("_device", "_lanes")

    def __init__(self, device: Device) -> None:
        self._device = device
        self._lanes: dict[_Key, Lane] = {}

    def add(self, task: Task) -> bool:
        """Let a task wait in its lane; return whether another one may be next for the device by that."""
        lane = self._lane(task)
        lane.add(task)
        return len(self._lanes) > 1 or lane.head(self._device) is task

    def take(self, task: Task) -> None:
        """The task, which is the head of its lane, is given out."""
        self._lane(task).take()

    def first(self, *, oldest: bool = False, bot: str = "") -> Task | None:
        """Return the task that is next of all open lanes: by priority, or the one that waits longest.

        With ``bot`` only of those whose run that bot made: none of its own is found behind another's in one lane.
        """
        best: Task | None = None
        empty: list[_Key] = []
        for key, lane in self._lanes.items():
            task = lane.head(self._device)
            if task is None:
                empty.append(key)
            elif bot and not made_by(task, bot):
                continue
            elif (best is None or goes_before(task, best, oldest=oldest)) and may_go(task, self._device):
                best = task
        for key in empty:
            del self._lanes[key]
        return best

    def _lane(self, task: Task) -> Lane:
        run = task.run
        key = run.row.queue, run.row.priority, run.row.run_id if run.gate is not None or run.needs else ""
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane()
        return lane


def waits_for(task: Task, device: Device) -> bool:
    """Whether the task waits for this very device."""
    return task.state is _WAITS and task.device is device and not task.doomed


def may_go(task: Task, device: Device) -> bool:
    """Whether queue and run let the task be given out now; a device that the run holds up is asked again later."""
    queue, gate = task.run.queue, task.run.gate
    if task.run.needs and not offers(device, task.run.needs):
        return False
    if not queue.open or (queue.rate is not None and device.held):
        return False  # of a queue with a rate nothing is given ahead: it would begin at another time
    if gate is None or gate.lets(task):
        return True
    gate.blocked[device] = None
    return False


def offers(device: Device, steps: frozenset[str]) -> bool:
    """Whether the node that holds the device performs these steps of plug-ins."""
    return device.node is not None and steps <= device.node.steps


def goes_before(task: Task, other: Task, *, oldest: bool) -> bool:
    """Whether one task is given out before another: by priority and then age, or by age alone."""
    return task.order < other.order if oldest else task.key < other.key
