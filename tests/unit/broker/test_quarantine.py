"""Devices and nodes that are given no tasks for a while: by failures, by hand, the probe back, restarts."""

from __future__ import annotations

from typing import Any

import pytest

from doai import topics
from doai.broker.core.settings import CoreSettings
from doai.changes.rows import Quarantine
from doai.codec import Kind, encode
from doai.errors import NODE_RESTARTED, ErrorClass
from doai.messages import commands as c
from doai.messages.link import Heartbeat
from doai.messages.work import Dispatch
from doai.states import Outcome, ServiceState, TaskState
from tests.unit.broker.harness import FakeAdmin, FakeNode, World, failure, sample, started_world

NO_RETRY = {"attempts": 1}


def _fail(node: FakeNode, dispatch: Dispatch, error_class: ErrorClass = ErrorClass.DEVICE, code: str = "x") -> None:
    node.begin(dispatch)
    node.end(dispatch, Outcome.FAILED, failure=failure(error_class, code))


def _try(
    world: World, node: FakeNode, admin: FakeAdmin, serial: str, error_class: ErrorClass | None, **about: Any
) -> None:
    """Run one task on a device, which passes or fails."""
    admin.run(serial, **NO_RETRY)
    (dispatch,) = node.pump()
    if error_class is None:
        node.begin(dispatch)
        node.end(dispatch)
    else:
        _fail(node, dispatch, error_class, **about)
    node.flush()
    world.check()


def _quarantined(*serials: str) -> tuple[World, FakeNode, FakeAdmin]:
    """A world in which the first device failed five times in a row."""
    world, node, admin = started_world(*serials)
    for _ in range(5):
        _try(world, node, admin, serials[0], ErrorClass.DEVICE)
    return world, node, admin


def _of_device(world: World, serial: str = "d1") -> Quarantine | None:
    return world.tables.devices[serial].quarantine


def _wait(world: World, node: FakeNode, admin: FakeAdmin, seconds: float) -> None:
    """Let time pass while node and admin go on beating."""
    while seconds > 0:
        world.pass_time(min(seconds, 10.0))
        seconds -= 10.0
        node.heartbeat()
        world.send(admin.link, admin.name, Kind.HEARTBEAT, encode(Heartbeat(sample=sample())))


# --- by failures ------------------------------------------------------------------------------------------


def test_a_device_that_fails_again_and_again_is_given_no_tasks() -> None:
    world, node, admin = _quarantined("d1", "d2")
    quarantine = _of_device(world)
    assert quarantine is not None
    assert quarantine.until_ms == world.utc_ms + 60_000
    assert (quarantine.count, quarantine.by) == (1, "broker/main")
    assert "5 failures in a row; the last: it did not work" in quarantine.reason
    (event,) = world.events(topics.DEVICE_QUARANTINED)
    assert event.subject == "device/d1"
    assert world.payload(event)["untilMs"] == quarantine.until_ms
    run = admin.run("d1", "d2")
    (other,) = node.pump()
    assert other.device_serial == "d2"
    assert "is quarantined: 5 failures in a row" in world.tables.tasks[run.task_ids[0]].status.reason
    assert _of_device(world, "d2") is None
    world.check()


@pytest.mark.parametrize("error_class", [ErrorClass.APP, ErrorClass.USER, ErrorClass.TIMEOUT, ErrorClass.AUTH])
def test_a_recipe_that_fails_quarantines_nothing(error_class: ErrorClass) -> None:
    world, node, admin = started_world("d1")
    for _ in range(12):
        _try(world, node, admin, "d1", error_class)
    assert _of_device(world) is None
    assert world.tables.nodes["n1"].quarantine is None


def test_infrastructure_is_the_nodes_and_all_of_its_devices_wait() -> None:
    world, node, admin = started_world("d1", "d2")
    for number in range(5):
        _try(world, node, admin, f"d{number % 2 + 1}", ErrorClass.INFRASTRUCTURE)
        _wait(world, node, admin, 11)
    quarantine = world.tables.nodes["n1"].quarantine
    assert quarantine is not None
    assert _of_device(world) is None
    assert len(world.events(topics.NODE_QUARANTINED)) == 1
    admin.run("d1", "d2")
    assert node.pump() == []
    other = FakeNode(world, "n2").connect()
    other.device("e1")
    other.flush()
    admin.run("e1")
    assert len(other.pump()) == 1, "other nodes go on"
    world.check()


