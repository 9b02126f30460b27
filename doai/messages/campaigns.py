"""Payloads about campaigns: a run that is made again and again by a schedule (steps 1-3, 14)."""

from __future__ import annotations

import enum
from typing import Final

from doai.envelope import Message
from doai.messages.commands import CreateRun
from doai.schedule import Schedule
from doai.states import CampaignState

PUT_CAMPAIGN = "campaign.put"
PAUSE_CAMPAIGN = "campaign.pause"
RESUME_CAMPAIGN = "campaign.resume"
FIRE_CAMPAIGN = "campaign.fire"
REMOVE_CAMPAIGN = "campaign.remove"
CATCH_UP_TIMES: Final = 10
"""Of `all`, unless another number is given."""


class Overlap(enum.Enum):
    """What happens when a campaign is due and a run of it is still open."""

    SKIP = "skip"
    """No run is made for this time."""
    QUEUE = "queue"
    """Its run is made when that one has ended."""
    REPLACE = "replace"
    """Its run is made, and that one is cancelled."""


class CatchUp(enum.Enum):
    """What happens with times that passed while nobody was there: no broker, or a clock that jumped ahead."""

    NONE = "none"
    LATEST = "latest"
    """The latest of them, when no other is due now."""
    ALL = "all"
    """All of them, the newest `catch_up_max` at most."""


class CampaignPlan(Message, frozen=True, kw_only=True):
    """What is run, when, and what happens where times meet."""

    run: CreateRun
    """Its `workflow` is ``name@version``, or ``name``: the active version of the time."""
    schedule: Schedule
    project: str = ""
    """To whom or what it belongs, for people; lists are filtered by it."""
    overlap: Overlap = Overlap.SKIP
    catch_up: CatchUp = CatchUp.LATEST
    catch_up_max: int = CATCH_UP_TIMES
    """Of `all`."""
    runs_max: int | None = None
    """Then it has ended; None = no such end."""


class PutCampaign(Message, frozen=True, kw_only=True):
    """Make a campaign, or change one. Answer: CampaignStatus."""

    name: str
    plan: CampaignPlan
    replace: bool = False
    """Change the one that has this name; without it that is refused, unless nothing changes."""


class PauseCampaign(Message, frozen=True, kw_only=True):
    """Let its times pass by; an open run goes on. Answer: CampaignStatus."""

    name: str
    reason: str = ""


class ResumeCampaign(Message, frozen=True, kw_only=True):
    """Fire again, from the next time on. Answer: CampaignStatus."""

    name: str
    reason: str = ""


class FireCampaign(Message, frozen=True, kw_only=True):
    """Make a run of it now, its `overlap` kept. Answer: CampaignRun."""

    name: str


class RemoveCampaign(Message, frozen=True, kw_only=True):
    """Forget a campaign and its history; its runs stay. Answer: CampaignStatus, as it was."""

    name: str
    reason: str = ""


class CampaignStatus(Message, frozen=True, kw_only=True):
    """How a campaign stands now."""

    name: str
    campaign_id: str
    state: CampaignState
    next_at_ms: int | None = None
    """None = it is not active, or nothing follows."""


class CampaignRun(Message, frozen=True, kw_only=True):
    """Answer to FireCampaign."""

    name: str
    run_id: str | None = None
    """None = it waits for the end of the run before it."""


class CampaignPut(Message, frozen=True, kw_only=True):
    """A campaign was made or changed."""

    campaign_id: str
    name: str
    workflow: str
    """As the plan names it."""
    schedule: str
    """In words."""
    actor: str


class CampaignMoved(Message, frozen=True, kw_only=True):
    """A campaign was paused, resumed or removed, or it ended; why, and by whom."""

    campaign_id: str
    name: str
    reason: str = ""
    actor: str = ""
    """Empty = the broker itself."""


class CampaignFired(Message, frozen=True, kw_only=True):
    """What came of one time of a campaign: a run, the wait for one, or none and why."""

    campaign_id: str
    name: str
    fire_at_ms: int
    """The time by the schedule, without jitter; by hand: when that was asked for."""
    run_id: str | None = None
    reason: str = ""
    actor: str = ""
    """Who did it by hand; empty = the schedule."""


class CampaignMissed(Message, frozen=True, kw_only=True):
    """Times of a campaign passed while nobody was there, and are not made up for."""

    campaign_id: str
    name: str
    fire_at_ms: int
    """The first."""
    last_at_ms: int
    times: int
    reason: str
