"""Room on a disk that is kept for what has begun: intake closes before the disk is full (steps 2, 7).

A full disk stops a commit, and a commit that fails ends the process. So new work is refused while there is still
room for the facts of the work that was accepted.
"""

from __future__ import annotations

from typing import Final

REOPEN_FACTOR: Final = 1.1
"""Intake opens again with this much of the reserve free: at the very edge it would open and close all the time."""
_MB: Final = 1024 * 1024


class DiskReserve:
    """Whether there is room for new work; pure, the shell tells it what is free."""

    def __init__(self, reserve_bytes: int) -> None:
        self._reserve_bytes = reserve_bytes
        self.closed_because = ""
        """One clause for a person while there is too little room; empty = there is enough."""

    def note(self, free_bytes: int) -> bool:
        """Take what is free now; returns whether intake opened or closed by it."""
        was_closed = bool(self.closed_because)
        needed = self._reserve_bytes * (REOPEN_FACTOR if was_closed else 1.0)
        if free_bytes >= needed:
            self.closed_because = ""
        else:
            self.closed_because = (
                f"its disk has {free_bytes // _MB} MB left and {self._reserve_bytes // _MB} MB are kept for what "
                "has begun: make space, or lower disk_reserve_mb"
            )
        return was_closed != bool(self.closed_because)