@pytest.mark.parametrize("error_class", [ErrorClass.INFRASTRUCTURE, ErrorClass.UNKNOWN])
def test_a_crash_of_the_node_is_one_failure_whatever_ran(error_class: ErrorClass) -> None:
    world, node, admin = started_world(*(f"d{n}" for n in range(8)), settings=CoreSettings(quarantine_after=2))
    for crash in range(2):
        admin.run(*(f"d{n}" for n in range(8)), **NO_RETRY)
        for dispatch in node.pump():
            _fail(node, dispatch, error_class, NODE_RESTARTED)
        node.flush()
        assert (world.tables.nodes["n1"].quarantine is not None) == (crash == 1)
        assert _of_device(world) is None
        _wait(world, node, admin, 11)


def test_it_can_be_switched_off() -> None:
    world, node, admin = started_world("d1", settings=CoreSettings(quarantine_after=0))
    for _ in range(12):
        _try(world, node, admin, "d1", ErrorClass.DEVICE)
    assert _of_device(world) is None


def test_what_the_node_holds_already_goes_on_and_does_not_end_it() -> None:
    world, node, admin = started_world("d1")
    for _ in range(4):
        _try(world, node, admin, "d1", ErrorClass.DEVICE)
    admin.run("d1", **NO_RETRY)
    ahead = admin.run("d1", **NO_RETRY).task_ids[0]
    first, second = node.pump()
    _fail(node, first)
    node.flush()
    before = _of_device(world)
    assert before is not None
    node.begin(second)
    node.end(second)
    node.flush()
    assert world.task_state(ahead) is TaskState.PASSED
    assert _of_device(world) == before
    world.check()


# --- the probe back ---------------------------------------------------------------------------------------


def test_after_its_term_it_is_tried_with_one_task_and_a_success_releases_it() -> None:
    world, node, admin = _quarantined("d1")
    for _ in range(3):
        admin.run("d1")
    _wait(world, node, admin, 59)
    assert node.held == {}
    world.pass_time(2)
    (probe,) = node.pump()
    assert _of_device(world) is not None, "it is in service only when it worked"
    node.begin(probe)
    node.flush()
    assert len(node.held) == 1, "no task ahead of the probe's end"
    node.end(probe)
    assert len(node.flush()) == 2, "as many as before"
    assert _of_device(world) is None
    (released,) = world.events(topics.DEVICE_RELEASED)
    assert world.payload(released)["reason"] == "a task worked again"
    world.check()


