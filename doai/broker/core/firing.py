"""What comes of a time of a campaign: a run, the wait for one, or none, and why (steps 2 and 3).

A run and the row that says for which time it was made are one transaction, and that row's key is the time: however
often a broker dies, no time has two runs.
"""

from __future__ import annotations

from typing import Final

import msgspec

from doai import topics
from doai.broker.core.campaign_table import Campaign
from doai.broker.core.decision import Decision
from doai.broker.core.runs import Runs
from doai.broker.core.state import State
from doai.changes.campaigns import FireRow
from doai.changes.ops import InsertFire, PutCampaignRow, TrimFires, UpdateFire
from doai.codec import raw
from doai.envelope import Envelope
from doai.errors import ConflictError, DiskLow, UserError
from doai.limits import CAMPAIGN_TIMES_KEPT, CAMPAIGN_WAITING_MAX
from doai.messages.campaigns import CampaignFired, CampaignMissed, CampaignMoved, Overlap
from doai.messages.commands import CREATE_RUN, CancelRun
from doai.reasons import reason as because
from doai.states import CAMPAIGN_TABLE, CampaignState, CampaignTrigger, FireState, RunState, move

_TOPIC: Final = {
    FireState.WAITING: topics.CAMPAIGN_WAITING,
    FireState.FIRED: topics.CAMPAIGN_FIRED,
    FireState.SKIPPED: topics.CAMPAIGN_SKIPPED,
}
_WORD: Final = {
    CampaignTrigger.PAUSE: topics.CAMPAIGN_PAUSED,
    CampaignTrigger.RESUME: topics.CAMPAIGN_RESUMED,
    CampaignTrigger.END: topics.CAMPAIGN_COMPLETED,
}


