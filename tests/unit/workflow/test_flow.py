"""Loops and calls as they are written: what is refused, with the place; what a run pins."""
# ruff: noqa: E501 - a recipe and its sentence are read side by side

from __future__ import annotations

from typing import Any

import pytest

from doai.errors import NotFoundError
from doai.workflow.calls import Find, Found
from doai.workflow.defaults import step_timeout
from doai.workflow.files import file_needs
from doai.workflow.model import (
    Workflow,
    WorkflowError,
    content_hash,
    from_stored,
    link_workflow,
    parse_workflow,
    secret_names,
    to_stored,
)
from doai.workflow.nesting import every_step
from doai.workflow.parameters import ParameterError
from doai.workflow.resolve import pin_run, plan_task
from doai.workflow.schema import json_schema
from doai.workflow.steps import BUILT_IN

TAP = "{id: tap, use: ui.tap, with: {text: a}}"


def mistakes_of(rest: str, find: Find | None = None) -> list[str]:
    try:
        parse_workflow(
            f"workflow: w\nparams: {{n: {{type: integer, default: 2}}}}\n{rest}", find=find and (lambda _: find)
        )
    except WorkflowError as error:
        return error.details
    return []


def library(*texts: str) -> Find:
    """Workflows by name; each is its version 1."""
    known = {(workflow := parse_workflow(text)).name: workflow for text in texts}

    def find(reference: str) -> Found:
        name, _, version = reference.partition("@")
        if name not in known or version not in ("", "1"):
            raise NotFoundError(f"there is no workflow {reference!r}: known: {', '.join(known)}")
        return Found(f"{name}@1", known[name])

    return find


