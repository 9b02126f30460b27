"""Devices reserved for a person: drained first, given nothing, back by the clock or by hand, over restarts."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from doai import topics
from doai.messages import holds as h
from doai.messages.commands import (
    CREATE_RUN,
    CreateRun,
    QuarantineDevice,
    RunCreated,
    Service,
    TargetKind,
    Targets,
)
from doai.states import ServiceState, TaskState
from tests.unit.broker.harness import FakeAdmin, FakeBot, FakeNode, World, started_world

HOUR_S = 3600.0


def _hold(admin: FakeAdmin, serial: str = "d1", **wish: Any) -> h.DeviceHold:
    held: h.DeviceHold = admin.do(h.HOLD_DEVICE, h.HoldDevice(serial=serial, **wish), h.DeviceHold)
    return held


def _kept_alive(world: World, node: FakeNode, seconds: float) -> None:
    while seconds > 0:
        world.pass_time(min(seconds, 10.0))
        seconds -= 10.0
        node.heartbeat()


def test_the_running_task_ends_and_none_is_given_after() -> None:
    world, node, admin = started_world("d1", "d2")
    tasks = [admin.run("d1").task_ids[0] for _ in range(4)]
    first, second = node.pump()
    node.begin(first)
    node.flush()
    held = _hold(admin, for_s=HOUR_S, reason="its cable is changed")
    assert (held.held, held.by, held.tasks_left) == (True, "user/ann", 2)
    assert held.until_ms == world.utc_ms + 3_600_000
    for dispatch in (first, second):
        if dispatch is second:
            node.begin(second)
        node.end(dispatch)
        assert node.flush() == []
    assert [world.task_state(task) for task in tasks[:2]] == [TaskState.PASSED] * 2
    assert [world.task_state(task) for task in tasks[2:]] == [TaskState.QUEUED] * 2
    (event,) = world.events(topics.DEVICE_HELD)
    told = world.payload(event)
    assert (event.actor, told["tasksLeft"], told["reason"]) == ("user/ann", 2, "its cable is changed")
    late = admin.run("d1").task_ids[0]
    assert world.tables.tasks[late].status.reason == "device d1 is held for user/ann"
    world.check()


def test_it_ends_by_itself_and_the_device_is_given_what_waits() -> None:
    world, node, admin = started_world("d1")
    _hold(admin, for_s=60.0)
    admin.run("d1")
    _kept_alive(world, node, 50)
    assert node.pump() == []
    _kept_alive(world, node, 20)
    assert len(node.held) == 1
    (event,) = world.events(topics.DEVICE_RELEASED)
    told = world.payload(event)
    assert (told["hold"], told["reason"], event.actor) == (True, "the time of the hold is over", None)
    assert world.tables.devices["d1"].hold is None
    world.check()


def test_it_is_given_back_before() -> None:
    world, node, admin = started_world("d1")
    _hold(admin)
    admin.run("d1")
    back = admin.do(h.UNHOLD_DEVICE, h.UnholdDevice(serial="d1"), h.DeviceHold)
    assert back == h.DeviceHold(serial="d1", held=False)
    assert len(node.pump()) == 1
    assert admin.refused(h.UNHOLD_DEVICE, h.UnholdDevice(serial="d1")).code == "not_held"
    world.check()


def test_again_it_lasts_from_now_on_and_keeps_its_reason() -> None:
    world, node, admin = started_world("d1")
    _hold(admin, for_s=60.0, reason="looked at")
    since_ms = world.utc_ms
    _kept_alive(world, node, 50)
    again = _hold(admin, for_s=60.0)
    assert (again.until_ms, again.reason) == (world.utc_ms + 60_000, "looked at")
    hold = world.tables.devices["d1"].hold
    assert hold is not None
    assert hold.since_ms == since_ms
    _kept_alive(world, node, 50)
    assert world.tables.devices["d1"].hold == hold
    told = [world.payload(event) for event in world.events(topics.DEVICE_HELD)]
    assert [event.get("extended", False) for event in told] == [False, True]
    world.check()


def test_a_restart_keeps_it_and_its_end() -> None:
    world, node, admin = started_world("d1")
    _hold(admin, for_s=60.0)
    admin.run("d1")
    world.restart()
    node.connect()
    assert node.pump() == []
    world.restart()
    world.mono_s += 300
    world.utc_ms += 300_000
    world.pass_time(0)
    node.connect()
    assert len(node.held) == 1, "its time was over while the broker was down"
    world.check()


def test_what_its_node_says_of_it_changes_nothing() -> None:
    world, node, admin = started_world("d1")
    _hold(admin)
    node.device_gone("d1")
    node.device("d1", model="X")
    node.flush()
    admin.run("d1")
    assert node.pump() == []
    assert world.tables.devices["d1"].hold is not None
    world.check()


def test_it_is_one_persons() -> None:
    world, _, admin = started_world("d1")
    _hold(admin, reason="looked at")
    admin.actor = "user/bob"
    refused = admin.refused(h.HOLD_DEVICE, h.HoldDevice(serial="d1"))
    assert refused.code == "held_for_another"
    assert "device d1 is held for user/ann until 2023-" in refused.message
    assert "because looked at" in refused.message
    assert admin.refused(h.UNHOLD_DEVICE, h.UnholdDevice(serial="d1")).code == "held_for_another"
    back = admin.do(h.UNHOLD_DEVICE, h.UnholdDevice(serial="d1", force=True), h.DeviceHold)
    assert not back.held
    (event,) = world.events(topics.DEVICE_RELEASED)
    assert event.actor == "user/bob"


def test_a_quarantine_is_another_matter() -> None:
    world, node, admin = started_world("d1")
    admin.do("device.quarantine", QuarantineDevice(serial="d1", for_s=50.0), Service)
    _hold(admin, for_s=1000.0)
    admin.do(h.UNHOLD_DEVICE, h.UnholdDevice(serial="d1"), h.DeviceHold)
    admin.run("d1")
    assert node.pump() == [], "it is quarantined still"
    _hold(admin, for_s=1000.0)
    _kept_alive(world, node, 100)
    assert node.held == {}, "it is held still"
    assert world.core.state.devices["d1"].service is ServiceState.PROBING
    world.check()


@pytest.mark.parametrize("for_s", [0.0, -5.0, 8 * 86_400.0, float("nan")])
def test_a_time_that_can_not_be(for_s: float) -> None:
    _, _, admin = started_world("d1")
    refused = admin.refused(h.HOLD_DEVICE, h.HoldDevice(serial="d1", for_s=for_s))
    assert refused.code == "bad_term"
    assert "7 days at most" in refused.message


def test_a_device_that_nobody_saw() -> None:
    _, _, admin = started_world("d1")
    assert admin.refused(h.HOLD_DEVICE, h.HoldDevice(serial="d9")).code == "device_not_found"
    assert admin.refused(h.UNHOLD_DEVICE, h.UnholdDevice(serial="d9")).code == "device_not_found"


def test_a_bot_has_the_device_that_it_holds_for_its_own_runs_alone() -> None:
    world, node, admin = started_world("d1")
    one, two = (FakeBot(world, name).connect(title="Robot") for name in ("x1", "x2"))
    other = FakeBot(world, name="other").connect(title="Other")
    one.do(h.HOLD_DEVICE, h.HoldDevice(serial="d1", for_s=HOUR_S, reason="new"), h.DeviceHold)
    waits = admin.run("d1").task_ids
    pooled = admin.do(
        CREATE_RUN, CreateRun(workflow="look", targets=Targets(kind=TargetKind.ANY)), RunCreated
    ).task_ids
    assert node.pump() == []
    on_it = CreateRun(workflow="look", targets=Targets(kind=TargetKind.DEVICES, serials=["d1"]), priority=9)
    anothers = other.do(CREATE_RUN, on_it, RunCreated).task_ids
    assert node.pump() == [], "another bot's waits as a person's does"
    assert two.ask(h.HOLD_DEVICE, h.HoldDevice(serial="d1", for_s=HOUR_S)).problem is None, "one bot, two processes"
    refused = other.ask(h.UNHOLD_DEVICE, h.UnholdDevice(serial="d1")).problem
    assert refused is not None
    assert refused.code == "held_for_another"
    [own] = two.do(CREATE_RUN, msgspec.structs.replace(on_it, priority=50), RunCreated).task_ids
    [given] = node.pump()
    assert given.task_id == own
    node.begin(given)
    node.end(given)
    assert node.flush() == []
    world.check()
    two.do(h.UNHOLD_DEVICE, h.UnholdDevice(serial="d1"), h.DeviceHold)
    given_now = {dispatch.task_id for dispatch in node.pump()}
    assert given_now <= {*waits, *pooled, *anothers}
    assert given_now
    world.check()


def test_a_bots_own_task_is_not_told_that_its_bot_holds_the_device() -> None:
    world, node, admin = started_world("d1")
    bot = FakeBot(world).connect(title="Robot")
    bot.do(h.HOLD_DEVICE, h.HoldDevice(serial="d1", for_s=HOUR_S), h.DeviceHold)
    on_it = CreateRun(workflow="look", targets=Targets(kind=TargetKind.DEVICES, serials=["d1"]))
    own = [bot.do(CREATE_RUN, on_it, RunCreated).task_ids[0] for _ in range(3)]
    [persons] = admin.run("d1").task_ids
    assert [dispatch.task_id for dispatch in node.pump()] == own[:2], "one, and one ahead"
    reasons = [world.tables.tasks[task].status.reason for task in (own[2], persons)]
    assert reasons == ["", f"device d1 is held for {bot.name}/{bot.instance}"]
    world.check()
