"""What the core keeps in memory of campaigns (steps 2 and 12). It decides nothing."""

from __future__ import annotations

from typing import Final

import msgspec

from doai.changes.campaigns import CampaignRow, FireRow
from doai.changes.ops import Snapshot
from doai.messages.campaigns import CampaignPlan
from doai.states import FireState

_read_plan: Final = msgspec.json.Decoder(CampaignPlan).decode


class Campaign:
    """A campaign. ``next_ms`` is the time of its schedule that is decided next, ``due_ms`` that with its jitter."""

    __slots__ = ("due_ms", "next_ms", "open", "plan", "row", "waiting")

    def __init__(self, row: CampaignRow) -> None:
        self.row = row
        self.plan = _read_plan(row.plan_body)
        self.open: dict[str, None] = {}
        """Its open runs."""
        self.waiting: list[FireRow] = []
        """Times whose run is made when those have ended, the oldest first."""
        self.next_ms: int | None = None
        """None = not looked up."""
        self.due_ms: int = 0


class CampaignTable:
    """All campaigns; which runs are theirs."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.by_name: dict[str, Campaign] = {row.name: Campaign(row) for row in snapshot.campaigns}
        self.of_run: dict[str, Campaign] = {}
        """Open runs."""
        self.settling: dict[Campaign, None] = {}
        """Those whose waiting times are to be looked at."""
        by_id = {campaign.row.campaign_id: campaign for campaign in self.by_name.values()}
        for fire in snapshot.fires:
            campaign = by_id[fire.campaign_id]
            if fire.state is FireState.WAITING:
                campaign.waiting.append(fire)
            elif fire.run_id is not None:
                self.run_made(campaign, fire.run_id)
        for campaign in by_id.values():
            campaign.waiting.sort(key=lambda fire: (fire.recorded_at_ms, fire.fire_at_ms, fire.hand))

    def run_made(self, campaign: Campaign, run_id: str) -> None:
        """A run of it is open."""
        self.of_run[run_id] = campaign
        campaign.open[run_id] = None

    def run_ended(self, run_id: str) -> None:
        """A run, most often nobody's here, has ended."""
        campaign = self.of_run.pop(run_id, None)
        if campaign is not None:
            del campaign.open[run_id]
            self.settling[campaign] = None

    def drop(self, campaign: Campaign) -> None:
        """It is no more; its runs are nobody's."""
        del self.by_name[campaign.row.name]
        self.settling.pop(campaign, None)
        for run_id in campaign.open:
            del self.of_run[run_id]