@pytest.mark.parametrize(
    ("rest", "sentence"),
    [
        (f"steps:\n- {{use: flow.repeat, steps: [{TAP}]}}", "line 4, column 3: steps[0]: flow.repeat has no bound; give times or within, or both, under with"),
        (f"steps:\n- {{use: flow.until, with: {{times: 2}}, steps: [{TAP}]}}", "flow.until needs a condition; add until, or use flow.repeat"),
        (f"steps:\n- {{use: flow.repeat, with: {{times: 2}}, until: 'true', steps: [{TAP}]}}", "flow.repeat has no condition; use flow.until"),
        ("steps:\n- {use: flow.repeat, with: {times: 2}}", "flow.repeat needs steps to do; add steps: [...]"),
        (f"steps:\n- {{use: flow.repeat, with: {{times: 1001}}, steps: [{TAP}]}}", "line 4, column 36: steps[0].with.times"),
        (f"steps:\n- {{use: wait, with: {{for: 1s}}, steps: [{TAP}]}}", "wait takes no steps: only flow.until does and flow.repeat; remove it"),
        (f"steps:\n- {TAP}\n- {{use: flow.repeat, with: {{times: 2}}, steps: [{TAP}]}}", "the id 'tap' is used already by steps[0]; give another"),
        (f"steps:\n- {{use: flow.repeat, with: {{times: 2}}, steps: [{{use: wait, with: {{for: 1s}}, needs: []}}, {TAP}]}}", "steps of a loop run one after the other; remove needs"),
        (f"steps:\n- {{id: l, use: flow.until, until: 'steps.tap.z > 1', with: {{times: 2}}, steps: [{TAP}]}}", "there is no 'z' in steps.tap"),
        (f"steps:\n- {{id: l, use: flow.repeat, with: {{times: 2}}, steps: [{TAP}]}}\n- {{use: report, with: {{values: {{a: '${{steps.tap.x}}'}}}}}}", "there is no 'tap' in steps"),
        (f"steps:\n- {{id: l, use: flow.repeat, with: {{times: 2}}, steps: [{TAP}]}}\n- {{use: report, with: {{values: {{a: '${{steps.l.last.tap.z}}'}}}}}}", "there is no 'z' in steps.l.last.tap"),
        ("steps:\n- {use: report, with: {values: {a: '${round.number}'}}}", "there is nothing called 'round' to refer to"),
        ("steps:\n- {use: workflow.call, with: {workflow: '${params.n}'}}", "which workflow is called is decided before there are values; write its name"),
        ("steps:\n- {use: workflow.call, with: {workflow: a, params: {x: '${secret.key}'}}}", "${secret.key} would be seen by people here"),
        ("called: {}\nsteps:\n- {use: wait, with: {for: 1s}}", "line 3, column 1: called: what is called is filled in when a run is made; remove it"),
        ("steps:\n- {use: screen.capture, sensitive: true}", "it takes a picture of the screen, and it is sensitive, which forbids pictures; take it before or after"),
        ("steps:\n- {id: l, use: flow.repeat, with: {times: 2}, sensitive: true, steps: [{id: shot, use: screen.capture}]}", "line 4, column 72: steps[0].steps[0]: it takes a picture of the screen, and l around it is sensitive"),
        ("steps:\n- {id: r, use: host.run, with: {script: a, args: ['${secret.key}']}}", "${secret.key} would be seen by people here"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(rest: str, sentence: str) -> None:
    said = mistakes_of(rest)
    assert any(sentence in one for one in said), said


def test_loops_are_three_deep_at_most() -> None:
    inner = TAP
    for number in range(3):
        inner = f"{{id: l{number}, use: flow.repeat, with: {{times: '${{params.n}}'}}, steps: [{inner}]}}"
    assert mistakes_of(f"steps: [{inner}]") == []
    (only,) = mistakes_of(f"steps: [{{id: l9, use: flow.repeat, with: {{times: 2}}, steps: [{inner}]}}]")
    assert "loops in loops are 3 deep at most" in only


def test_steps_without_an_id_get_one_inside_of_loops_too() -> None:
    body = "{use: flow.repeat, with: {times: 2}, steps: [{use: flow.repeat, with: {times: 2}, steps: [{use: wait, with: {for: 1s}}]}]}"
    workflow = parse_workflow(f"workflow: w\nsteps: [{body}]")
    assert [step.id for _, step in every_step(workflow)] == ["step-1", "step-1-step-1", "step-1-step-1-step-1"]
    assert from_stored(to_stored(workflow)) == workflow


def test_a_loop_is_not_retried_by_default_and_its_steps_are() -> None:
    text = f"workflow: w\ndefaults: {{retry: {{attempts: 3}}, timeout: 5s}}\nsteps: [{{id: l, use: flow.repeat, with: {{times: 2}}, steps: [{TAP}]}}]"
    workflow = parse_workflow(text)
    (loop,) = plan_task(workflow).steps
    assert loop.block is not None
    assert (loop.retry.attempts, loop.block.plan.steps[0].retry.attempts) == (1, 3)
    assert (loop.on_device, loop.holds_device, loop.block.plan.steps[0].timeout_s) == (True, True, 5.0)
    assert step_timeout(workflow.steps[0], BUILT_IN["flow.repeat"], workflow.defaults) == "168h"


LOGIN = """
workflow: login
params: {account: {type: string, max_length: 5}, app: {type: string, default: com.a.b}}
requires: {sdk: ">=30", tags: [lab], models: [X, Y]}
bounds: {open: {timeout: {maximum: 60s}}}
timeout: 50s
steps:
  - {id: open, use: app.launch, with: {package: "${params.app}"}}
  - {id: type, use: ui.text, with: {text: "${secret.password}"}, sensitive: true}
outputs: {who: "${params.account}"}
"""
CALLER = """
workflow: caller
params: {who: {type: string, default: kim}}
requires: {sdk: "<34", tags: [desk], models: [Y, Z]}
steps:
  - {id: login, use: workflow.call, with: {workflow: login, params: {account: "${params.who}"}}}
  - {id: tell, use: report, with: {values: {who: "${steps.login.who}"}}}
"""


def linked(text: str, *others: str) -> Workflow:
    return link_workflow(parse_workflow(text), "caller@7", library(*others))


def test_a_run_pins_what_it_calls() -> None:
    workflow = linked(CALLER, LOGIN)
    assert workflow.steps[0].with_["workflow"] == "login@1"
    assert list(workflow.called) == ["login@1"]
    assert (workflow.requires.sdk, workflow.requires.tags, workflow.requires.models) == (
        "<34,>=30",
        ["desk", "lab"],
        ["Y"],
    )
    stored = to_stored(workflow)
    assert from_stored(stored) == workflow
    assert content_hash(stored) != content_hash(to_stored(linked(CALLER, LOGIN.replace("50s", "51s"))))
    assert secret_names(workflow) == {"password"}
    (login, _) = plan_task(workflow, {"login/open": 3.0}).steps
    assert login.block is not None
    assert (login.timeout_s, login.block.plan.steps[0].timeout_s) == (50.0, 3.0)


def test_an_override_names_the_step_of_the_called_workflow() -> None:
    workflow = linked(CALLER, LOGIN)
    assert pin_run(workflow, {}, step_timeouts_s={"login/open": 30.0}).step_timeouts_s == {"login/open": 30.0}
    for name, sentence in (
        ("login/open", "above the maximum 60s"),
        ("login/type", "has no bounds for it"),
        ("open", "has no step 'open'; known: login, login/open"),
    ):
        with pytest.raises(ParameterError) as caught:
            pin_run(workflow, {}, step_timeouts_s={name: 300.0})
        assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("workflow: login,", "workflow: logn,"), "line 6, column 54: steps[0].with.workflow: there is no workflow 'logn'"),
        (("account: \"${params.who}\"", "acount: x"), "login has no parameter 'acount'; it has: account, app"),
        (("account: \"${params.who}\"", ""), "login needs the parameter 'account'; add it under with: params"),
        (("account: \"${params.who}\"", "account: too-long"), "line 6, column 79: steps[0].with.params.account: 8 characters are too many"),
        (("login.who}", "login.whom}"), "there is no 'whom' in steps.login; did you mean 'who'?"),
        (("models: [Y, Z]", "models: [Z]"), "line 4, column 46: requires.models: no model is one that login and the workflows around it require"),
        (("use: workflow.call,", "use: workflow.call, sensitive: true,"), ""),
    ],
)  # fmt: skip
def test_a_call_is_checked_against_what_it_calls(change: tuple[str, str], sentence: str) -> None:
    try:
        parse_workflow(CALLER.replace(*change), find=lambda _: library(LOGIN))
    except WorkflowError as error:
        assert any(sentence in one for one in error.details), error.details
        assert sentence
    else:
        assert not sentence


