"""Queues as operators want them: configured, paused, resumed, drained; and how full they are (steps 2 and 4).

Paused: nothing of it is given out; runs come in and wait. Draining: what it has is given out; runs are refused.
Degraded is no state but what is shown while more wait than it is told to bear.
"""

from __future__ import annotations

from typing import Final

import msgspec

from doai import topics
from doai.broker.core.decision import Decision
from doai.broker.core.lanes import Queue
from doai.broker.core.rates import RATE_PER_MIN_MAX, Rate
from doai.broker.core.scheduler import Scheduler
from doai.broker.core.state import State
from doai.changes.queues import PutQueue as PutQueueRow
from doai.changes.queues import QueueRow
from doai.envelope import Envelope
from doai.errors import NotFoundError, UserError
from doai.ids import is_name
from doai.limits import QUEUES_MAX
from doai.messages.queues import (
    DrainQueue,
    PauseQueue,
    PutQueue,
    QueueBacklog,
    QueueChanged,
    QueueStatus,
    ResumeQueue,
)
from doai.states import QUEUE_TABLE, QueueTrigger, move
from doai.workflow.mistakes import did_you_mean

PRIORITY_MAX: Final = 1_000_000
REASON_CHARS_MAX: Final = 500
DEGRADED_ABOVE_MAX: Final = 1_000_000
COUNTS_EVERY_S: Final = 1.0
"""How old the counts in the store may be; a write a second and queue at most."""
_CONFIGURED: Final = ("priority", "degraded_above", "rate_per_min")
_EVENTS: Final = {
    QueueTrigger.PAUSE: topics.QUEUE_PAUSED,
    QueueTrigger.RESUME: topics.QUEUE_RESUMED,
    QueueTrigger.DRAIN: topics.QUEUE_DRAINING,
}


