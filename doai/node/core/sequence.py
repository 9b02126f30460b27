"""The order in which an attempt does its steps: a pure machine over one plan (step 8).

    STEPS --(all ended | nothing new may start)--> ON_FAILURE --> ALWAYS --> DONE

What recipes leave open is decided here:
- A step whose needs were skipped, or failed and were optional, runs; if it refers to their outputs it fails
  (class user).
- A device step that waits for its next try keeps the device: no other device step runs in between.
- `on_failure` and `always` run one step at a time in file order; the failure of one does not stop the next.
- `on_failure` runs after a failure of a step, not after cancel, time-out of the task, or drain.
- Where a recipe has no `on_failure`, `always` need not wait for uploads and reports: the device is free early.
- A stop that comes after the last of the steps changes nothing: what really happened stays.
- A step that is made of steps (a loop, a called workflow) has a machine of its own inside: its steps are
  ``loop[2]/tap`` and ``login/tap``, and what this one is told of them it passes on. A called workflow's
  `on_failure` and `always` end the call, also when the attempt is stopped; they have half of the grace around them.
"""

from __future__ import annotations

import enum
import re
from typing import Any, Final

import msgspec

from doai.errors import ErrorClass, Failure, StepError
from doai.limits import ALWAYS_GRACE_S
from doai.node.core.acts import Act, Begin, CancelTry, Cause, Enter, FreeDevice, Passed, Skipped, TryFailed
from doai.node.core.ready import Unended, next_ready
from doai.node.core.rounds import Rounds
from doai.node.core.rules import Rules
from doai.node.core.tracks import (
    BACKOFF,
    ENDED,
    RUNNING,
    WAITING,
    Common,
    Inside,
    Place,
    Track,
    cancellable,
)
from doai.node.core.verdict import Verdict, as_unknown, step_timeout, task_timeout
from doai.workflow.flow_steps import CALL
from doai.workflow.resolve import Block, PlannedStep, TaskPlan

ON_FAILURE_GRACE_S: Final = ALWAYS_GRACE_S / 2
"""`on_failure` has half of the grace, so that `always` has time whatever hangs."""
REPORT: Final = "report"
"""The step type whose `values` become outputs of the task, whatever comes after it."""
_NAME_END: Final = re.compile(r"[\[/]")
"""In ``loop[2]/tap`` and ``login/tap``: where the id of the outermost step ends."""


class _Phase(enum.Enum):
    STEPS = 1
    ON_FAILURE = 2
    ALWAYS = 3
    DONE = 4  # of the device; uploads may go on