def test_a_sensitive_call_takes_no_picture() -> None:
    shows = LOGIN.replace("outputs", "  - {id: shot, use: screen.capture}\noutputs")
    with pytest.raises(WorkflowError, match="its step shot takes one, and it is sensitive"):
        linked(CALLER.replace("use: workflow.call,", "use: workflow.call, sensitive: true,"), shows)


def chain(length: int) -> list[str]:
    texts = [
        f"workflow: c{n}\nsteps: [{{id: s, use: workflow.call, with: {{workflow: c{n + 1}}}}}]"
        for n in range(length)
    ]
    return [*texts, f"workflow: c{length}\nsteps: [{{use: wait, with: {{for: 1s}}}}]"]


def test_calls_are_five_deep_at_most() -> None:
    assert len(linked(chain(5)[0], *chain(5)).called) == 5
    with pytest.raises(WorkflowError, match="calls are 5 deep at most"):
        linked(chain(6)[0], *chain(6))


def test_a_cycle_is_refused_with_its_way() -> None:
    a, b = (
        f"workflow: {x}\nsteps: [{{id: s, use: workflow.call, with: {{workflow: {y}}}}}]" for x, y in ("ab", "ba")
    )
    with pytest.raises(WorkflowError) as caught:
        link_workflow(parse_workflow(a), "a@1", library(a, b))
    assert "the workflows call each other without end (a@1 calls b@1 calls a@1); remove a call" in str(caught.value)


def test_a_stored_cycle_is_refused_by_the_node_too() -> None:
    workflow = linked(chain(1)[0], *chain(1))
    data = (
        to_stored(workflow)
        .replace(b'"use":"wait"', b'"use":"workflow.call"')
        .replace(b'{"for":"1s"}', b'{"workflow":"c1@1"}')
    )
    with pytest.raises(WorkflowError, match="without end"):
        from_stored(data)


def test_calls_of_calls_make_a_bounded_number_of_steps() -> None:
    texts = ["workflow: c0\nsteps: [{use: wait, with: {for: 1s}}]"]
    for number in range(1, 4):
        steps = ", ".join(
            f"{{id: s{at}, use: workflow.call, with: {{workflow: c{number - 1}}}}}" for at in range(12)
        )
        texts.append(f"workflow: c{number}\nsteps: [{steps}]")
    with pytest.raises(WorkflowError, match="1000 are allowed"):
        linked(texts[3], *texts)


def test_the_files_of_a_called_workflow_are_pinned_too() -> None:
    inner = "workflow: login\nparams: {app: {type: string}}\nsteps: [{use: app.install, with: {file: 'apps/${params.app}'}}]"
    call = "{{id: {0}, use: workflow.call, with: {{workflow: login, params: {{app: '{1}'}}}}}}"
    steps = ", ".join(
        [
            call.format("a", "${params.who}"),
            call.format("b", "fixed"),
            "{id: boot, use: device.bootstrap}",
            call.format("c", "${steps.boot.model}"),
        ]
    )
    workflow = linked(f"workflow: w\nparams: {{who: {{type: string}}}}\nsteps: [{steps}]", inner)
    assert {need.reference for need in file_needs(workflow, {"who": "kim"})} == {"apps/kim", "apps/fixed", "apps/*"}


def test_the_schema_knows_loops() -> None:
    schema: dict[str, Any] = json_schema()
    assert schema["$defs"]["Step"]["properties"]["steps"]["items"] == {"$ref": "#/$defs/Step"}