class Queues:
    """Changes queues, and writes how they stand."""

    def __init__(self, state: State, scheduler: Scheduler) -> None:
        self._state = state
        self._scheduler = scheduler
        self._counted_s = 0.0
        """When counts may be written again."""

    # --- what an operator wants ---------------------------------------------------------------------------

    def put(self, decision: Decision, command: Envelope, wish: PutQueue) -> QueueStatus:
        """Make a queue, or change what is given of one."""
        self._check(wish)
        queue = self._state.queues.get(wish.name)
        known = queue.row if queue is not None else None
        before = known or QueueRow(name=wish.name)
        given = {name: getattr(wish, name) for name in _CONFIGURED}
        row = msgspec.structs.replace(before, **{name: value for name, value in given.items() if value is not None})
        if queue is not None and row == before:
            return _status(queue)
        queue = queue or self._state.add_queue(row)
        decision.changed(topics.queue_subject(row.name), _settings(known), _settings(row))
        self._change(decision, command, queue, row, topics.QUEUE_CONFIGURED)
        return _status(queue)

    def pause(self, decision: Decision, command: Envelope, wish: PauseQueue) -> QueueStatus:
        """Give out no task of it any more."""
        return self._move(decision, command, wish.name, QueueTrigger.PAUSE, wish.reason)

    def resume(self, decision: Decision, command: Envelope, wish: ResumeQueue) -> QueueStatus:
        """Give out its tasks and take new runs."""
        return self._move(decision, command, wish.name, QueueTrigger.RESUME, wish.reason)

    def drain(self, decision: Decision, command: Envelope, wish: DrainQueue) -> QueueStatus:
        """Give out what it has and take no new runs."""
        return self._move(decision, command, wish.name, QueueTrigger.DRAIN, wish.reason)

    def _check(self, wish: PutQueue) -> None:
        if not is_name(wish.name):
            raise UserError(f"{wish.name[:80]!r} can not name a queue: use 1-63 of a-z 0-9 . _ -", code="bad_name")
        if wish.name not in self._state.queues and len(self._state.queues) >= QUEUES_MAX:
            raise UserError(f"there are {QUEUES_MAX} queues already: use one of them", code="too_many_queues")
        if wish.priority is not None and abs(wish.priority) > PRIORITY_MAX:
            raise UserError(
                f"priority {wish.priority} is too large: use -{PRIORITY_MAX} to {PRIORITY_MAX}", code="bad_priority"
            )
        if wish.degraded_above is not None and not 1 <= wish.degraded_above <= DEGRADED_ABOVE_MAX:
            raise UserError(
                f"degraded above {wish.degraded_above} tasks can not be: use 1 to {DEGRADED_ABOVE_MAX}",
                code="bad_degraded_above",
            )
        if wish.rate_per_min is not None and not 0 <= wish.rate_per_min <= RATE_PER_MIN_MAX:
            raise UserError(
                f"a rate of {wish.rate_per_min} tasks a minute can not be: use 0 (none) to {RATE_PER_MIN_MAX}",
                code="bad_rate",
            )

    def _move(
        self, decision: Decision, command: Envelope, name: str, trigger: QueueTrigger, reason: str
    ) -> QueueStatus:
        queue = find_queue(self._state, name)
        after = move(QUEUE_TABLE, queue.row.state, trigger, f"queue {name}")
        if after is not queue.row.state:
            row = msgspec.structs.replace(queue.row, state=after, reason=reason[:REASON_CHARS_MAX])
            decision.changed(topics.queue_subject(name), _settings(queue.row), _settings(row))
            self._change(decision, command, queue, row, _EVENTS[trigger])
        return _status(queue)

    def _change(self, decision: Decision, command: Envelope, queue: Queue, row: QueueRow, event_type: str) -> None:
        before, actor = queue.row.state, command.actor or command.source
        row = msgspec.structs.replace(row, changed_at_ms=decision.now.utc_ms, changed_by=actor)
        if row.rate_per_min != queue.row.rate_per_min or (queue.rate is None and row.rate_per_min):
            # A rate after another begins as if that had just been used: two changes give nothing away.
            now_s, fresh = decision.now.mono_s, queue.rate is None
            queue.limit(Rate(row.rate_per_min, now_s, fresh=fresh) if row.rate_per_min else None, now_s)
            if queue.rate is not None:
                self._state.sweep_by(queue.rate.opens_s)
        queue.configure(row)
        self._write(decision, queue)
        told = QueueChanged(
            name=row.name,
            state=row.state,
            before=before,
            priority=row.priority,
            degraded_above=row.degraded_above,
            rate_per_min=row.rate_per_min,
            reason=row.reason,
            actor=actor,
        )
        decision.event(
            event_type,
            topics.queue_subject(row.name),
            told,
            trace_id=command.trace_id,
            causation_id=command.event_id,
            actor=command.actor,
        )
        decision.log("info", f"queue {row.name} is {row.state.value}, priority {row.priority}, by {actor}")
        self._scheduler.mark_queue(queue)

    # --- how they stand -----------------------------------------------------------------------------------

    def due_s(self) -> float | None:
        """Return when counts that have changed are written, or a rate lets the next task go."""
        times = [queue.rate.opens_s for queue in self._state.queues.values() if queue.exhausted and queue.rate]
        if self._state.changed_queues:
            times.append(self._counted_s)
        return min(times, default=None)

    def reopen(self, decision: Decision) -> None:
        """Let tasks go of queues whose rate has room again."""
        for queue in self._state.queues.values():
            if queue.exhausted:
                queue.look_at_rate(decision.now.mono_s)
                if queue.open:
                    self._scheduler.mark_queue(queue)

    def sweep(self, decision: Decision) -> None:
        """Write how queues stand that have changed, and tell of those that are too full or no longer."""
        changed = self._state.changed_queues
        if not changed:
            return
        if decision.now.mono_s < self._counted_s:
            self._state.sweep_by(self._counted_s)
            return
        self._counted_s = decision.now.mono_s + COUNTS_EVERY_S
        for queue in list(changed):
            row = _counted(queue, queue.row)
            if row != queue.row or not queue.stored:
                self._tell_backlog(decision, queue.row.degraded, row)
                queue.row = row
                self._write(decision, queue)
        changed.clear()

    def _tell_backlog(self, decision: Decision, before: bool, row: QueueRow) -> None:
        if row.degraded is before:
            return
        told = QueueBacklog(name=row.name, waiting=row.waiting, degraded_above=row.degraded_above)
        event_type = topics.QUEUE_DEGRADED if row.degraded else topics.QUEUE_RECOVERED
        decision.event(event_type, topics.queue_subject(row.name), told)
        level, text = ("warning", "is degraded") if row.degraded else ("info", "is no longer degraded")
        decision.log(level, f"queue {row.name} {text}: {row.waiting} tasks wait")

    def _write(self, decision: Decision, queue: Queue) -> None:
        queue.stored = True
        decision.ops.append(PutQueueRow(queue.row))


def find_queue(state: State, name: str) -> Queue:
    """Return a queue by its name; raises NotFoundError that names the nearest."""
    queue = state.queues.get(name)
    if queue is None:
        raise NotFoundError(
            f"there is no queue {name[:63]!r}: {did_you_mean(name, state.queues)}", code="queue_not_found"
        )
    return queue


def is_degraded(waiting: int, above: int, before: bool) -> bool:
    """Whether so many waiting tasks are too many; once they are, until a quarter less than that wait."""
    return waiting > (above * 3 // 4 if before else above)


def _counted(queue: Queue, row: QueueRow) -> QueueRow:
    return msgspec.structs.replace(
        row,
        waiting=queue.waiting,
        delayed=queue.delayed,
        held=queue.held,
        degraded=is_degraded(queue.waiting, row.degraded_above, row.degraded),
    )


def _settings(row: QueueRow | None) -> dict[str, object] | None:
    """What an operator decides of a queue, for the audit."""
    if row is None:
        return None
    return {name: getattr(row, name) for name in ("state", "reason", *_CONFIGURED)}


def _status(queue: Queue) -> QueueStatus:
    return QueueStatus(
        name=queue.row.name,
        state=queue.row.state,
        priority=queue.priority,
        waiting=queue.waiting,
        delayed=queue.delayed,
        held=queue.held,
    )
