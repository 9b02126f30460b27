"""Samples, times and tasks of a bot: the other three reasons for which a handler is called (step 14)."""

from __future__ import annotations

from typing import Final

import msgspec

from doai.bots.core.work import Cause, Effect, Ended, Note, TaskEnded, Work
from doai.codec import raw
from doai.ids import Token
from doai.messages.bots import BotTask

_WARNING: Final = 30


class Samples:
    """A `Source`: of each subject the newest sample wins, and nothing is tried again."""

    def __init__(self, handler: str, timeout_s: float) -> None:
        self.handler = handler
        self._timeout_s = timeout_s
        self._newest: dict[str, tuple[str, msgspec.Raw]] = {}
        self._running: dict[str, None] = {}

    @property
    def idle(self) -> bool:
        """Whether every sample was handled."""
        return not self._newest and not self._running

    def put(self, kind: str, subject: str, payload: msgspec.Raw) -> None:
        """Take a sample, in place of one that still waits."""
        self._newest[subject] = (kind, payload)

    def take(self, now_s: float) -> Work | None:
        """Return the call for the subject whose sample has waited longest."""
        subject = next((subject for subject in self._newest if subject not in self._running), None)
        if subject is None:
            return None
        kind, payload = self._newest.pop(subject)
        self._running[subject] = None
        return Work(
            handler=self.handler,
            cause=Cause.SAMPLE,
            subject=subject,
            payload=payload,
            type=kind,
            timeout_s=self._timeout_s,
        )

    def ended(self, work: Work, ended: Ended, now_s: float, random01: float) -> list[Effect]:
        """Note a failure; the next sample comes by itself."""
        del self._running[work.subject]
        return _noted(work, ended)

    def due_s(self) -> float | None:
        """Never by time alone."""
        return None


class Timer:
    """A `Source` that calls every so often; while so many calls still run, no other joins them."""

    def __init__(self, handler: str, every_s: float, timeout_s: float, now_s: float, at_once: int = 1) -> None:
        self.handler = handler
        self.every_s = every_s
        self._timeout_s = timeout_s
        self._at_once = at_once
        self._next_s = now_s + every_s
        self._running = 0

    def change(self, every_s: float, now_s: float) -> None:
        """From now on another interval."""
        self.every_s = every_s
        self._next_s = min(self._next_s, now_s + every_s)

    def take(self, now_s: float) -> Work | None:
        """Return the call when it is due."""
        if self._running >= self._at_once or now_s < self._next_s:
            return None
        self._running += 1
        # In step with the first one; times that were missed, by a long call or a halt of the host, are left out.
        self._next_s += self.every_s * (1 + (now_s - self._next_s) // self.every_s)
        return Work(handler=self.handler, cause=Cause.TIME, subject="", timeout_s=self._timeout_s)

    def ended(self, work: Work, ended: Ended, now_s: float, random01: float) -> list[Effect]:
        """Note a failure; the next time comes by itself."""
        self._running -= 1
        return _noted(work, ended)

    def due_s(self) -> float | None:
        """Return the next time."""
        return None if self._running >= self._at_once else self._next_s


class Tasks:
    """A `Source` of the tasks of one kind that the broker has leased to this process."""

    def __init__(self, handler: str, kind: str, timeout_s: float) -> None:
        self.handler = handler
        self.kind = kind
        self.timeout_s = timeout_s
        """The handler's own; the task's may be shorter."""
        self._waiting: dict[tuple[str, Token], Work] = {}
        self._running: dict[tuple[str, Token], Work] = {}

    @property
    def held(self) -> list[Work]:
        """All tasks here, those that run first."""
        return [*self._running.values(), *self._waiting.values()]

    def give(self, task: BotTask) -> None:
        """Take a task; the same again is nothing new."""
        key = (task.task_id, task.token)
        if key not in self._running:
            self._waiting[key] = Work(
                handler=self.handler,
                cause=Cause.TASK,
                subject=f"task/{task.task_id}",
                payload=raw(task.params),
                type=task.kind,
                task_id=task.task_id,
                run_id=task.run_id,
                token=task.token,
                attempt=task.attempt,
                trace_id=task.trace_id,
                timeout_s=min(task.timeout_s, self.timeout_s),
            )

    def drop(self, task_id: str, token: Token) -> None:
        """The broker takes a task back or cancels it, which has not begun."""
        self._waiting.pop((task_id, token), None)

    def take(self, now_s: float) -> Work | None:
        """Return the task that has waited longest."""
        key = next(iter(self._waiting), None)
        if key is None:
            return None
        work = self._running[key] = self._waiting.pop(key)
        return work

    def ended(self, work: Work, ended: Ended, now_s: float, random01: float) -> list[Effect]:
        """Say how it ended: whether it is tried again is the broker's to decide."""
        assert work.token is not None
        self._running.pop((work.task_id, work.token), None)
        return [TaskEnded(work, ended), *_noted(work, ended)]

    def due_s(self) -> float | None:
        """Never by time alone."""
        return None


def _noted(work: Work, ended: Ended) -> list[Effect]:
    if not ended.problem:
        return []
    about = f" for {work.type} of {work.subject}" if work.subject else ""
    fields: dict[str, object] = {
        "handler": work.handler,
        "task_id": work.task_id,
        "run_id": work.run_id,
        "trace_id": work.trace_id,
    }
    return [Note(_WARNING, f"{work.handler} failed{about}: {ended.problem}", fields)]
