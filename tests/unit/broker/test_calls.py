"""Workflows that call others: resolved when a run is made, pinned by their hash, refused with a sentence."""

from __future__ import annotations

import msgspec

from doai.messages import commands as c
from tests.unit.broker.harness import RECIPE, FakeAdmin, started_world

CALLER = """
workflow: caller
steps:
  - {id: go, use: workflow.call, with: {workflow: look}}
"""


def _create(serial: str, workflow: str = "caller") -> c.CreateRun:
    return c.CreateRun(workflow=workflow, targets=c.Targets(kind=c.TargetKind.DEVICES, serials=[serial]))


def test_a_run_pins_the_versions_of_that_moment() -> None:
    world, _, admin = started_world("d1", "d2", "d3")
    admin.store(CALLER)
    first = admin.run("d1", workflow="caller")
    again = admin.run("d2", workflow="caller")
    admin.store(RECIPE.format(name="look").replace("steps:", "timeout: 77s\nsteps:"))
    later = admin.run("d3", workflow="caller")
    rows = [world.tables.runs[run.run_id] for run in (first, again, later)]
    assert [(row.workflow, row.version) for row in rows] == [("caller", 1)] * 3
    assert rows[0].recipe_hash == rows[1].recipe_hash != rows[2].recipe_hash
    kept = {row.content_hash: row for row in world.tables.workflows.values()}
    assert [(kept[row.recipe_hash].name, kept[row.recipe_hash].version) for row in rows] == [
        ("caller/1", 1),
        ("caller/1", 1),
        ("caller/1", 2),
    ]
    called = [list(msgspec.json.decode(kept[row.recipe_hash].body)["called"]) for row in rows]
    assert called == [["look@1"], ["look@1"], ["look@2"]]
    world.restart()
    world.check()
    again_admin = FakeAdmin(world)
    assert again_admin.run("d1", workflow="caller").workflow == "caller@1"
    assert len(world.tables.workflows) == len(kept)


def test_a_call_that_leads_nowhere_is_refused_when_it_is_stored() -> None:
    _, _, admin = started_world("d1")
    problem = admin.refused(c.STORE_WORKFLOW, c.StoreWorkflow(source=CALLER.replace("look", "loook")))
    assert problem.code == "bad_workflow"
    assert (
        "line 4, column 51: steps[0].with.workflow: there is no workflow 'loook': did you mean" in problem.message
    )


def test_workflows_that_would_call_each_other_are_refused() -> None:
    _, _, admin = started_world("d1")
    admin.store(CALLER)
    back = "workflow: look\nsteps:\n  - {id: go, use: workflow.call, with: {workflow: caller}}\n"
    problem = admin.refused(c.STORE_WORKFLOW, c.StoreWorkflow(source=back))
    assert "the workflows call each other without end (look calls caller@1 calls look)" in problem.message
    self_call = CALLER.replace("workflow: look", "workflow: caller")
    assert (
        "without end (caller calls caller)"
        in admin.refused(c.STORE_WORKFLOW, c.StoreWorkflow(source=self_call)).message
    )


def test_a_run_whose_call_leads_nowhere_now_is_refused_and_changes_nothing() -> None:
    world, _, admin = started_world("d1")
    admin.store(CALLER)
    admin.do(c.ARCHIVE_WORKFLOW, c.ArchiveWorkflow(name="look", version=1), c.WorkflowVersion)
    before = len(world.tables.workflows)
    problem = admin.refused(c.CREATE_RUN, _create("d1"))
    assert "workflow look has no active version" in problem.message
    assert len(world.tables.workflows) == before
    assert not world.tables.runs


def test_a_refused_run_keeps_no_linked_recipe() -> None:
    world, _, admin = started_world("d1")
    admin.store(CALLER)
    before = len(world.tables.workflows)
    admin.refused(c.CREATE_RUN, _create("d9"))
    assert len(world.tables.workflows) == before
    assert admin.run("d1", workflow="caller").workflow == "caller@1"
