"""The events of one handler: in order per subject, tried again while other subjects go on (step 14).

An event is done with when its handler returned, or gave up at the last try; until then the broker delivers it again
to the next connection. What was done just before a connection was lost, and comes again over the next, is only
reported again: its report was lost with it. What comes again without that was asked for by a person, who has put
the subscription back, and is handled again.
"""

from __future__ import annotations

from collections import deque
from typing import Final, TypeVar

import msgspec

from doai.backoff import Backoff
from doai.bots.core.work import Cause, Delivered, Effect, Ended, GaveUp, Handled, Note, Work
from doai.limits import BOT_CREDIT, SILENCE_S

DONE_KEPT: Final = 4 * BOT_CREDIT
"""Positions remembered as done: reports that got lost concern at most what the credit allows."""
LOST_WITHIN_S: Final = SILENCE_S + 5.0
"""A report that left so long before the end of its connection arrived: a silent one is given up sooner."""
_WARNING: Final = 30
_ERROR: Final = 40


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """How a handler's events are handled."""

    timeout_s: float
    """A call that takes longer is cut off and counts as failed."""
    tries: int
    """Calls for one event before it becomes a dead letter."""
    backoff: Backoff


class Subscription:
    """A `Source` of calls for events."""

    def __init__(self, handler: str, policy: Policy) -> None:
        self.handler = handler
        self._policy = policy
        self._waiting: dict[str, deque[Delivered]] = {}
        """Events of each subject in order; the first may be with the handler. No subject without any."""
        self._running: dict[str, None] = {}
        """Subjects whose first event is with the handler."""
        self._ready: deque[str] = deque()
        """Subjects whose first event may begin, the longest waiting first."""
        self._parked: dict[str, float] = {}
        """Subjects whose first event failed -> when it is tried again."""
        self._open: dict[int, None] = {}
        """Positions of all that waits or runs."""
        self._tries: dict[int, int] = {}
        """Positions that failed -> how often; remembered over connections."""
        self._done: dict[int, tuple[float, Handled | GaveUp]] = {}
        """Positions whose report left over this connection -> when, and the report."""
        self._unsure: dict[int, Handled | GaveUp] = {}
        """Positions that are done, whose report may have been lost with an earlier connection -> the report."""
        self._carried: dict[int, None] = {}
        """Positions of an earlier connection whose handlers still run."""

    @property
    def open_count(self) -> int:
        """Events that were delivered and are not done with."""
        return len(self._open)

    @property
    def parked(self) -> list[str]:
        """Subjects whose first event failed and waits for its next try."""
        return list(self._parked)

    @property
    def low_water(self) -> int | None:
        """The oldest position that is not done; None when all are."""
        return min(self._open, default=None)

    def deliver(self, event: Delivered, now_s: float) -> list[Effect]:
        """Take an event; one that was handled or given up already is only reported again."""
        position, name = event.position, event.envelope.subject
        report = self._unsure.pop(position, None)
        if report is not None:
            _remember(self._done, position, (now_s, report))
            return [report]
        if position in self._open:
            self._carried.pop(position, None)
            return []
        self._open[position] = None
        waiting = self._waiting.get(name)
        if waiting is None:
            self._waiting[name] = deque([event])
            self._ready.append(name)
            return []
        in_order = waiting[-1].position < position
        waiting.append(event)
        if not in_order:
            # What another process left is older than what came since; the one with the handler stays the first.
            first = [waiting.popleft()] if name in self._running else []
            self._waiting[name] = deque([*first, *sorted(waiting, key=lambda each: each.position)])
        return []

    def take(self, now_s: float) -> Work | None:
        """Return the call for the subject that has waited longest."""
        for name in [name for name, due_s in self._parked.items() if due_s <= now_s]:
            del self._parked[name]
            self._ready.append(name)
        if not self._ready:
            return None
        name = self._ready.popleft()
        self._running[name] = None
        event = self._waiting[name][0]
        return Work(
            handler=self.handler,
            cause=Cause.EVENT,
            subject=name,
            payload=event.envelope.payload,
            type=event.envelope.type,
            event=event,
            attempt=self._tries.get(event.position, 0) + 1,
            trace_id=event.envelope.trace_id,
            timeout_s=self._policy.timeout_s,
        )

    def ended(self, work: Work, ended: Ended, now_s: float, random01: float) -> list[Effect]:
        """Done, tried again later, or given up."""
        event = work.event
        assert event is not None
        del self._running[work.subject]
        if ended.gave_back:
            self._ready.appendleft(work.subject)
            return []
        if not ended.problem:
            return [self._finish(work.subject, Handled(self.handler, event.position), now_s)]
        fields: dict[str, object] = {"handler": self.handler, "position": event.position, "trace_id": work.trace_id}
        if ended.permanent or work.attempt >= self._policy.tries:
            report = GaveUp(self.handler, event.position, ended.problem, work.attempt)
            self._finish(work.subject, report, now_s)
            tries = "one try" if work.attempt == 1 else f"{work.attempt} tries"
            told = f"{self.handler} gave {work.type} of {work.subject} up after {tries}: {ended.problem}"
            return [report, Note(_ERROR, told, fields)]
        _remember(self._tries, event.position, work.attempt)
        delay_s = self._policy.backoff.delay_s(work.attempt, random01)
        self._parked[work.subject] = now_s + delay_s
        told = f"{self.handler} failed for {work.type} of {work.subject}, again in {delay_s:.1f} s: {ended.problem}"
        return [Note(_WARNING, told, fields)]

    def _finish(self, name: str, report: Handled | GaveUp, now_s: float) -> Handled | GaveUp:
        waiting, position = self._waiting[name], report.position
        waiting.popleft()
        del self._open[position]
        self._tries.pop(position, None)
        if position in self._carried:
            del self._carried[position]
            _remember(self._unsure, position, report)
        else:
            _remember(self._done, position, (now_s, report))
        if waiting:
            self._ready.append(name)
        else:
            del self._waiting[name]
        return report

    def due_s(self) -> float | None:
        """Return when the next parked subject is tried again."""
        return min(self._parked.values(), default=None)

    def forget(self, now_s: float) -> None:
        """The connection is lost: drop what waits, but for the events that a handler has; they are given again."""
        for position, (done_s, report) in self._done.items():
            if done_s >= now_s - LOST_WITHIN_S:
                _remember(self._unsure, position, report)
        self._done.clear()
        self._ready.clear()
        self._parked.clear()
        self._waiting = {name: deque([self._waiting[name][0]]) for name in self._running}
        self._open = {waiting[0].position: None for waiting in self._waiting.values()}
        self._carried = dict(self._open)


_T = TypeVar("_T")


def _remember(table: dict[int, _T], position: int, value: _T) -> None:
    table[position] = value
    if len(table) > DONE_KEPT:
        del table[next(iter(table))]
