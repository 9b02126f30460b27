"""Campaigns: a run that is made again and again by a schedule (steps 2 and 3).

Times are decided in their order, each once: `decided_to_ms` of a campaign never goes back, so a UTC that jumps back
fires nothing again. Times that are found long after they were due are the matter of the plan's catch-up.
"""

from __future__ import annotations

from typing import Final

import msgspec

from doai import topics
from doai.broker.core.campaign_table import Campaign
from doai.broker.core.decision import Decision
from doai.broker.core.firing import Firing
from doai.broker.core.runs import Runs, check_project
from doai.broker.core.state import State
from doai.changes.campaigns import CampaignRow
from doai.changes.ops import DropCampaign
from doai.clock import Now
from doai.envelope import Envelope
from doai.errors import ConflictError, NotFoundError, UserError
from doai.ids import is_name
from doai.limits import (
    CAMPAIGN_CATCH_UP_MAX,
    CAMPAIGN_LATE_S,
    CAMPAIGN_LOOK_S,
    CAMPAIGN_TIMES_AT_ONCE,
    CAMPAIGNS_MAX,
)
from doai.messages import campaigns as m
from doai.schedule import Schedule, ScheduleError, check_schedule, due_ms, next_time_ms, words
from doai.states import CampaignState, CampaignTrigger
from doai.workflow.mistakes import did_you_mean

REASON_CHARS_MAX: Final = 500
_NEVER_MS: Final = 2**62
AT_ONCE_S: Final = 0.001
"""The rest of many times follows after what came meanwhile."""


