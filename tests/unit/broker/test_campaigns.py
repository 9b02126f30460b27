"""Campaigns in the core: each time once, whatever broker and clock do; overlap, catch-up, ends, mistakes."""

from __future__ import annotations

from typing import Any

import pytest

from doai import topics
from doai.codec import Kind, encode
from doai.limits import CAMPAIGN_TIMES_AT_ONCE, CAMPAIGN_TIMES_KEPT
from doai.messages import campaigns as m
from doai.messages import commands as c
from doai.messages.link import Heartbeat
from doai.schedule import Schedule
from doai.states import FireState, RunState, TaskState
from tests.unit.broker.harness import FakeAdmin, FakeNode, World, sample, started_world

MINUTE_MS = 60_000
EVERY_MINUTE = Schedule(every_s=60)


def run_of(*serials: str, **about: Any) -> c.CreateRun:
    targets = c.Targets(kind=c.TargetKind.DEVICES, serials=list(serials or ("d1",)))
    return c.CreateRun(workflow=about.pop("workflow", "look"), targets=targets, **about)


def plan(schedule: Schedule = EVERY_MINUTE, **about: Any) -> m.CampaignPlan:
    run = about.pop("run", run_of())
    return m.CampaignPlan(run=run, schedule=schedule, **about)


def put(admin: FakeAdmin, wanted: m.CampaignPlan, name: str = "nightly", **about: Any) -> m.CampaignStatus:
    wish = m.PutCampaign(name=name, plan=wanted, **about)
    status: m.CampaignStatus = admin.do(m.PUT_CAMPAIGN, wish, m.CampaignStatus)
    return status


def fires(world: World, state: FireState | None = None) -> list[Any]:
    return [row for _, row in sorted(world.tables.fires.items()) if state in (None, row.state)]


def live(world: World, node: FakeNode, admin: FakeAdmin, seconds: float, *, work: bool = True) -> None:
    """Let time pass while node and admin are heard from; the node does what it is given."""
    for _ in range(round(seconds / 10)):
        world.pass_time(10)
        node.heartbeat()
        world.send(admin.link, admin.name, Kind.HEARTBEAT, encode(Heartbeat(sample=sample())))
        if work:
            do_all(node)


def do_all(node: FakeNode) -> None:
    node.pump()
    while node.held:
        for dispatch in list(node.held.values()):
            node.begin(dispatch)
            node.end(dispatch)
        node.flush()


def jump(world: World, seconds: float) -> None:
    world.utc_ms += round(seconds * 1000)


def check(world: World) -> None:
    world.check()
    state = world.core.state
    assert {name: campaign.row for name, campaign in state.campaigns.by_name.items()} == world.tables.campaigns
    by_hand = [row.run_id for row in fires(world) if row.run_id is not None]
    assert len(by_hand) == len(set(by_hand))


def test_it_fires_when_it_is_due_and_the_run_says_who_made_it() -> None:
    world, node, admin = started_world("d1")
    status = put(admin, plan())
    assert status.next_at_ms == world.utc_ms + MINUTE_MS
    live(world, node, admin, 50)
    assert not world.tables.runs
    live(world, node, admin, 135)
    rows = fires(world)
    assert [row.state for row in rows] == [FireState.FIRED] * 3
    assert [row.fire_at_ms for row in rows] == [status.next_at_ms + n * MINUTE_MS for n in range(3)]
    runs = [world.tables.runs[row.run_id] for row in rows]
    assert {(run.actor, run.interface, run.state) for run in runs} == {
        ("campaign/nightly", "schedule", RunState.COMPLETED)
    }
    assert {(run.campaign, run.project) for run in runs} == {("nightly", "")}
    assert sum(row.passed for (kind, _, name), row in world.tables.usage.items() if name == "nightly") == 3
    assert world.tables.campaigns["nightly"].runs == 3
    assert len(world.events(topics.CAMPAIGN_FIRED)) == 3
    check(world)


def test_nothing_fires_twice_after_a_restart_or_a_clock_that_goes_back() -> None:
    world, node, admin = started_world("d1")
    put(admin, plan())
    live(world, node, admin, 130)
    assert len(fires(world)) == 2
    world.restart()
    node.connect()
    admin = FakeAdmin(world)
    jump(world, -90)
    live(world, node, admin, 80)
    assert len(fires(world)) == 2, "its clock has not come to the third time yet"
    live(world, node, admin, 80)
    assert len(fires(world)) == 3
    check(world)


