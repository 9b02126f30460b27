"""How attempts end that no step decided: a crash, a recipe that can not be executed, lateness (step 7)."""

from __future__ import annotations

from doai.changes.outbox import HeldRow
from doai.errors import NODE_RESTARTED, ErrorClass, Failure, StepError
from doai.messages.work import Dispatch
from doai.node.core.acts import Finish
from doai.node.core.attempt import ended_by
from doai.states import Outcome
from doai.workflow.mistakes import ParameterError


def end_of_crash(row: HeldRow) -> Finish:
    """Return the end of an attempt during which the process ended."""
    if row.repeatable:
        return ended_by(
            Failure(
                error_class=ErrorClass.INFRASTRUCTURE,
                code=NODE_RESTARTED,
                message="The node's process ended while the task ran; the attempt is not resumed.",
            )
        )
    failure = Failure(
        error_class=ErrorClass.UNKNOWN,
        code=NODE_RESTARTED,
        message=f"The node's process ended while step {row.step_begun} ran, which must not be repeated blindly: "
        "look at the device, then retry the task or leave it.",
        step=row.step_begun,
    )
    return ended_by(failure, Outcome.UNKNOWN, repeatable=False)


def refusal(error: StepError | ParameterError) -> Failure:
    """Return why a task can not be executed here."""
    if isinstance(error, StepError):
        return error.failure
    return Failure(error_class=ErrorClass.USER, code=error.code, message=str(error))


def expired(d: Dispatch) -> Finish:
    """Return the end of a task that was not begun in time."""
    within_s = d.begin_within_s or 0.0
    failure = Failure(
        error_class=ErrorClass.TIMEOUT,
        code="not_begun_in_time",
        message=f"Device {d.device_serial} was not free within {within_s:g} s after the node received the task.",
    )
    return ended_by(failure, Outcome.EXPIRED)
