"""A task's whole way through the core: asked for, dispatched, begun, ended; and its run with it."""

from __future__ import annotations

from doai.codec import Kind
from doai.states import Outcome, RunState, TaskState
from tests.unit.broker.harness import started_world


def test_a_task_goes_its_way_and_its_run_completes() -> None:
    world, node, admin = started_world("d1")
    run = admin.run("d1")
    (task_id,) = run.task_ids
    (dispatch,) = node.pump()
    assert dispatch.task_id == task_id
    assert dispatch.device_serial == "d1"
    node.begin(dispatch)
    node.flush()
    assert world.task_state(task_id) is TaskState.RUNNING
    world.check()
    node.end(dispatch, outputs={"answer": 42})
    node.flush()
    row = world.tables.tasks[task_id]
    assert row.status.state is TaskState.PASSED
    assert row.status.outputs_body == b'{"answer":42}'
    assert world.tables.runs[run.run_id].state is RunState.COMPLETED
    assert world.tables.runs[run.run_id].outcome is Outcome.PASSED
    assert world.story(task_id) == ["task.queued", "task.dispatched", "task.started", "task.completed"]
    assert world.events()[-1].type == "run.completed"
    assert node.unsent == []
    assert not world.core.state.tasks
    assert not world.core.state.runs
    world.check()
    assert world.kinds(node.link)[-1] is Kind.ACK
