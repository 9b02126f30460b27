"""A recipe's answers for one task."""

from typing import Any

import pytest

from doai.errors import ErrorClass, StepError
from doai.workflow.model import parse_workflow, to_stored
from doai.workflow.rules import Recipe, TaskRules
from doai.workflow.selection import DeviceFacts
from doai.workflow.templates import SecretName, SecretText

RECIPE = Recipe.from_stored(
    to_stored(
        parse_workflow(
            """\
workflow: w
params: {account: {type: string, nullable: true}, n: {type: integer, default: 3}}
content_id: "c${params.n}"
steps:
  - {id: login, use: device.shell, with: {command: "login ${params.account}"}, if: "params.account != null"}
  - {id: shot, use: screen.capture, expect: "width > params.n && outputs.height == steps.shot.height"}
  - {id: keep, use: artifact.upload, with: {artifact: "${steps.shot.artifact}"}}
  - {id: guarded, use: ui.text, with: {text: "${secret.key}"}, if: "has(steps.login.stdout) && device.sdk >= 30"}
  - {id: odd, use: wait, with: {for: 1s}, if: "steps.login.exit_code == 0"}
  - id: tell
    use: report
    with: {values: {d: "${device.serial}", t: "${task.attempt}", r: "${run.id}", l: "${device.tags.0}"}}
outputs: {path: "${steps.keep.path}", said: "${steps.login.stdout}", text: "n=${params.n}"}
"""
        )
    )
)
SHOT = {"artifact": "shot-1.png", "width": 100, "height": 200, "sha256": "", "size_bytes": 1}


def rules(params: dict[str, Any] | None = None) -> TaskRules:
    return RECIPE.rules(
        {"account": None, "n": 3} | (params or {}),
        device=DeviceFacts(serial="S1", node_id="n1", sdk=33, tags=["lab"]),
        run_id="R1",
        task_id="T1",
        attempt=2,
    )


def test_conditions_decide_what_is_skipped() -> None:
    assert not rules().condition("login", {})
    assert rules({"account": "me"}).condition("login", {})
    assert rules().condition("shot", {})
    assert not rules().condition("guarded", {})
    assert rules().condition("guarded", {"login": {"stdout": "", "stderr": "", "exit_code": 0}})


def test_arguments_are_filled_in() -> None:
    assert rules({"account": "me"}).arguments("login", {}) == {"command": "login me"}
    assert rules().arguments("keep", {"shot": SHOT}) == {"artifact": "shot-1.png"}
    assert rules().arguments("guarded", {}) == {"text": SecretText((SecretName("key"),))}
    assert rules().arguments("tell", {}) == {"values": {"d": "S1", "t": 2, "r": "R1", "l": "lab"}}


def failure_of(step_id: str, **given: Any) -> tuple[ErrorClass, str, str]:
    with pytest.raises(StepError) as caught:
        rules(**given).arguments(step_id, {})
    failure = caught.value.failure
    assert failure.step == step_id
    return failure.error_class, failure.code, failure.message


def test_a_reference_without_a_value_is_a_failure_of_the_user_that_names_it() -> None:
    error_class, code, message = failure_of("keep")
    assert (error_class, code) == (ErrorClass.USER, "no_value")
    assert "step keep" in message
    assert "${steps.shot.artifact} has no value, for step shot did not pass or was skipped" in message


def test_null_amid_text_is_named() -> None:
    with pytest.raises(StepError, match="is null"):
        rules({"account": None}).arguments("login", {})


def test_a_condition_that_can_not_be_answered_names_expression_and_step() -> None:
    with pytest.raises(StepError) as caught:
        rules().condition("odd", {})
    assert caught.value.failure.code == "bad_condition"
    assert caught.value.failure.error_class is ErrorClass.USER
    assert "if of step odd (steps.login.exit_code == 0)" in str(caught.value)
    assert "has(...)" in str(caught.value)


def test_an_expectation_that_is_not_met_is_returned() -> None:
    assert rules().unmet("shot", {}, SHOT) is None
    assert rules().unmet("keep", {}, {}) is None
    assert rules({"n": 500}).unmet("shot", {}, SHOT) == ("width > params.n && outputs.height == steps.shot.height")


def test_results_are_null_where_a_step_did_not_pass() -> None:
    assert rules().results({"keep": {"path": "a/b.png", "sha256": ""}}) == {
        "path": "a/b.png",
        "said": None,
        "text": "n=3",
    }


def test_content_id_and_plan_come_from_the_recipe() -> None:
    assert RECIPE.content_id({"account": None, "n": 3}) == "c3"
    assert [step.id for step in RECIPE.plan({}).steps][:2] == ["login", "shot"]
