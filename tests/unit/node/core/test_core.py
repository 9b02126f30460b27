"""The node's core as a whole: a task from its Dispatch to its last fact."""

from __future__ import annotations

from typing import Any

from doai.codec import Kind, decode
from doai.messages.plugins import PluginOffer
from doai.messages.work import Cancels, Holdings, HoldingState, Releases, TaskRef
from doai.states import DeviceState, Outcome
from doai.workflow.step_type import Arguments, NoOutputs, StepType

ONE = """
workflow: one
steps:
  - {id: a, use: device.shell, with: {command: "echo hi"}}
"""


def test_a_task_goes_its_whole_way(world: Any) -> None:
    recipe = world.recipe(ONE)
    token = world.dispatch("T1", recipe)
    [start] = world.starts
    assert (start.use, start.arguments["command"], start.device_serial) == ("device.shell", "echo hi", "A")
    world.end("T1/a", stdout="hi", stderr="", exit_code=0)
    world.acknowledge()
    types = [e.type for _, e in world.received]
    assert types == ["device.online", "task.started", "step.started", "step.completed", "attempt.ended"]
    [end] = world.ends()
    assert (end.outcome, end.token, end.released) == (Outcome.PASSED, token, False)
    seqs = [seq for seq, _ in world.received]
    assert seqs == list(range(1, len(seqs) + 1))
    task_facts = [e for _, e in world.received[1:]]
    assert [e.causation_id for e in task_facts] == [None, *(e.event_id for e in task_facts[:-1])]
    assert {e.trace_id for e in task_facts} == {"0" * 31 + "1"}
    assert not world.file.held


def test_nothing_leaves_before_its_commit(world: Any) -> None:
    recipe = world.recipe(ONE)
    seen: list[int] = []
    world.before_commit = lambda ops: seen.append(len(world.starts))
    world.dispatch("T1", recipe)
    assert seen[-1] == 0
    assert len(world.starts) == 1


def test_a_dispatch_is_taken_once(world: Any) -> None:
    recipe = world.recipe(ONE)
    world.dispatch("T1", recipe, n=5)
    world.dispatch("T1", recipe, n=5)
    world.dispatch("T1", recipe, n=4)
    assert len(world.starts) == 1
    world.end("T1/a", stdout="", stderr="", exit_code=0)
    world.dispatch("T1", recipe, n=5)
    assert len(world.starts) == 1
    assert len(world.ends()) == 1


def test_a_higher_token_replaces_a_waiting_task(world: Any) -> None:
    recipe = world.recipe(ONE)
    world.dispatch("T0", recipe)
    world.dispatch("T1", recipe, n=5)
    world.dispatch("T1", recipe, n=6)
    [end] = world.ends()
    assert end.released
    assert end.token.n == 5
    assert [row.token.n for row in world.file.held.values() if row.task_id == "T1"] == [6]


def test_a_task_for_a_device_that_is_not_here_is_given_back_when_drivers_had_time(world: Any) -> None:
    recipe = world.recipe(ONE)
    world.dispatch("T1", recipe, serial="B")
    assert world.ends() == []
    world.advance(21)
    [end] = world.ends()
    assert end.released
    world.dispatch("T2", recipe, serial="B")
    assert [e.released for e in world.ends("T2")] == [True]
    assert any(t == "device.offline" and p.serial == "B" for t, p in world.facts())


def test_tasks_of_a_device_that_stays_away_are_given_back(world: Any) -> None:
    """It may be at another node by now, where nothing could run while this one holds its tasks."""
    recipe = world.recipe(ONE)
    world.device("B", DeviceState.UNRESPONSIVE)
    world.dispatch("T1", recipe, serial="B")
    world.advance(60)
    assert world.ends() == []
    world.device("B", DeviceState.OFFLINE)
    world.advance(10)
    world.device("B", DeviceState.UNRESPONSIVE)
    world.advance(60)
    assert world.ends() == [], "it came back in time"
    world.device("B", DeviceState.OFFLINE)
    world.advance(21)
    [end] = world.ends()
    assert end.released


def test_a_dispatch_to_a_node_that_stops_is_answered_with_its_word_and_given_back(world: Any) -> None:
    recipe = world.recipe(ONE)
    world.dispatch("T0", recipe)
    world.take(world.core.drain("stop", world.now))
    world.frames.clear()
    world.dispatch("T2", recipe)
    assert [end.released for end in world.ends("T2")] == [True]
    assert next(kind for kind, _ in world.frames) == Kind.HEARTBEAT


def test_with_a_task_given_back_the_state_of_its_device_is_told_again(world: Any) -> None:
    """Or a broker that has it wrong would send the task again at once, for ever."""
    recipe = world.recipe(ONE)
    world.device("B", DeviceState.OFFLINE)
    world.advance(21)
    world.dispatch("T1", recipe, serial="B")
    [end] = world.ends()
    assert end.released
    assert [t for t, p in world.facts() if t == "device.offline" and p.serial == "B"] == ["device.offline"] * 2


def test_a_recipe_that_did_not_come_begins_the_connection_anew(world: Any) -> None:
    world.dispatch("T1", "nowhere")
    assert world.ends() == []
    assert not world.core.live, "one lost frame: the broker says all again on the next connection"
    world.connect()
    assert not world.file.held
    world.dispatch("T1", world.recipe(ONE))
    assert len(world.starts) == 1


