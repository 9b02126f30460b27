"""What an attempt, or what is inside a step of it, comes to: passed, failed, cancelled, unknown (step 8)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from doai.errors import ErrorClass, Failure, StepError
from doai.node.core.acts import Cause, Finish
from doai.node.core.tracks import Place
from doai.states import Outcome
from doai.workflow.resolve import PlannedStep


class Verdict:
    """Collects what decides the end: the first failure, the first stop, and what nobody can know."""

    __slots__ = ("failure", "stopped", "unknown")

    def __init__(self) -> None:
        self.failure: Failure | None = None
        self.stopped: Cause | None = None
        self.unknown: Failure | None = None

    def note(self, step: PlannedStep, failure: Failure) -> None:
        """Note that a step failed for good."""
        if failure.error_class is ErrorClass.UNKNOWN and self.stopped is not None and self.unknown is None:
            self.unknown = failure
        if self.stopped is None and self.failure is None and not step.optional:
            self.failure = failure

    def finish(self, results: Callable[[], dict[str, Any]], place: Place) -> Finish:
        """Return the end; ``results`` are the outputs of what passed, and may raise StepError."""
        reported = place.common.reported
        if self.failure is not None:
            return _ended_by(self.failure, reported)
        if self.stopped is None:
            try:
                outputs = results() | ({} if place.depth else reported)
            except StepError as error:
                return _ended_by(error.failure, reported)
            return Finish(outcome=Outcome.PASSED, failure=None, outputs=outputs, released=False, repeatable=True)
        if self.unknown is not None and self.stopped in (Cause.TIMEOUT, Cause.DRAIN):
            return _ended_by(self.unknown, reported)
        if self.stopped is Cause.TIMEOUT:
            return _ended_by(place.timeout, reported)
        return Finish(
            outcome=Outcome.CANCELLED,
            failure=None,
            outputs=reported,
            released=self.stopped is not Cause.CANCEL,
            repeatable=self.unknown is None,
        )

    def result(self, finish: Finish, place: Place) -> dict[str, Any] | Failure:
        """Return the end as the step around it sees it."""
        if finish.outcome is Outcome.PASSED:
            return finish.outputs
        return finish.failure or self.unknown or cut_short(place.prefix.rstrip("/"))


def as_unknown(failure: Failure, path: str) -> Failure:
    """Return the failure of a step that must not be repeated blindly, and whose end nobody saw."""
    return msgspec.structs.replace(
        failure,
        error_class=ErrorClass.UNKNOWN,
        message=f"{failure.message.rstrip('. ')}; nobody can know whether step {path} took effect.",
    )


def task_timeout(timeout_s: float) -> Failure:
    """Return the failure of an attempt whose time is over."""
    return Failure(
        error_class=ErrorClass.TIMEOUT,
        code="task_timeout",
        message=f"The task did not end within its {timeout_s:g} s: "
        "find the slow step, or give the workflow a longer timeout.",
    )


def step_timeout(path: str, step: PlannedStep) -> Failure:
    """Return the failure of a step that is made of steps and whose time is over."""
    return Failure(
        error_class=ErrorClass.TIMEOUT,
        code="step_timeout",
        message=f"Step {path} ({step.use}) did not end within {step.timeout_s:g} s: "
        "find what is slow inside of it, or give it a longer timeout.",
        step=path,
    )


def cut_short(path: str) -> Failure:
    """Return the failure of a step that is made of steps and was stopped."""
    return Failure(
        error_class=ErrorClass.CANCELLED,
        code="step_cancelled",
        message=f"Step {path} was stopped before its end.",
        step=path,
    )


def _ended_by(failure: Failure, outputs: dict[str, Any]) -> Finish:
    unknown = failure.error_class is ErrorClass.UNKNOWN
    return Finish(
        outcome=Outcome.UNKNOWN if unknown else Outcome.FAILED,
        failure=failure,
        outputs=outputs,
        released=False,
        repeatable=not unknown,
    )
