"""Plug-ins at the broker: recipes are checked against what nodes offer, and wait for who offers it."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from doai import limits, topics
from doai.codec import Kind
from doai.incidents import IncidentType
from doai.messages import commands as c
from doai.messages.plugins import NodePluginsChanged, PluginOffer, PluginState, StepSchema
from doai.messages.work import Dispatch
from doai.states import TaskState
from tests.unit.broker.harness import FakeNode, World, sample, started_world

RESET = """
workflow: reset
steps:
  - {id: r, use: acme.reset, with: {account: x}}
"""
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"account": {"type": "string", "minLength": 1}},
    "required": ["account"],
}


def offer(version: str = "1", **about: Any) -> PluginOffer:
    schema = StepSchema(
        name="acme.reset", arguments=SCHEMA, outputs={"type": "object", "properties": {}}, idempotent=True
    )
    return PluginOffer(name="acme", version=version, digest="d" + version, **{"steps": [schema], **about})


def tell(node: FakeNode, *offers: PluginOffer, started_at_ms: int = 1) -> None:
    told = NodePluginsChanged(node_id=node.name, started_at_ms=started_at_ms, plugins=list(offers))
    node.fact(topics.PLUGIN_CHANGED, topics.node_subject(node.name), told)
    node.flush()


def held(node: FakeNode) -> list[Dispatch]:
    node.pump()
    return list(node.held.values())


def reason(world: World) -> str:
    [task] = [task for task in world.core.state.tasks.values() if task.state is TaskState.QUEUED]
    return task.reason


def test_a_recipe_is_taken_once_a_node_offered_its_step() -> None:
    world, node, admin = started_world("A")
    problem = admin.refused(c.STORE_WORKFLOW, c.StoreWorkflow(source=RESET))
    assert "line 4, column 18: steps[0].use: no node ever offered a step called 'acme.reset'" in problem.message
    tell(node, offer())
    bad = RESET.replace("account: x", "acount: x")
    problem = admin.refused(c.STORE_WORKFLOW, c.StoreWorkflow(source=bad))
    assert "line 4, column 37: steps[0].with.acount: the step acme.reset takes no argument 'acount'" in str(
        problem.details
    )
    admin.store(RESET)
    admin.run("A", workflow="reset")
    assert len(held(node)) == 1
    world.restart()
    node.connect()
    assert len(held(node)) == 1, "what was stored is read again, also where its plug-in is not known"


def test_a_task_waits_for_a_node_that_offers_its_step_and_is_told_so() -> None:
    world, node, admin = started_world("A", "B")
    tell(node, offer())
    admin.store(RESET)
    tell(node)
    admin.run("A", workflow="reset")
    assert reason(world).startswith("node n1, which holds A, lacks acme.reset: install or mend its plug-in")
    assert not held(node)
    admin.run("A")
    assert len(held(node)) == 1, "what waits for a plug-in holds nobody up"
    tell(node, offer())
    assert len(held(node)) == 2
    [row] = [peer.row for peer in world.core.state.nodes.values()]
    assert [(o.name, o.state) for o in row.plugins] == [("acme", PluginState.READY)]


def test_any_device_is_one_of_a_node_that_offers_the_step() -> None:
    world, node, admin = started_world("A")
    other = FakeNode(world, "n2").connect()
    other.device("B")
    other.flush()
    tell(node, offer())
    admin.store(RESET)
    tell(node)
    targets = c.Targets(kind=c.TargetKind.ANY, count=1)
    admin.do(c.CREATE_RUN, c.CreateRun(workflow="reset", targets=targets), c.RunCreated)
    assert reason(world).startswith("no node offers acme.reset")
    tell(other, offer())
    assert [dispatch.device_serial for dispatch in held(other)] == ["B"]
    assert not held(node)


def test_another_process_of_a_node_offers_nothing_until_it_says_so() -> None:
    world, node, admin = started_world("A")
    tell(node, offer())
    admin.store(RESET)
    node.link = world.new_link()
    node.epoch += 1
    node.hello(sample=msgspec.structs.replace(sample(), started_at_ms=2))
    world.take(node.link, Kind.WELCOME)
    node.list_holdings()
    admin.run("A", workflow="reset")
    assert not held(node)
    tell(node, offer())
    assert not held(node), "what the process before told is of no use"
    tell(node, offer("2"), started_at_ms=2)
    assert len(held(node)) == 1


def test_a_plug_in_that_is_broken_is_an_incident_until_it_is_mended() -> None:
    world, node, _ = started_world("A")
    tell(node, offer(state=PluginState.BROKEN, reason="it does not import"))

    def open_now() -> list[str]:
        rows = world.core.state.incidents.values()
        return [row.message for row in rows if row.type is IncidentType.PLUGIN_BROKEN]

    world.pass_time(2 * limits.INCIDENT_LOOK_S)
    assert open_now() == ["node n1: plug-in acme: it does not import"]
    tell(node, offer("2"))
    world.pass_time(600)
    assert open_now() == []


def test_a_step_whose_timeout_is_no_time_is_not_known() -> None:
    world, node, admin = started_world("A")
    schema = StepSchema(name="acme.reset", arguments=SCHEMA, outputs={"type": "object"}, timeout_s=math.nan)
    tell(node, offer(steps=[schema]))
    assert "no node ever offered" in admin.refused(c.STORE_WORKFLOW, c.StoreWorkflow(source=RESET)).message
    [letter] = world.tables.dead_letters.values()
    assert "timeoutS" in letter.message
    tell(node, offer())
    admin.store(RESET)


def test_a_step_of_another_plug_ins_name_changes_nothing() -> None:
    _, node, admin = started_world("A")
    stolen = StepSchema(name="device.shell", arguments=SCHEMA, outputs=SCHEMA)
    tell(node, PluginOffer(name="acme", version="1", steps=[stolen]))
    admin.store("workflow: w\nsteps: [{use: device.shell, with: {command: ls}}]\n")
