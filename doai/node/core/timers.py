"""Times at which something held is to be looked at again: one a key, the earliest first (steps 6, 8)."""

from __future__ import annotations

import heapq
from typing import Generic, TypeVar

KeyT = TypeVar("KeyT")


class Timers(Generic[KeyT]):
    """A heap of monotonic times; setting a key again replaces its time."""

    def __init__(self) -> None:
        self._due: dict[KeyT, tuple[float, int]] = {}
        self._heap: list[tuple[float, int, KeyT]] = []
        self._count = 0

    def set(self, key: KeyT, due_s: float | None) -> None:
        """Look at the key at this time; None = not at all."""
        known = self._due.get(key)
        if due_s is None:
            if known is not None:
                del self._due[key]
            return
        if known is not None and known[0] == due_s:
            return
        self._count += 1
        self._due[key] = (due_s, self._count)
        heapq.heappush(self._heap, (due_s, self._count, key))

    def due_s(self) -> float | None:
        """Return the earliest time, None when there is none."""
        self._drop_stale()
        return self._heap[0][0] if self._heap else None

    def pop_due(self, now_s: float) -> KeyT | None:
        """Return (and forget) a key whose time has come, the earliest first."""
        self._drop_stale()
        if not self._heap or self._heap[0][0] > now_s:
            return None
        _, _, key = heapq.heappop(self._heap)
        del self._due[key]
        return key

    def _drop_stale(self) -> None:
        while self._heap and self._due.get(self._heap[0][2]) != self._heap[0][:2]:
            heapq.heappop(self._heap)
