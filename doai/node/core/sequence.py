"""The order in which an attempt does its steps: a pure machine over one plan (step 8).

    STEPS --(all ended | nothing new may start)--> ON_FAILURE --> ALWAYS --> DONE

What WORKFLOW.md leaves open is decided here:
- A step whose needs were skipped, or failed and were optional, runs; if it refers to their outputs it fails
  (class user).
- A device step that waits for its next try keeps the device: no other device step runs in between.
- `on_failure` and `always` run one step at a time in file order; the failure of one does not stop the next.
- `on_failure` runs after a failure of a step, not after cancel, time-out of the task, or drain.
- Where a recipe has no `on_failure`, `always` need not wait for uploads and reports: the device is free early.
- A stop that comes after the last of the steps changes nothing: what really happened stays.
"""

from __future__ import annotations

import enum
from typing import Any, Final

import msgspec

from doai.errors import ErrorClass, Failure, StepError
from doai.limits import ALWAYS_GRACE_S
from doai.node.core.acts import Act, Begin, CancelTry, Cause, Finish, FreeDevice, Passed, Skipped, TryFailed
from doai.node.core.rules import Rules
from doai.states import Outcome
from doai.workflow.resolve import PlannedStep, TaskPlan

ON_FAILURE_GRACE_S: Final = ALWAYS_GRACE_S / 2
"""`on_failure` has half of the grace, so that `always` has time whatever hangs."""
REPORT: Final = "report"
"""The step type whose `values` become outputs of the task, whatever comes after it."""


class _Phase(enum.Enum):
    STEPS = "steps"
    ON_FAILURE = "on_failure"
    ALWAYS = "always"
    DONE = "done"
    """Of the device; uploads may go on."""


class _Progress(enum.Enum):
    WAITING = "waiting"
    RUNNING = "running"
    BACKOFF = "backoff"
    ENDED = "ended"


class _Track:
    """Where one step stands."""

    __slots__ = ("began_s", "cancelled", "due_s", "progress", "step", "try_number")

    def __init__(self, step: PlannedStep) -> None:
        self.step = step
        self.progress = _Progress.WAITING
        self.try_number = 0
        self.began_s = 0.0
        self.due_s = 0.0
        self.cancelled = False

    @property
    def open(self) -> bool:
        """It runs or will run again."""
        return self.progress is _Progress.RUNNING or self.progress is _Progress.BACKOFF

    @property
    def ended(self) -> bool:
        return self.progress is _Progress.ENDED


