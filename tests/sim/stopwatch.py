"""How long tasks take in simulated time: what a campaign counts as simulated work (steps 8 and 12).

A task counts from the begin of its first step on a node to its end in the broker's log, later attempts and
whatever was in between included, if that is at most `COUNTED_S`; of one that took longer nothing counts, nor of one
that never began. So neither idle fleets nor long sleeps look like work.
"""

from __future__ import annotations

from typing import Final

import msgspec

COUNTED_S: Final = 60.0


class TaskTimes(msgspec.Struct):
    """What the tasks of one world took."""

    counted: int = 0
    counted_s: float = 0.0
    longer: int = 0
    """Tasks that took longer than what counts."""


class Stopwatch:
    """Times each task once, also when a restored broker hears of its end again."""

    def __init__(self) -> None:
        self.times = TaskTimes()
        self._began_s: dict[str, float] = {}
        self._ended: set[str] = set()

    def step_begins(self, task_id: str, now_s: float) -> None:
        """A step of the task begins."""
        self._began_s.setdefault(task_id, now_s)

    def task_ends(self, task_id: str, now_s: float) -> None:
        """Its end is on the broker's disk."""
        began_s = self._began_s.get(task_id)
        if began_s is None or task_id in self._ended:
            return
        self._ended.add(task_id)
        took_s = now_s - began_s
        if took_s > COUNTED_S:
            self.times.longer += 1
        else:
            self.times.counted += 1
            self.times.counted_s += took_s
