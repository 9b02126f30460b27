"""The newest events of the log in memory, for subscriptions that are close behind it (step 14).

Kept only while somebody subscribes. What is dropped here is read from the store by who still wants it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from doai.changes.log import LoggedRow
from doai.limits import TAIL_BYTES_MAX, TAIL_EVENTS_MAX
from doai.topics import matches

TYPES_REMEMBERED_MAX: Final = 1000
"""Types whose answer a filter remembers; more are looked at again each time."""


class EventTail:
    """A run of events without a gap, up to the newest."""

    __slots__ = ("_bytes", "first", "rows")

    def __init__(self, next_position: int) -> None:
        self.rows: list[LoggedRow] = []
        self.first = next_position
        """Position of the oldest row, or of the next event."""
        self._bytes = 0

    def __len__(self) -> int:
        return len(self.rows)

    def add(self, row: LoggedRow) -> None:
        """The next event was appended to the log."""
        self.rows.append(row)
        self._bytes += len(row.body)
        if len(self.rows) > TAIL_EVENTS_MAX or self._bytes > TAIL_BYTES_MAX:
            # Half at once, so that the list is moved seldom.
            dropped = max(1, len(self.rows) // 2)
            self._bytes -= sum(len(row.body) for row in self.rows[:dropped])
            del self.rows[:dropped]
            self.first += dropped

    def since(self, position: int) -> Sequence[LoggedRow] | None:
        """Return the rows from a position on; None when the oldest of them are not here any more."""
        return self.rows[position - self.first :] if position >= self.first else None


class Filter:
    """Patterns of types; remembers its answers."""

    __slots__ = ("_known", "patterns")

    def __init__(self, patterns: Sequence[str]) -> None:
        self.patterns = tuple(patterns)
        self._known: dict[str, bool] = {}

    def takes(self, event_type: str) -> bool:
        """Whether one of the patterns matches."""
        known = self._known.get(event_type)
        if known is None:
            known = any(matches(pattern, event_type) for pattern in self.patterns)
            if len(self._known) < TYPES_REMEMBERED_MAX:
                self._known[event_type] = known
        return known
