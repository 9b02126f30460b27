"""Campaigns of a world: what people do with them, and what must hold of their times (steps 2 and 3)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any, Final
from unittest import mock

import msgspec

from doai.broker.core import campaigns
from doai.broker.core.core import BrokerCore
from doai.changes.campaigns import CampaignRow, FireRow
from doai.changes.ops import DropCampaign, InsertFire, InsertRun, Op, PutCampaignRow, UpdateFire, UpdateRun
from doai.limits import CAMPAIGN_LOOK_S
from doai.messages import campaigns as m
from doai.messages import commands as c
from doai.schedule import Schedule, ScheduleError, next_time_ms
from doai.states import CampaignState, FireState, RunState
from doai.store.memory import MemoryTables
from tests.sim.admin import AdminProcess
from tests.sim.world import UTC_START_MS, Violation, World

CHECKED_AFTER_S: Final = 60.0
"""After the last fault; then everything that was due has been decided, and campaigns are paused."""
_read_plan: Final = msgspec.json.Decoder(m.CampaignPlan).decode


class CampaignWork:
    """Makes campaigns, changes, pauses, fires and removes them over the working time."""

    def __init__(self, world: World, admin: AdminProcess, work_s: float) -> None:
        self._world = world
        self._admin = admin
        # A source of its own: worlds without campaigns are as they were before there were any.
        self._random = random = Random(hash(world.random.getstate()[1]))
        self._puts: dict[str, m.PutCampaign] = {}
        self._zones: Any = None
        self._names = [f"c{number}" for number in range(random.choice((0, 0, 0, 1, 2, 4)))]
        for name in self._names:
            world.after(random.uniform(5.0, 8.0 + work_s * 0.4), self._put, name, False)
            for _ in range(random.choice((0, 1, 4))):
                world.after(random.uniform(10.0, 8.0 + work_s), self._meddle, name)
            for _ in range(random.choice((0, 2))):
                world.after(random.uniform(10.0, 8.0 + work_s), self._err, name)

    def _put(self, name: str, replace: bool) -> None:
        random = self._random
        targets = random.choice(
            (
                c.Targets(kind=c.TargetKind.ANY, count=random.choice((1, 3))),
                c.Targets(kind=c.TargetKind.ALL, selector=c.Selector(tags=["shelf"])),
            )
        )
        run = c.CreateRun(
            workflow=random.choice(("look", "tap", "look@1")),
            targets=targets,
            queue=random.choice(("default", "urgent")),
            expires_in_s=random.choice((None, 120.0)),
        )
        now_ms = UTC_START_MS + int(self._world.now_s * 1000)
        schedule = random.choice(
            (
                Schedule(every_s=60.0),
                Schedule(every_s=61.5, jitter_s=random.choice((0.0, 20.0))),
                Schedule(cron="* * * * *", zone="America/New_York"),
                Schedule(every_s=60.0, starts_at_ms=now_ms - 30_000, ends_at_ms=now_ms + 100_000),
            )
        )
        plan = m.CampaignPlan(
            run=run,
            schedule=schedule,
            project="sim",
            overlap=random.choice(list(m.Overlap)),
            catch_up=random.choice(list(m.CatchUp)),
            catch_up_max=random.choice((1, 3, 100)),
            runs_max=random.choice((3, 12)),
        )
        put = m.PutCampaign(name=name, plan=plan, replace=replace)
        self._puts[name] = put
        self._ask(m.PUT_CAMPAIGN, put)

    def _err(self, name: str) -> None:
        """Ask for what can not be, or for what is so already."""
        put = self._puts.get(name)
        if put is None:
            return
        random, plan = self._random, put.plan
        schedule = random.choice(
            (
                Schedule(every_s=1.0),
                Schedule(cron="* * * * *", every_s=60.0),
                Schedule(cron="99 * * * *"),
                Schedule(cron="* * * * *", zone="Asia/Nowhere"),
                Schedule(every_s=60.0, jitter_s=1e9),
                Schedule(every_s=60.0, jitter_s=90.0),
                Schedule(every_s=60.0, ends_at_ms=1),
            )
        )
        wrong = random.choice(
            (
                put,
                msgspec.structs.replace(put, name="Bad Name"),
                self._with(put, project="p" * 90),
                self._with(put, project="a\nb"),
                self._with(put, catch_up_max=0),
                self._with(put, runs_max=1),
                self._with(put, schedule=schedule),
                self._with(put, run=msgspec.structs.replace(plan.run, workflow="no-such")),
            )
        )
        self._ask(m.PUT_CAMPAIGN, wrong)
        if random.random() < 0.3:
            self._ask(m.FIRE_CAMPAIGN, m.FireCampaign(name="no-such"))

    def _with(self, put: m.PutCampaign, **changes: Any) -> m.PutCampaign:
        plan = msgspec.structs.replace(put.plan, **changes)
        return m.PutCampaign(name=put.name, plan=plan, replace=self._random.random() < 0.8)

    def zones_gone(self) -> bool:
        """Cron and time zones are not on the broker's host for a while: its files are being exchanged."""
        if self._zones is not None:
            return False
        self._zones = mock.patch.object(campaigns, "next_time_ms", _without_zones)
        self._zones.start()
        self._world.after(self._random.uniform(20.0, 90.0), self.zones_back)
        return True

    def zones_back(self) -> None:
        """They are there again."""
        if self._zones is not None:
            self._zones.stop()
            self._zones = None

    def _meddle(self, name: str) -> None:
        what = self._random.choice(("put", "pause", "resume", "resume", "fire", "fire", "remove"))
        if what == "put":
            self._put(name, True)
        elif what == "pause":
            self.pause(name)
        elif what == "resume":
            self._ask(m.RESUME_CAMPAIGN, m.ResumeCampaign(name=name))
        elif what == "fire":
            self._ask(m.FIRE_CAMPAIGN, m.FireCampaign(name=name))
        else:
            self._ask(m.REMOVE_CAMPAIGN, m.RemoveCampaign(name=name))

    def end(self, core: BrokerCore, utc_ms: int) -> None:
        """The working time is long over: nothing is behind, and nothing begins any more."""
        check_none_is_behind(core, utc_ms)
        for name, campaign in core.state.campaigns.by_name.items():
            if campaign.row.state is CampaignState.ACTIVE:
                self.pause(name)

    def pause(self, name: str) -> None:
        """Let its times pass by."""
        self._ask(m.PAUSE_CAMPAIGN, m.PauseCampaign(name=name))

    def _ask(self, command: str, payload: Any) -> None:
        self._admin.command(command, payload, _nothing)


