"""Bots and their subscriptions in the broker's store in memory (steps 3, 13)."""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

import msgspec

from doai.changes.bots import (
    AddUptime,
    BotRow,
    DropSubscription,
    KeepEvent,
    PutBot,
    PutSubscription,
    SubscriptionRow,
)
from doai.changes.dead_letters import DeadLetterKind
from doai.changes.log import LoggedRow, LogRequest, LogSlice
from doai.codec import encode
from doai.store.log_reader import kept_row, slice_of_log, slice_of_subjects

if TYPE_CHECKING:
    from doai.changes.ops import AppendEvent
    from doai.store.memory import MemoryTables, MemoryWriter

_POSITION: Final = attrgetter("position")


class SubjectIndex:
    """Which events of the log are of which subject; it follows a log that grows, and begins anew with another."""

    def __init__(self) -> None:
        self._events: list[AppendEvent] = []
        self._last: AppendEvent | None = None
        self._seen = 0
        self._by_subject: dict[str, list[AppendEvent]] = {}

    def of(self, events: list[AppendEvent]) -> dict[str, list[AppendEvent]]:
        """Return the events by subject, each in their order."""
        shorter = len(events) < self._seen or (self._seen and events[self._seen - 1] is not self._last)
        if events is not self._events or shorter:
            self._events, self._seen, self._by_subject = events, 0, {}
        for event in itertools.islice(events, self._seen, None):
            self._by_subject.setdefault(event.envelope.subject, []).append(event)
        self._seen, self._last = len(events), events[-1] if events else None
        return self._by_subject


class MemoryLogReader:
    """`LogReader` over tables in memory."""

    def __init__(self, tables: MemoryTables) -> None:
        self._tables = tables

    def read(self, request: LogRequest) -> LogSlice:
        events = self._tables.events
        if request.positions:
            wanted = sorted(set(request.positions))
            there = [_row(event) for position in wanted for event in _between(events, position, position)]
            logged = {position for position, *_ in there}
            letters = [row for row in self._tables.dead_letters.values() if row.kind is DeadLetterKind.EVENT]
            missing = set(wanted) - logged
            kept = {row.seq: row.data for row in letters if row.seq in missing and row.data}
            return LogSlice(rows=[LoggedRow(*row) for row in there] + [kept_row(*row) for row in kept.items()])
        if request.subjects:
            by_subject = self._tables.subject_index.of(events)
            found = {
                subject: _between(by_subject.get(subject, []), first, request.up_to)[: request.rows_max]
                for subject, first in request.subjects
            }
            rows = {subject: [_row(event) for event in some] for subject, some in found.items()}
            return slice_of_subjects(request, rows)
        begun = _between(events, request.after + 1, request.up_to)
        if request.since_ms:
            late = [event.position for event in begun if event.recorded_at_ms >= request.since_ms]
            begun = [event for event in begun if late and event.position >= late[0]]
        return slice_of_log(request, [_row(event) for event in begun[: request.rows_max]])


def _between(events: list[AppendEvent], first: int, last: int) -> list[AppendEvent]:
    """Return those of a part of the log whose positions are from ``first`` to ``last``."""
    return events[bisect_left(events, first, key=_POSITION) : bisect_right(events, last, key=_POSITION)]


def _row(event: AppendEvent) -> tuple[int, str, str, bytes]:
    envelope = event.envelope
    body = encode(envelope) if event.body is None else event.body
    return event.position, envelope.type, envelope.subject, body


class BotTables:
    """What is kept of bots."""

    def __init__(self) -> None:
        self.bots: dict[str, BotRow] = {}
        self.subscriptions: dict[tuple[str, str], SubscriptionRow] = {}
        self.bot_uptime: dict[tuple[str, int], float] = {}
        self.subject_index = SubjectIndex()
        """No table: it follows from the log."""


def _add_uptime(writer: MemoryWriter, op: AddUptime) -> None:
    table = writer._tables.bot_uptime
    writer._put(table, (op.bot, op.hour), table.get((op.bot, op.hour), 0.0) + op.seconds)
    for key in [key for key in table if key[0] == op.bot and key[1] < op.keep_from_hour]:
        writer._pop(table, key)


def _put_subscription(writer: MemoryWriter, op: PutSubscription) -> None:
    writer._put(writer._tables.subscriptions, (op.row.bot, op.row.name), op.row)


def _drop_subscription(writer: MemoryWriter, op: DropSubscription) -> None:
    writer._drop(writer._tables.subscriptions, (op.bot, op.name))


def _keep_event(writer: MemoryWriter, op: KeepEvent) -> None:
    tables = writer._tables
    row = tables.dead_letters.get(op.letter_id)
    found = [event for event in tables.events if row is not None and event.position == row.seq]
    if row is not None and found:
        writer._put(tables.dead_letters, op.letter_id, msgspec.structs.replace(row, data=_row(found[0])[3]))


APPLY: Final[dict[type, Callable[[MemoryWriter, Any], None]]] = {
    PutBot: lambda w, op: w._put(w._tables.bots, op.row.name, op.row),
    PutSubscription: _put_subscription,
    DropSubscription: _drop_subscription,
    AddUptime: _add_uptime,
    KeepEvent: _keep_event,
}
