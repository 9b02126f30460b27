"""Throwing away what waits in a queue: confirmed, then in slices beside the work, also over a restart (steps 2, 4).

From the answer on nothing of it is given out. Tasks that come later, and those that nodes hold, are not touched.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import msgspec

from doai import topics
from doai.broker.core.confirmations import KEPT_S, Confirmations, select
from doai.broker.core.decision import Decision
from doai.broker.core.effects import GoOn
from doai.broker.core.lanes import Queue
from doai.broker.core.queues import REASON_CHARS_MAX, find_queue
from doai.broker.core.state import State
from doai.broker.core.tables import Task
from doai.broker.core.tasks import Tasks
from doai.changes.queues import PutQueue
from doai.clock import Now
from doai.envelope import Envelope
from doai.messages.queues import DiscardQueue, QueueDiscarded, QueueDiscardedEvent
from doai.reasons import reason as because
from doai.states import TaskState, TaskTrigger

SLICE: Final = 100
"""Tasks that end in one decision: some 300 changes of the store."""
PAUSE_S: Final = 0.005
"""From a slice that is on disk to the next, so that everybody else is heard too."""
_WAITING: Final = (TaskState.QUEUED, TaskState.DELAYED)


class Discards:
    """Discards what waits."""

    def __init__(self, state: State, tasks: Tasks, confirmations: Confirmations) -> None:
        self._state = state
        self._tasks = tasks
        self._confirmations = confirmations
        self._doomed: dict[Queue, deque[Task]] = {}
        self._due_s: float | None = 0.0
        """When the next slice is due; None = not before the last one is on disk."""
        for queue in state.queues.values():
            if queue.row.discard_to:
                self._doom(queue, [task for task in _waiting(state, queue) if task.order <= queue.row.discard_to])

    def discard(self, decision: Decision, command: Envelope, wish: DiscardQueue) -> QueueDiscarded:
        """Say what would be discarded, or, with the confirmation of that answer, discard it."""
        queue = find_queue(self._state, wish.name)
        tasks = [task for task in _waiting(self._state, queue) if not task.doomed]
        selection, subject = select(task.task_id for task in tasks), topics.queue_subject(wish.name)
        answer = QueueDiscarded(
            name=wish.name,
            tasks=selection.count,
            digest=selection.digest,
            done=bool(wish.confirm),
            confirm="",
            confirm_within_s=0.0,
        )
        if not wish.confirm:
            token = self._confirmations.ask(decision, command, subject, selection)
            return msgspec.structs.replace(answer, confirm=token, confirm_within_s=KEPT_S)
        self._confirmations.use(decision, command, subject, selection, wish.confirm)
        actor = command.actor or command.source
        why = wish.reason[:REASON_CHARS_MAX]
        reason = because("discarded_because", actor=actor, why=why) if why else because("discarded", actor=actor)
        told = QueueDiscardedEvent(name=wish.name, tasks=len(tasks), reason=reason, actor=actor)
        position = decision.event(
            topics.QUEUE_DISCARDED,
            subject,
            told,
            trace_id=command.trace_id,
            causation_id=command.event_id,
            actor=command.actor,
        )
        decision.changed(subject, {"waiting": len(tasks)}, {"waiting": 0, "digest": selection.digest})
        decision.log("warning", f"{len(tasks)} tasks of queue {wish.name} are {reason}")
        self._doom(queue, tasks)
        self._write(decision, queue, position, reason)
        self._slice(decision, queue)
        return answer

    def due_s(self) -> float | None:
        """Return when the next slice is due."""
        return self._due_s if self._doomed else None

    def landed(self, now: Now) -> None:
        """The last slice is on disk."""
        if self._doomed:
            self._due_s = now.mono_s + PAUSE_S
            self._state.sweep_by(self._due_s)

    def sweep(self, decision: Decision) -> None:
        """End the next slice of what was discarded."""
        if self._doomed and self._due_s is not None and decision.now.mono_s >= self._due_s:
            self._slice(decision, next(iter(self._doomed)))

    def _doom(self, queue: Queue, tasks: list[Task]) -> None:
        for task in tasks:
            task.doomed = True
        self._doomed.setdefault(queue, deque()).extend(tasks)

    def _slice(self, decision: Decision, queue: Queue) -> None:
        doomed, reason = self._doomed[queue], queue.row.discard_reason
        for _ in range(min(SLICE, len(doomed))):
            task = doomed.popleft()
            if task.state in _WAITING:
                self._tasks.decide(decision, task, TaskTrigger.CANCEL, reason)
        self._due_s = None
        decision.effects.append(GoOn())
        if not doomed:
            del self._doomed[queue]
            self._write(decision, queue, 0, "")

    def _write(self, decision: Decision, queue: Queue, discard_to: int, reason: str) -> None:
        queue.row = msgspec.structs.replace(queue.row, discard_to=discard_to, discard_reason=reason)
        queue.stored = True
        decision.ops.append(PutQueue(queue.row))


def _waiting(state: State, queue: Queue) -> list[Task]:
    return [task for task in state.tasks.values() if task.run.queue is queue and task.state in _WAITING]
