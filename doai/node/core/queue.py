"""Tasks that wait for their device, first in first out (step 6)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

TaskT = TypeVar("TaskT")


class DeviceQueues(Generic[TaskT]):
    """One FIFO a device. The order is durable in `HeldRow.order`; whoever loads the rows pushes them in it."""

    def __init__(self) -> None:
        self._queues: dict[str, deque[TaskT]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def push(self, serial: str, task: TaskT) -> None:
        """Put a task at the end of the device's FIFO."""
        self._queues.setdefault(serial, deque()).append(task)
        self._count += 1

    def first(self, serial: str) -> TaskT:
        """Return the first task of the device; there must be one."""
        return self._queues[serial][0]

    def pop(self, serial: str) -> TaskT:
        """Take the first task of the device; there must be one."""
        task = self._queues[serial].popleft()
        self._tidy(serial)
        return task

    def remove(self, serial: str, task: TaskT) -> None:
        """Take a task out of the middle; it must be there."""
        self._queues[serial].remove(task)
        self._tidy(serial)

    def has(self, serial: str) -> bool:
        """Whether a task waits for the device."""
        return serial in self._queues

    def serials(self) -> list[str]:
        """Devices for which tasks wait."""
        return list(self._queues)

    def __iter__(self) -> Iterator[TaskT]:
        for waiting in list(self._queues.values()):
            yield from list(waiting)

    def _tidy(self, serial: str) -> None:
        self._count -= 1
        if not self._queues[serial]:
            del self._queues[serial]
