"""The newest part of the event log in memory, matched and encoded once for all who watch (step 14).

Events are read in batches of the log without a gap between them. A batch makes the bytes of a filter when the first
watcher asks for them; all others of that filter get the same bytes object.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from itertools import islice
from typing import Final, NamedTuple

import msgspec

from doai.admin.translation import event_json
from doai.store.views import EventView
from doai.topics import matches

EVENTS_MAX: Final = 2000
"""Held at once, some 2 MB: four seconds at 500 events/s. Who is further behind reads the log."""
BLOCKS_MAX_BYTES: Final = 1 << 20
"""Of one batch, kept for its next watchers; filters beyond that are put together for each watcher."""

_encode: Final = msgspec.json.Encoder().encode


class Wanted(NamedTuple):
    """Which events a watcher wants; None = any."""

    pattern: str | None = None
    """One of doai.topics."""
    subject: str | None = None

    def takes(self, event: EventView) -> bool:
        """Whether an event is among them."""
        if self.subject is not None and event.envelope.subject != self.subject:
            return False
        return self.pattern is None or matches(self.pattern, event.envelope.type)


class Batch:
    """All events with positions in (begin, end], by position."""

    def __init__(self, begin: int, end: int, events: list[EventView]) -> None:
        self.begin, self.end, self.events = begin, end, events
        self._frames: list[bytes | None] = [None] * len(events)
        self._blocks: dict[Wanted, bytes] = {}
        self._room_bytes = BLOCKS_MAX_BYTES

    def block(self, wanted: Wanted, after: int) -> bytes:
        """Return what a watcher who has seen all up to a position gets of this batch; empty = nothing."""
        if after > self.begin:
            return self._joined(wanted, bisect_right(self.events, after, key=lambda event: event.position))
        found = self._blocks.get(wanted)
        if found is None:
            found = self._joined(wanted, 0)
            if len(found) <= self._room_bytes:
                self._room_bytes -= len(found)
                self._blocks[wanted] = found
        return found

    def _joined(self, wanted: Wanted, first: int) -> bytes:
        return b"".join(self._frame(n) for n in range(first, len(self.events)) if wanted.takes(self.events[n]))

    def _frame(self, n: int) -> bytes:
        frame = self._frames[n]
        if frame is None:
            frame = self._frames[n] = event_frame(self.events[n])
        return frame


class Block(NamedTuple):
    """What a watcher gets of the window at once."""

    bytes: bytes
    """Empty = nothing that it wants."""
    end: int
    """Everything up to here was looked at."""


class Window:
    """The newest batches, each beginning where the one before it ends."""

    def __init__(self, events_max: int = EVENTS_MAX) -> None:
        self._events_max = events_max
        self._batches: deque[Batch] = deque()
        self._events = 0
        self._end = 0
        self._given: tuple[Wanted, int, int, Block] | None = None
        """The last one: watchers who are told together mostly want the same."""

    @property
    def begin(self) -> int:
        """Who has seen all up to here, or more, finds the rest in the window."""
        return self._batches[0].begin if self._batches else self._end

    @property
    def end(self) -> int:
        """The newest position that was read."""
        return self._end

    def move_to(self, end: int) -> None:
        """Forget all: go on behind this position."""
        self._batches.clear()
        self._given = None
        self._events, self._end = 0, end

    def add(self, end: int, events: list[EventView]) -> None:
        """Add what lies between the window's end and a new one."""
        self._given = None
        self._batches.append(Batch(self._end, end, events))
        self._events += len(events)
        self._end = end
        while self._events > self._events_max or len(self._batches) > self._events_max:
            self._events -= len(self._batches.popleft().events)

    def block(self, wanted: Wanted, after: int, events_max: int) -> Block | None:
        """Return what follows a position, of some batches; None = that is before the window, or beyond its end.

        ``events_max`` bounds the events of those batches, wanted or not; one batch may have more.
        """
        if not self.begin <= after < self._end:
            return None
        if self._given is None or self._given[:3] != (wanted, after, events_max):
            self._given = wanted, after, events_max, self._joined(wanted, after, events_max)
        return self._given[3]

    def _joined(self, wanted: Wanted, after: int, events_max: int) -> Block:
        first = bisect_right(self._batches, after, key=lambda batch: batch.end)
        blocks: list[bytes] = []
        events = 0
        for batch in islice(self._batches, first, None):
            events += len(batch.events)
            if blocks and events > events_max:
                break
            blocks.append(batch.block(wanted, after))
            after = batch.end
        return Block(b"".join(blocks), after)


def event_frame(event: EventView) -> bytes:
    """Return an event as its bytes in a stream."""
    return b"id: %d\ndata: %b\n\n" % (event.position, _encode(event_json(event)))
