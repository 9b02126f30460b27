"""What every change of a task has in common: its state by the table, its end, the end of its run (steps 4, 12)."""

from __future__ import annotations

from typing import Final

import msgspec

from doai import topics
from doai.broker.core.bounds import Gate
from doai.broker.core.dead_letters import DeadLetters
from doai.broker.core.deadlines import Due
from doai.broker.core.decision import Decision
from doai.broker.core.scheduler import Scheduler
from doai.broker.core.state import State
from doai.broker.core.statistics import Statistics
from doai.broker.core.tables import Run, Task
from doai.broker.core.usage import attempt_used, task_used
from doai.changes.ops import InsertAttempt, UpdateRun
from doai.changes.rows import AttemptRow
from doai.changes.runs import StopRun
from doai.errors import ErrorClass, Failure
from doai.messages.events import RunCompleted, RunStopped, TaskQueued, TaskStatus
from doai.messages.work import TaskRef
from doai.reasons import reason as because
from doai.states import (
    RUN_TABLE,
    TASK_TABLE,
    TERMINAL,
    Outcome,
    RunState,
    RunTrigger,
    TaskState,
    TaskTrigger,
    move,
)

_PRECEDENCE: Final = (Outcome.FAILED, Outcome.UNKNOWN, Outcome.EXPIRED, Outcome.CANCELLED)
"""A run that did not pass has the first of these that one of its tasks has: what a person must look at first."""
_WORDS: Final = {
    TaskState.CANCELLED: topics.TASK_CANCELLED,
    TaskState.EXPIRED: topics.TASK_EXPIRED,
    TaskState.UNKNOWN: topics.TASK_UNKNOWN,
    TaskState.UNPROVEN: topics.TASK_UNPROVEN,
    TaskState.CANCELLING: topics.TASK_CANCELLING,
    TaskState.FAILED: topics.TASK_FAILED,
    TaskState.QUEUED: topics.TASK_RELEASED,
    TaskState.DELAYED: topics.TASK_RETRIED,
}