class Firing:
    """Makes the runs of campaigns."""

    def __init__(self, state: State, runs: Runs) -> None:
        self._state = state
        self._runs = runs

    def by_schedule(self, decision: Decision, campaign: Campaign, fire_at_ms: int) -> None:
        """A time of its schedule is due; whatever comes of it is written."""
        fire = FireRow(
            campaign_id=campaign.row.campaign_id,
            fire_at_ms=fire_at_ms,
            hand="",
            state=FireState.FIRED,
            recorded_at_ms=decision.now.utc_ms,
        )
        blocked = self._blocked(campaign)
        if blocked:
            self._record(decision, campaign, _with(fire, FireState.SKIPPED, blocked))
        elif self._waits(campaign):
            self._record(decision, campaign, _with(fire, FireState.WAITING, _open_words(campaign)))
        else:
            command = self._command(decision, campaign)
            try:
                fire = msgspec.structs.replace(fire, run_id=self._make_run(decision, campaign, command))
            except (UserError, DiskLow) as error:
                fire = _with(fire, FireState.SKIPPED, str(error))
            self._record(decision, campaign, fire)

    def by_hand(self, decision: Decision, campaign: Campaign, command: Envelope) -> str | None:
        """Make a run now, or let it wait (None); raises why there can be none."""
        blocked = self._blocked(campaign)
        if blocked:
            raise ConflictError(f"campaign {campaign.row.name} makes no run now: {blocked}", code="campaign_busy")
        fire = FireRow(
            campaign_id=campaign.row.campaign_id,
            fire_at_ms=decision.now.utc_ms,
            hand=decision.new_id(),
            state=FireState.FIRED,
            recorded_at_ms=decision.now.utc_ms,
            actor=command.actor or command.source,
        )
        if self._waits(campaign):
            fire = _with(fire, FireState.WAITING, _open_words(campaign))
        else:
            fire = msgspec.structs.replace(fire, run_id=self._make_run(decision, campaign, command))
        self._record(decision, campaign, fire)
        self.write(decision, campaign)
        return fire.run_id

    def missed(self, decision: Decision, campaign: Campaign, times: list[int]) -> None:
        """Times that passed while nobody was there, and are not made up for."""
        row = campaign.row
        reason = because("nobody_there", plan=campaign.plan.catch_up.value)
        fire = FireRow(
            campaign_id=row.campaign_id,
            fire_at_ms=times[0],
            hand="",
            state=FireState.MISSED,
            recorded_at_ms=decision.now.utc_ms,
            reason=reason,
            times=len(times),
            last_at_ms=times[-1],
        )
        self._insert(decision, campaign, fire)
        told = CampaignMissed(
            campaign_id=row.campaign_id,
            name=row.name,
            fire_at_ms=times[0],
            last_at_ms=times[-1],
            times=len(times),
            reason=reason,
        )
        decision.event(topics.CAMPAIGN_MISSED, topics.campaign_subject(row.name), told)
        decision.log("warning", f"campaign {row.name} missed {len(times)} of its times: {reason}")

    def settle(self, decision: Decision) -> bool:
        """Make the runs that waited for others which have ended; returns whether there were any."""
        table, made = self._state.campaigns, False
        while table.settling:
            campaign, _ = table.settling.popitem()
            while campaign.waiting and not campaign.open and campaign.row.state is not CampaignState.PAUSED:
                self._make_waiting(decision, campaign, campaign.waiting.pop(0))
                made = True
        return made

    def _make_waiting(self, decision: Decision, campaign: Campaign, fire: FireRow) -> None:
        runs_max = campaign.plan.runs_max
        if runs_max is not None and campaign.row.runs >= runs_max:  # fewer than when it began to wait
            fire = _with(fire, FireState.SKIPPED, f"all of its {runs_max} runs are made")
        else:
            fire = self._made_of(decision, campaign, fire)
        decision.ops.append(
            UpdateFire(fire.campaign_id, fire.fire_at_ms, fire.hand, fire.state, fire.run_id, fire.reason)
        )
        self._tell(decision, campaign, fire)
        self.write(decision, campaign)

    def _made_of(self, decision: Decision, campaign: Campaign, fire: FireRow) -> FireRow:
        try:
            run_id = self._make_run(decision, campaign, self._command(decision, campaign))
        except (UserError, DiskLow) as error:
            return _with(fire, FireState.SKIPPED, str(error))
        return msgspec.structs.replace(_with(fire, FireState.FIRED, ""), run_id=run_id)

    # --- rules --------------------------------------------------------------------------------------------

    def _blocked(self, campaign: Campaign) -> str:
        plan, waiting = campaign.plan, len(campaign.waiting)
        if plan.runs_max is not None and campaign.row.runs + waiting >= plan.runs_max:
            return f"the last of its {plan.runs_max} runs wait already"
        if plan.overlap is Overlap.SKIP and (campaign.open or waiting):
            return _open_words(campaign)
        if plan.overlap is Overlap.QUEUE and waiting >= CAMPAIGN_WAITING_MAX:
            return f"{waiting} runs of it wait already"
        return ""

    def _waits(self, campaign: Campaign) -> bool:
        return campaign.plan.overlap is Overlap.QUEUE and bool(campaign.open or campaign.waiting)

    # --- runs ---------------------------------------------------------------------------------------------

    def _command(self, decision: Decision, campaign: Campaign) -> Envelope:
        return Envelope(
            # What caused the run: whoever put the campaign.
            event_id=campaign.row.campaign_id,
            type=CREATE_RUN,
            subject=topics.campaign_subject(campaign.row.name),
            source=self._state.settings.source,
            trace_id=decision.ids.new_trace_id(),
            occurred_at_ms=decision.now.utc_ms,
            payload=raw(campaign.plan.run),
            actor=topics.campaign_subject(campaign.row.name),
            interface="schedule",
        )

    def _make_run(self, decision: Decision, campaign: Campaign, command: Envelope) -> str:
        disk, row = self._state.disk, campaign.row
        if disk.closed_because:
            raise DiskLow(f"the broker takes nothing new now: {disk.closed_because}")
        before = list(campaign.open)
        create = campaign.plan.run
        create = msgspec.structs.replace(create, project=campaign.plan.project or create.project)
        made = self._runs.create(decision, command, create, campaign=row.name)
        # Only now: a run that can not be made replaces none.
        if campaign.plan.overlap is Overlap.REPLACE:
            for run_id in before:
                if self._state.runs[run_id].state is RunState.ACTIVE:
                    reason = because("takes_place", run=made.run_id, campaign=row.name)
                    self._runs.cancel_run(decision, command, CancelRun(run_id=run_id, reason=reason))
        self._state.campaigns.run_made(campaign, made.run_id)
        campaign.row = msgspec.structs.replace(row, runs=row.runs + 1)
        return made.run_id

    # --- rows and events ----------------------------------------------------------------------------------

    def _record(self, decision: Decision, campaign: Campaign, fire: FireRow) -> None:
        self._insert(decision, campaign, fire)
        if fire.state is FireState.WAITING:
            campaign.waiting.append(fire)
        self._tell(decision, campaign, fire)

    def _insert(self, decision: Decision, campaign: Campaign, fire: FireRow) -> None:
        decision.ops.append(InsertFire(fire))
        decision.ops.append(TrimFires(campaign.row.campaign_id, CAMPAIGN_TIMES_KEPT))

    def _tell(self, decision: Decision, campaign: Campaign, fire: FireRow) -> None:
        name, runs_max = campaign.row.name, campaign.plan.runs_max
        told = CampaignFired(
            campaign_id=fire.campaign_id,
            name=name,
            fire_at_ms=fire.fire_at_ms,
            run_id=fire.run_id,
            reason=fire.reason,
            actor=fire.actor,
        )
        decision.event(_TOPIC[fire.state], topics.campaign_subject(name), told)
        if fire.state is FireState.SKIPPED:
            decision.log("warning", f"campaign {name} made no run: {fire.reason}")
        ended = campaign.row.state is CampaignState.ENDED
        if fire.state is FireState.FIRED and runs_max is not None and campaign.row.runs >= runs_max and not ended:
            self.move(decision, campaign, CampaignTrigger.END, f"all of its {runs_max} runs are made")

    def move(
        self, decision: Decision, campaign: Campaign, trigger: CampaignTrigger, reason: str, actor: str = ""
    ) -> None:
        """Pause, resume or end it, and say so; `write` stores it."""
        row = campaign.row
        state = move(CAMPAIGN_TABLE, row.state, trigger, f"campaign {row.name}")
        campaign.row = msgspec.structs.replace(row, state=state, reason=reason)
        told = CampaignMoved(campaign_id=row.campaign_id, name=row.name, reason=reason, actor=actor)
        decision.event(_WORD[trigger], topics.campaign_subject(row.name), told)
        decision.log("info", f"campaign {row.name} is {state.value}{f': {reason}' if reason else ''}")

    def write(self, decision: Decision, campaign: Campaign) -> None:
        """Store the campaign as it is now."""
        decision.ops.append(PutCampaignRow(campaign.row))


def _with(fire: FireRow, state: FireState, reason: str) -> FireRow:
    return msgspec.structs.replace(fire, state=state, reason=reason)


def _open_words(campaign: Campaign) -> str:
    run_id = next(iter(campaign.open), "")
    return because("run_open", run=run_id) if run_id else because("run_waits")