@pytest.mark.parametrize(
    ("catch_up", "missed", "fired"), [(m.CatchUp.NONE, 10, 1), (m.CatchUp.LATEST, 10, 1), (m.CatchUp.ALL, 6, 5)]
)
@pytest.mark.parametrize("away", ["no broker", "its clock jumps"])
def test_what_passed_while_nobody_was_there(catch_up: m.CatchUp, missed: int, fired: int, away: str) -> None:
    world, node, admin = started_world("d1")
    put(admin, plan(overlap=m.Overlap.QUEUE, catch_up=catch_up, catch_up_max=4))
    jump(world, 11.1 * 60)
    if away == "no broker":
        world.restart()
        node.connect()
        admin = FakeAdmin(world)
    live(world, node, admin, 40)
    assert sum(row.times for row in fires(world, FireState.MISSED)) == missed
    # The eleventh is late by less than a minute: it is due now, and no matter of catch-up.
    made = fires(world, FireState.FIRED)
    assert len(made) == fired
    assert world.tables.campaigns["nightly"].runs == len(made)
    check(world)


@pytest.mark.parametrize(("catch_up", "missed", "fired"), [(m.CatchUp.NONE, 2, 0), (m.CatchUp.LATEST, 1, 1)])
def test_the_latest_is_made_up_for(catch_up: m.CatchUp, missed: int, fired: int) -> None:
    world, node, admin = started_world("d1")
    put(admin, plan(Schedule(every_s=3600), catch_up=catch_up))
    jump(world, 2.5 * 3600)
    live(world, node, admin, 40)
    assert sum(row.times for row in fires(world, FireState.MISSED)) == missed
    assert len(fires(world, FireState.FIRED)) == fired
    check(world)


def test_times_of_a_long_absence_are_decided_bit_by_bit() -> None:
    world, _, admin = started_world("d1")
    put(admin, plan(catch_up=m.CatchUp.ALL, catch_up_max=3, overlap=m.Overlap.QUEUE))
    jump(world, (3 * CAMPAIGN_TIMES_AT_ONCE + 50) * 60 + 65)
    world.pass_time(31)
    missed = fires(world, FireState.MISSED)
    assert len(missed) == 4
    assert sum(row.times for row in missed) == 3 * CAMPAIGN_TIMES_AT_ONCE + 50 - 3
    assert all(row.times <= CAMPAIGN_TIMES_AT_ONCE for row in missed)
    assert len(fires(world)) == 4 + 4
    check(world)


def test_overlap_skip_makes_no_run_while_one_is_open() -> None:
    world, node, admin = started_world("d1")
    put(admin, plan(overlap=m.Overlap.SKIP))
    live(world, node, admin, 190, work=False)
    first, *others = fires(world)
    assert [row.state for row in others] == [FireState.SKIPPED] * 2
    assert others[0].reason == f"its run {first.run_id} is still open"
    do_all(node)
    live(world, node, admin, 60)
    assert fires(world)[-1].state is FireState.FIRED
    check(world)


def test_overlap_queue_makes_one_run_after_the_other() -> None:
    world, node, admin = started_world("d1")
    put(admin, plan(overlap=m.Overlap.QUEUE))
    live(world, node, admin, 190, work=False)
    assert [row.state for row in fires(world)] == [FireState.FIRED, FireState.WAITING, FireState.WAITING]
    assert len(world.core.state.runs) == 1
    world.restart()
    node.connect()
    do_all(node)
    assert [row.state for row in fires(world)] == [FireState.FIRED] * 3
    assert len(world.events(topics.CAMPAIGN_WAITING)) == 2
    check(world)


def test_a_run_that_waits_is_not_made_when_fewer_are_wanted_meanwhile() -> None:
    world, node, admin = started_world("d1")
    put(admin, plan(overlap=m.Overlap.QUEUE, runs_max=9))
    live(world, node, admin, 190, work=False)
    assert [row.state for row in fires(world)] == [FireState.FIRED, FireState.WAITING, FireState.WAITING]
    put(admin, plan(overlap=m.Overlap.QUEUE, runs_max=2), replace=True)
    do_all(node)
    assert [row.state for row in fires(world)] == [FireState.FIRED, FireState.FIRED, FireState.SKIPPED]
    assert fires(world)[-1].reason == "all of its 2 runs are made"
    assert world.tables.campaigns["nightly"].runs == 2
    check(world)


def test_overlap_replace_cancels_the_run_before() -> None:
    world, node, admin = started_world("d1")
    put(admin, plan(overlap=m.Overlap.REPLACE))
    live(world, node, admin, 70, work=False)
    [first] = fires(world)
    (dispatch,) = node.held.values()
    node.begin(dispatch)
    node.flush()
    live(world, node, admin, 60, work=False)
    assert world.tables.runs[first.run_id].state is RunState.CANCELLING
    assert fires(world)[1].state is FireState.FIRED
    # A run that can not be made takes nobody's place.
    admin.do(c.ARCHIVE_WORKFLOW, c.ArchiveWorkflow(name="look", version=1), c.WorkflowVersion)
    live(world, node, admin, 60, work=False)
    assert fires(world)[2].state is FireState.SKIPPED
    assert world.tables.runs[fires(world)[1].run_id].state is RunState.ACTIVE
    check(world)


