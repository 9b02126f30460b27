"""Leases of tasks of bots: a process that is not heard, or has left, loses what it holds (steps 5 and 12)."""

from __future__ import annotations

from doai.broker.core.bot_work import BotWork
from doai.broker.core.decision import Decision
from doai.broker.core.tables import Peer, Task
from doai.broker.core.tasks import Tasks
from doai.errors import ErrorClass, Failure


class BotLeases:
    """Ends attempts for which nobody vouches any more."""

    def __init__(self, work: BotWork, tasks: Tasks) -> None:
        self._work = work
        self._tasks = tasks

    def due_s(self) -> float | None:
        """Return when the next lease may end."""
        return self._work.due_s()

    def sweep(self, decision: Decision) -> None:
        """End the leases whose term is over."""
        for task in self._work.lost(decision.now.mono_s):
            self._lose(decision, task, f"{task.node} did not vouch for it in time")

    def gone(self, decision: Decision, peer: Peer, reason: str) -> None:
        """A process has left: whatever it holds is not its own any more."""
        for task in self._work.held_by(peer):
            self._lose(decision, task, f"{peer.address} has left: {reason}")

    def _lose(self, decision: Decision, task: Task, reason: str) -> None:
        message = f"{reason}, and how attempt {task.attempt} ended is not known; handlers can be repeated"
        failure = Failure(error_class=ErrorClass.INFRASTRUCTURE, code="attempt_lost", message=message)
        self._tasks.lose(decision, task, failure, reason)
