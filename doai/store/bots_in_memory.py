"""Bots and their subscriptions in the broker's store in memory (steps 3, 13)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from doai.changes.bots import AddUptime, BotRow, DropSubscription, PutBot, PutSubscription, SubscriptionRow

if TYPE_CHECKING:
    from doai.store.memory import MemoryWriter


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


APPLY: Final[dict[type, Callable[[MemoryWriter, Any], None]]] = {
    PutBot: lambda w, op: w._put(w._tables.bots, op.row.name, op.row),
    PutSubscription: _put_subscription,
    DropSubscription: _drop_subscription,
    AddUptime: _add_uptime,
}
