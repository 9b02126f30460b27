"""Whether tasks leave their queues and runs as fast as they may: rates in every minute, bounds of runs."""

from __future__ import annotations

from collections import deque

from doai import topics
from doai.broker.core.core import BrokerCore
from doai.broker.core.effects import Changes
from doai.broker.core.tables import Run
from doai.changes.ops import AppendEvent, InsertTask, UpdateTask
from doai.states import HELD, TaskState
from tests.sim.ledger import read_payload
from tests.sim.world import Violation

MINUTE_S = 59.9
"""Of the world: clocks of hosts run a ten-thousandth faster or slower."""


_DISPATCHED = topics.TASK_DISPATCHED
_QUEUED, _DELAYED = TaskState.QUEUED, TaskState.DELAYED
"""By these names, because Python 3.11 finds a member of an enum by a call."""


class Pace:
    """Looks at every decision of the broker when it is made."""

    def __init__(self) -> None:
        self._rates: dict[str, int] = {}
        self._given: dict[str, deque[float]] = {}
        self._run_of: dict[str, str] = {}
        """Of every task its run; ended ones leave the core's memory before they are looked for here."""
        self.limited = 0
        """Tasks given out under a rate."""

    def decided(self, core: BrokerCore, changes: Changes, now_s: float) -> None:
        """Take one decision: of the runs whose tasks it moves the bounds are looked at."""
        if not changes.ops:
            return
        touched: dict[str, None] = {}
        for op in changes.ops:
            kind = type(op)
            if kind is UpdateTask:
                touched[self._run_of.get(op.task_id, "")] = None  # type: ignore[union-attr]
            elif kind is InsertTask:
                row = op.row  # type: ignore[union-attr]
                self._run_of[row.task_id] = row.run_id
                touched[row.run_id] = None
            elif kind is AppendEvent and op.envelope.type == _DISPATCHED:  # type: ignore[union-attr]
                told = read_payload(op.envelope.payload)  # type: ignore[union-attr]
                run = core.state.runs.get(told.run_id)
                if run is not None:
                    self._count(run.queue.row.name, run.queue.row.rate_per_min, now_s)
        for run_id in touched:
            run = core.state.runs.get(run_id)
            if run is not None and run.gate is not None:
                check_bounds(run)

    def _count(self, queue: str, per_min: int, now_s: float) -> None:
        given = self._given.setdefault(queue, deque())
        if self._rates.get(queue) != per_min:
            given.clear()
            self._rates[queue] = per_min
        if not per_min:
            return
        self.limited += 1
        given.append(now_s)
        while given[0] <= now_s - MINUTE_S:
            given.popleft()
        if len(given) > per_min:
            message = f"queue {queue} gave out {len(given)} tasks in a minute, its rate is {per_min}"
            raise Violation("rate", message)


def check_all_bounds(core: BrokerCore) -> None:
    """Look at the bounds of every run, whether something moved or not."""
    for run in core.state.runs.values():
        if run.gate is not None:
            check_bounds(run)


def check_bounds(run: Run) -> None:
    """What the gate of a run counts as it goes is what its tasks come to, and within its bounds."""
    gate = run.gate
    assert gate is not None
    held = tried = 0
    waiting = ""
    for task in run.open.values():
        state = task.state
        if state in HELD:
            held += 1
        elif state is _QUEUED or state is _DELAYED:
            waiting = task.task_id
        tried += task.tried
    if (gate.held, gate.tried_open) != (held, tried):
        message = f"run {run.row.run_id} counts {gate.held} held and {gate.tried_open} tried: {held}, {tried}"
        raise Violation("run_gate", message, run.row.run_id)
    most = gate.bounds.max_parallel
    if most is not None and held > most:
        raise Violation("max_parallel", f"{held} tasks of run {run.row.run_id} are with nodes", run.row.run_id)
    if gate.ended < gate.bounds.canary < gate.ended + tried:
        raise Violation("canary", f"{tried} tasks of run {run.row.run_id} go at once", run.row.run_id)
    if run.stopped and waiting:
        raise Violation("stopped", f"{waiting} of a stopped run waits", run.row.run_id)
