"""One attempt that executes: what its sequence decides becomes facts, rows and effects (steps 8 and 10)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from doai import topics
from doai.changes.outbox import DropHeld, HeldRow, PutProgress
from doai.clock import Now
from doai.codec import encode
from doai.envelope import Message
from doai.errors import ErrorClass, Failure
from doai.limits import OUTPUTS_BYTES_MAX
from doai.messages.events import AttemptEnded, StepCompleted, StepFailed, StepStarted, TaskStarted
from doai.messages.work import Dispatch, HoldingState
from doai.node.core import log_lines
from doai.node.core.acts import Act, Begin, CancelTry, Cause, Enter, Finish, FreeDevice, Passed, Skipped, TryFailed
from doai.node.core.effects import CancelStep, Decision, DropTaskFiles, StartStep, StepEnded, TryKey
from doai.node.core.facts import Facts, fit_outputs, fitting
from doai.node.core.rules import Rules
from doai.node.core.sequence import Sequence
from doai.states import Outcome
from doai.workflow.resolve import TaskPlan


class Attempt:
    """A task from its start to its end.

    ``device_freed`` and ``finished`` say how far it is; whoever holds it looks after every call.
    """

    def __init__(
        self, row: HeldRow, dispatch: Dispatch, plan: TaskPlan, rules: Rules, content_id: str, facts: Facts
    ) -> None:
        self.row = row
        self.dispatch = dispatch
        self.device_freed = False
        self.finished: Finish | None = None
        self._plan = plan
        self._rules = rules
        self._content_id = content_id
        self._facts = facts
        self._subject = topics.task_subject(dispatch.task_id)
        self._last_fact: str | None = None
        self._began_s = 0.0
        self._sequence: Sequence

    def begin(self, now: Now, out: Decision) -> None:
        """Start: the fact, the row, and the first steps."""
        d = self.dispatch
        self._began_s = now.mono_s
        self._sequence = Sequence(self._plan, self._rules, timeout_s=d.timeout_s, began_s=now.mono_s)
        self._put(out, state=HoldingState.RUNNING)
        self._tell(
            out,
            now,
            topics.TASK_STARTED,
            TaskStarted(
                task_id=d.task_id,
                run_id=d.run_id,
                token=d.token,
                attempt=d.attempt,
                device_serial=d.device_serial,
            ),
        )
        out.effects.append(log_lines.started(d))
        self._perform(self._sequence.begin(now.mono_s), now, out)

    def step_ended(self, ended: StepEnded, now: Now, random01: float, out: Decision) -> None:
        """A try of a step ended."""
        acts = self._sequence.ended(
            ended.key.step_id,
            ended.key.try_number,
            ended.outputs if ended.failure is None else ended.failure,
            unobserved=ended.unobserved,
            now_s=now.mono_s,
            random01=random01,
        )
        self._perform(acts, now, out)

    def stop(self, cause: Cause, now: Now, out: Decision) -> None:
        """Stop from outside."""
        self._perform(self._sequence.stop(cause, now.mono_s), now, out)

    def tick(self, now: Now, out: Decision) -> None:
        """Let time pass."""
        self._perform(self._sequence.tick(now.mono_s), now, out)

    def due_s(self) -> float | None:
        """Return the time at which `tick` has something to do."""
        return self._sequence.due_s()

    # --- acts -------------------------------------------------------------------------------------------------

    def _perform(self, acts: list[Act], now: Now, out: Decision) -> None:
        for act in acts:
            _PERFORM[type(act)](self, act, now, out)

    def _enter_step(self, act: Enter | Begin, now: Now, out: Decision) -> None:
        d, step = self.dispatch, act.step
        started = StepStarted(
            task_id=d.task_id,
            run_id=d.run_id,
            token=d.token,
            device_serial=d.device_serial,
            step_id=step.id,
            use=step.use,
            try_number=act.try_number,
            label=step.label,
        )
        self._tell(out, now, topics.STEP_STARTED, started)

    def _begin_step(self, act: Begin, now: Now, out: Decision) -> None:
        d, step = self.dispatch, act.step
        self._enter_step(act, now, out)
        if not step.idempotent:
            self._put(out, step_begun=step.id, repeatable=False)
        out.effects.append(
            StartStep(
                key=TryKey(d.task_id, d.token, step.id, act.try_number),
                recipe=step.recipe,
                use=step.use,
                provider=step.provider,
                arguments=act.arguments,
                timeout_s=step.timeout_s,
                act_until_s=self._sequence.act_until_s,
                on_device=step.on_device,
                sensitive=step.sensitive,
                device_serial=d.device_serial,
                run_id=d.run_id,
                trace_id=d.trace_id,
                content_id=self._content_id,
                files=d.files,
            )
        )

    def _skip_step(self, act: Skipped, now: Now, out: Decision) -> None:
        self._completed(out, now, act.step.id, 0, 0, {}, skipped=True)

    def _pass_step(self, act: Passed, now: Now, out: Decision) -> None:
        self._observed(act.step.id, out)
        self._completed(
            out, now, act.step.id, act.try_number, round(act.duration_s * 1000), fit_outputs(act.outputs)
        )

    def _completed(
        self,
        out: Decision,
        now: Now,
        step_id: str,
        try_number: int,
        duration_ms: int,
        outputs: dict[str, Any],
        *,
        skipped: bool = False,
    ) -> None:
        d = self.dispatch
        completed = StepCompleted(
            task_id=d.task_id,
            run_id=d.run_id,
            token=d.token,
            device_serial=d.device_serial,
            step_id=step_id,
            try_number=try_number,
            duration_ms=duration_ms,
            outputs=outputs,
            skipped=skipped,
        )
        self._tell(out, now, topics.STEP_COMPLETED, completed)

    def _fail_step(self, act: TryFailed, now: Now, out: Decision) -> None:
        self._observed(act.step.id, out)
        d = self.dispatch
        failed = StepFailed(
            task_id=d.task_id,
            run_id=d.run_id,
            token=d.token,
            device_serial=d.device_serial,
            step_id=act.step.id,
            try_number=act.try_number,
            duration_ms=round(act.duration_s * 1000),
            failure=fitting(act.failure),
            retried=act.retried,
            optional=act.step.optional,
        )
        self._tell(out, now, topics.STEP_FAILED, failed)
        out.effects.append(log_lines.step_failed(d, failed))

    def _cancel_step(self, act: CancelTry, now: Now, out: Decision) -> None:
        d = self.dispatch
        out.effects.append(CancelStep(TryKey(d.task_id, d.token, act.step.id, act.try_number)))

    def _free_device(self, act: FreeDevice, now: Now, out: Decision) -> None:
        self.device_freed = True

    def _finish(self, act: Finish, now: Now, out: Decision) -> None:
        finish = _within_bounds(act)
        self.finished = finish
        end_attempt(
            self._facts,
            out,
            now,
            self.dispatch,
            finish,
            duration_ms=round((now.mono_s - self._began_s) * 1000),
            causation_id=self._last_fact,
        )

    # --- rows and facts ---------------------------------------------------------------------------------------

    def _observed(self, step_id: str, out: Decision) -> None:
        """The end of this step is known: a crash after this is no longer of unknown effect."""
        if self.row.step_begun == step_id:
            self._put(out, step_begun="", repeatable=True)

    def _put(self, out: Decision, **fields: object) -> None:
        row = self.row = msgspec.structs.replace(self.row, **fields)
        out.ops.append(PutProgress(row.task_id, row.token, row.state, row.step_begun, row.repeatable))

    def _tell(self, out: Decision, now: Now, event_type: str, payload: Message) -> None:
        self._last_fact = self._facts.add(
            out,
            now,
            event_type,
            self._subject,
            payload,
            trace_id=self.dispatch.trace_id,
            causation_id=self._last_fact,
        )


_PERFORM: Final[dict[type, Callable[[Attempt, Any, Now, Decision], None]]] = {
    Begin: Attempt._begin_step,
    Enter: Attempt._enter_step,
    Skipped: Attempt._skip_step,
    Passed: Attempt._pass_step,
    TryFailed: Attempt._fail_step,
    CancelTry: Attempt._cancel_step,
    FreeDevice: Attempt._free_device,
    Finish: Attempt._finish,
}


def end_attempt(
    facts: Facts,
    out: Decision,
    now: Now,
    d: Dispatch,
    finish: Finish,
    *,
    duration_ms: int = 0,
    causation_id: str | None = None,
) -> None:
    """Tell the end of an attempt, and hold it no more; also for one that never began."""
    ended = AttemptEnded(
        task_id=d.task_id,
        run_id=d.run_id,
        token=d.token,
        attempt=d.attempt,
        device_serial=d.device_serial,
        outcome=finish.outcome,
        duration_ms=duration_ms,
        failure=None if finish.failure is None else fitting(finish.failure),
        outputs=finish.outputs,
        released=finish.released,
        repeatable=finish.repeatable,
    )
    facts.add(
        out,
        now,
        topics.ATTEMPT_ENDED,
        topics.task_subject(d.task_id),
        ended,
        trace_id=d.trace_id,
        causation_id=causation_id,
        is_result=True,
    )
    out.effects.append(log_lines.ended(d, finish, duration_ms))
    out.ops.append(DropHeld(d.task_id, d.token))
    out.effects.append(DropTaskFiles(d.task_id, d.token))


def ended_by(failure: Failure, outcome: Outcome = Outcome.FAILED, *, repeatable: bool = True) -> Finish:
    """Return the end of an attempt by a failure outside of its steps."""
    return Finish(outcome=outcome, failure=failure, outputs={}, released=False, repeatable=repeatable)


RELEASED: Final = Finish(outcome=Outcome.CANCELLED, failure=None, outputs={}, released=True, repeatable=True)
"""Given back untouched."""


def _within_bounds(finish: Finish) -> Finish:
    size = len(encode(finish.outputs))
    if size <= OUTPUTS_BYTES_MAX:
        return finish
    failure = finish.failure or Failure(
        error_class=ErrorClass.USER,
        code="outputs_too_large",
        message=f"The outputs of the task have {size} bytes, the bound is {OUTPUTS_BYTES_MAX}: "
        "give smaller values in `outputs` and `report`, and keep large results as artifacts.",
    )
    outcome = Outcome.FAILED if finish.outcome is Outcome.PASSED else finish.outcome
    return msgspec.structs.replace(finish, outcome=outcome, failure=failure, outputs={})
