"""What people may know of campaigns, read beside the store's writer (step 14)."""

from __future__ import annotations

from typing import Any

import msgspec

from doai.changes.campaigns import CampaignRow, FireRow
from doai.store.campaign_columns import campaign_row, fire_row
from doai.store.read_connections import Answer, ReadConnections
from doai.store.views import Page


class FireView(msgspec.Struct, frozen=True, kw_only=True):
    """A time of a campaign, and what came of its run: an outcome, or the state of a run that is open."""

    row: FireRow
    came_of: str | None


class CampaignView(msgspec.Struct, frozen=True, kw_only=True):
    """A campaign and the newest of its times; those with an open run or that wait."""

    row: CampaignRow
    newest: FireView | None
    going_on: list[FireView]


class CampaignReader:
    """Answers questions about campaigns; a part of the StoreReader."""

    def __init__(self, connections: ReadConnections, sql: dict[str, str]) -> None:
        self._connections = connections
        self._sql = sql

    async def all(self) -> list[CampaignView]:
        """Return all campaigns by name: a store has a thousand at most."""
        names = ("campaigns", "newest_fires", "fires_going_on")
        rows, newest, going_on = await self._connections.ask(*((self._sql[name], ()) for name in names))
        last = {view.row.campaign_id: view for view in _views(newest)}
        open_ones: dict[str, list[FireView]] = {}
        for view in _views(going_on):
            open_ones.setdefault(view.row.campaign_id, []).append(view)
        return [
            CampaignView(row=row, newest=last.get(row.campaign_id), going_on=open_ones.get(row.campaign_id, []))
            for row in map(campaign_row, rows)
        ]

    async def one(self, name: str) -> CampaignView | None:
        """Return the campaign of a name."""
        return next((view for view in await self.all() if view.row.name == name), None)

    async def fires(self, campaign_id: str, *, cursor: str | None = None, limit: int = 50) -> Page[FireView]:
        """Return what came of its times, the newest first."""
        at_ms, hand = _after(cursor)
        wanted: dict[str, Any] = {"campaign_id": campaign_id, "at_ms": at_ms, "hand": hand, "limit": limit + 1}
        [answer] = await self._connections.ask((self._sql["fires"], wanted))
        views = _views(answer)
        if len(views) <= limit:
            return Page(views, None)
        last = views[limit - 1].row
        return Page(views[:limit], f"{last.fire_at_ms}/{last.hand}")


def _views(answer: Answer) -> list[FireView]:
    return [FireView(row=fire_row(c[:-1]), came_of=c[-1]) for c in answer]


def _after(cursor: str | None) -> tuple[int, str]:
    at_ms, _, hand = (cursor or "").partition("/")
    # A cursor that is none begins at the start, as an empty one does.
    return (int(at_ms), hand) if at_ms.isdecimal() and len(at_ms) < 16 else (2**62, "")
