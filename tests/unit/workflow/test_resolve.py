"""What a run pins, and the plan that a node sequences."""

from pathlib import Path

import pytest

from doai.errors import ErrorClass
from doai.workflow.mistakes import ParameterError
from doai.workflow.model import parse_workflow
from doai.workflow.resolve import RetryRule, content_id_of, pin_run, plan_task

PLAYBACK = parse_workflow((Path(__file__).parents[3] / "workflows/playback-check.yaml").read_text())


def test_a_run_pins_what_it_decides() -> None:
    pinned = pin_run(PLAYBACK, {"video_id": "abcdefghi-_"}, step_timeouts_s={"play": 60}, attempts=1)
    assert pinned.params == {"video_id": "abcdefghi-_", "seconds": 20}
    assert pinned.content_id == "abcdefghi-_"
    assert pinned.timeout_s == 720
    assert pinned.step_timeouts_s == {"play": 60}
    assert pinned.retry.attempts == 1
    assert pinned.retry.on == {ErrorClass.DEVICE, ErrorClass.INFRASTRUCTURE}


def test_overrides_out_of_bounds_pin_nothing() -> None:
    with pytest.raises(ParameterError, match="above the maximum 10m"):
        pin_run(PLAYBACK, {}, step_timeouts_s={"play": 3600})
    for attempts in (0, 11):
        with pytest.raises(ParameterError, match="give 1 to 10"):
            pin_run(PLAYBACK, {}, attempts=attempts)


def test_parameters_that_make_arguments_no_step_takes_are_refused_before_a_device_is_touched() -> None:
    workflow = parse_workflow(
        "workflow: w\nparams: {p: {type: string}}\nsteps:\n- {use: app.launch, with: {package: '${params.p}'}}\n"
    )
    pin_run(workflow, {"p": "com.example.app"})
    with pytest.raises(ParameterError, match=r"steps\[0\].with.package: with these parameters 'rm -rf /' does not"):
        pin_run(workflow, {"p": "rm -rf /"})


@pytest.mark.parametrize("value", ["", ".", "..", "../x", "a/b", ".hidden", "a\n", "a b", "x" * 129])
def test_a_content_id_is_one_safe_part_of_a_path(value: str) -> None:
    workflow = parse_workflow(
        "workflow: w\nparams: {p: {type: string}}\ncontent_id: '${params.p}'\nsteps: [{use: screen.capture}]"
    )
    assert content_id_of(workflow, {"p": "-a_B.9"}) == "-a_B.9"
    with pytest.raises(ParameterError, match="can not be part of a path"):
        content_id_of(workflow, {"p": value})


def test_without_a_content_id_it_is_the_name() -> None:
    workflow = parse_workflow("workflow: w-1\nsteps: [{use: screen.capture}]")
    assert content_id_of(workflow, {}) == "w-1"


def test_a_plan_has_every_default_filled_in() -> None:
    plan = plan_task(PLAYBACK, {"play": 61.5})
    assert [step.id for step in plan.steps] == ["ready", "open", "play", "shot", "keep"]
    assert [step.predecessors for step in plan.steps] == [(), ("ready",), ("open",), ("play",), ("shot",)]
    assert [step.timeout_s for step in plan.steps] == [90, 90, 61.5, 90, 30]
    opened = plan.steps[1]
    assert (opened.retry.attempts, opened.retry.backoff.first_s, opened.label) == (2, 1, "Open the video")
    assert ErrorClass.APP in opened.retry.on
    keep = plan.steps[4]
    assert (keep.on_device, keep.holds_device, keep.idempotent, keep.retry.attempts) == (False, False, True, 1)
    assert [step.predecessors for step in plan.on_failure] == [(), ("failed_shot",)]
    assert plan.timeout_s == 720


def test_a_retry_rule_says_when_and_when_not() -> None:
    rule = RetryRule(attempts=3, on=frozenset({ErrorClass.DEVICE, ErrorClass.RATE_LIMIT}))
    assert rule.delay_s(ErrorClass.DEVICE, 1, 0.5) == 1.0
    assert rule.delay_s(ErrorClass.DEVICE, 2, 0.5) == 2.0
    assert rule.delay_s(ErrorClass.RATE_LIMIT, 1, 0.5) == 60.0
    assert rule.delay_s(ErrorClass.DEVICE, 3, 0.5) is None
    assert rule.delay_s(ErrorClass.USER, 1, 0.5) is None
    assert RetryRule().delay_s(ErrorClass.DEVICE, 1, 0.5) is None
