"""Step types as data and back: recipes are checked against what comes out as against what went in."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from doai.messages.plugins import PluginOffer, PluginState, StepSchema
from doai.workflow.mistakes import WorkflowError
from doai.workflow.model import from_stored, parse_workflow, plugin_steps, to_stored
from doai.workflow.step_schema import (
    StepSchemaError,
    best_offers,
    is_of_plugin,
    schema_of,
    step_type_of,
    steps_of,
)
from doai.workflow.step_type import Arguments, Duration, FileReference, Outputs, StepType
from doai.workflow.steps import BUILT_IN


class Point(msgspec.Struct, frozen=True):
    x: int
    y: int = 0


class Reset(Arguments, frozen=True, kw_only=True):
    """Set an account back.

    More of it.
    """

    account: Annotated[str, Meta(min_length=1, max_length=20)]
    count: Annotated[int, Meta(ge=1, le=9)] = 1
    how: Literal["soft", "hard"] = "soft"
    where: Point | None = None
    tags: Annotated[list[str], Meta(max_length=2)] = []
    more: dict[str, int] = {}
    within: Duration = msgspec.field(name="for", default="5s")
    app: FileReference | None = None


class Done(Outputs, frozen=True, kw_only=True):
    number: int
    name: str | None = None


RESET = StepType(name="acme.reset", arguments=Reset, outputs=Done, on_device=True, idempotent=True, timeout_s=20)


def known() -> dict[str, StepType]:
    made = step_type_of(schema_of(RESET), "acme@1")
    return {**BUILT_IN, made.name: made}


def workflow(arguments: str, more: str = "") -> str:
    return f"workflow: w\nsteps:\n  - {{id: r, use: acme.reset, with: {{{arguments}}}}}\n{more}"


def test_a_step_type_goes_there_and_back() -> None:
    schema = msgspec.msgpack.decode(msgspec.msgpack.encode(schema_of(RESET)), type=StepSchema)
    made = step_type_of(schema, "acme@1")
    assert (made.idempotent, made.on_device, made.timeout_s, made.provider) == (True, True, 20, "acme@1")
    assert schema.title == "Set an account back."
    again = schema_of(made)
    assert again.arguments.keys() == schema.arguments.keys()


@pytest.mark.parametrize(
    ("arguments", "at", "sentence"),
    [
        ("acount: x", "acount", "takes no argument 'acount'; did you mean 'account'?"),
        ("account: ''", "''", "too short"),
        ("account: x, count: 10", "10", "outside of the bounds"),
        ("account: x, how: sfot", "sfot", "did you mean 'soft'?"),
        ("account: x, where: {y: 1}", "{y", "'x' is missing"),
        ("account: x, tags: [1]", "1]", "must be text"),
        ("account: x, for: soon", "soon", "no duration"),
        ("account: '${params.x}'", "'${", "there is no 'x' in params"),
        ("count: 1", "{count", "needs the argument 'account'"),
    ],
)
def test_mistakes_have_their_place_as_in_a_step_of_doai(arguments: str, at: str, sentence: str) -> None:
    text = workflow(arguments)
    with pytest.raises(WorkflowError) as caught:
        parse_workflow(text, known())
    place = f"line 3, column {text.splitlines()[2].index(at) + 1}: "
    found = [str(mistake) for mistake in caught.value.mistakes]
    assert any(line.startswith(place) and sentence in line for line in found), found


def test_outputs_are_known_to_later_steps() -> None:
    good = "  - {use: wait, with: {for: 1s}, if: 'steps.r.number > 1'}\n"
    parse_workflow(workflow("account: x", good), known())
    with pytest.raises(WorkflowError, match="there is no 'nmber'"):
        parse_workflow(workflow("account: x", "outputs: {n: '${steps.r.nmber}'}\n"), known())


def test_what_is_stored_is_read_where_the_plug_in_is_not_known() -> None:
    stored = parse_workflow(workflow("account: x", "outputs: {n: '${steps.r.number}'}\n"), known())
    assert stored.steps[0].idempotent is True, "what its author said is written in"
    assert stored.steps[0].timeout == "20s"
    again = from_stored(to_stored(stored))
    assert to_stored(again) == to_stored(stored)
    assert plugin_steps(again) == {"acme.reset"}
    assert (
        plugin_steps(parse_workflow("workflow: w\nsteps: [{use: app.stop, with: {package: a.b}}]")) == frozenset()
    )


def test_a_step_that_nobody_offered_is_refused_with_its_place() -> None:
    with pytest.raises(WorkflowError, match=r"line 3, column 18: .*no node ever offered a .* 'acme\.reset'"):
        parse_workflow(workflow("account: x"))
    with pytest.raises(WorkflowError, match=r"or did you mean 'acme\.reset'"):
        parse_workflow(workflow("account: x").replace("acme.reset", "acme.rest"), known())
    assert is_of_plugin("acme.reset")
    assert not is_of_plugin("ui.pinch"), "a newer doai may have that"
    assert not is_of_plugin("reset")


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "string"},
        {"$ref": "#/$defs/Gone"},
        {"type": "object", "properties": []},
        {"type": "object", "properties": {"a": {"type": "date"}}},
        {"type": "object", "properties": {"a": {"type": "string", "pattern": "("}}},
        {"type": "object", "properties": {"a": {"type": "integer", "minLength": 3}}},
        {"type": "object", "properties": {"a": {"enum": [1.5]}}},
        {"type": "object", "properties": {"a": {"anyOf": 3}}},
        {"$ref": "#/$defs/A", "$defs": {"A": {"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}}}},
        {"type": "object", "properties": {f"a{n}": {} for n in range(200)}},
    ],
)
def test_a_schema_that_is_none_is_refused_in_a_sentence(schema: dict[str, Any]) -> None:
    with pytest.raises(StepSchemaError, match=r"acme\.do: arguments"):
        step_type_of(StepSchema(name="acme.do", arguments=schema, outputs={}), "acme@1")


json = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["object", "string", "array", "#/$defs/A"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "properties", "required", "items", "anyOf", "enum", "$ref", "$defs", "A", "minimum"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["type", "properties", "$ref", "$defs", "anyOf"]), json, max_size=5))
def test_whatever_a_node_says_nothing_else_is_raised(schema: dict[str, Any]) -> None:
    offer = PluginOffer(name="acme", steps=[StepSchema(name="acme.do", arguments=schema, outputs=schema)])
    assert set(steps_of([offer])) <= {"acme.do"}


def test_the_highest_version_in_use_is_what_recipes_are_checked_against() -> None:
    def offer(version: str, state: PluginState = PluginState.READY, **about: Any) -> PluginOffer:
        return PluginOffer(name="acme", version=version, state=state, steps=[schema_of(RESET)], **about)

    offers = [offer("1.9"), offer("1.10", PluginState.BROKEN), offer("2.0", PluginState.GONE)]
    assert [found.version for found in best_offers(offers)] == ["1.10"]
    assert [found.version for found in best_offers(reversed(offers))] == ["1.10"]
    assert best_offers([PluginOffer(name="x", state=PluginState.BROKEN)]) == ()
    foreign = PluginOffer(name="other", steps=[schema_of(RESET)])
    assert steps_of([foreign]) == {}, "a plug-in has no step of another's name"
