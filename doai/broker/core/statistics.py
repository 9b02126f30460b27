"""Counts a minute and an hour per queue: what waits, what ended, how long it took, the nodes there (step 12).

Every end of a task is counted once, over restarts too: a row says up to which event it counts, and what a broker
had not written when it died is read again from the store at its next start.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from typing import Final

from doai.broker.core.decision import Decision
from doai.broker.core.settings import QUEUE
from doai.broker.core.state import State
from doai.broker.core.tables import Task
from doai.changes.ops import InsertStatistics, Snapshot, TrimStatistics
from doai.changes.statistics import (
    OUTCOMES,
    PERIOD_MS,
    EndedTask,
    Period,
    StatisticsRow,
    summed,
)
from doai.clock import Now
from doai.histogram import Tally
from doai.limits import STATISTICS_HOURS_KEPT_S, STATISTICS_MINUTES_KEPT_S
from doai.states import PeerState, TaskState

MINUTE_MS: Final = PERIOD_MS[Period.MINUTE]
HOUR_MS: Final = PERIOD_MS[Period.HOUR]
_KEPT_MS: Final = {
    Period.MINUTE: round(STATISTICS_MINUTES_KEPT_S * 1000),
    Period.HOUR: round(STATISTICS_HOURS_KEPT_S * 1000),
}
RECENT_MS: Final = 75 * MINUTE_MS
_GAUGE_OF: Final = {
    TaskState.QUEUED: "waiting",
    TaskState.DISPATCHED: "running",
    TaskState.RUNNING: "running",
    TaskState.CANCELLING: "running",
    TaskState.DELAYED: "delayed",
    TaskState.UNPROVEN: "unproven",
}


class _Minute:
    """What ended in one queue within one minute."""

    __slots__ = ("durations", "outcomes", "waits")

    def __init__(self) -> None:
        self.outcomes: dict[str, int] = {}
        self.waits = Tally()
        self.durations = Tally()

    def add(self, state: TaskState, created_at_ms: int, started_at_ms: int | None, ended_at_ms: int) -> None:
        """Count the end of a task."""
        outcomes, outcome = self.outcomes, state.value
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
        if started_at_ms is None:
            return
        # The start is told by the node's clock, the rest by ours: what is impossible is nothing.
        self.waits.add(started_at_ms - created_at_ms)
        self.durations.add(ended_at_ms - started_at_ms)


class Statistics:
    """Counts while the core runs; `sweep` writes what is complete."""

    def __init__(self, state: State, snapshot: Snapshot, now: Now) -> None:
        self._state = state
        self._open: dict[tuple[int, str], _Minute] = {}
        """By the beginning of the minute and the queue."""
        self._minutes = list(snapshot.statistics)
        """Rows of minutes whose hour is not written yet."""
        self._recent = deque(self._minutes)
        """Rows of minutes of the last hour and a quarter, oldest first."""
        self.closed = 0
        """Minutes whose rows were made in this life."""
        self._position = snapshot.statistics_position
        self._begun = snapshot.statistics_begun
        self._minute_ms = _begin(now.utc_ms, MINUTE_MS)
        self._since_ms = now.utc_ms
        """From when on the open minute is observed."""
        self._due_s = now.mono_s
        for ended in snapshot.ended_since:
            self._count(ended)

    def task_ended(self, decision: Decision, task: Task) -> None:
        """Count a task whose end was just written to the event log."""
        minute = self._minute(decision.now.utc_ms, task.run.row.queue)
        minute.add(task.state, task.created_at_ms, task.started_at_ms, decision.now.utc_ms)
        self._position = decision.position

    def recent(self, since_ms: int) -> list[StatisticsRow]:
        """Return the rows of whole minutes that began since then; no older ones than an hour and a quarter."""
        return [row for row in self._recent if row.at_ms >= since_ms]

    def are_written(self, before_ms: int) -> bool:
        """Whether every end before this time is counted in a row, so that its task is not needed for that."""
        return all(at_ms >= before_ms for at_ms, _ in self._open)

    def due_s(self) -> float:
        """Return when the open minute is over."""
        return self._due_s

    def sweep(self, decision: Decision) -> None:
        """Write the rows of minutes and hours that are over."""
        now = decision.now
        if now.mono_s < self._due_s:
            return
        minute_ms = _begin(now.utc_ms, MINUTE_MS)
        self._due_s = now.mono_s + (minute_ms + MINUTE_MS - now.utc_ms) / 1000
        if not self._begun:
            # From here on nothing is left out, whatever happens before the first minute is over.
            self._begun = True
            rows = [self._row(decision, self._minute_ms, QUEUE)]
            rows += [self._row(decision, at_ms, queue) for at_ms, queue in sorted(self._open)]
            self._insert(decision, rows)
            self._minutes += rows
        if minute_ms != self._minute_ms:
            self._close_minutes(decision, minute_ms)

    def _count(self, ended: EndedTask) -> None:
        minute = self._minute(ended.ended_at_ms, ended.queue)
        minute.add(ended.state, ended.created_at_ms, ended.started_at_ms, ended.ended_at_ms)
        self._position = max(self._position, ended.position)

    def _minute(self, utc_ms: int, queue: str) -> _Minute:
        key = utc_ms - utc_ms % MINUTE_MS, queue
        minute = self._open.get(key)
        if minute is None:
            minute = self._open[key] = _Minute()
        return minute

    def _close_minutes(self, decision: Decision, minute_ms: int) -> None:
        looked_ms = self._minute_ms
        observed_ms = min(max(0, looked_ms + MINUTE_MS - self._since_ms), MINUTE_MS)
        gauges = self._gauges()
        queues = {*self._state.queues, *gauges}
        rows = [
            self._row(decision, looked_ms, queue, observed_ms, gauges.get(queue, Counter()))
            for queue in sorted(queues)
        ]
        # What is counted beside: of before a restart, of a queue that is no more, of the minute that just began.
        # All of it, because a row says that nothing up to its position is left out.
        rows += [self._row(decision, at_ms, queue) for at_ms, queue in sorted(self._open)]
        self._minute_ms = self._since_ms = minute_ms
        self._insert(decision, rows)
        self._minutes += rows
        self._recent.extend(rows)
        self.closed += 1
        while self._recent and self._recent[0].at_ms < minute_ms - RECENT_MS:
            self._recent.popleft()
        self._close_hours(decision, _begin(minute_ms, HOUR_MS))
        for period, kept_ms in _KEPT_MS.items():
            decision.ops.append(TrimStatistics(period, minute_ms - kept_ms))

    def _close_hours(self, decision: Decision, hour_ms: int) -> None:
        over: dict[tuple[int, str], list[StatisticsRow]] = {}
        for row in self._minutes:
            at_ms = _begin(row.at_ms, HOUR_MS)
            if at_ms != hour_ms:
                over.setdefault((at_ms, row.queue), []).append(row)
        self._minutes = [row for row in self._minutes if _begin(row.at_ms, HOUR_MS) == hour_ms]
        self._insert(
            decision,
            [
                summed(rows, decision.new_id(), Period.HOUR, at_ms)
                for (at_ms, _), rows in sorted(over.items(), key=lambda item: item[0])
            ],
        )

    def _row(
        self,
        decision: Decision,
        at_ms: int,
        queue: str,
        observed_ms: int = 0,
        gauges: Counter[str] | None = None,
    ) -> StatisticsRow:
        minute = self._open.pop((at_ms, queue), None) or _Minute()
        nodes = self._state.nodes.values()
        online = sum(node.liveness.state is PeerState.ONLINE for node in nodes)
        return StatisticsRow(
            row_id=decision.new_id(),
            queue=queue,
            period=Period.MINUTE,
            at_ms=at_ms,
            position=self._position,
            observed_ms=observed_ms,
            wait=minute.waits.histogram().encoded(),
            duration=minute.durations.histogram().encoded(),
            waiting=None if gauges is None else gauges["waiting"],
            running=None if gauges is None else gauges["running"],
            delayed=None if gauges is None else gauges["delayed"],
            unproven=None if gauges is None else gauges["unproven"],
            nodes_online=None if gauges is None else online,
            nodes_total=None if gauges is None else len(nodes),
            **{name: minute.outcomes.get(name, 0) for name in OUTCOMES},
        )

    def _gauges(self) -> dict[str, Counter[str]]:
        # Once a minute over all open tasks: 20 ms for 100,000, and it can not drift as counters do.
        found: dict[str, Counter[str]] = {}
        for task in self._state.tasks.values():
            found.setdefault(task.run.row.queue, Counter())[_GAUGE_OF[task.state]] += 1
        return found

    def _insert(self, decision: Decision, rows: Iterable[StatisticsRow]) -> None:
        decision.ops.extend(InsertStatistics(row) for row in rows)


def _begin(utc_ms: int, period_ms: int) -> int:
    return utc_ms - utc_ms % period_ms
