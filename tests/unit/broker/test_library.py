"""States of a workflow's versions: what a bare name means, what can be run, what goes on."""

from __future__ import annotations

import pytest

from doai import topics
from doai.messages import commands as c
from doai.states import TaskState, WorkflowState
from tests.unit.broker.harness import RECIPE, FakeAdmin, started_world

SECOND = RECIPE.format(name="look").replace("2s", "3s")


def _archive(admin: FakeAdmin, version: int, key: str | None = None) -> c.WorkflowVersion:
    archive = c.ArchiveWorkflow(name="look", version=version)
    answer: c.WorkflowVersion = admin.do(c.ARCHIVE_WORKFLOW, archive, c.WorkflowVersion, key)
    return answer


def _activate(admin: FakeAdmin, version: int) -> c.WorkflowVersion:
    activate = c.ActivateWorkflow(name="look", version=version)
    answer: c.WorkflowVersion = admin.do(c.ACTIVATE_WORKFLOW, activate, c.WorkflowVersion)
    return answer


def test_a_bare_name_means_the_newest_active_version() -> None:
    world, _, admin = started_world("d1")
    assert admin.store(SECOND).version == 2
    assert admin.run("d1").workflow == "look@2"
    assert _archive(admin, 2).active_version == 1
    assert admin.run("d1").workflow == "look@1"
    world.restart()
    admin = FakeAdmin(world)
    assert admin.run("d1").workflow == "look@1"
    assert _activate(admin, 2).active_version == 2
    assert admin.run("d1").workflow == "look@2"
    assert [row.state for row in world.tables.workflows.values()] == [WorkflowState.ACTIVE] * 2


def test_an_archived_version_is_not_run_anew_and_its_runs_go_on() -> None:
    world, node, admin = started_world("d1")
    task_id = admin.run("d1").task_ids[0]
    [dispatch] = node.pump()
    assert _archive(admin, 1).active_version is None
    for name in ("look", "look@1"):
        create = c.CreateRun(workflow=name, targets=c.Targets(kind=c.TargetKind.DEVICES, serials=["d1"]))
        problem = admin.refused(c.CREATE_RUN, create)
        assert "activate" in problem.message
    assert problem.code == "workflow_archived"
    world.restart()
    node.connect()
    node.begin(dispatch)
    node.end(dispatch)
    node.flush()
    assert world.task_state(task_id) is TaskState.PASSED


def test_what_is_so_already_stays_and_is_no_event() -> None:
    world, _, admin = started_world("d1")
    assert _activate(admin, 1).state is WorkflowState.ACTIVE
    assert world.events(topics.WORKFLOW_ACTIVATED) == []
    _archive(admin, 1)
    _archive(admin, 1)
    [event] = world.events(topics.WORKFLOW_ARCHIVED)
    assert world.payload(event) == {"name": "look", "version": 1, "state": "archived", "actor": "user/ann"}


def test_the_same_key_answers_the_same() -> None:
    world, _, admin = started_world("d1")
    first = _archive(admin, 1, key="k1")
    _activate(admin, 1)
    assert _archive(admin, 1, key="k1") == first
    assert len(world.events(topics.WORKFLOW_ARCHIVED)) == 1


@pytest.mark.parametrize(("name", "version"), [("look", 7), ("lock", 1)])
def test_an_unknown_version_is_named(name: str, version: int) -> None:
    _, _, admin = started_world("d1")
    problem = admin.refused(c.ARCHIVE_WORKFLOW, c.ArchiveWorkflow(name=name, version=version))
    assert problem.code == "workflow_not_found"
    assert "look" in problem.message


def test_versions_of_one_content_are_two_versions() -> None:
    _, _, admin = started_world("d1")
    admin.store(SECOND)
    assert admin.store().version == 3
    assert admin.run("d1").workflow == "look@3"
