"""Where a commit runs best, learnt from how long commits waited for the disk (steps 3, 13).

A commit is work of the processor, and waiting for the disk. Beside a busy event loop a thread hides the waiting
only: the work is done under one lock with the loop, and handing that over once a row costs a tenth more.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from doai import limits

_WINDOW: Final = 32
_LOOK_EVERY: Final = 8
"""Of commits in the loop one of so many is looked at, when enough are known: a look costs 20 us."""
_PROBE_EVERY: Final = 64
"""While a thread commits, one of so many runs in the loop: only that tells the disk from the wait for the lock."""
_QUICK_PART: Final = 4
"""A wait of less than this part of the work is not worth a thread."""
_QUEUED: Final = Path("/proc/thread-self/schedstat")
"""Linux: ns on a processor, ns in the queue for one, times on one. See proc_pid_schedstat(5)."""


class Spent(msgspec.Struct, frozen=True):
    """Where the time of this thread has gone, in seconds since some moment."""

    all_s: float
    worked_s: float
    """On a processor."""
    queued_s: float
    """Ready to run, while others had the processors."""


def spent() -> Spent:
    """Return it as it is now; where the system does not tell of its queue, nobody waits in it."""
    try:
        queued_ns = int(_QUEUED.read_bytes().split()[1])
    except (OSError, IndexError, ValueError):
        queued_ns = 0
    return Spent(time.perf_counter(), time.thread_time(), queued_ns / 1e9)


class DiskWait:
    """What commits in the event loop took, of late."""

    def __init__(self, spent: Callable[[], Spent] = spent) -> None:
        self._spent = spent
        self._waits_s: deque[float] = deque(maxlen=_WINDOW)
        self._works_s: deque[float] = deque(maxlen=_WINDOW)
        self._commits = 0
        self._in_thread = 0
        self._work_s = 0.0
        self.wait_s = 0.0
        """An eighth of the latest commits waited no longer for the disk."""

    def run(self, commit: Callable[[], None]) -> None:
        """Commit here, in the loop, and learn from it."""
        self._commits += 1
        if self._in_thread or self._commits <= _WINDOW or self._commits % _LOOK_EVERY == 0:
            before = self._spent()
            commit()
            self._learn(before, self._spent())
        else:
            commit()
        self._in_thread = 0

    def is_worth_a_thread(self, *, more_waits: bool) -> bool:
        """Whether the next commit is to leave the loop; ``more_waits``: than it takes, so the loop has work."""
        worth = self.wait_s >= limits.COMMIT_INLINE_S or (more_waits and self.wait_s * _QUICK_PART > self._work_s)
        if not worth or self._in_thread + 1 >= _PROBE_EVERY:
            return False
        self._in_thread += 1
        return True

    def _learn(self, before: Spent, after: Spent) -> None:
        work_s = after.worked_s - before.worked_s
        wait_s = after.all_s - before.all_s - work_s - (after.queued_s - before.queued_s)
        self._waits_s.append(max(0.0, wait_s))
        self._works_s.append(work_s)
        if len(self._waits_s) >= _LOOK_EVERY:
            self.wait_s = sorted(self._waits_s)[len(self._waits_s) // 8]
            self._work_s = sorted(self._works_s)[len(self._works_s) // 2]