class Sequence:
    """One attempt. Every call returns what follows, in order; after `Finish` nothing more comes."""

    def __init__(self, plan: TaskPlan, rules: Rules, *, timeout_s: float, began_s: float) -> None:
        self._rules = rules
        self._main = [_Track(step) for step in plan.steps]
        self._on_failure = [_Track(step) for step in plan.on_failure]
        self._always = [_Track(step) for step in plan.always]
        self._all = self._main + self._on_failure + self._always
        self._tracks = {track.step.id: track for track in self._all}
        self._phase = _Phase.STEPS
        self._timeout_s = timeout_s
        self._timeout_at_s = began_s + timeout_s
        self._on_failure_until_s = 0.0
        self._cleanup_until_s = 0.0
        self._outputs: dict[str, dict[str, Any]] = {}
        self._reported: dict[str, Any] = {}
        self._failure: Failure | None = None
        self._stopped: Cause | None = None
        self._unknown: Failure | None = None
        self.finished = False

    @property
    def act_until_s(self) -> float:
        """Monotonic time after which nothing of this attempt may begin on the device."""
        return self._timeout_at_s + ALWAYS_GRACE_S

    def begin(self, now_s: float) -> list[Act]:
        """Start what can start."""
        return self._advance(now_s)

    def ended(
        self,
        step_id: str,
        try_number: int,
        result: dict[str, Any] | Failure,
        *,
        unobserved: bool,
        now_s: float,
        random01: float,
    ) -> list[Act]:
        """A try ended; ``random01`` spreads the delay before the next one."""
        track = self._tracks.get(step_id)
        if track is None or track.progress is not _Progress.RUNNING or track.try_number != try_number:
            return []
        if not isinstance(result, Failure):
            result = self._checked(track.step, result)
        if isinstance(result, Failure):
            acts = self._try_failed(track, result, unobserved=unobserved, now_s=now_s, random01=random01)
        else:
            acts = self._passed(track, result, now_s)
        return acts + self._advance(now_s)

    def stop(self, cause: Cause, now_s: float) -> list[Act]:
        """Stop from outside; the first cause counts, but a release overrides every other."""
        if self.finished or self._stopped is Cause.RELEASE:
            return []
        if cause is Cause.RELEASE:
            self._stopped = cause
            return self._cancel(self._all) + self._advance(now_s)
        if self._stopped is not None or self._main_over():
            return []
        self._stopped = cause
        if self._phase is _Phase.STEPS:
            self._cleanup_until_s = self._grace_until_s(now_s)
        return self._cancel(self._main) + self._advance(now_s)

    def tick(self, now_s: float) -> list[Act]:
        """Let time pass: next tries that are due, the task's own time, the graces."""
        acts: list[Act] = []
        if now_s >= self._timeout_at_s:
            acts += self.stop(Cause.TIMEOUT, now_s)
        if self._phase is _Phase.ON_FAILURE and now_s >= self._on_failure_until_s:
            acts += self._cancel(self._on_failure)
        if self._phase is _Phase.ALWAYS and now_s >= self._cleanup_until_s:
            acts += self._cancel(self._always)
        return acts + self._advance(now_s)

    def due_s(self) -> float | None:
        """Return the monotonic time at which `tick` has something to do."""
        if self.finished:
            return None
        times = [track.due_s for track in self._all if track.progress is _Progress.BACKOFF]
        if self._stopped is None and not self._main_over():
            times.append(self._timeout_at_s)
        if self._phase is _Phase.ON_FAILURE and _cancellable(self._on_failure):
            times.append(self._on_failure_until_s)
        if self._phase is _Phase.ALWAYS and _cancellable(self._always):
            times.append(self._cleanup_until_s)
        return min(times, default=None)

    # --- what comes next --------------------------------------------------------------------------------------

    def _halted(self) -> bool:
        return self._failure is not None or self._stopped is not None

    def _main_over(self) -> bool:
        if self._halted():
            return not any(track.progress is _Progress.RUNNING for track in self._main)
        return all(track.ended for track in self._main)

    def _grace_until_s(self, now_s: float) -> float:
        return min(now_s + ALWAYS_GRACE_S, self.act_until_s)

    def _advance(self, now_s: float) -> list[Act]:
        acts: list[Act] = []
        while not self.finished:
            more = self._once(now_s)
            if more is None:
                break
            acts += more
        return acts

    def _once(self, now_s: float) -> list[Act] | None:
        """Do one thing; None = there is nothing to do now."""
        if self._halted():
            for track in self._main:
                if track.progress is _Progress.BACKOFF:
                    track.progress = _Progress.ENDED
        else:
            ready = self._ready(now_s)
            if ready is not None:
                return self._start(ready, now_s)
        if self._stopped is Cause.RELEASE:
            return None if any(track.progress is _Progress.RUNNING for track in self._all) else self._finish()
        return self._once_by_phase(now_s)

    def _once_by_phase(self, now_s: float) -> list[Act] | None:
        if self._phase is _Phase.STEPS:
            return self._leave_steps(now_s)
        if self._phase is _Phase.DONE:
            return self._finish() if self._main_over() else None
        part = self._on_failure if self._phase is _Phase.ON_FAILURE else self._always
        track = next((track for track in part if not track.ended), None)
        if track is not None:
            idle = track.progress is _Progress.WAITING or (
                track.progress is _Progress.BACKOFF and track.due_s <= now_s
            )
            return self._start(track, now_s) if idle else None
        if self._phase is _Phase.ON_FAILURE:
            self._phase = _Phase.ALWAYS
            return []
        self._phase = _Phase.DONE
        return [FreeDevice()]

    def _leave_steps(self, now_s: float) -> list[Act] | None:
        over = self._main_over()
        if over and self._failure is not None and self._stopped is None and self._on_failure:
            self._phase = _Phase.ON_FAILURE
            self._on_failure_until_s = min(now_s + ON_FAILURE_GRACE_S, self.act_until_s)
        elif over or (not self._halted() and not self._on_failure and not self._holds_device()):
            self._phase = _Phase.ALWAYS
        else:
            return None
        if self._stopped is None:
            self._cleanup_until_s = self._grace_until_s(now_s)
        return []

    def _holds_device(self) -> bool:
        return any(track.step.holds_device and not track.ended for track in self._main)

    def _ready(self, now_s: float) -> _Track | None:
        busy = any(track.open and track.step.on_device for track in self._main)
        for track in self._main:
            if track.progress is _Progress.BACKOFF:
                if track.due_s <= now_s:
                    return track
            elif (
                track.progress is _Progress.WAITING
                and not (busy and track.step.on_device)
                and all(self._tracks[need].ended for need in track.step.predecessors)
            ):
                return track
        return None

    def _start(self, track: _Track, now_s: float) -> list[Act]:
        step = track.step
        first = track.try_number == 0
        track.began_s = now_s
        try:
            if first and not self._rules.condition(step.id, self._outputs):
                track.progress = _Progress.ENDED
                return [Skipped(step)]
            arguments = self._rules.arguments(step.id, self._outputs)
        except StepError as error:
            track.try_number += 1
            return self._try_failed(track, error.failure, unobserved=False, now_s=now_s, random01=0.0)
        track.try_number += 1
        track.progress = _Progress.RUNNING
        return [Begin(step, track.try_number, arguments)]

    # --- how tries end ----------------------------------------------------------------------------------------

    def _checked(self, step: PlannedStep, result: dict[str, Any]) -> dict[str, Any] | Failure:
        try:
            unmet = self._rules.unmet(step.id, self._outputs, result)
        except StepError as error:
            return error.failure
        if unmet is None:
            return result
        return Failure(
            error_class=ErrorClass.APP,
            code="expect_not_met",
            message=f"Step {step.id} ended and its outputs do not meet its condition `{unmet}`.",
        )

    def _passed(self, track: _Track, outputs: dict[str, Any], now_s: float) -> list[Act]:
        track.progress = _Progress.ENDED
        self._outputs[track.step.id] = outputs
        if track.step.use == REPORT:
            self._reported.update(outputs.get("values", {}))
        return [Passed(track.step, track.try_number, now_s - track.began_s, outputs)]

    def _try_failed(
        self, track: _Track, failure: Failure, *, unobserved: bool, now_s: float, random01: float
    ) -> list[Act]:
        step = track.step
        failure = msgspec.structs.replace(failure, step=step.id)
        if unobserved and not step.idempotent:
            failure = msgspec.structs.replace(
                failure,
                error_class=ErrorClass.UNKNOWN,
                message=f"{failure.message.rstrip('. ')}; nobody can know whether step {step.id} took effect.",
            )
        in_main = any(track is other for other in self._main)
        over = track.cancelled or (in_main and self._halted())
        delay_s = None if over else step.retry.delay_s(failure.error_class, track.try_number, random01)
        if delay_s is not None:
            track.progress = _Progress.BACKOFF
            track.due_s = now_s + delay_s
        else:
            track.progress = _Progress.ENDED
            if in_main:
                self._note_failure(step, failure)
        return [TryFailed(step, track.try_number, now_s - track.began_s, failure, delay_s is not None)]

    def _note_failure(self, step: PlannedStep, failure: Failure) -> None:
        if failure.error_class is ErrorClass.UNKNOWN and self._stopped is not None and self._unknown is None:
            self._unknown = failure
        if self._stopped is None and self._failure is None and not step.optional:
            self._failure = failure

    def _cancel(self, tracks: list[_Track]) -> list[Act]:
        """Cancel what runs; what has not begun never begins."""
        acts: list[Act] = []
        for track in tracks:
            if track.progress is _Progress.RUNNING:
                if not track.cancelled:
                    track.cancelled = True
                    acts.append(CancelTry(track.step, track.try_number))
            else:
                track.progress = _Progress.ENDED
        return acts

    # --- how the attempt ends ---------------------------------------------------------------------------------

    def _finish(self) -> list[Act]:
        self.finished = True
        freed: list[Act] = [] if self._phase is _Phase.DONE else [FreeDevice()]
        return [*freed, self._result()]

    def _result(self) -> Finish:
        if self._failure is not None:
            return self._ended_by(self._failure)
        if self._stopped is None:
            try:
                outputs = self._rules.results(self._outputs) | self._reported
            except StepError as error:
                return self._ended_by(error.failure)
            return Finish(outcome=Outcome.PASSED, failure=None, outputs=outputs, released=False, repeatable=True)
        if self._unknown is not None and self._stopped in (Cause.TIMEOUT, Cause.DRAIN):
            return self._ended_by(self._unknown)
        if self._stopped is Cause.TIMEOUT:
            return self._ended_by(
                Failure(
                    error_class=ErrorClass.TIMEOUT,
                    code="task_timeout",
                    message=f"The task did not end within its {self._timeout_s:g} s: "
                    "find the slow step, or give the workflow a longer timeout.",
                )
            )
        return Finish(
            outcome=Outcome.CANCELLED,
            failure=None,
            outputs=self._reported,
            released=self._stopped is not Cause.CANCEL,
            repeatable=self._unknown is None,
        )

    def _ended_by(self, failure: Failure) -> Finish:
        unknown = failure.error_class is ErrorClass.UNKNOWN
        return Finish(
            outcome=Outcome.UNKNOWN if unknown else Outcome.FAILED,
            failure=failure,
            outputs=self._reported,
            released=False,
            repeatable=not unknown,
        )


def _cancellable(tracks: list[_Track]) -> bool:
    return any(not track.ended and not track.cancelled for track in tracks)
