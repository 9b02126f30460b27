"""Rows of campaigns and of what came of their times (steps 3 and 14)."""

from __future__ import annotations

import msgspec

from doai.states import CampaignState, FireState


class CampaignRow(msgspec.Struct, frozen=True, kw_only=True):
    """A campaign; of those that there are, a name has one."""

    name: str
    campaign_id: str
    state: CampaignState
    reason: str
    """Why it is paused or has ended, for a person."""
    plan_body: bytes
    """JSON of doai.messages.campaigns.CampaignPlan."""
    decided_to_ms: int
    """Of the times of its schedule all up to here were looked at: none of them fires again, it never goes back."""
    runs: int
    """Made so far."""
    created_at_ms: int
    created_by: str
    changed_at_ms: int
    changed_by: str


class FireRow(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one time of a campaign; of several, which were missed, as one row."""

    campaign_id: str
    fire_at_ms: int
    """The time by the schedule, without jitter. (campaign_id, fire_at_ms, hand) is unique."""
    hand: str
    """Empty = by the schedule; by hand: an id of its own."""
    state: FireState
    recorded_at_ms: int
    run_id: str | None = None
    reason: str = ""
    actor: str = ""
    """Who did it by hand."""
    times: int = 1
    last_at_ms: int | None = None
    """Of several the last."""