def test_while_paused_times_pass_by() -> None:
    world, node, admin = started_world("d1")
    put(admin, plan(catch_up=m.CatchUp.ALL, overlap=m.Overlap.QUEUE))
    live(world, node, admin, 130, work=False)
    wish = m.PauseCampaign(name="nightly", reason="holidays")
    admin.do(m.PAUSE_CAMPAIGN, wish, m.CampaignStatus)
    do_all(node)
    live(world, node, admin, 300)
    assert [row.state for row in fires(world)] == [FireState.FIRED, FireState.WAITING]
    assert admin.refused(m.PAUSE_CAMPAIGN, wish).code == "campaign_state"
    status = admin.do(m.RESUME_CAMPAIGN, m.ResumeCampaign(name="nightly"), m.CampaignStatus)
    assert status.next_at_ms > world.utc_ms
    assert [row.state for row in fires(world)] == [FireState.FIRED, FireState.FIRED], "what waited goes on"
    live(world, node, admin, 60)
    assert len(fires(world)) == 3
    check(world)


def test_by_hand_also_while_paused_and_its_overlap_holds() -> None:
    world, node, admin = started_world("d1")
    put(admin, plan(Schedule(cron="0 3 * * *", zone="Asia/Seoul")))
    admin.do(m.PAUSE_CAMPAIGN, m.PauseCampaign(name="nightly"), m.CampaignStatus)
    fire = m.FireCampaign(name="nightly")
    made = admin.do(m.FIRE_CAMPAIGN, fire, m.CampaignRun, key="k1")
    assert made.run_id in world.tables.runs
    assert admin.do(m.FIRE_CAMPAIGN, fire, m.CampaignRun, key="k1") == made, "asked again, made once"
    assert "is still open" in admin.refused(m.FIRE_CAMPAIGN, fire).message
    do_all(node)
    node.flush()
    jump(world, -1)
    assert admin.do(m.FIRE_CAMPAIGN, fire, m.CampaignRun).run_id != made.run_id
    assert {row.actor for row in fires(world)} == {"user/ann"}
    check(world)


def test_it_ends_after_so_many_runs_or_with_its_last_time() -> None:
    world, node, admin = started_world("d1")
    put(admin, plan(runs_max=2), "twice")
    put(admin, plan(Schedule(every_s=60, ends_at_ms=world.utc_ms + 3 * MINUTE_MS)), "dated")
    live(world, node, admin, 400)
    rows = world.tables.campaigns
    assert (rows["twice"].runs, rows["twice"].reason) == (2, "all of its 2 runs are made")
    assert (rows["dated"].runs, rows["dated"].reason) == (3, "no time of its schedule follows")
    assert admin.refused(m.FIRE_CAMPAIGN, m.FireCampaign(name="twice")).code == "campaign_ended"
    wish = m.PutCampaign(name="twice", plan=plan(runs_max=1), replace=True)
    assert admin.refused(m.PUT_CAMPAIGN, wish).message.endswith("2 are made, give a larger number")
    put(admin, plan(runs_max=3), "twice", replace=True)
    live(world, node, admin, 100)
    assert world.tables.campaigns["twice"].runs == 3
    check(world)


def test_a_run_that_can_not_be_made_is_skipped_with_the_reason() -> None:
    world, node, admin = started_world("d1")
    everything = c.CreateRun(workflow="look", targets=c.Targets(kind=c.TargetKind.ALL))
    put(admin, plan(run=everything))
    node.device_gone("d1")
    node.flush()
    live(world, node, admin, 70)
    [row] = fires(world)
    assert row.state is FireState.SKIPPED
    assert row.reason.startswith("none of the 1 matching devices can run it now")
    check(world)


def test_the_active_version_of_the_time_is_run_unless_one_is_named() -> None:
    world, node, admin = started_world("d1")
    put(admin, plan(), "newest")
    put(admin, plan(run=run_of(workflow="look@1")), "fixed")
    admin.store("workflow: look\nsteps:\n  - {id: a, use: screen.capture}\n")
    live(world, node, admin, 70)
    versions = {run.actor: run.version for run in world.tables.runs.values()}
    assert versions == {"campaign/newest": 2, "campaign/fixed": 1}