def _without_zones(schedule: Schedule, after_ms: int) -> int | None:
    if schedule.cron:
        raise ScheduleError("this host knows no time zones")
    return next_time_ms(schedule, after_ms)


def _nothing(payload: Any, reply: c.Reply) -> None:
    """An answer of which nothing follows."""


class CampaignLedger:
    """Follows what lands, op by op, and knows what may follow."""

    def __init__(self) -> None:
        self._rows: dict[str, CampaignRow] = {}
        """By campaign_id."""
        self._ends: dict[str, int] = {}
        """Of the times by the schedule, the last that was decided."""
        self._passed_by: set[str] = set()
        """Paused or changed since then: times may have passed by."""
        self._runs: dict[str, RunState] = {}
        self._of: dict[str, str] = {}
        """Runs of campaigns."""
        self.counts: Counter[str] = Counter()
        """What came of times."""

    def observe(self, op: Op) -> None:
        """Follow one op of `FOLLOWED`."""
        FOLLOWED[type(op)](self, op)

    def _run_made(self, op: InsertRun) -> None:
        self._runs[op.row.run_id] = op.row.state

    def _run_moved(self, op: UpdateRun) -> None:
        self._runs[op.run_id] = op.state

    def _dropped(self, op: DropCampaign) -> None:
        del self._rows[op.campaign_id]

    def _waited(self, op: UpdateFire) -> None:
        if op.state is FireState.FIRED:
            self._made(op.campaign_id, op.run_id, hand="")

    def _campaign(self, op: PutCampaignRow) -> None:
        row = op.row
        before = self._rows.get(row.campaign_id)
        if before is not None and row.decided_to_ms < before.decided_to_ms:
            raise Violation("campaign_back", f"{row.name} goes back to {row.decided_to_ms}", row.name)
        if before is None or before.plan_body != row.plan_body or before.state is CampaignState.PAUSED:
            self._passed_by.add(row.campaign_id)
        self._rows[row.campaign_id] = row

    def _fire(self, op: InsertFire) -> None:
        fire = op.row
        row = self._rows[fire.campaign_id]
        self.counts["campaign_by_hand" if fire.hand else f"campaign_{fire.state.value}"] += fire.times
        if not fire.hand:
            if row.state is not CampaignState.ACTIVE:
                raise Violation("campaign_state", f"{row.name} fires while it is {row.state.value}", row.name)
            self._in_order(row, fire)
        if fire.state is FireState.FIRED:
            self._made(fire.campaign_id, fire.run_id, fire.hand)

    def _in_order(self, row: CampaignRow, fire: FireRow) -> None:
        end_ms = self._ends.get(row.campaign_id)
        if end_ms is not None:
            following = next_time_ms(_read_plan(row.plan_body).schedule, end_ms)
            if fire.fire_at_ms <= end_ms:
                raise Violation("fired_twice", f"{row.name} fires for {fire.fire_at_ms} after {end_ms}", row.name)
            if fire.fire_at_ms != following and row.campaign_id not in self._passed_by:
                message = f"{row.name} fires for {fire.fire_at_ms}, {following} is nowhere"
                raise Violation("time_lost", message, row.name)
        self._ends[row.campaign_id] = fire.last_at_ms or fire.fire_at_ms
        self._passed_by.discard(row.campaign_id)

    def _made(self, campaign_id: str, run_id: str | None, hand: str) -> None:
        row = self._rows[campaign_id]
        if run_id not in self._runs or run_id in self._of:
            raise Violation("campaign_run", f"{row.name} says it made run {run_id}", row.name)
        if row.state is CampaignState.PAUSED and not hand:
            raise Violation("campaign_state", f"{row.name} makes a run while it is paused", row.name)
        plan = _read_plan(row.plan_body)
        if plan.runs_max is not None and row.runs >= plan.runs_max:
            raise Violation("campaign_runs", f"{row.name} makes more than {plan.runs_max} runs", row.name)
        allowed = {RunState.COMPLETED}
        if plan.overlap is m.Overlap.REPLACE:
            allowed.add(RunState.CANCELLING)
        for other in [other for other, of in self._of.items() if of == campaign_id]:
            if self._runs[other] not in allowed:
                raise Violation("overlap", f"{row.name} makes {run_id} while {other} is open", row.name)
        self._of[run_id] = campaign_id


