"""The ends of tasks of bots, as their processes tell them (step 12)."""

from __future__ import annotations

import msgspec

from doai import topics
from doai.broker.core.decision import Decision
from doai.broker.core.results import Results
from doai.broker.core.state import State
from doai.broker.core.tables import Peer
from doai.codec import raw
from doai.envelope import Envelope
from doai.errors import ErrorClass, Failure, UserError
from doai.limits import OUTPUTS_BYTES_MAX
from doai.messages.bots import BotTaskEnded, EndBotTask
from doai.messages.events import AttemptEnded
from doai.messages.link import Role
from doai.states import Outcome, TaskState


class BotEnds:
    """Hears how tasks of bots ended."""

    def __init__(self, state: State, results: Results) -> None:
        self._state = state
        self._results = results

    def end(self, decision: Decision, command: Envelope, wish: EndBotTask) -> BotTaskEnded:
        """A process tells how an attempt ended; a token of an earlier one is nobody's."""
        speaker = decision.speaker
        if speaker is None or speaker.role is not Role.BOT:
            raise UserError("only the bot that holds a task ends it: cancel it instead", code="not_a_bot")
        if wish.outcome is Outcome.EXPIRED:
            raise UserError("a task that began can not expire: say failed or cancelled", code="bad_outcome")
        body = msgspec.json.encode(wish.outputs)
        if len(body) > OUTPUTS_BYTES_MAX:
            raise UserError(f"outputs have at most {OUTPUTS_BYTES_MAX} bytes, not {len(body)}", code="too_large")
        subject = topics.task_subject(wish.task_id)
        task = self._state.tasks.get(wish.task_id)
        if task is None or task.token != wish.token or (task.node or "").partition("/")[0] != speaker.name:
            decision.changed(subject, None, {"taken": False})
            return BotTaskEnded(task_id=wish.task_id, taken=False)
        before = task.state
        now_ms = decision.now.utc_ms
        told = AttemptEnded(
            task_id=task.task_id,
            run_id=task.run.row.run_id,
            token=wish.token,
            attempt=task.attempt,
            device_serial="",
            outcome=wish.outcome,
            duration_ms=max(0, now_ms - (task.started_at_ms or now_ms)),
            failure=wish.failure or _unexplained(wish, speaker),
            outputs=wish.outputs,
            repeatable=wish.outcome is not Outcome.UNKNOWN,
        )
        envelope = Envelope(
            event_id=decision.new_id(),
            type=topics.ATTEMPT_ENDED,
            subject=subject,
            source=speaker.address,
            trace_id=task.run.trace_id,
            occurred_at_ms=command.occurred_at_ms,
            payload=raw(told),
            causation_id=command.event_id,
        )
        self._results.end(decision, task, told, envelope)
        state: TaskState = task.state
        decision.changed(subject, {"state": before}, {"state": state, "outcome": wish.outcome})
        return BotTaskEnded(task_id=wish.task_id, taken=True)


def _unexplained(wish: EndBotTask, speaker: Peer) -> Failure | None:
    if wish.outcome is Outcome.PASSED:
        return None
    return Failure(
        error_class=ErrorClass.APP,
        code="no_reason",
        message=f"{speaker.address} says {wish.outcome.value} without a reason: look at its log",
    )