class Sequence:
    """One attempt, or what is inside a step of it. Every call returns what follows, in order.

    After `Finish` nothing more comes; inside a step `result` says the end instead.
    """

    def __init__(
        self, plan: TaskPlan, rules: Rules, *, timeout_s: float, began_s: float, place: Place | None = None
    ) -> None:
        self._rules = rules
        self._place = place or Place(Common(began_s + timeout_s + ALWAYS_GRACE_S), timeout=task_timeout(timeout_s))
        self._common = self._place.common
        self._main = [Track(step) for step in plan.steps]
        self._on_failure = [Track(step) for step in plan.on_failure]
        self._always = [Track(step) for step in plan.always]
        self._all = self._main + self._on_failure + self._always
        self._tracks = {track.step.id: track for track in self._all}
        self._unended = Unended(self._main)
        self._phase = _Phase.STEPS
        self._timeout_at_s = began_s + timeout_s
        self._on_failure_until_s = 0.0
        self._cleanup_until_s = 0.0
        self.outputs = dict(self._place.outputs)
        """Of the steps that passed, and of those around this sequence, by id."""
        self._verdict = Verdict()
        self.finished = False
        self.result: dict[str, Any] | Failure | None = None
        """Inside a step: how it ended."""

    @property
    def act_until_s(self) -> float:
        """Monotonic time after which nothing of this attempt may begin on the device."""
        return self._common.act_until_s

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
        self._common.random01 = random01
        track = self._track_of(step_id)
        if track is None or track.progress is not RUNNING:
            return []
        if track.inside is not None:
            acts = track.inside.ended(
                step_id, try_number, result, unobserved=unobserved, now_s=now_s, random01=random01
            )
            return acts + self._left(track, now_s) + self._advance(now_s)
        if track.try_number != try_number or self._path(track) != step_id:
            return []
        if not isinstance(result, Failure):
            result = self._checked(track.step, result)
        if isinstance(result, Failure):
            acts = self._try_failed(track, result, unobserved=unobserved, now_s=now_s)
        else:
            acts = self._passed(track, result, now_s)
        return acts + self._advance(now_s)

    def stop(self, cause: Cause, now_s: float) -> list[Act]:
        """Stop from outside; the first cause counts, but for a halt, and a release overrides every other."""
        if self.finished or self._verdict.stopped is Cause.RELEASE:
            return []
        if cause is Cause.RELEASE:
            self._verdict.stopped = cause
            return self._cancel(self._all, cause, now_s) + self._advance(now_s)
        if self._verdict.stopped not in (None, Cause.HALT) or self._main_over():
            return []
        if cause is Cause.HALT:
            self._verdict.stopped = cause
            return self._halt_inside(now_s) + self._advance(now_s)
        self._verdict.stopped = cause
        if self._phase is _Phase.STEPS:
            self._cleanup_until_s = self._grace_until_s(now_s)
        return self._cancel(self._main, cause, now_s) + self._advance(now_s)

    def tick(self, now_s: float) -> list[Act]:
        """Let time pass: next tries that are due, the task's own time, the graces."""
        acts: list[Act] = []
        if now_s >= self._timeout_at_s:
            acts += self.stop(Cause.TIMEOUT, now_s)
        if self._phase is _Phase.ON_FAILURE and now_s >= self._on_failure_until_s:
            acts += self._cancel(self._on_failure, Cause.TIMEOUT, now_s)
        if self._phase is _Phase.ALWAYS and now_s >= self._cleanup_until_s:
            acts += self._cancel(self._always, Cause.TIMEOUT, now_s)
        for track in self._all:
            if track.inside is not None:
                acts += track.inside.tick(now_s) + self._left(track, now_s)
        return acts + self._advance(now_s)

    def due_s(self) -> float | None:
        """Return when `tick` has something to do."""
        if self.finished:
            return None
        times: list[float] = []
        for track in self._all:
            if track.progress is BACKOFF:
                times.append(track.due_s)
            elif track.inside and (due_s := track.inside.due_s()) is not None:
                times.append(due_s)
        if self._verdict.stopped in (None, Cause.HALT) and not self._main_over():
            times.append(self._timeout_at_s)
        if self._phase is _Phase.ON_FAILURE and cancellable(self._on_failure):
            times.append(self._on_failure_until_s)
        if self._phase is _Phase.ALWAYS and cancellable(self._always):
            times.append(self._cleanup_until_s)
        return min(times, default=None)

    # --- what comes next --------------------------------------------------------------------------------------

    def _halted(self) -> bool:
        return self._verdict.failure is not None or self._verdict.stopped is not None

    def _main_over(self) -> bool:
        left = self._unended.left()
        return not (left and (not self._halted() or any(track.progress is RUNNING for track in left)))

    def _grace_until_s(self, now_s: float) -> float:
        return self._place.grace_until_s(now_s, ALWAYS_GRACE_S)

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
                if track.progress is BACKOFF:
                    track.progress = ENDED
        else:
            ready = next_ready(self._unended.left(), self._tracks, now_s)
            if ready is not None:
                return self._start(ready, now_s)
        if self._verdict.stopped is Cause.RELEASE:
            return None if any(track.progress is RUNNING for track in self._all) else self._finish()
        return self._once_by_phase(now_s)

    def _once_by_phase(self, now_s: float) -> list[Act] | None:
        if self._phase is _Phase.STEPS:
            return self._leave_steps(now_s)
        if self._phase is _Phase.DONE:
            return self._finish() if self._main_over() else None
        part = self._on_failure if self._phase is _Phase.ON_FAILURE else self._always
        track = next((track for track in part if not track.ended), None)
        if track is not None:
            idle = track.progress is WAITING or (track.progress is BACKOFF and track.due_s <= now_s)
            return self._start(track, now_s) if idle else None
        if self._phase is _Phase.ON_FAILURE:
            self._phase = _Phase.ALWAYS
            return []
        self._phase = _Phase.DONE
        return [] if self._place.depth else [FreeDevice()]

    def _leave_steps(self, now_s: float) -> list[Act] | None:
        over = self._main_over()
        if over and self._verdict.failure is not None and self._verdict.stopped is None and self._on_failure:
            self._phase = _Phase.ON_FAILURE
            self._on_failure_until_s = self._place.grace_until_s(now_s, ON_FAILURE_GRACE_S)
        elif over or (not self._halted() and not self._on_failure and not self._holds_device()):
            self._phase = _Phase.ALWAYS
        else:
            return None
        if self._verdict.stopped in (None, Cause.HALT):
            self._cleanup_until_s = self._grace_until_s(now_s)
        return []

    def _holds_device(self) -> bool:
        for track in self._unended.left():  # noqa: SIM110 - a plain loop: mostly the first of them does
            if track.step.holds_device and track.progress is not ENDED:
                return True
        return False

    def _start(self, track: Track, now_s: float) -> list[Act]:
        step = track.step
        track.began_s = now_s
        try:
            self._common.take_room()
            if track.tries == 0 and not self._rules.condition(step.id, self.outputs):
                track.progress = ENDED
                return [Skipped(self._shown(track))]
            arguments = self._rules.arguments(step.id, self.outputs)
            inside = None if step.block is None else self._inside(track, step.block, arguments, now_s)
        except StepError as error:
            self._count(track)
            return self._try_failed(track, error.failure, unobserved=False, now_s=now_s)
        self._count(track)
        track.progress = RUNNING
        if inside is None:
            return [Begin(self._shown(track), track.try_number, arguments)]
        track.inside = inside
        return [Enter(self._shown(track), track.try_number), *inside.begin(now_s), *self._left(track, now_s)]

    def _count(self, track: Track) -> None:
        track.tries += 1
        track.try_number = self._common.next_try(self._path(track))

    # --- steps made of steps ----------------------------------------------------------------------------------

    def _path(self, track: Track) -> str:
        return self._place.prefix + track.step.id

    def _shown(self, track: Track) -> PlannedStep:
        """Return the step as the rest of the world knows it."""
        return msgspec.structs.replace(track.step, id=self._path(track)) if self._place.depth else track.step

    def _track_of(self, step_id: str) -> Track | None:
        prefix = self._place.prefix
        if not prefix and (track := self._tracks.get(step_id)) is not None:
            return track
        if not step_id.startswith(prefix):
            return None
        return self._tracks.get(_NAME_END.split(step_id[len(prefix) :], maxsplit=1)[0])

    def _inside(self, track: Track, block: Block, arguments: dict[str, Any], now_s: float) -> Inside:
        step, path = track.step, self._path(track)
        timeout = step_timeout(path, step)

        def sequence(rules: Rules, prefix: str, outputs: dict[str, dict[str, Any]]) -> Sequence:
            place = self._place.inside(prefix, outputs, timeout)
            return Sequence(block.plan, rules, timeout_s=step.timeout_s, began_s=now_s, place=place)

        if step.use == CALL:
            return sequence(self._rules.called(step.id, arguments), f"{path}/", {})
        around = dict(self.outputs)
        return Rounds(
            path,
            step,
            block,
            arguments,
            self._rules,
            lambda number: sequence(self._rules.round(number), f"{path}[{number}]/", around),
            began_s=now_s,
            timeout=timeout,
        )

    def _left(self, track: Track, now_s: float) -> list[Act]:
        """Take the end of what was inside a step, if it has ended."""
        if track.inside is None or (result := track.inside.result) is None:
            return []
        track.inside = None
        if not isinstance(result, Failure):
            result = self._checked(track.step, result)
        if isinstance(result, Failure):
            return self._try_failed(track, result, unobserved=False, now_s=now_s)
        return self._passed(track, result, now_s)

    def _halt_inside(self, now_s: float) -> list[Act]:
        acts: list[Act] = []
        for track in self._main:
            if track.inside:
                acts += track.inside.stop(Cause.HALT, now_s) + self._left(track, now_s)
        return acts

    # --- how tries end ----------------------------------------------------------------------------------------

    def _checked(self, step: PlannedStep, result: dict[str, Any]) -> dict[str, Any] | Failure:
        try:
            unmet = self._rules.unmet(step.id, self.outputs, result)
        except StepError as error:
            return error.failure
        if unmet is None:
            return result
        return Failure(
            error_class=ErrorClass.APP,
            code="expect_not_met",
            message=f"Step {self._place.prefix}{step.id} ended and its outputs do not meet `{unmet}`.",
        )

    def _passed(self, track: Track, outputs: dict[str, Any], now_s: float) -> list[Act]:
        track.progress = ENDED
        self.outputs[track.step.id] = outputs
        if track.step.use == REPORT:
            self._common.reported.update(outputs.get("values", {}))
        return [Passed(self._shown(track), track.try_number, now_s - track.began_s, outputs)]

    def _try_failed(self, track: Track, failure: Failure, *, unobserved: bool, now_s: float) -> list[Act]:
        step, path = track.step, self._path(track)
        if step.block is None or failure.step is None or not failure.step.startswith(path):
            # Else it is the step inside of it that failed.
            failure = msgspec.structs.replace(failure, step=path)
        if unobserved and not step.idempotent:
            failure = as_unknown(failure, path)
        in_main = any(track is other for other in self._main)
        over = track.cancelled or (in_main and self._halted())
        delay_s = None if over else step.retry.delay_s(failure.error_class, track.tries, self._common.random01)
        acts: list[Act] = [
            TryFailed(self._shown(track), track.try_number, now_s - track.began_s, failure, delay_s is not None)
        ]
        if delay_s is not None:
            track.progress = BACKOFF
            track.due_s = now_s + delay_s
            return acts
        track.progress = ENDED
        if in_main:
            self._verdict.note(step, failure)
            if self._verdict.failure is not None:
                acts += self._halt_inside(now_s)
        return acts

    def _cancel(self, tracks: list[Track], cause: Cause, now_s: float) -> list[Act]:
        """Cancel what runs; what has not begun never begins."""
        acts: list[Act] = []
        for track in tracks:
            if track.progress is not RUNNING:
                track.progress = ENDED
            elif track.inside is not None:
                track.cancelled = True
                acts += track.inside.stop(cause, now_s) + self._left(track, now_s)
            elif not track.cancelled:
                track.cancelled = True
                acts.append(CancelTry(self._shown(track), track.try_number))
        return acts

    # --- how the attempt ends ---------------------------------------------------------------------------------

    def _finish(self) -> list[Act]:
        self.finished = True
        finish = self._verdict.finish(lambda: self._rules.results(self.outputs), self._place)
        if self._place.depth:
            self.result = self._verdict.result(finish, self._place)
            return []
        freed: list[Act] = [] if self._phase is _Phase.DONE else [FreeDevice()]
        return [*freed, finish]
