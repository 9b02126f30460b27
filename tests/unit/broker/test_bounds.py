"""Runs that are bounded: so many at once, a canary first, and a stop when too much fails."""

from __future__ import annotations

import pytest

from doai import topics
from doai.broker.core.bounds import stops_because
from doai.changes.runs import Bounds
from doai.errors import ErrorClass
from doai.messages import commands as c
from doai.states import Outcome
from tests.unit.broker.harness import FakeAdmin, FakeNode, World, failure, started_world
from tests.unit.broker.test_queues import any_device

SERIALS = [f"d{n}" for n in range(8)]


def end(node: FakeNode, outcome: Outcome = Outcome.PASSED) -> list[str]:
    """End what is held longest; return the ids of what comes instead."""
    wrong = None if outcome is Outcome.PASSED else failure(ErrorClass.APP)
    dispatch = next(iter(node.held.values()))
    node.begin(dispatch)
    node.end(dispatch, outcome, failure=wrong)
    return [dispatch.task_id for dispatch in node.flush()]


def counts(world: World, run_id: str) -> dict[str, int]:
    (event,) = [e for e in world.events(topics.RUN_COMPLETED) if e.subject == f"run/{run_id}"]
    found: dict[str, int] = world.payload(event)["counts"]
    return found


@pytest.mark.parametrize("pooled", [False, True])
def test_so_many_tasks_of_a_run_are_with_nodes_at_once(pooled: bool) -> None:
    world, node, admin = started_world(*SERIALS)
    ids = any_device(admin, 8, max_parallel=3) if pooled else admin.run(*SERIALS, max_parallel=3).task_ids
    other = admin.run("d7").task_ids
    seen = [d.task_id for d in node.pump()]
    assert len([task_id for task_id in seen if task_id in ids]) == 3
    assert other[0] in seen, "another run goes on"
    while node.held:
        seen += end(node)
        assert sum(d.task_id in ids for d in node.held.values()) <= 3
    assert sorted(seen) == sorted([*ids, *other])
    world.check()


@pytest.mark.parametrize("pooled", [False, True])
def test_the_others_go_when_the_canary_has_ended_also_after_a_restart(pooled: bool) -> None:
    world, node, admin = started_world(*SERIALS)
    if pooled:
        any_device(admin, 8, canary=2)
    else:
        admin.run(*SERIALS, canary=2)
    assert len(node.pump()) == 2
    assert end(node) == []
    world.restart()
    node.connect()
    assert not node.pump()
    assert len(end(node)) == 6
    world.check()


def test_a_canary_task_that_is_tried_again_goes_before_the_others() -> None:
    world, node, admin = started_world(*SERIALS)
    ids = any_device(admin, 4, canary=1)
    (first,) = node.pump()
    node.begin(first)
    node.end(first, Outcome.FAILED, failure=failure(ErrorClass.INFRASTRUCTURE))
    node.flush()
    world.pass_time(5.0)
    (again,) = node.pump()
    assert (again.task_id, again.attempt) == (ids[0], 2)
    assert len(end(node)) == 3
    world.check()


def test_a_canary_that_was_given_back_untouched_was_none() -> None:
    world, node, admin = started_world(*SERIALS)
    admin.run(*SERIALS, canary=1)
    (dispatch,) = node.pump()
    node.end(dispatch, Outcome.CANCELLED, released=True)
    assert len(node.flush()) == 1
    assert len(end(node)) == 7
    world.check()


def test_a_canary_that_fails_stops_the_run_and_what_waits_is_cancelled() -> None:
    world, node, admin = started_world(*SERIALS)
    run = admin.run(*SERIALS, canary=2)
    node.pump()
    assert end(node) == []
    assert end(node, Outcome.FAILED) == []
    (stopped,) = world.events(topics.RUN_STOPPED)
    assert world.payload(stopped)["reason"] == "1 of 2 of its canary failed, more than 0%"
    assert world.tables.runs[run.run_id].stopped == "1 of 2 of its canary failed, more than 0%"
    assert counts(world, run.run_id) == {"passed": 1, "failed": 1, "cancelled": 6}
    assert "the run was stopped" in world.tables.tasks[run.task_ids[-1]].status.reason
    world.check()


def test_a_run_stops_after_so_many_failures_and_what_nodes_hold_goes_on() -> None:
    world, node, admin = started_world(*SERIALS)
    run = admin.run(*SERIALS, stop_after=2, max_parallel=4)
    node.pump()
    end(node, Outcome.FAILED)
    assert end(node, Outcome.FAILED) == []
    assert len(node.held) == 3
    world.restart()
    node.connect()
    node.pump()
    (held, *others) = node.held.values()
    node.begin(held)
    node.end(held, Outcome.FAILED, failure=failure(ErrorClass.INFRASTRUCTURE))
    node.end(others[0], Outcome.CANCELLED, released=True)
    assert node.flush() == []
    assert end(node) == []
    assert counts(world, run.run_id) == {"passed": 1, "failed": 3, "cancelled": 4}
    assert len(world.events(topics.RUN_STOPPED)) == 1
    world.check()


def test_when_a_run_stops() -> None:
    bounds = Bounds(stop_rate=0.2)
    assert stops_because(bounds, {"failed": 9}) == "", "of nine one can not say"
    assert stops_because(bounds, {"failed": 2, "passed": 8}) == ""
    assert stops_because(bounds, {"failed": 2, "unknown": 1, "passed": 7}) == (
        "3 of 10 of its tasks that ended failed, more than 20%"
    )
    assert stops_because(Bounds(stop_after=2), {"unknown": 2}) == "2 tasks failed, and it stops after 2"
    assert stops_because(Bounds(max_parallel=1), {"failed": 100}) == ""


@pytest.mark.parametrize("wrong", [{"max_parallel": 0}, {"canary": -1}, {"stop_after": 0}, {"stop_rate": 1.0}])
def test_bounds_that_can_not_be(wrong: dict[str, float]) -> None:
    _, _, admin = started_world("d1")
    targets = c.Targets(kind=c.TargetKind.DEVICES, serials=["d1"])
    create = c.CreateRun(workflow="look", targets=targets, **wrong)  # type: ignore[arg-type]
    assert admin.refused(c.CREATE_RUN, create).code == "bad_bounds"
    assert isinstance(admin, FakeAdmin)
