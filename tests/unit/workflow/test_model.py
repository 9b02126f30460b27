"""Recipes from text to stored form and back; every bad input is one clear sentence with its place."""
# ruff: noqa: E501 - a bad recipe and its sentence are read side by side

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from doai.workflow.model import (
    WorkflowError,
    content_hash,
    from_stored,
    parse_workflow,
    secret_names,
    to_stored,
)
from doai.workflow.steps import BUILT_IN

SHIPPED = sorted((Path(__file__).parents[3] / "workflows").glob("*.yaml"))
HEAD = """\
workflow: w
params:
  seconds: {type: integer, default: 20}
  account: {type: string, nullable: true}
steps:
"""


def mistakes_of(text: str) -> list[str]:
    with pytest.raises(WorkflowError) as caught:
        parse_workflow(text)
    return caught.value.details


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_recipes_are_sound_and_named_as_their_file(path: Path) -> None:
    workflow = parse_workflow(path.read_text())
    assert workflow.name == path.stem
    assert from_stored(to_stored(workflow)) == workflow


def test_the_recipes_are_shipped() -> None:
    assert {path.stem for path in SHIPPED} == {
        "identify",
        "identify-each",
        "app-install",
        "app-login",
        "app-look",
        "app-remove",
        "device-prepare",
        "health-sweep",
        "reboot",
        "screenshot-baseline",
        "install-and-launch",
        "playback-check",
        "playback-measure",
        "login-and-screenshot",
    }


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_stored_form_does_not_depend_on_how_it_is_written(path: Path) -> None:
    text = path.read_text()
    stored = to_stored(parse_workflow(text))
    data = yaml.safe_load(text.replace(" on: ", " 'on': "))
    turned = dict(reversed(data.items()))
    assert to_stored(parse_workflow(json.dumps(turned, indent="\t"))) == stored
    assert to_stored(parse_workflow("# a comment\n" + yaml.safe_dump(data, allow_unicode=True))) == stored
    assert to_stored(parse_workflow(stored.decode())) == stored
    assert len(content_hash(stored)) == 64


def test_what_decides_how_it_runs_is_written_in() -> None:
    workflow = parse_workflow(
        "workflow: w\nsteps:\n- use: screen.capture\n- {use: artifact.upload, with: {artifact: x}}\n"
        "always: [{use: device.bootstrap, retry: {attempts: 2}}]\n"
    )
    assert (workflow.timeout, workflow.retry.attempts, workflow.retry.on) == (  # type: ignore[union-attr]
        "10m",
        3,
        ["device", "infrastructure", "rate_limit"],
    )
    assert [(step.id, step.timeout) for step in workflow.steps] == [("step-1", "1m30s"), ("step-2", "30s")]
    (last,) = workflow.always
    assert last.id == "always-1"
    assert last.retry is not None
    assert "app" in (last.retry.on or [])


def test_a_made_up_id_leaves_given_ones_alone() -> None:
    workflow = parse_workflow("workflow: w\nsteps:\n- use: screen.capture\n- {id: step-1, use: screen.capture}\n")
    assert [step.id for step in workflow.steps] == ["step-1-made", "step-1"]


