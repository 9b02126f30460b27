"""What the witness wrote down, and what is wrong with it (step 14)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import msgspec

from tests.chaos.witness import JOURNAL, TOPIC
from tests.integration.reconcile import Store

BEFORE_MS = 2000
"""What a bot did is told within this, so a fault later than this before the second time is no excuse of it."""
_LAST_LINES = 20


class Handled(msgspec.Struct):
    """One event: when its handler began and ended, each time (ms since 1970)."""

    began_ms: list[int]
    ended_ms: list[int]


def in_handler(path: Path) -> bool:
    """Whether a handler is at work: one that began lately has no end."""
    lines = [line.split() for line in path.read_text().splitlines()[-_LAST_LINES:]] if path.exists() else []
    at_work: set[str] = set()
    for what, position, _ in lines:
        (at_work.add if what == "b" else at_work.discard)(position)
    return bool(at_work)


class Journal:
    """The file of the witness."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / JOURNAL

    def read(self) -> dict[int, Handled]:
        """Return what was handled, by position."""
        found: dict[int, Handled] = defaultdict(lambda: Handled([], []))
        for line in self._path.read_text().splitlines() if self._path.exists() else ():
            what, position, at_ms = line.split()
            handled = found[int(position)]
            (handled.began_ms if what == "b" else handled.ended_ms).append(int(at_ms))
        return found

    def missing(self, store: Store) -> set[int]:
        """Positions of events that no handler brought to its end."""
        told = {position for (position,) in store.ask("SELECT position FROM events WHERE type = ?", TOPIC)}
        return told - {position for position, handled in self.read().items() if handled.ended_ms}

    def repeated(self) -> int:
        """How many events a handler began with more than once."""
        return sum(len(handled.began_ms) > 1 for handled in self.read().values())

    def wrong(self, store: Store, faults_ms: Sequence[int]) -> list[str]:
        """What was never handled, and what was handled again without a fault of bot or broker in between."""
        wrong = [f"the bot never handled event {position}" for position in sorted(self.missing(store))]
        for position, handled in self.read().items():
            for first_ms, again_ms in zip(handled.ended_ms, handled.ended_ms[1:], strict=False):
                if not any(first_ms - BEFORE_MS <= at_ms <= again_ms for at_ms in faults_ms):
                    wrong.append(f"the bot handled event {position} several times, at {handled.ended_ms}")
        return wrong