def test_a_recipe_that_can_not_be_executed_touches_nothing(world: Any) -> None:
    from doai.messages.work import Recipe

    body = b'{"workflow":"x","steps":[{"id":"a","use":"ui.of_the_future"}]}'
    world.frame(Kind.RECIPE, Recipe(recipe_hash="f", body=body))
    world.dispatch("T1", "f")
    [end] = world.ends()
    assert (end.outcome, end.failure.error_class.value) == (Outcome.FAILED, "user")
    assert world.starts == []


def test_begin_within_passes(world: Any) -> None:
    recipe = world.recipe(ONE)
    world.dispatch("T0", recipe)
    world.dispatch("T1", recipe, begin_within_s=5.0)
    world.advance(6)
    [end] = world.ends()
    assert end.outcome is Outcome.EXPIRED


def test_cancel_waiting_and_running(world: Any) -> None:
    recipe = world.recipe(ONE + "always: [{id: z, use: device.bootstrap}]")
    first = world.dispatch("T0", recipe)
    second = world.dispatch("T1", recipe)
    world.frame(Kind.CANCEL, Cancels([TaskRef("T1", second), TaskRef("T0", first), TaskRef("T9", first)]))
    assert [e.outcome for e in world.ends("T1")] == [Outcome.CANCELLED]
    assert world.ends("T0") == []
    world.end("T0/z")
    assert [e.outcome for e in world.ends("T0")] == [Outcome.CANCELLED]


def test_release_runs_no_always_and_keeps_the_device_until_the_step_has_ended(world: Any) -> None:
    recipe = world.recipe(ONE + "always: [{id: z, use: device.bootstrap}]")
    world.auto_cancel = False
    first = world.dispatch("T0", recipe)
    world.dispatch("T1", recipe)
    world.frame(Kind.RELEASE, Releases([TaskRef("T0", first)]))
    assert "T1/a" not in world.open
    world.end("T0/a", stdout="", stderr="", exit_code=0)
    assert [e.released for e in world.ends("T0")] == [True]
    assert set(world.open) == {"T1/a"}


def test_holdings_follow_welcome(world: Any) -> None:
    recipe = world.recipe(ONE)
    world.dispatch("T0", recipe)
    world.dispatch("T1", recipe)
    world.take(world.core.socket_lost(world.epoch, world.now, 0.0))
    world.advance(1)
    world.connect()
    [holdings] = [decode(body, Holdings) for kind, body in world.frames if kind == Kind.HOLDINGS]
    assert {h.task_id: h.state for h in holdings.tasks} == {"T0": HoldingState.RUNNING, "T1": HoldingState.WAITING}
    assert holdings.as_of_seq == world.file.highest_seq


def test_a_device_that_leaves_gets_nothing_until_it_returns(world: Any) -> None:
    recipe = world.recipe(ONE)
    world.device("A", DeviceState.UNRESPONSIVE)
    world.dispatch("T1", recipe)
    assert world.starts == []
    world.device("A")
    assert len(world.starts) == 1


RESET = "workflow: r\nsteps: [{id: a, use: acme.reset, with: {}}]\n"


def test_a_step_of_a_plug_in_goes_back_where_it_is_not_offered(world: Any) -> None:
    recipe = plugin_recipe(world, "acme@1")
    world.take(world.core.plugins_changed([], {}, world.now))
    world.dispatch("T1", recipe)
    [end] = world.ends()
    assert end.released
    assert world.starts == []


def test_what_began_goes_on_with_the_plug_in_that_it_began_with(world: Any) -> None:
    recipe = plugin_recipe(world, "acme@1")
    world.dispatch("T1", recipe)
    assert [start.provider for start in world.starts] == ["acme@1"]
    world.take(world.core.plugins_changed([offer("2")], reset_of("acme@2"), world.now))
    world.device("B")
    world.dispatch("T2", recipe, serial="B")
    assert [start.provider for start in world.starts] == ["acme@1", "acme@2"]
    told = [p for t, p in world.facts() if t == "plugin.changed"]
    assert [[o.version for o in p.plugins] for p in told] == [["1"], ["2"]]


def test_waiting_tasks_go_back_when_their_plug_in_goes(world: Any) -> None:
    recipe = plugin_recipe(world, "acme@1")
    world.dispatch("T1", recipe)
    world.dispatch("T2", recipe)
    assert len(world.starts) == 1
    world.take(world.core.plugins_changed([], {}, world.now))
    assert world.ends("T1") == []
    assert [end.released for end in world.ends("T2")] == [True]


def plugin_recipe(world: Any, provider: str) -> str:
    """Let the node offer the step, and know the recipe."""
    from doai.messages.work import Recipe
    from doai.workflow.model import content_hash, parse_workflow, to_stored
    from doai.workflow.steps import BUILT_IN

    types = reset_of(provider)
    world.take(world.core.plugins_changed([offer(provider[-1])], types, world.now))
    stored = to_stored(parse_workflow(RESET, {**BUILT_IN, **types}))
    world.frame(Kind.RECIPE, Recipe(recipe_hash=content_hash(stored), body=stored))
    return content_hash(stored)


def reset_of(provider: str) -> dict[str, StepType]:
    made = StepType(
        name="acme.reset",
        arguments=Arguments,
        outputs=NoOutputs,
        on_device=True,
        idempotent=True,
        provider=provider,
    )
    return {"acme.reset": made}


def offer(version: str) -> PluginOffer:
    return PluginOffer(name="acme", version=version)
