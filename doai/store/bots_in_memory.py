"""Bots and their subscriptions in the broker's store in memory (steps 3, 13)."""

from __future__ import annotations

from collections.abc import Callable
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


class MemoryLogReader:
    """`LogReader` over tables in memory."""

    def __init__(self, tables: MemoryTables) -> None:
        self._tables = tables

    def read(self, request: LogRequest) -> LogSlice:
        if request.positions:
            wanted = set(request.positions)
            there = [_row(event) for event in self._tables.events if event.position in wanted]
            logged = {position for position, *_ in there}
            letters = [row for row in self._tables.dead_letters.values() if row.kind is DeadLetterKind.EVENT]
            kept = {row.seq: row.data for row in letters if row.seq in wanted - logged and row.data}
            return LogSlice(rows=[LoggedRow(*row) for row in there] + [kept_row(*row) for row in kept.items()])
        below = [event for event in self._tables.events if event.position <= request.up_to]
        if request.subjects:
            found = {
                subject: [_row(e) for e in below if e.envelope.subject == subject and e.position >= first]
                for subject, first in request.subjects
            }
            return slice_of_subjects(
                request, {subject: rows[: request.rows_max] for subject, rows in found.items()}
            )
        begun = [event for event in below if event.position > request.after]
        if request.since_ms:
            late = [event.position for event in begun if event.recorded_at_ms >= request.since_ms]
            begun = [event for event in begun if late and event.position >= late[0]]
        return slice_of_log(request, [_row(event) for event in begun[: request.rows_max]])


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
