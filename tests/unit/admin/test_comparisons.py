"""Which pictures of a run may become baselines."""

from __future__ import annotations

from typing import Any

import pytest

from doai.admin.comparisons import Wanted, failed_comparisons, first_of_each
from doai.admin.views import FailureJson, StepJson
from doai.errors import UserError

HOME = "baseline/login/home/Pixel-7-40x80"


def step(task: str, step_id: str = "home", serial: str = "A1", state: str = "failed", **more: Any) -> StepJson:
    details = more.pop("details", {"baseline": f"{HOME}@3", "screen": f"c/n/{serial}/r/{task}.png"})
    failure = FailureJson(error_class="app", code="screen_differs", message="no", step=step_id, details=details)
    fields: dict[str, Any] = {
        "task_id": task,
        "device_serial": serial,
        "attempt": 1,
        "token": "1.1",
        "step_id": step_id,
        "use": "screen.compare",
        "label": "",
        "try_number": 1,
        "state": state,
        "retried": False,
        "optional": False,
        "started_at_ms": 1,
        "ended_at_ms": 2,
        "duration_ms": 1,
        "outputs": {},
        "failure": failure if state == "failed" else None,
    }
    return StepJson(**fields | more)


def found(*steps: StepJson, **wanted: Any) -> list[tuple[str, str]]:
    comparisons = failed_comparisons(steps, Wanted(**wanted), "run R")
    return [(comparison.task_id, comparison.step_id) for comparison in comparisons]


def test_what_failed_is_meant_unless_something_else_is_said() -> None:
    steps = (
        step("T2", serial="B"),
        step("T1", serial="A"),
        step("T1", "open", serial="A", use="app.launch"),
        step("T1", "page", serial="A"),
        step("T1", "fine", serial="A", state="passed"),
    )
    assert found(*steps) == [("T1", "home"), ("T1", "page"), ("T2", "home")]
    assert found(*steps, steps=["page"]) == [("T1", "page")]
    assert found(*steps, device_serial="B") == found(*steps, task_id="T2") == [("T2", "home")]


def test_the_last_try_decides() -> None:
    again = {"try_number": 2, "token": "1.2"}
    assert found(step("T1", details={"screen": "old"}), step("T1", **again)) == [("T1", "home")]
    with pytest.raises(UserError, match="nothing to accept"):
        found(step("T1"), step("T1", state="passed", **again))


@pytest.mark.parametrize(
    "details", [{}, {"baseline": HOME}, {"baseline": "../x", "screen": "p"}, {"baseline": 5, "screen": "p"}]
)
def test_what_tells_of_no_picture_gives_none(details: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="nothing to accept"):
        found(step("T1", details=details))


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ({"steps": ["hone"]}, "run R has no comparison 'hone': did you mean 'home'"),
        ({"device_serial": "A2"}, "run R has compared nothing on 'A2': known: A1"),
        ({"task_id": "T9"}, "run R has compared no screen: a step screen.compare does"),
    ],
)
def test_what_is_not_there_is_named_with_what_is_near(wanted: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        found(step("T1"), **wanted)


def test_two_pictures_can_not_be_one_baseline() -> None:
    other = step("T2", serial="B", details={"baseline": "own", "screen": "p", "asked_for": "own@1"})
    steps = (step("T1", serial="A"), other, step("T3", serial="C"))
    first, others = first_of_each(failed_comparisons(steps, Wanted(), "run R"))
    assert [(one.name, one.task_id, one.asked_for) for one in first] == [(HOME, "T1", ""), ("own", "T2", "own@1")]
    assert [one.task_id for one in others] == ["T3"]
