"""Simulated time: one heap of (time, order, call), one source of randomness, a count of faults (all steps)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from heapq import heappop, heappush
from random import Random
from typing import Any, Final

from doai.clock import Now
from tests.sim.stopwatch import Stopwatch

UTC_START_MS: Final = 1_790_000_000_000


class Violation(Exception):
    """Something that must hold does not. ``kind`` names the rule, ``subject`` the task, node or device."""

    def __init__(self, kind: str, message: str, subject: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.subject = subject


class World:
    """One simulated world. Everything random in it comes from ``random``."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.now_s = 0.0
        self.stopwatch = Stopwatch()
        self.faults: Counter[str] = Counter()
        self.notes: list[tuple[float, str]] = []
        """What was done to the world, for the story of a failure."""
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = 0

    def at(self, due_s: float, call: Callable[..., None], *arguments: Any) -> None:
        """Call it then; at the same time, in the order of these calls."""
        self._count = count = self._count + 1
        now_s = self.now_s
        heappush(self._heap, (due_s if due_s > now_s else now_s, count, call, arguments))

    def after(self, delay_s: float, call: Callable[..., None], *arguments: Any) -> None:
        """Call it after a while."""
        self._count = count = self._count + 1
        now_s = self.now_s
        heappush(self._heap, (now_s + delay_s if delay_s > 0.0 else now_s, count, call, arguments))

    def run(self, until_s: float, done: Callable[[], bool] | None = None) -> bool:
        """Let time pass; returns whether ``done`` became true (it is asked a few times a simulated second)."""
        heap = self._heap
        ask_s = self.now_s
        while heap and heap[0][0] <= until_s:
            due_s, _, call, arguments = heappop(heap)
            self.now_s = due_s
            call(*arguments)
            if done is not None and due_s >= ask_s:
                if done():
                    return True
                ask_s = due_s + 0.5
        self.now_s = max(self.now_s, until_s)
        return False

    def fault(self, kind: str, note: str = "") -> None:
        """Count a fault that has really happened."""
        self.faults[kind] += 1
        self.notes.append((self.now_s, f"{kind} {note}".rstrip()))

    def chance(self, share: float) -> bool:
        """Draw once."""
        return share > 0.0 and self.random.random() < share


class ProcessClock:
    """Both clocks of one host: its own monotonic zero and rate, and a UTC that may jump."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._offset_s = world.random.uniform(10.0, 1e6)
        self._rate = 1.0 + world.random.uniform(-1e-4, 1e-4)
        self.utc_offset_ms = world.random.randrange(-3_000, 3_000)

    def now(self) -> Now:
        """Read both."""
        t = self._world.now_s
        return Now(self._offset_s + t * self._rate, UTC_START_MS + self.utc_offset_ms + int(t * 1000))

    def world_s(self, mono_s: float) -> float:
        """Return the world's time of a monotonic reading."""
        return (mono_s - self._offset_s) / self._rate

    def reboot(self) -> None:
        """The monotonic clock begins anew."""
        self._offset_s = self._world.random.uniform(1.0, 60.0) - self._world.now_s * self._rate