def test_a_probe_that_fails_doubles_the_term_up_to_an_hour() -> None:
    world, node, admin = _quarantined("d1")
    terms = []
    for _ in range(8):
        quarantine = _of_device(world)
        assert quarantine is not None
        assert quarantine.until_ms is not None
        terms.append((quarantine.until_ms - world.utc_ms) // 1000)
        admin.run("d1", **NO_RETRY)
        _wait(world, node, admin, terms[-1] + 10)
        (probe,) = node.held.values()
        _fail(node, probe)
        node.flush()
        world.check()
    assert terms == [60, 120, 240, 480, 960, 1920, 3600, 3600]


def test_a_probe_that_tells_nothing_is_followed_by_another() -> None:
    world, node, admin = _quarantined("d1")
    for _ in range(2):
        admin.run("d1", **NO_RETRY)
    _wait(world, node, admin, 70)
    (first,) = node.held.values()
    _fail(node, first, ErrorClass.TIMEOUT)
    (second,) = node.flush()
    assert second.task_id != first.task_id
    assert world.core.state.devices["d1"].service is ServiceState.PROBING
    world.check()


def test_a_node_is_tried_with_one_task_for_all_of_its_devices() -> None:
    world, node, admin = started_world("d1", "d2", "d3")
    admin.do(c.QUARANTINE_NODE, c.QuarantineNode(node_id="n1", for_s=20.0), c.Service)
    admin.run("d1", "d2", "d3")
    targets = c.Targets(kind=c.TargetKind.ANY, count=2)
    admin.do(c.CREATE_RUN, c.CreateRun(workflow="look", targets=targets), c.RunCreated)
    assert node.pump() == []
    _wait(world, node, admin, 25)
    (probe,) = node.held.values()
    world.check()
    node.begin(probe)
    node.end(probe)
    assert len(node.flush()) == 3, "and the second of any device when one is idle"
    assert world.tables.nodes["n1"].quarantine is None
    assert len(world.events(topics.NODE_RELEASED)) == 1
    world.check()


# --- by hand ----------------------------------------------------------------------------------------------


def test_a_person_takes_a_device_out_until_it_is_released() -> None:
    world, node, admin = started_world("d1", "d2")
    wish = c.QuarantineDevice(serial="d1", reason="the screen is cracked")
    answer = admin.do(c.QUARANTINE_DEVICE, wish, c.Service)
    assert answer == c.Service(name="d1", state=ServiceState.QUARANTINED)
    quarantine = _of_device(world)
    assert quarantine is not None
    assert (quarantine.until_ms, quarantine.by, quarantine.reason) == (None, "user/ann", "the screen is cracked")
    task_id = admin.run("d1").task_ids[0]
    _wait(world, node, admin, 4000)
    assert world.task_state(task_id) is TaskState.QUEUED
    everything = c.CreateRun(workflow="look", targets=c.Targets(kind=c.TargetKind.ALL))
    run = admin.do(c.CREATE_RUN, everything, c.RunCreated)
    assert [world.tables.tasks[i].status.device_serial for i in run.task_ids] == ["d2"]
    answer = admin.do(c.RELEASE_DEVICE, c.ReleaseDevice(serial="d1", reason="a new screen"), c.Service)
    assert answer == c.Service(name="d1", state=ServiceState.IN_SERVICE)
    assert task_id in {d.task_id for d in node.pump()}
    (released,) = world.events(topics.DEVICE_RELEASED)
    assert (world.payload(released)["actor"], world.payload(released)["reason"]) == ("user/ann", "a new screen")
    world.check()


def test_a_person_may_give_another_term_and_end_one_early() -> None:
    world, _, admin = _quarantined("d1")
    answer = admin.do(c.QUARANTINE_DEVICE, c.QuarantineDevice(serial="d1", for_s=600.0), c.Service)
    assert answer.until_ms == world.utc_ms + 600_000
    admin.do(c.RELEASE_DEVICE, c.ReleaseDevice(serial="d1"), c.Service)
    assert _of_device(world) is None
    world.check()


@pytest.mark.parametrize(
    ("command", "payload", "code", "words"),
    [
        (c.QUARANTINE_DEVICE, c.QuarantineDevice(serial="d2"), "device_not_found", "known: d1"),
        (c.QUARANTINE_NODE, c.QuarantineNode(node_id="n9"), "node_not_found", "known: n1"),
        (c.QUARANTINE_DEVICE, c.QuarantineDevice(serial="d1", for_s=0.0), "bad_term", "above 0"),
        (c.QUARANTINE_NODE, c.QuarantineNode(node_id="n1", for_s=1e9), "bad_term", "366 days at most"),
        (c.RELEASE_DEVICE, c.ReleaseDevice(serial="d1"), "not_quarantined", "nothing was changed"),
        (c.RELEASE_NODE, c.ReleaseNode(node_id="n1"), "not_quarantined", "nothing was changed"),
    ],
)
def test_what_can_not_be_is_refused(command: str, payload: Any, code: str, words: str) -> None:
    world, _, admin = started_world("d1")
    problem = admin.refused(command, payload)
    assert problem.code == code
    assert words in problem.message
    assert not world.events(topics.DEVICE_QUARANTINED)


# --- what it survives -------------------------------------------------------------------------------------


def test_a_broker_that_starts_again_keeps_it_and_its_term() -> None:
    world, node, admin = _quarantined("d1")
    admin.do(c.QUARANTINE_NODE, c.QuarantineNode(node_id="n1", reason="rewired"), c.Service)
    before = _of_device(world)
    world.pass_time(30)
    world.restart()
    world.check()
    node.connect()
    assert _of_device(world) == before
    admin = FakeAdmin(world)
    admin.run("d1")
    _wait(world, node, admin, 35)
    assert node.held == {}
    assert world.core.state.devices["d1"].service is ServiceState.PROBING
    admin.do(c.RELEASE_NODE, c.ReleaseNode(node_id="n1"), c.Service)
    (probe,) = node.pump()
    world.restart()
    world.pass_time(1)
    assert world.core.state.devices["d1"].service is ServiceState.PROBING, "its term was over before"
    node.connect()
    _fail(node, probe)
    node.flush()
    after = _of_device(world)
    assert after is not None
    assert after.count == 2
    world.check()


def test_a_device_keeps_it_when_it_comes_again_or_moves() -> None:
    world, node, _ = _quarantined("d1")
    before = _of_device(world)
    node.device_gone("d1")
    node.device("d1")
    node.flush()
    assert _of_device(world) == before
    other = FakeNode(world, "n2").connect()
    other.device("d1")
    other.flush()
    node.bye()
    assert world.tables.devices["d1"].node_id == "n2"
    assert _of_device(world) == before
    world.check()


def test_a_node_may_not_say_who_is_quarantined() -> None:
    world, node, _ = started_world("d1")
    for event_type in (topics.DEVICE_QUARANTINED, topics.DEVICE_RELEASED, topics.NODE_QUARANTINED):
        node.fact(event_type, "device/d1", b"\x80")
    node.flush()
    assert [event.type for event in world.events()][-3:] == [topics.DEADLETTER_CREATED] * 3