@pytest.mark.parametrize(
    ("rest", "sentence"),
    [
        ("  - {use: ui.tapp}", "line 6, column 11: steps[0].use: there is no step called 'ui.tapp'; did you mean"),
        ("  - {use: wait, wiht: {for: 1s}}", "column 17: steps[0].wiht: there is no field 'wiht' here; did you mean 'with'"),
        ("  - {use: wait}", "the step wait needs the argument 'for'; add it under with"),
        ("  - {use: ui.tap, with: {idd: x}}", "takes no argument 'idd'; did you mean 'id'?"),
        ("  - {use: media.wait_playing, with: {seconds: ten}}", "with.seconds: here must be an integer, not 'ten'"),
        ("  - {use: media.wait_playing, with: {seconds: 0}}", "0 is outside of the bounds; it must be >= 1"),
        ("  - {use: media.wait_playing, with: {seconds: '${params.account}'}}", "is text or null and here must be an integer"),
        ("  - {use: media.wait_playing, with: {seconds: '1${params.seconds}'}}", "text around a reference makes it text"),
        ("  - {use: ui.text, with: {text: '${params.account}'}}", "may be null and here must be text; guard the step with if"),
        ("  - {use: ui.text, with: {text: '${params.acount}'}}", "no 'acount' in params; did you mean 'account'?"),
        ("  - {use: ui.text, with: {text: '${parms.account} x'}}", "nothing called 'parms' to refer to; did you mean 'params'?"),
        ("  - {use: ui.text, with: {text: '${run.id.x} y'}}", "run.id has no fields"),
        ("  - {use: device.shell, with: {command: 'echo ${HOME}'}}", "or $${ for the characters themselves"),
        ("  - {id: a, use: screen.capture, needs: [b]}", "there is no step 'b' to wait for"),
        ("  - {id: a, use: screen.capture}\n  - {id: a, use: screen.capture}", "line 7, column 10: steps[1].id: the id 'a' is used"),
        ("  - {id: a, use: screen.capture, needs: [b]}\n  - {id: b, use: screen.capture}", "wait for each other (a waits for b"),
        ("  - {use: artifact.upload, with: {artifact: '${steps.s.artifact}'}}\n  - {id: s, use: screen.capture}", "may not have ended"),
        ("  - {id: s, use: screen.capture}\n  - {use: artifact.upload, with: {artifact: '${steps.s.artefact}'}}", "did you mean 'artifact'?"),
        ("  - {use: screen.capture, if: 'params.secs > 1'}", "column 31: steps[0].if: there is no 'secs' in params"),
        ("  - {use: screen.capture, if: 'params.seconds > \"1\"'}", "> does not go with an integer and text"),
        ("  - {use: screen.capture, if: 'params.seconds'}", "does not say true or false"),
        ("  - {use: screen.capture, if: 'params.seconds >'}", "no CEL expression"),
        ("  - {use: screen.capture, if: 'lenght(params.account) > 1'}", "there is no function 'lenght'"),
        ("  - {use: screen.capture, if: true}", "steps[0].if: here must be text"),
        ("  - {use: screen.capture, expect: 'widht > 1'}", "there is no 'widht' to refer to; did you mean 'width'?"),
        ("  - {use: screen.capture, expect: 'secret.key == \"1\"'}", "a condition can not use a secret"),
        ("  - {use: report, with: {values: {k: '${secret.key}'}}}", "would be seen by people"),
        ("  - {use: artifact.upload, with: {artifact: '${secret.key}'}}", "would be seen by people"),
        ("  - {use: screen.capture}\noutputs: {k: '${secret.key}'}", "outputs.k: ${secret.key} would be seen"),
        ("  - {use: screen.capture}\ncontent_id: '${secret.key}'", "refer to parameters only"),
        ("  - {use: screen.capture}\ncontent_id: 'a${params.x}'", "content_id: there is no 'x' in params"),
        ("  - {use: screen.capture}\noutputs: {k: '${steps.step-1.widht}'}", "did you mean 'width'?"),
        ("  - {use: wait, with: {for: 1x}}", "'1x' is no duration; write a number and ms, s, m or h"),
        ("  - {use: wait, with: {for: 1s}, timeout: 90}", "steps[0].timeout: 90 is no duration"),
        ("  - {use: wait, with: {for: 1s}, timeout: 0s}", "no time at all"),
        ("  - {use: wait, with: {for: 5m}}", "5m is longer than the step's timeout of 90 s"),
        ("  - {use: wait, with: {for: 1s}, retry: {attempts: 99}}", "retry.attempts: 99 is outside of the bounds"),
        ("  - {use: wait, with: {for: 1s}, retry: {on: [user]}}", "retry.on[0]: 'user' is not allowed here"),
        ("  - {use: wait, with: {for: 1s}, retry: 3}", "here must be fields"),
        ("  - {use: screen.capture}\nbounds: {b: {timeout: {minimum: 1s}}}", "bounds.b: there is no step 'b' to bound"),
        ("  - {id: a, use: screen.capture}\nbounds: {a: {timeout: {minimum: 9s, maximum: 1s}}}", "minimum is above the maximum"),
        ("  - {use: screen.capture}\nalways: [{use: screen.capture, needs: []}]", "run one after the other; remove needs"),
        ("  - {use: screen.capture}\nrequires: {sdk: 28+}", "write a comparison such as >=28"),
        ("  - just text", "here must be fields (name: value), not 'just text'"),
        ("  - {use: workflow.cal, with: {workflow: x}}", "there is no step called 'workflow.cal'"),
        ("  - {use: screen.capture, if: '" + "a" * 1100 + "'}", "is too long"),
    ],
)  # fmt: skip
def test_bad_recipes_get_one_clear_sentence(rest: str, sentence: str) -> None:
    (only,) = mistakes_of(HEAD + rest)
    assert sentence in only
    assert only.startswith("line ")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("steps: [{use: screen.capture}]", "the field 'workflow' is missing; add it"),
        ("workflow: w", "the field 'steps' is missing; add it"),
        ("workflow: w\nsteps: []", "the list needs at least 1 item; add one"),
        ("workflow: W W\nsteps: [{use: screen.capture}]", "'W W' does not have the right form; write 1 to 63"),
        ('workflow: "w\\n"\nsteps: [{use: screen.capture}]', "does not have the right form"),
        ("name: w\nworkflow: w\nsteps: [{use: screen.capture}]", "did you mean 'workflow'?"),
        ("- a", "here must be fields"),
    ],
)
def test_bad_wholes_get_one_clear_sentence(text: str, sentence: str) -> None:
    assert sentence in " ".join(mistakes_of(text))


def test_all_mistakes_come_at_once_in_the_order_of_the_text() -> None:
    found = mistakes_of(
        """\
workflow: W
params:
  n: {type: integr}
steps:
  - {use: ui.tapp}
  - {id: b, use: wait, with: {for: 1x}, needs: [zz]}
  - {use: ui.text, with: {text: "${params.m}"}}
outputs: {o: "${steps.b.nothing}"}
"""
    )
    assert [line.partition(",")[0] for line in found] == [f"line {n}" for n in (1, 3, 5, 6, 6, 7, 8)]