def test_putting_it_again_changes_nothing_and_another_plan_needs_a_word() -> None:
    world, node, admin = started_world("d1")
    before = put(admin, plan())
    live(world, node, admin, 130)
    assert put(admin, plan()).campaign_id == before.campaign_id
    other = m.PutCampaign(name="nightly", plan=plan(Schedule(every_s=3600)))
    assert admin.refused(m.PUT_CAMPAIGN, other).code == "campaign_exists"
    changed = put(admin, other.plan, replace=True)
    assert changed.campaign_id == before.campaign_id
    assert changed.next_at_ms is not None
    assert changed.next_at_ms > world.utc_ms + 30 * MINUTE_MS
    check(world)


def test_what_is_removed_leaves_its_runs() -> None:
    world, node, admin = started_world("d1")
    put(admin, plan())
    live(world, node, admin, 70, work=False)
    admin.do(m.REMOVE_CAMPAIGN, m.RemoveCampaign(name="nightly"), m.CampaignStatus)
    assert not world.tables.campaigns
    assert not world.tables.fires
    (task,) = world.core.state.tasks.values()
    do_all(node)
    assert world.task_state(task.task_id) is TaskState.PASSED
    put(admin, plan())
    live(world, node, admin, 70)
    assert len(fires(world)) == 1
    check(world)


def test_history_has_a_bound() -> None:
    world, _, admin = started_world("d1")
    put(admin, plan(catch_up=m.CatchUp.NONE))
    for _ in range(CAMPAIGN_TIMES_KEPT + 20):
        jump(world, 121)
        world.pass_time(31)
    assert len(world.tables.fires) == CAMPAIGN_TIMES_KEPT


def test_a_broker_without_its_time_zones_pauses_what_needs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    world, _, admin = started_world("d1")
    put(admin, plan(Schedule(cron="0 3 * * *", zone="Asia/Seoul")))
    world.restart()

    def nowhere(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr("doai.schedule.ZoneInfo", nowhere)
    monkeypatch.setattr("doai.schedule.available_timezones", set)
    world.pass_time(1)
    row = world.tables.campaigns["nightly"]
    assert row.reason == "this host knows no time zones: install tzdata, or doai with [schedules]"
    assert row.state.value == "paused"
    check(world)


def test_time_zones_that_go_while_a_time_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    world, node, admin = started_world("d1")
    put(admin, plan(Schedule(cron="* * * * *", zone="Asia/Seoul")))

    def nowhere(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr("doai.schedule.ZoneInfo", nowhere)
    monkeypatch.setattr("doai.schedule.available_timezones", set)
    live(world, node, admin, 70)
    assert [row.state for row in fires(world)] == [FireState.FIRED]
    assert world.tables.campaigns["nightly"].state.value == "paused"
    check(world)


@pytest.mark.parametrize(
    ("wish", "sentence"),
    [
        (m.PutCampaign(name="No Name", plan=plan()), "'No Name' can not be a name"),
        (m.PutCampaign(name="x", plan=plan(Schedule(cron="0 0 30 2 *"))), "never comes"),
        (
            m.PutCampaign(name="x", plan=plan(Schedule(cron="0 0 * * *", zone="Mars"))),
            "there is no time zone 'Mars'",
        ),
        (m.PutCampaign(name="x", plan=plan(run=run_of(workflow="loook"))), "did you mean 'look'"),
        (m.PutCampaign(name="x", plan=plan(run=run_of("d9"))), "there is no device 'd9'"),
        (m.PutCampaign(name="x", plan=plan(run=run_of(queue="fast"))), "there is no queue 'fast'"),
        (m.PutCampaign(name="x", plan=plan(run=run_of(params={"a": 1}))), "a"),
        (m.PutCampaign(name="x", plan=plan(catch_up_max=0)), "catch-up of 0 times can not be"),
        (m.PutCampaign(name="x", plan=plan(runs_max=0)), "at most 0 runs can not be"),
        (m.PutCampaign(name="x", plan=plan(project="a\nb")), "a project has at most 80 characters"),
    ],
)
def test_what_can_not_be_is_refused_in_one_sentence(wish: m.PutCampaign, sentence: str) -> None:
    world, _, admin = started_world("d1")
    problem = admin.refused(m.PUT_CAMPAIGN, wish)
    assert sentence in problem.message
    assert not world.tables.campaigns


@pytest.mark.parametrize("command", [m.PAUSE_CAMPAIGN, m.RESUME_CAMPAIGN, m.FIRE_CAMPAIGN, m.REMOVE_CAMPAIGN])
def test_a_campaign_that_is_not_there(command: str) -> None:
    _, _, admin = started_world("d1")
    put(admin, plan())
    problem = admin.refused(command, m.FireCampaign(name="nigthly"))
    assert problem.message == "there is no campaign 'nigthly': did you mean 'nightly'?"