class Tasks:
    """Moves tasks from state to state; whoever calls it has said in the event log why, or lets `say` do it."""

    def __init__(self, state: State, scheduler: Scheduler, statistics: Statistics, letters: DeadLetters) -> None:
        self._state = state
        self._scheduler = scheduler
        self._statistics = statistics
        self._letters = letters

    def move(self, decision: Decision, task: Task, trigger: TaskTrigger) -> None:
        """Move it by the table; a terminal state is its end."""
        task.move(trigger)
        decision.touch(task)
        if task.state in TERMINAL:
            self._end(decision, task)

    def allows(self, task: Task, trigger: TaskTrigger) -> bool:
        """Whether the table has the trigger for its state."""
        return trigger in TASK_TABLE[task.state]

    def say(self, decision: Decision, task: Task, event_type: str, reason: str) -> None:
        """Write the broker's own event about a task that it has just moved."""
        decision.task_event(
            event_type,
            task,
            TaskStatus(
                task_id=task.task_id,
                run_id=task.run.row.run_id,
                state=task.state.value,
                reason=reason,
                token=task.token,
                failure=task.failure,
            ),
        )

    def decide(self, decision: Decision, task: Task, trigger: TaskTrigger, reason: str) -> None:
        """Move a task by the broker's own decision and say so."""
        task.reason = reason
        before, token = task.state, task.token
        task.move(trigger)
        decision.touch(task)
        if task.state is not before:
            self.say(decision, task, _WORDS[task.state], reason)
        if task.state in TERMINAL:
            task.token = token
            self._end(decision, task)

    def queue(self, decision: Decision, task: Task) -> None:
        """Put a task at the end of its FIFO, and say so; its state is QUEUED already."""
        device, run = task.device, task.run.row
        task.order = decision.task_event(
            topics.TASK_QUEUED,
            task,
            TaskQueued(
                task_id=task.task_id,
                run_id=run.run_id,
                queue=run.queue,
                device_serial=device.serial if device is not None else None,
                attempt=task.attempt,
            ),
        )
        task.reason = self._scheduler.waiting_reason(task)
        self._scheduler.enqueue(task)

    def close_attempt(
        self, decision: Decision, task: Task, outcome: Outcome | None, failure: Failure | None = None
    ) -> None:
        """Its holder has it no more: write the attempt, free device and holder."""
        token = task.token
        assert token is not None
        decision.ops.append(
            InsertAttempt(
                AttemptRow(
                    task_id=task.task_id,
                    token=token,
                    attempt=task.attempt,
                    node_id=task.node or "",
                    device_serial=task.device.serial if task.device is not None else "",
                    dispatched_at_ms=task.dispatched_at_ms or 0,
                    started_at_ms=task.started_at_ms,
                    ended_at_ms=decision.now.utc_ms,
                    outcome=outcome,
                    failure=failure,
                )
            )
        )
        attempt_used(decision, task, outcome)
        self._scheduler.free(task)
        task.lost = False
        task.unsure = False

    def released(self, decision: Decision, task: Task) -> None:
        """Its holder gave it back untouched: it keeps its place, no attempt is burned (state QUEUED already)."""
        task.token = task.node = None
        task.dispatched_at_ms = task.started_at_ms = None
        task.reason = ""
        if task.run.gate is not None:
            task.run.gate.tried_open -= not task.tried
        self._scheduler.unbind(task)
        if task.run.stopped:
            self.decide(decision, task, TaskTrigger.CANCEL, because("run_stopped", why=task.run.stopped))
            return
        self._scheduler.enqueue(task)
        if task.run.needs:
            task.reason = self._scheduler.waiting_reason(task)
        self._expire_in_time(decision, task)

    def retry_delay_s(self, decision: Decision, task: Task, error_class: ErrorClass) -> float | None:
        """Return how long the next attempt waits, or None when there is none."""
        last = task.attempt >= task.run.row.attempts_max or task.run.stopped
        if last or not self.allows(task, TaskTrigger.RETRY):
            return None
        rule = self._state.recipes.by_hash(task.run.recipe_hash).retry
        rule = msgspec.structs.replace(rule, attempts=task.run.row.attempts_max)
        # 52 bits of a trace id are as random as anything the core may have.
        random01 = int(decision.ids.new_trace_id()[:13], 16) / 2**52
        return rule.delay_s(error_class, task.attempt, random01)

    def delay(self, decision: Decision, task: Task, delay_s: float) -> None:
        """Let the next attempt wait (state DELAYED already): it joins the end of its FIFO then."""
        task.attempt += 1
        task.token = task.node = None
        task.dispatched_at_ms = task.started_at_ms = None
        task.not_before_ms = decision.now.utc_ms + round(delay_s * 1000)
        most, seconds = task.run.row.attempts_max, f"{delay_s:.0f}"
        task.reason = because("attempt_follows", attempt=task.attempt, most=most, seconds=seconds)
        self._scheduler.unbind(task)
        self._state.deadlines.add(decision.now.mono_s + delay_s, Due.RETRY, task)

    def due(self, decision: Decision, task: Task) -> None:
        """The delay is over."""
        task.not_before_ms = None
        self.move(decision, task, TaskTrigger.DUE)
        self.queue(decision, task)
        self._expire_in_time(decision, task)

    def _expire_in_time(self, decision: Decision, task: Task) -> None:
        # Its time may have come while a node held it, when only the node could tell. Until then its entry is there.
        if task.expires_s is not None and task.expires_s <= decision.now.mono_s:
            self._state.deadlines.add(task.expires_s, Due.EXPIRE, task)

    def lose(self, decision: Decision, task: Task, failure: Failure, reason: str) -> None:
        """The holder will not tell how an attempt ended: the next attempt, or the end of the task."""
        delay_s = self.retry_delay_s(decision, task, failure.error_class)
        unknown = failure.error_class is ErrorClass.UNKNOWN
        self.close_attempt(decision, task, Outcome.UNKNOWN if unknown else Outcome.FAILED, failure)
        task.failure = failure
        if delay_s is not None:
            self.decide(decision, task, TaskTrigger.RETRY, reason)
            self.delay(decision, task, delay_s)
        else:
            trigger = TaskTrigger.GIVE_UP if unknown else TaskTrigger.FAIL
            if not unknown and task.state is TaskState.CANCELLING:
                trigger = TaskTrigger.CONFIRM_CANCEL
            self.decide(decision, task, trigger, reason)

    def cancel(self, decision: Decision, task: Task, reason: str) -> None:
        """Make the wish to cancel an open task durable; its holder is asked where it has one."""
        held = task.token is not None
        self.decide(decision, task, TaskTrigger.CANCEL, reason or because("cancelled"))
        if held:
            self.ask_to_cancel(decision, task)

    def ask_to_cancel(self, decision: Decision, task: Task) -> None:
        """Tell the holder, if it is there; if not, it is told when it comes back."""
        node = self._state.nodes.get(task.node or "") or self._state.peers.get(task.node or "")
        if node is not None and task.token is not None:
            decision.cancel(node, TaskRef(task.task_id, task.token))

    def _end(self, decision: Decision, task: Task) -> None:
        run = task.run
        task.ended_at_ms = decision.now.utc_ms
        task.not_before_ms = None
        self._statistics.task_ended(decision, task)
        self._letters.task_ended(decision, task)
        task_used(decision, task, task.state)
        del self._state.tasks[task.task_id]
        del run.open[task.task_id]
        outcome = task.state.value
        run.counts[outcome] = run.counts.get(outcome, 0) + 1
        if not run.open:
            self._complete(decision, run)
        elif run.gate is not None:
            run.gate.tried_open -= task.tried
            self._scheduler.reopen(run)
            self._judge(decision, run, run.gate)

    def _judge(self, decision: Decision, run: Run, gate: Gate) -> None:
        """Stop a run of which too much failed: what waits ends as cancelled, what nodes hold goes on."""
        why = gate.stops_because()
        if not why or run.stopped:
            return
        run.stopped = why
        decision.ops.append(StopRun(run.row.run_id, why))
        decision.event(
            topics.RUN_STOPPED,
            topics.run_subject(run.row.run_id),
            RunStopped(run_id=run.row.run_id, reason=why, counts=dict(run.counts)),
            trace_id=run.trace_id,
        )
        decision.log("warning", f"the run is stopped: {why}", {"run_id": run.row.run_id})
        for task in list(run.open.values()):
            if task.state in (TaskState.QUEUED, TaskState.DELAYED):
                self.decide(decision, task, TaskTrigger.CANCEL, because("run_stopped", why=why))

    def _complete(self, decision: Decision, run: Run) -> None:
        run.state = move(RUN_TABLE, run.state, RunTrigger.COMPLETE, f"run {run.row.run_id}")
        outcome = outcome_of_run(run.counts)
        row = run.row
        decision.ops.append(UpdateRun(row.run_id, RunState.COMPLETED, outcome, decision.now.utc_ms))
        decision.event(
            topics.RUN_COMPLETED,
            topics.run_subject(row.run_id),
            RunCompleted(
                run_id=row.run_id,
                workflow=run.title,
                outcome=outcome,
                counts=dict(run.counts),
            ),
            trace_id=row.trace_id,
        )
        del self._state.runs[row.run_id]
        self._state.campaigns.run_ended(row.run_id)
        self._scheduler.forget(run)


def outcome_of_run(counts: dict[str, int]) -> Outcome:
    """Return passed only if all tasks passed; else the first of failed, unknown, expired, cancelled there is."""
    for outcome in _PRECEDENCE:
        if counts.get(outcome.value):
            return outcome
    return Outcome.PASSED
