"""Rows of bots as columns and back, in the order of sql/broker/columns.sql; applies their ops (steps 3, 14)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import apsw
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
from doai.messages.bots import BotStatus
from doai.states import PeerState
from doai.store.columns import Columns

if TYPE_CHECKING:
    from doai.store.sqlite_writer import SqliteWriter


def bot_columns(row: BotRow) -> Columns:
    fields = msgspec.structs.asdict(row)
    return tuple((fields | {"status": row.status.value, "state": row.state.value}).values())


def bot_row(c: Columns) -> BotRow:
    fields = dict(zip(BotRow.__struct_fields__, c, strict=True))
    return BotRow(**fields | {"status": BotStatus(fields["status"]), "state": PeerState(fields["state"])})


def subscription_columns(row: SubscriptionRow) -> Columns:
    return msgspec.structs.astuple(row)


def subscription_row(c: Columns) -> SubscriptionRow:
    return SubscriptionRow(**dict(zip(SubscriptionRow.__struct_fields__, c, strict=True)))


def _put_bots(writer: SqliteWriter, connection: apsw.Connection, ops: list[PutBot]) -> None:
    connection.executemany(writer._sql["put_bot"], [bot_columns(op.row) for op in ops])


def _put_subscriptions(writer: SqliteWriter, connection: apsw.Connection, ops: list[PutSubscription]) -> None:
    newest = {(op.row.bot, op.row.name): op.row for op in ops}
    connection.executemany(writer._sql["put_subscription"], [subscription_columns(row) for row in newest.values()])


def _drop_subscriptions(writer: SqliteWriter, connection: apsw.Connection, ops: list[DropSubscription]) -> None:
    connection.executemany(writer._sql["drop_subscription"], [(op.bot, op.name) for op in ops])


def _add_uptime(writer: SqliteWriter, connection: apsw.Connection, ops: list[AddUptime]) -> None:
    connection.executemany(writer._sql["add_uptime"], [(op.bot, op.hour, op.seconds) for op in ops])
    connection.executemany(writer._sql["trim_uptime"], [(op.bot, op.keep_from_hour) for op in ops])


def _keep_events(writer: SqliteWriter, connection: apsw.Connection, ops: list[KeepEvent]) -> None:
    connection.executemany(writer._sql["keep_event"], [(op.letter_id,) for op in ops])


APPLY: Final[dict[type, Callable[[SqliteWriter, apsw.Connection, list[Any]], None]]] = {
    PutBot: _put_bots,
    PutSubscription: _put_subscriptions,
    DropSubscription: _drop_subscriptions,
    AddUptime: _add_uptime,
    KeepEvent: _keep_events,
}
TABLES: Final[dict[type, str]] = {
    PutBot: "bots",
    PutSubscription: "subscriptions",
    DropSubscription: "subscriptions",
    AddUptime: "bot_uptime",
    KeepEvent: "dead_letters",
}