FOLLOWED: Final[dict[type, Callable[[CampaignLedger, Any], None]]] = {
    InsertRun: CampaignLedger._run_made,
    UpdateRun: CampaignLedger._run_moved,
    PutCampaignRow: CampaignLedger._campaign,
    DropCampaign: CampaignLedger._dropped,
    InsertFire: CampaignLedger._fire,
    UpdateFire: CampaignLedger._waited,
}


def all_are_quiet(core: BrokerCore) -> bool:
    """Whether no campaign makes a run any more."""
    return all(c.row.state is not CampaignState.ACTIVE for c in core.state.campaigns.by_name.values())


def check_none_is_behind(core: BrokerCore, utc_ms: int) -> None:
    """Well after the last fault every time that was due is decided."""
    for name, campaign in core.state.campaigns.by_name.items():
        late_ms = utc_ms - campaign.due_ms
        if campaign.row.state is CampaignState.ACTIVE and late_ms > (CAMPAIGN_LOOK_S + 5.0) * 1000:
            raise Violation("time_lost", f"{name} was due {late_ms} ms ago", name)


def compare_campaigns(core: BrokerCore, tables: MemoryTables) -> None:
    """The core's memory of campaigns is what the disk holds."""
    table = core.state.campaigns
    if {name: campaign.row for name, campaign in table.by_name.items()} != tables.campaigns:
        raise Violation("memory_differs", "campaigns in memory are not those on disk")
    waiting = [fire for campaign in table.by_name.values() for fire in campaign.waiting]
    stored = [fire for fire in tables.fires.values() if fire.state is FireState.WAITING]
    if sorted(waiting, key=_key) != sorted(stored, key=_key):
        raise Violation("memory_differs", "waiting times in memory are not those on disk")
    open_runs = {run_id for run_id, row in tables.runs.items() if row.state is not RunState.COMPLETED}
    made = {fire.run_id for fire in tables.fires.values() if fire.run_id in open_runs}
    if made != table.of_run.keys():
        raise Violation("memory_differs", f"open runs of campaigns differ: {made ^ table.of_run.keys()}")


def _key(fire: FireRow) -> tuple[str, int, str]:
    return fire.campaign_id, fire.fire_at_ms, fire.hand
