"""Tries of steps from their events: begun, ended, repeated, skipped, done in a loop, never seen to end."""

from __future__ import annotations

from doai import topics
from doai.admin.steps import step_tries
from doai.codec import raw
from doai.envelope import Envelope, Message
from doai.errors import ErrorClass, Failure
from doai.ids import Token
from doai.messages.events import StepCompleted, StepFailed, StepStarted, TaskStarted
from doai.store.views import EventView

TOKEN = Token(1, 7)
OF_TASK = {"task_id": "T1", "token": TOKEN, "device_serial": "A1"}
FAILURE = Failure(error_class=ErrorClass.APP, code="not_visible", message="no", step="see")


def started(step: str, number: int = 1, token: Token = TOKEN) -> tuple[str, Message]:
    fields = {**OF_TASK, "token": token}
    return topics.STEP_STARTED, StepStarted(
        **fields, run_id="R", step_id=step, use="ui.tap", try_number=number, label="L"
    )


def passed(step: str, **more: object) -> tuple[str, Message]:
    ended = StepCompleted(**OF_TASK, run_id="R", step_id=step, try_number=1, duration_ms=5, **more)  # type: ignore[arg-type]
    return topics.STEP_COMPLETED, ended


def failed(step: str, number: int = 1, *, retried: bool = False) -> tuple[str, Message]:
    fields = {**OF_TASK, "run_id": "R", "step_id": step, "try_number": number, "duration_ms": 9}
    return topics.STEP_FAILED, StepFailed(**fields, failure=FAILURE, retried=retried)  # type: ignore[arg-type]


def told(*events: tuple[str, Message]) -> list[EventView]:
    begin = TaskStarted(**OF_TASK, run_id="R", attempt=2)
    return [
        EventView(
            position=place,
            recorded_at_ms=0,
            envelope=Envelope(
                event_id=f"E{place}",
                type=kind,
                subject="task/T1",
                source="n/main",
                trace_id="t",
                occurred_at_ms=1000 + place,
                payload=raw(payload),
            ),
        )
        for place, (kind, payload) in enumerate([(topics.TASK_STARTED, begin), *events])
    ]


def test_begin_and_end_make_one_try() -> None:
    [step] = step_tries(told(started("open"), passed("open", outputs={"x": 1})))
    assert (step.attempt, step.token, step.state, step.use, step.label) == (2, "1.7", "passed", "ui.tap", "L")
    assert (step.started_at_ms, step.ended_at_ms, step.duration_ms, step.outputs) == (1001, 1002, 5, {"x": 1})


def test_every_try_is_told() -> None:
    tries = step_tries(told(started("see"), failed("see", retried=True), started("see", 2), failed("see", 2)))
    assert [(step.try_number, step.state, step.retried) for step in tries] == [
        (1, "failed", True),
        (2, "failed", False),
    ]
    assert tries[1].failure is not None
    assert tries[1].failure.code == "not_visible"


def test_a_skipped_step_never_began() -> None:
    [step] = step_tries(told(passed("odd", skipped=True)))
    assert (step.state, step.started_at_ms, step.use) == ("skipped", None, None)


def test_rounds_of_a_loop_and_overlapping_steps_are_kept_apart() -> None:
    tries = step_tries(told(started("a"), started("b"), passed("b"), passed("a"), started("a"), passed("a")))
    assert [(step.step_id, step.state, step.started_at_ms) for step in tries] == [
        ("a", "passed", 1001),
        ("b", "passed", 1002),
        ("a", "passed", 1005),
    ]


def test_an_end_that_was_not_seen() -> None:
    [step] = step_tries(told(started("open", token=Token(1, 8))))
    assert (step.state, step.attempt, step.ended_at_ms) == ("started", None, None)