class Campaigns:
    """Keeps campaigns, and fires them when their time has come."""

    def __init__(self, state: State, runs: Runs, now: Now) -> None:
        self._state = state
        self._runs = runs
        self._firing = Firing(state, runs)
        self._due_s: float | None = now.mono_s

    # --- what a person wants ------------------------------------------------------------------------------

    def put(self, decision: Decision, command: Envelope, wish: m.PutCampaign) -> m.CampaignStatus:
        """Make a campaign or change one; refused when it could never fire."""
        known, now_ms = self._state.campaigns.by_name.get(wish.name), decision.now.utc_ms
        plan = _begun(wish.plan, known, now_ms)
        if known is not None:
            if known.plan == plan:
                return _status(known)
            if not wish.replace:
                raise ConflictError(
                    f"there is a campaign {wish.name} with another plan: take another name, or replace it",
                    code="campaign_exists",
                )
        self._check(decision, command, wish.name, plan, known)
        actor = command.actor or command.source
        before = known.row if known is not None else None
        row = CampaignRow(
            name=wish.name,
            campaign_id=before.campaign_id if before else decision.new_id(),
            state=before.state if before else CampaignState.ACTIVE,
            reason=before.reason if before else "",
            plan_body=msgspec.json.encode(plan),
            decided_to_ms=max(before.decided_to_ms, now_ms) if before else now_ms,
            runs=before.runs if before else 0,
            created_at_ms=before.created_at_ms if before else now_ms,
            created_by=before.created_by if before else actor,
            changed_at_ms=now_ms,
            changed_by=actor,
        )
        if row.state is CampaignState.ENDED:
            row = msgspec.structs.replace(row, state=CampaignState.ACTIVE, reason="")
        decision.changed(topics.campaign_subject(row.name), _shown(known), _shown(Campaign(row)))
        if known is None:
            known = self._state.campaigns.by_name[wish.name] = Campaign(row)
        known.row, known.plan, known.next_ms = row, plan, None
        told = m.CampaignPut(
            campaign_id=row.campaign_id,
            name=row.name,
            workflow=plan.run.workflow,
            schedule=words(plan.schedule),
            actor=actor,
        )
        event_type = topics.CAMPAIGN_CHANGED if before else topics.CAMPAIGN_CREATED
        decision.event(event_type, topics.campaign_subject(row.name), told, causation_id=command.event_id)
        self._go_on(decision, known)
        return _status(known)

    def pause(self, decision: Decision, command: Envelope, wish: m.PauseCampaign) -> m.CampaignStatus:
        """Let its times pass by."""
        return self._move(decision, command, wish.name, CampaignTrigger.PAUSE, wish.reason)

    def resume(self, decision: Decision, command: Envelope, wish: m.ResumeCampaign) -> m.CampaignStatus:
        """Fire again from the next time on."""
        return self._move(decision, command, wish.name, CampaignTrigger.RESUME, wish.reason)

    def fire(self, decision: Decision, command: Envelope, wish: m.FireCampaign) -> m.CampaignRun:
        """Make a run of it now."""
        campaign = self._campaign(wish.name)
        if campaign.row.state is CampaignState.ENDED:
            raise ConflictError(
                f"campaign {wish.name} has ended ({campaign.row.reason}): change it so that more is to come",
                code="campaign_ended",
            )
        before = campaign.row.runs
        run_id = self._firing.by_hand(decision, campaign, command)
        subject, after = topics.campaign_subject(wish.name), {"runs": campaign.row.runs, "run_id": run_id}
        decision.changed(subject, {"runs": before}, after)
        return m.CampaignRun(name=wish.name, run_id=run_id)

    def remove(self, decision: Decision, command: Envelope, wish: m.RemoveCampaign) -> m.CampaignStatus:
        """Forget it and its history."""
        campaign = self._campaign(wish.name)
        row = campaign.row
        self._state.campaigns.drop(campaign)
        decision.changed(topics.campaign_subject(row.name), _shown(campaign), None)
        decision.ops.append(DropCampaign(row.campaign_id))
        told = m.CampaignMoved(
            campaign_id=row.campaign_id,
            name=row.name,
            reason=wish.reason[:REASON_CHARS_MAX],
            actor=command.actor or command.source,
        )
        decision.event(topics.CAMPAIGN_REMOVED, topics.campaign_subject(row.name), told)
        return _status(campaign)

    def _move(
        self, decision: Decision, command: Envelope, name: str, trigger: CampaignTrigger, reason: str
    ) -> m.CampaignStatus:
        campaign = self._campaign(name)
        row = campaign.row
        wanted = CampaignState.PAUSED if trigger is CampaignTrigger.PAUSE else CampaignState.ACTIVE
        if row.state in (wanted, CampaignState.ENDED):
            raise ConflictError(f"campaign {name} is {row.state.value}: nothing was changed", code="campaign_state")
        actor = command.actor or command.source
        self._firing.move(decision, campaign, trigger, reason[:REASON_CHARS_MAX], actor)
        if trigger is CampaignTrigger.RESUME:
            decided_to_ms = max(row.decided_to_ms, decision.now.utc_ms)
            campaign.row = msgspec.structs.replace(campaign.row, decided_to_ms=decided_to_ms)
            campaign.next_ms = None
            self._state.campaigns.settling[campaign] = None
        self._go_on(decision, campaign)
        after = {"state": campaign.row.state, "reason": campaign.row.reason}
        decision.changed(topics.campaign_subject(name), {"state": row.state, "reason": row.reason}, after)
        return _status(campaign)

    def _campaign(self, name: str) -> Campaign:
        campaign = self._state.campaigns.by_name.get(name)
        if campaign is None:
            near = did_you_mean(name, self._state.campaigns.by_name)
            raise NotFoundError(f"there is no campaign {name[:63]!r}: {near}", code="campaign_not_found")
        return campaign

    def _check(
        self, decision: Decision, command: Envelope, name: str, plan: m.CampaignPlan, known: Campaign | None
    ) -> None:
        if not is_name(name):
            raise UserError(f"{name[:80]!r} can not be a name: use 1-63 of a-z 0-9 . _ -", code="bad_name")
        if known is None and len(self._state.campaigns.by_name) >= CAMPAIGNS_MAX:
            raise UserError(f"there are {CAMPAIGNS_MAX} campaigns, more are not taken: remove some that have ended")
        check_project(plan.project)
        if not 1 <= plan.catch_up_max <= CAMPAIGN_CATCH_UP_MAX:
            raise UserError(f"catch-up of {plan.catch_up_max} times can not be: give 1 to {CAMPAIGN_CATCH_UP_MAX}")
        made = known.row.runs if known is not None else 0
        if plan.runs_max is not None and plan.runs_max <= made:
            raise UserError(f"at most {plan.runs_max} runs can not be: {made} are made, give a larger number")
        check_schedule(plan.schedule, max(decision.now.utc_ms, known.row.decided_to_ms if known else 0))
        self._runs.check(decision, command, plan.run)

    # --- time ---------------------------------------------------------------------------------------------

    def due_s(self) -> float | None:
        """Return when campaigns are looked at next."""
        return self._due_s

    def sweep(self, decision: Decision) -> None:
        """Fire what is due."""
        now = decision.now
        if self._due_s is None or now.mono_s < self._due_s:
            return
        active = [c for c in self._state.campaigns.by_name.values() if c.row.state is CampaignState.ACTIVE]
        for campaign in active:
            if campaign.next_ms is None:
                self._look_up(decision, campaign)
            if campaign.row.state is CampaignState.ACTIVE and campaign.due_ms <= now.utc_ms:
                self._decide(decision, campaign)
        self._due_s = None
        for campaign in active:
            self._be_back(now, campaign)

    def settle(self, decision: Decision) -> bool:
        """Make the runs that waited for the end of others; returns whether there were any."""
        return self._firing.settle(decision)

    def _decide(self, decision: Decision, campaign: Campaign) -> None:
        plan, utc_ms = campaign.plan, decision.now.utc_ms
        schedule, key = plan.schedule, campaign.row.campaign_id
        times: list[int] = []
        late: list[int] = []
        latest_due_ms, at = 0, campaign.next_ms
        while at is not None and due_ms(schedule, key, at) <= utc_ms and len(times) < CAMPAIGN_TIMES_AT_ONCE:
            # A time can not be had before the one ahead of it, whatever its jitter.
            latest_due_ms = max(latest_due_ms, due_ms(schedule, key, at))
            times.append(at)
            if latest_due_ms < utc_ms - CAMPAIGN_LATE_S * 1000:
                late.append(at)
            at = _following_ms(schedule, at)
        catch_up = {m.CatchUp.NONE: 0, m.CatchUp.LATEST: 1, m.CatchUp.ALL: plan.catch_up_max}[plan.catch_up]
        if len(times) == CAMPAIGN_TIMES_AT_ONCE and (missed := late[: len(times) - catch_up]):
            times = []  # whether the last ones are the newest shows at the next look
        elif plan.catch_up is m.CatchUp.LATEST and len(late) < len(times):
            missed, times = late, times[len(late) :]
        else:
            missed = late[: max(0, len(late) - catch_up)]
            times = times[len(missed) :]
        if missed:
            self._firing.missed(decision, campaign, missed)
        for time_ms in times:
            if campaign.row.state is CampaignState.ACTIVE:
                self._firing.by_schedule(decision, campaign, time_ms)
        decided_to_ms = [*missed, *times][-1]
        campaign.row = msgspec.structs.replace(campaign.row, decided_to_ms=decided_to_ms)
        self._look_up(decision, campaign)
        self._firing.write(decision, campaign)

    def _look_up(self, decision: Decision, campaign: Campaign) -> None:
        if campaign.row.state is not CampaignState.ACTIVE:
            return
        schedule = campaign.plan.schedule
        try:
            campaign.next_ms = next_time_ms(schedule, campaign.row.decided_to_ms)
        except ScheduleError as error:
            # Time zones or cron are not on this host any more: it must not stop the broker, nor be overlooked.
            self._firing.move(decision, campaign, CampaignTrigger.PAUSE, str(error))
            decision.log("error", f"campaign {campaign.row.name} can not go on: {error}")
        else:
            if campaign.next_ms is None:
                self._firing.move(decision, campaign, CampaignTrigger.END, "no time of its schedule follows")
            else:
                campaign.due_ms = due_ms(schedule, campaign.row.campaign_id, campaign.next_ms)
                return
        self._firing.write(decision, campaign)

    def _go_on(self, decision: Decision, campaign: Campaign) -> None:
        """It was changed: store it, and come back when it is due."""
        if campaign.next_ms is None:
            self._look_up(decision, campaign)
        self._firing.write(decision, campaign)
        self._be_back(decision.now, campaign)
        if self._due_s is not None:
            self._state.sweep_by(self._due_s)

    def _be_back(self, now: Now, campaign: Campaign) -> None:
        if campaign.row.state is CampaignState.ACTIVE:
            wait_s = min(max((campaign.due_ms - now.utc_ms) / 1000, AT_ONCE_S), CAMPAIGN_LOOK_S)
            self._due_s = min(self._due_s or now.mono_s + wait_s, now.mono_s + wait_s)


def _following_ms(schedule: Schedule, time_ms: int) -> int | None:
    """Return the time after that; None also where it can not be known now, which `_look_up` finds and tells."""
    try:
        return next_time_ms(schedule, time_ms)
    except ScheduleError:
        return None


def _begun(plan: m.CampaignPlan, known: Campaign | None, now_ms: int) -> m.CampaignPlan:
    """Return the plan with the time from which its intervals are counted; a change does not move it."""
    if plan.schedule.starts_at_ms is not None:
        return plan
    starts_at_ms = known.plan.schedule.starts_at_ms if known is not None else now_ms
    return msgspec.structs.replace(plan, schedule=msgspec.structs.replace(plan.schedule, starts_at_ms=starts_at_ms))


def _shown(campaign: Campaign | None) -> dict[str, object] | None:
    """What the audit has of a campaign."""
    return None if campaign is None else {"state": campaign.row.state, "plan": campaign.plan}


def _status(campaign: Campaign) -> m.CampaignStatus:
    row = campaign.row
    active = row.state is CampaignState.ACTIVE
    return m.CampaignStatus(
        name=row.name,
        campaign_id=row.campaign_id,
        state=row.state,
        next_at_ms=campaign.next_ms if active else None,
    )
