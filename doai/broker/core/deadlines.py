"""Times at which something is due, in one heap; what no longer holds is dropped when it is met (steps 4, 5, 12)."""

from __future__ import annotations

import heapq

from doai.broker.core.tables import Task
from doai.key_enum import KeyEnum


class Due(KeyEnum):
    """What is due of a task."""

    RETRY = "retry"
    """The delay before its next attempt is over."""
    EXPIRE = "expire"
    """It was to begin before now."""
    GIVE_UP = "give_up"
    """Its lost holder can no longer act on it."""


class Deadlines:
    """Due times of tasks. An entry is void when the task's (attempt, token) is another by then."""

    __slots__ = ("_count", "_heap")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Due, Task, object]] = []
        self._count = 0

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, due_s: float, what: Due, task: Task) -> None:
        """Note it. EXPIRE holds for the whole life of the task, the others for this attempt and token."""
        self._count += 1
        heapq.heappush(self._heap, (due_s, self._count, what, task, _stamp(what, task)))

    def next_s(self) -> float | None:
        """Return the earliest due time."""
        return self._heap[0][0] if self._heap else None

    def pop_due(self, mono_s: float) -> tuple[Due, Task] | None:
        """Return the next thing that is due and still holds."""
        heap = self._heap
        while heap and heap[0][0] <= mono_s:
            _, _, what, task, stamp = heapq.heappop(heap)
            if _stamp(what, task) == stamp:
                return what, task
        return None


def _stamp(what: Due, task: Task) -> object:
    if what is Due.EXPIRE:
        return None
    return task.attempt if what is Due.RETRY else task.token
