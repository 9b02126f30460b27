"""Parameters of a run against what its workflow declares."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doai.limits import PARAMS_BYTES_MAX
from doai.workflow.mistakes import ParameterError, WorkflowError
from doai.workflow.model import Workflow, parse_workflow
from doai.workflow.parameters import check_step_timeouts, resolve_params

TEXT = """\
workflow: w
params:
  video_id: {type: string, pattern: "^[A-Za-z0-9_-]{3}$"}
  seconds: {type: integer, default: 20, minimum: 5, maximum: 300}
  speed: {type: number, default: 1, minimum: 0.5}
  loud: {type: boolean, default: false}
  account: {type: string, nullable: true}
  quality: {type: string, enum: [low, high], default: high}
  tags: {type: list, items: string, default: [], max_length: 2}
  numbers: {type: list, items: integer, default: [1]}
bounds:
  play: {timeout: {minimum: 10s, maximum: 10m}}
steps:
  - {id: play, use: media.wait_playing}
  - {id: shot, use: screen.capture}
"""


@pytest.fixture(scope="module")
def workflow() -> Workflow:
    return parse_workflow(TEXT)


def test_defaults_are_filled_in(workflow: Workflow) -> None:
    assert resolve_params(workflow, {"video_id": "abc", "seconds": 7.0}) == {
        "video_id": "abc",
        "seconds": 7,
        "speed": 1,
        "loud": False,
        "account": None,
        "quality": "high",
        "tags": [],
        "numbers": [1],
    }


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("video_id", "abcd", "does not have the form"),
        ("video_id", "abc\n", "does not have the form"),
        ("video_id", None, "null is not allowed; give text"),
        ("video_id", 5, "here must be text, not 5"),
        ("video_id", "\ud800bc", "here must be text"),
        ("video_id", "abc\0", "here must be text"),
        ("seconds", "20", "here must be an integer, not '20'"),
        ("seconds", True, "here must be an integer, not true"),
        ("seconds", 7.5, "here must be an integer"),
        ("seconds", 4, "4 is below the minimum 5; give more"),
        ("seconds", 301, "301 is above the maximum 300; give less"),
        ("seconds", 2**70, "here must be an integer"),
        ("speed", float("nan"), "here must be a number"),
        ("speed", 0.1, "below the minimum"),
        ("loud", 1, "here must be true or false, not 1"),
        ("quality", "hgih", "did you mean 'high'?"),
        ("tags", "a", "here must be a list"),
        ("tags", ["a", "b", "c"], "3 items are too many; give at most 2"),
        ("numbers", [1, "2"], "item 1 must be an integer, not '2'"),
        ("numbers", [1] * 1001, "too many"),
        ("secnds", 5, "has no parameter 'secnds'; did you mean 'seconds'?"),
    ],
)
def test_what_does_not_fit_is_said(workflow: Workflow, name: str, value: Any, sentence: str) -> None:
    with pytest.raises(ParameterError) as caught:
        resolve_params(workflow, {"video_id": "abc", name: value})
    (only,) = caught.value.details
    assert sentence in only
    assert only.startswith(f"{name}: ")


def test_all_mistakes_come_at_once(workflow: Workflow) -> None:
    with pytest.raises(ParameterError, match=r"do not fit workflow w: .* \(and 2 more\)") as caught:
        resolve_params(workflow, {"nothing": 1, "seconds": 1})
    assert len(caught.value.mistakes) == 3
    assert caught.value.details[1:] == [
        "video_id: the parameter is missing; give text",
        "seconds: 1 is below the minimum 5; give more",
    ]


def test_parameters_are_bounded() -> None:
    workflow = parse_workflow("workflow: w\nparams: {a: {type: string}}\nsteps: [{use: screen.capture}]")
    with pytest.raises(ParameterError, match="larger than 64 KiB"):
        resolve_params(workflow, {"a": "x" * PARAMS_BYTES_MAX})


@pytest.mark.parametrize(
    ("declaration", "sentence"),
    [
        ("{type: strin}", "'strin' is not allowed here; did you mean 'string'?"),
        ("{type: string, pattern: '('}", "no regular expression (missing ) in '(')"),
        ("{type: integer, minimum: 3, maximum: 1}", "minimum 3 is above maximum 1"),
        ("{type: integer, pattern: x}", "pattern is for string only"),
        ("{type: string, minimum: 1}", "minimum is for integer and number only"),
        ("{type: string, items: string}", "items is for list only"),
        ("{type: string, choices: [a]}", "did you mean 'enum'?"),
        ("{type: string, enum: [a, 1]}", "enum[1]: here must be text, not 1"),
        ("{type: string, enum: [a], default: b}", "the default does not fit"),
        ("{type: string, default: null}", "the default does not fit: null is not allowed"),
        ("{type: string, default: '${run.id}'}", "a default is a plain value"),
        ("{type: integer, default: '1'}", "the default does not fit: here must be an integer, not '1'"),
    ],
)
def test_a_declaration_that_contradicts_itself_is_said(declaration: str, sentence: str) -> None:
    with pytest.raises(WorkflowError) as caught:
        parse_workflow(f"workflow: w\nparams:\n  a: {declaration}\nsteps: [{{use: screen.capture}}]")
    (only,) = caught.value.details
    assert sentence in only
    assert only.startswith("line 3, ")


def test_overrides_stay_inside_the_bounds(workflow: Workflow) -> None:
    check_step_timeouts(workflow, {"play": 10})
    check_step_timeouts(workflow, {"play": 600.0})
    with pytest.raises(ParameterError) as caught:
        check_step_timeouts(workflow, {"play": 601.0, "shot": 5, "plya": 5})
    assert caught.value.details == [
        "step_timeouts.play: 10m1s is above the maximum 10m; give less",
        "step_timeouts.shot: the workflow has no bounds for it, so it can not be overridden; known: play",
        "step_timeouts.plya: workflow w has no step 'plya'; did you mean 'play'?",
    ]


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), True, "5", 9])
def test_an_override_that_is_no_time_is_refused(workflow: Workflow, seconds: Any) -> None:
    with pytest.raises(ParameterError):
        check_step_timeouts(workflow, {"play": seconds})


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(["video_id", "seconds", "speed", "tags", "numbers", "x"]), JSON_VALUES))
def test_any_parameters_are_resolved_or_a_parameter_error(given_values: dict[str, Any]) -> None:
    try:
        values = resolve_params(parse_workflow(TEXT), given_values)
    except ParameterError as error:
        assert error.details
    else:
        assert resolve_params(parse_workflow(TEXT), values) == values
