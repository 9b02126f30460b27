"""What is read of bots beside the writer (step 14)."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from doai.changes.bots import BotRow, SubscriptionRow
from doai.store.bot_columns import bot_row, subscription_row
from doai.store.read_connections import ReadConnections

_HOUR_MS = 3_600_000


class BotAbout(msgspec.Struct, frozen=True, kw_only=True):
    """A bot with its subscriptions, and in how many seconds it was heard."""

    row: BotRow
    subscriptions: list[SubscriptionRow]
    heard_day_s: float
    """In the last 24 hours, by whole hours."""
    heard_week_s: float
    last_position: int
    """Of the event log."""


class BotReader:
    """Answers questions about bots, over the connections of a `StoreReader`."""

    def __init__(self, connections: ReadConnections, sql: Mapping[str, str]) -> None:
        self._connections = connections
        self._sql = sql

    async def all(self, now_ms: int) -> list[BotAbout]:
        """Return all bots, by name."""
        hour = now_ms // _HOUR_MS
        rows, subscriptions, heard, last = await self._connections.ask(
            (self._sql["bots"], ()),
            (self._sql["subscriptions"], ()),
            (self._sql["bot_heard"], {"day": hour - 24, "week": hour - 7 * 24}),
            (self._sql["bot_log_end"], ()),
        )
        uptime = {name: (day, week) for name, day, week in heard}
        known: dict[str, list[SubscriptionRow]] = {}
        for subscription in map(subscription_row, subscriptions):
            known.setdefault(subscription.bot, []).append(subscription)
        found = []
        for row in (bot_row(c) for c in rows):
            day_s, week_s = uptime.get(row.name, (0.0, 0.0))
            found.append(
                BotAbout(
                    row=row,
                    subscriptions=known.get(row.name, []),
                    heard_day_s=day_s,
                    heard_week_s=week_s,
                    last_position=last[0][0] or 0,
                )
            )
        return found

    async def one(self, name: str, now_ms: int) -> BotAbout | None:
        """Return one bot."""
        return next((about for about in await self.all(now_ms) if about.row.name == name), None)
