"""What the broker is told of a task whose handler has ended (step 14)."""

from __future__ import annotations

import msgspec

from doai.bots.core.work import Ended, Work
from doai.errors import ErrorClass, Failure
from doai.messages.bots import EndBotTask
from doai.states import Outcome


def end_of(work: Work, ended: Ended) -> EndBotTask:
    """Return the command that tells it."""
    assert work.token is not None
    return EndBotTask(
        task_id=work.task_id,
        token=work.token,
        outcome=ended.outcome or (Outcome.FAILED if ended.problem else Outcome.PASSED),
        outputs=msgspec.msgpack.decode(ended.outputs) if ended.outputs is not None else {},
        failure=(ended.failure or _failure_of(ended)) if ended.problem else None,
    )


def _failure_of(ended: Ended) -> Failure:
    return Failure(
        error_class=ErrorClass.USER if ended.permanent else ErrorClass.APP,
        code="handler_failed",
        message=ended.problem,
    )
