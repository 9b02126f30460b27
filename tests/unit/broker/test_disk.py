"""A disk that runs full: the broker takes no runs and workflows in, and goes on with what it has."""

from __future__ import annotations

from doai import topics
from doai.errors import Fault
from doai.messages import commands as c
from doai.states import TaskState
from tests.unit.broker.harness import RECIPE, started_world

LOW = 1024 * 1024


def test_intake_closes_before_the_disk_is_full_and_opens_again() -> None:
    world, node, admin = started_world("d1")
    ahead = admin.run("d1", key="ahead")
    world.apply(world.core.disk_room(LOW, world.now))
    create = c.CreateRun(workflow="look", params={}, targets=c.Targets(kind=c.TargetKind.DEVICES, serials=["d1"]))
    problem = admin.refused(c.CREATE_RUN, create, key="later")
    assert (problem.code, problem.fault) == ("disk_low", Fault.OURS)
    assert "1 MB left and 512 MB are kept" in problem.message
    stored = c.StoreWorkflow(source=RECIPE.format(name="other"))
    assert admin.refused(c.STORE_WORKFLOW, stored).code == "disk_low"
    [alert] = world.events(topics.SYSTEM_ALERT)
    assert world.payload(alert)["code"] == "disk_low"

    [dispatch] = node.flush()
    node.begin(dispatch)
    node.end(dispatch)
    node.flush()
    assert world.task_state(ahead.task_ids[0]) is TaskState.PASSED, "what was taken in goes on"
    assert admin.run("d1", key="ahead").run_id == ahead.run_id, "a command that was done is answered as before"

    world.apply(world.core.disk_room(LOW, world.now))
    world.apply(world.core.disk_room(10_000 * LOW, world.now))
    assert [world.payload(event)["code"] for event in world.events(topics.SYSTEM_ALERT)] == [
        "disk_low",
        "disk_room",
    ]
    admin.do(c.CREATE_RUN, create, c.RunCreated, key="later")
    world.check()


def test_a_cancel_is_taken_with_a_full_disk() -> None:
    world, _, admin = started_world("d1")
    run = admin.run("d1")
    world.apply(world.core.disk_room(0, world.now))
    admin.do(c.CANCEL_RUN, c.CancelRun(run_id=run.run_id), c.Cancelled)