def test_a_guard_lets_a_nullable_parameter_through() -> None:
    parse_workflow(HEAD + "  - {use: ui.text, with: {text: '${params.account}'}, if: 'params.account != null'}")


def test_a_step_may_expect_of_its_own_outputs_under_three_names() -> None:
    parse_workflow(
        HEAD + "  - {id: s, use: screen.capture, expect: 'width > 1 && outputs.width > 1 && steps.s.width > 1'}"
    )


def test_what_runs_afterwards_may_name_every_step_and_those_before_it() -> None:
    parse_workflow(
        HEAD
        + "  - {id: s, use: screen.capture}\n"
        + "on_failure:\n  - {id: f, use: screen.capture}\n"
        + "  - {use: artifact.upload, with: {artifact: '${steps.f.artifact}'}}\n"
        + "always:\n  - {use: artifact.upload, with: {artifact: '${steps.s.artifact}'}}\n"
    )


def test_secrets_are_known_by_name() -> None:
    workflow = parse_workflow(HEAD + "  - {use: ui.text, with: {text: 'a${secret.login_key}'}}")
    assert secret_names(workflow) == {"login_key"}


def test_an_older_node_refuses_a_step_that_it_does_not_know() -> None:
    stored = to_stored(parse_workflow(HEAD + "  - {use: screen.capture}"))
    older = {name: step for name, step in BUILT_IN.items() if name != "screen.capture"}
    with pytest.raises(WorkflowError, match=r"steps\[0\].use: there is no step called 'screen.capture'"):
        from_stored(stored, older)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff", b"{}" * 99999, b"[" * 9999, b'{"workflow": "w"}'])
def test_damaged_stored_bytes_are_a_workflow_error(data: bytes) -> None:
    with pytest.raises(WorkflowError):
        from_stored(data)


WORDS = st.sampled_from(
    [
        *(
            "workflow",
            "params",
            "steps",
            "use",
            "with",
            "id",
            "if",
            "expect",
            "needs",
            "timeout",
            "retry",
            "always",
        ),
        *(
            "on_failure",
            "outputs",
            "bounds",
            "type",
            "default",
            "attempts",
            "on",
            "backoff",
            "content_id",
            "requires",
        ),
        *("sdk", "minimum", "maximum", "enum", "pattern", "string", "integer", "list", "a", "b", "w", "10s", "x y"),
        *(
            "ui.tap",
            "screen.capture",
            "report",
            "values",
            "text",
            "${params.a}",
            "${steps.a.artifact}",
            "a ${",
            "$${",
        ),
        *("${secret.a}", "params.a == 1", "steps.a.width > 1", "width > 1", "(", ">=28", "null_type"),
    ]
)
STRUCTURES: st.SearchStrategy[Any] = st.recursive(
    WORDS
    | st.none()
    | st.booleans()
    | st.integers(-3, 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=6),
    max_leaves=25,
)
STEPS = st.lists(
    st.fixed_dictionaries(
        {"use": st.sampled_from([*BUILT_IN, "other"])},
        optional={
            "id": st.sampled_from(["a", "b", "c"]),
            "with": st.dictionaries(WORDS, STRUCTURES, max_size=3),
            "needs": st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=3) | STRUCTURES,
            "if": WORDS,
            "expect": WORDS,
            "retry": STRUCTURES,
            "timeout": WORDS,
        },
    ),
    max_size=4,
)


@given(
    st.fixed_dictionaries(
        {"workflow": st.just("w"), "steps": STEPS | STRUCTURES},
        optional={
            "params": st.dictionaries(WORDS, STRUCTURES, max_size=3),
            "always": STEPS,
            "outputs": STRUCTURES,
            "bounds": STRUCTURES,
            "requires": STRUCTURES,
            "content_id": WORDS,
        },
    )
    | STRUCTURES
)
def test_any_structure_is_a_recipe_that_survives_storing_or_a_workflow_error(data: Any) -> None:
    try:
        workflow = parse_workflow(json.dumps(data))
    except WorkflowError as error:
        assert all(mistake.line >= 1 for mistake in error.mistakes[:50])
        with pytest.raises(WorkflowError):
            from_stored(json.dumps(data).encode())
        return
    stored = to_stored(workflow)
    assert from_stored(stored) == workflow
    assert to_stored(from_stored(stored)) == stored


@given(st.sampled_from(SHIPPED), st.data())
def test_a_shipped_recipe_with_a_damaged_place_is_read_or_refused(path: Path, data: st.DataObject) -> None:
    text = path.read_text()
    at = data.draw(st.integers(0, len(text)))
    cut = data.draw(st.integers(0, 12))
    text = text[:at] + data.draw(st.text(max_size=3)) + text[at + cut :]
    try:
        workflow = parse_workflow(text)
    except WorkflowError as error:
        assert error.details
    else:
        assert from_stored(to_stored(workflow)) == workflow
