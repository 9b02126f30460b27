"""The newest events of the log in memory, for subscriptions that are close behind it (step 14).

Kept only while somebody subscribes. What is dropped here is read from the store by who still wants it.

Events are given out in *batches*, which end where all that is new was given out. What a filter takes of a batch is
matched and encoded once, whoever gets it and when: whoever is some batches behind is sent the same bytes, joined.
What was made first is forgotten when all of that together is too much, so that many filters do not fill the memory.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from doai.changes.log import LoggedRow
from doai.codec import encode
from doai.limits import (
    EVENTS_BATCH_MAX,
    EVENTS_FRAME_BYTES,
    EVENTS_PER_FRAME_MAX,
    PARTS_BYTES_MAX,
    TAIL_BYTES_MAX,
    TAIL_EVENTS_MAX,
)
from doai.messages.bots import LoggedEvent
from doai.topics import matches

TYPES_REMEMBERED_MAX: Final = 1000
"""Types whose answer a filter remembers; more are looked at again each time."""
_PAIR: Final = b"\x92"
"""msgpack: an array of two follows."""
_FEW: Final = 16
"""msgpack: arrays of less have a header of one byte, those of less than 65,536 one of three."""
_PART_BYTES: Final = 500
_ROW_BYTES: Final = 100
"""A part takes so much beside its events, and so much more for each: as measured, roughly."""


class Filter:
    """Patterns of types; remembers its answers."""

    __slots__ = ("__weakref__", "_known", "patterns")

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


class Part:
    """What a filter takes of a part of the log."""

    __slots__ = ("_body", "flight", "rows", "size", "through")

    def __init__(self, rows: Sequence[LoggedRow], through: int) -> None:
        self.rows = rows
        self.through = through
        """Up to here the log was looked through."""
        self.size = sum(len(row.body) for row in rows)
        self.flight = {row.position: row.subject for row in rows}
        self._body: bytes | None = None

    @property
    def body(self) -> bytes:
        """Body of a frame with all of it, and nothing else."""
        if self._body is None:
            events = encode([LoggedEvent(row.position, msgspec.Raw(row.body)) for row in self.rows])
            self._body = b"".join([_PAIR, events, encode(self.through)])
        return self._body

    @property
    def packed(self) -> memoryview:
        """The encoded events, one after the other."""
        body, before = self.body, len(_PAIR) + (1 if len(self.rows) < _FEW else 3)
        return memoryview(body)[before : len(body) - len(encode(self.through))]

    @property
    def weight(self) -> int:
        """About how much memory it takes, in bytes, once it is encoded."""
        return self.size + _PART_BYTES + _ROW_BYTES * len(self.rows)


def events_body(parts: Sequence[Part]) -> bytes:
    """Return the body of a frame with some parts, which follow each other: `doai.messages.bots.Events`."""
    if len(parts) == 1:
        return parts[0].body
    count = sum(len(part.rows) for part in parts)
    array = bytes([0x90 | count]) if count < _FEW else b"\xdc" + count.to_bytes(2, "big")
    return b"".join([_PAIR, array, *(part.packed for part in parts), encode(parts[-1].through)])


def fits_frame(count: int, size: int) -> bool:
    """Whether a frame takes so many events with so many bytes; it takes one of any size."""
    return count <= 1 or (count <= EVENTS_PER_FRAME_MAX and size <= EVENTS_FRAME_BYTES)


def parts_of(rows: Sequence[LoggedRow], through: int) -> Iterator[Part]:
    """Yield events in parts that fit a frame each."""
    taken: list[LoggedRow] = []
    size = 0
    for row in rows:
        size += len(row.body)
        if not fits_frame(len(taken) + 1, size):
            yield Part(taken, taken[-1].position)
            taken, size = [], len(row.body)
        taken.append(row)
    yield Part(taken, through)


class Batch:
    """Events that are given out together."""

    __slots__ = ("_made", "first", "parts", "rows", "through")

    def __init__(self, rows: Sequence[LoggedRow], made: Made) -> None:
        self.rows = rows
        self.first = rows[0].position
        self.through = rows[-1].position
        self.parts: dict[Filter, Part] = {}
        self._made = made

    def of(self, wanted: Filter) -> Part:
        """What a filter takes of it."""
        part = self.parts.get(wanted)
        if part is None:
            part = self.parts[wanted] = self._part(self.first, wanted)
            self._made.keep(self, wanted, part.weight)
        return part

    def since(self, position: int, wanted: Filter) -> Part:
        """The same from a position on: for who was given the part before it otherwise."""
        return self.of(wanted) if position == self.first else self._part(position, wanted)

    def _part(self, position: int, wanted: Filter) -> Part:
        takes = wanted.takes
        return Part([row for row in self.rows[position - self.first :] if takes(row.type)], self.through)


class Made:
    """Which parts batches keep, in the order in which they were made, and what they take."""

    __slots__ = ("_bytes", "_weights")

    def __init__(self) -> None:
        self._weights: dict[tuple[Batch, Filter], int] = {}
        self._bytes = 0

    def keep(self, batch: Batch, wanted: Filter, weight: int) -> None:
        """A part was made; the oldest go when all are too much."""
        self._weights[batch, wanted] = weight
        self._bytes += weight
        while self._bytes > PARTS_BYTES_MAX and len(self._weights) > 1:
            self._forget(*next(iter(self._weights)))

    def drop(self, batch: Batch) -> None:
        """Its rows are not in the tail any more."""
        for wanted in list(batch.parts):
            self._forget(batch, wanted)

    def _forget(self, batch: Batch, wanted: Filter) -> None:
        del batch.parts[wanted]
        self._bytes -= self._weights.pop((batch, wanted))


class EventTail:
    """A run of events without a gap, up to the newest."""

    __slots__ = ("_batches", "_bytes", "_firsts", "_made", "closed", "first", "rows")

    def __init__(self, next_position: int) -> None:
        self.rows: list[LoggedRow] = []
        self.first = next_position
        """Position of the oldest row, or of the next event."""
        self.closed = next_position - 1
        """Up to here rows are in batches."""
        self._batches: list[Batch] = []
        self._firsts: list[int] = []
        self._made = Made()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self.rows)

    def add(self, row: LoggedRow) -> None:
        """The next event was appended to the log."""
        self.rows.append(row)
        self._bytes += len(row.body)
        if len(self.rows) > TAIL_EVENTS_MAX or self._bytes > TAIL_BYTES_MAX:
            self._drop()

    def _drop(self) -> None:
        # Half at once, so that the lists are moved seldom.
        self.close()
        count = max(1, bisect_right(self._firsts, self.first + len(self.rows) // 2) - 1)
        kept = self._firsts[count] if count < len(self._firsts) else self.closed + 1
        self._bytes -= sum(len(row.body) for row in self.rows[: kept - self.first])
        for batch in self._batches[:count]:
            self._made.drop(batch)
        del self.rows[: kept - self.first], self._batches[:count], self._firsts[:count]
        self.first = kept

    def close(self) -> None:
        """What is new are batches from now on."""
        rows, size = self.rows[self.closed + 1 - self.first :], 0
        begin = 0
        for number, row in enumerate(rows):
            size += len(row.body)
            count = number - begin
            if count and (count >= EVENTS_BATCH_MAX or size > EVENTS_FRAME_BYTES):
                self._append(rows[begin:number])
                begin, size = number, len(row.body)
        if rows:
            self._append(rows[begin:])

    def _append(self, rows: Sequence[LoggedRow]) -> None:
        batch = Batch(rows, self._made)
        self._batches.append(batch)
        self._firsts.append(batch.first)
        self.closed = batch.through

    @property
    def newest(self) -> Batch | None:
        """The batch that was closed last."""
        return self._batches[-1] if self._batches else None

    def batches(self, position: int) -> Iterator[Batch]:
        """Yield the batch that has a position, and those after it. It is here, and not beyond `closed`."""
        if position == self._firsts[-1]:  # nearly always
            yield self._batches[-1]
            return
        for number in range(bisect_right(self._firsts, position) - 1, len(self._batches)):
            yield self._batches[number]

    def since(self, position: int) -> Sequence[LoggedRow] | None:
        """Return the rows from a position on; None when the oldest of them are not here any more."""
        return self.rows[position - self.first :] if position >= self.first else None
