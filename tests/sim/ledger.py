"""What the event log says, followed event by event: legal paths, order, attempts, counts (steps 3, 12, 13).

It knows only ops as they land on the broker's disk, and the tables of doai.states. `copy` and `become` follow a
backup and its restore.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from doai import topics
from doai.broker.core.scheduler import OLDEST_EVERY
from doai.changes.ops import AppendEvent, InsertAttempt, InsertRun, Op, UpdateRun
from doai.changes.queues import PutQueue, QueueRow
from doai.ids import Token
from doai.states import RUN_TABLE, TASK_TABLE, TERMINAL, QueueState, RunState, TaskState
from doai.store.memory import MemoryTables
from tests.sim.campaigns import FOLLOWED, CampaignLedger
from tests.sim.recipes import NEEDS_PLUGIN
from tests.sim.trail import Trail
from tests.sim.world import Violation, World

_T = TaskState
TARGETS: Final[dict[str, frozenset[TaskState]]] = {
    topics.TASK_QUEUED: frozenset({_T.QUEUED}),
    topics.TASK_DISPATCHED: frozenset({_T.DISPATCHED}),
    topics.TASK_STARTED: frozenset({_T.RUNNING, _T.CANCELLING}),
    topics.TASK_UNPROVEN: frozenset({_T.UNPROVEN}),
    topics.TASK_PROVEN: frozenset({_T.RUNNING, _T.DISPATCHED, _T.CANCELLING}),
    topics.TASK_RELEASED: frozenset({_T.QUEUED}),
    topics.TASK_RETRIED: frozenset({_T.DELAYED}),
    topics.TASK_CANCELLING: frozenset({_T.CANCELLING}),
    topics.TASK_CANCELLED: frozenset({_T.CANCELLED}),
    topics.TASK_COMPLETED: frozenset({_T.PASSED}),
    topics.TASK_FAILED: frozenset({_T.FAILED}),
    topics.TASK_EXPIRED: frozenset({_T.EXPIRED}),
    topics.TASK_UNKNOWN: frozenset({_T.UNKNOWN}),
}
"""The states that an event may lead to; which of them, the table says."""
REACHABLE: Final[dict[str, dict[TaskState, frozenset[TaskState]]]] = {
    event: {before: targets & frozenset(moves.values()) for before, moves in TASK_TABLE.items()}
    for event, targets in TARGETS.items()
}
"""The same by the state that the task was in."""
_WITH_TOKEN: Final = (_T.RUNNING, _T.DISPATCHED, _T.UNPROVEN, _T.CANCELLING)
_QUEUED, _RUNNING, _CANCELLING = _T.QUEUED, _T.RUNNING, _T.CANCELLING
"""By these names, because Python 3.11 finds a member of an enum by a call."""
_BEFORE: Final = (_T.QUEUED, _T.DELAYED)
_TOLD: Final = frozenset({topics.QUEUE_DISCARDED, topics.RUN_COMPLETED, topics.DEVICE_HELD, topics.DEVICE_RELEASED})
"""Events of other things than tasks that matter here."""


class Payload(msgspec.Struct, rename="camel"):
    """What the ledger looks at of any payload."""

    task_id: str = ""
    run_id: str = ""
    token: Token | None = None
    attempt: int = 0
    device_serial: str | None = None
    node_id: str = ""
    released: bool | None = None
    reason: str = ""
    counts: dict[str, int] = {}
    step_id: str = ""
    try_number: int = 0
    state: Any = None
    code: str = ""
    name: str = ""
    serial: str = ""
    actor: str = ""
    hold: bool = False


read_payload = msgspec.msgpack.Decoder(Payload).decode


class Track:
    """One task as the events tell it."""

    __slots__ = ("burned", "device", "order", "pooled", "run_id", "state", "token")

    def __init__(self, run_id: str, device: str | None) -> None:
        self.run_id = run_id
        self.device = device
        self.pooled = device is None
        self.state = _T.DELAYED
        """Whence QUEUED is legal; a new task is queued by its first event."""
        self.token: Token | None = None
        self.order = 0
        """Where in the log it joined the end of its FIFO."""
        self.burned = 0


class Ledger:
    """Follows the log of one store."""

    def __init__(self, world: World, tables: Callable[[], MemoryTables], node_names: set[str]) -> None:
        self._world = world
        self._tables = tables
        self.queues: dict[str, QueueRow] = {}
        self.node_names = node_names
        self.tasks: dict[str, Track] = {}
        self._of_runs: dict[str, list[Track]] = {}
        """The same by their run."""
        self.runs: dict[str, tuple[str, int, int]] = {}
        """(queue, priority, attempts at most)."""
        self.doomed: set[str] = set()
        """Tasks that were discarded."""
        self.bounded: set[str] = set()
        """Runs with bounds of their own, or that need a plug-in."""
        self.of_bots: dict[str, str] = {}
        """Runs that bots made, and their names."""
        self.run_states: dict[str, RunState] = {}
        self.held_for: dict[str, str] = {}
        """Devices that people have reserved, and who."""
        self.waiting: dict[str, dict[str, Track]] = {}
        self.event_ids: dict[str, int] = {}
        """Where in the log each event is."""
        self.fact_order: dict[str, int] = {}
        self.last_token = Token(0, 0)
        self.position = 0
        self.ended = 0
        self.tokens_ever: set[Token] = set()
        """Of every life of the store."""
        self.recorded: dict[str, tuple[str, int]] = {}
        """Facts on nodes' disks: event id -> (node, place)."""
        self.loose: set[str] = set()
        """Nodes whose facts a restored store had forgotten, so that they may come again or be missing."""
        self.forked: set[str] = set()
        """Nodes that had an old disk or a clone: their facts come from more than one history."""
        self.trail = Trail()
        self.campaigns = CampaignLedger()
        """The audit of this store."""
        self._given = 0
        """Tasks that nodes were given, and how many of them because they waited longest."""
        self._aged = 0
        self._started: dict[Token, int] = {}
        self._touched: set[str] = set()
        self._skipped: set[str] = set()

    def copy(self) -> dict[str, Any]:
        """Return what a backup of the store knows."""
        names = (
            *("queues", "doomed", "bounded", "tasks", "runs", "of_bots", "run_states", "waiting", "held_for"),
            *("event_ids", "fact_order", "position", "ended", "trail"),
        )
        return {name: copy.deepcopy(getattr(self, name)) for name in (*names, "campaigns")}

    def become(self, backup: dict[str, Any]) -> None:
        """The store was restored."""
        for name, value in backup.items():
            setattr(self, name, value)
        self._of_runs.clear()
        for track in self.tasks.values():
            self._of_runs.setdefault(track.run_id, []).append(track)

    # --- ops ----------------------------------------------------------------------------------------------

    def observe(self, ops: Sequence[Op]) -> None:
        """Follow a batch that has landed."""
        self._touched.clear()
        self._skipped.clear()
        event = self._event
        for op in ops:
            kind = type(op)
            if kind is AppendEvent:
                event(op)  # type: ignore[arg-type]
            else:
                follow = _FOLLOW.get(kind)
                if follow is not None:
                    follow(self, op)
                if kind in FOLLOWED:
                    self.campaigns.observe(op)
        self.trail.observe(ops)
        if self._touched or self._skipped:
            self._compare()

    def _made(self, op: InsertRun) -> None:
        row = op.row
        self.runs[row.run_id] = (row.queue, row.priority, row.attempts_max)
        self.run_states[row.run_id] = row.state
        if row.interface == "bot":
            self.of_bots[row.run_id] = row.actor.partition("/")[0]
        if row.bounds_body != b"{}" or row.workflow == NEEDS_PLUGIN:
            self.bounded.add(row.run_id)

    def _queue(self, op: PutQueue) -> None:
        self.queues[op.row.name] = op.row

    def _compare(self) -> None:
        rows = self._tables().tasks
        for task_id in self._touched:
            track, row = self.tasks[task_id], rows.get(task_id)
            if row is None:
                raise Violation("task_lost", f"events tell of task {task_id}, no table has it", task_id)
            if row.status.state is not track.state:
                message = f"task {task_id} is {row.status.state.value}, its events end at {track.state.value}"
                raise Violation("log_differs", message, task_id)
        for task_id in self._skipped:
            if self.tasks[task_id].state not in TERMINAL:
                raise Violation("fifo", f"task {task_id} was overtaken on {self.tasks[task_id].device}", task_id)

    def _run(self, op: UpdateRun) -> None:
        before = self.run_states[op.run_id]
        if op.state not in RUN_TABLE[before].values():
            raise Violation("run_path", f"run {op.run_id} went from {before.value} to {op.state.value}", op.run_id)
        self.run_states[op.run_id] = op.state

    def _attempt(self, op: InsertAttempt) -> None:
        row = op.row
        track = self.tasks[row.task_id]
        if row.outcome is None:
            return
        track.burned += 1
        if row.attempt != track.burned or track.burned > self.runs[track.run_id][2]:
            message = f"attempt {row.attempt} of {row.task_id} ended as number {track.burned}"
            raise Violation("attempt_not_burned", message, row.task_id)

    # --- events -------------------------------------------------------------------------------------------

    def _event(self, op: AppendEvent) -> None:
        envelope, position = op.envelope, op.position
        if position != self.position + 1:
            raise Violation("position", f"event {position} follows {self.position}")
        self.position = position
        event_id, event_type = envelope.event_id, envelope.type
        node = envelope.source.partition("/")[0]
        if node in self.node_names:
            self._fact(node, event_id, event_type, envelope.subject)
        elif event_id in self.event_ids:
            raise Violation("event_twice", f"event {event_id} {event_type} is in the log twice")
        self.event_ids[event_id] = position
        reachable = REACHABLE.get(event_type)
        if reachable is not None:
            self._task_event(op, read_payload(envelope.payload), reachable)
        elif event_type in _TOLD:
            self._told(event_type, read_payload(envelope.payload))

    def _told(self, event_type: str, told: Payload) -> None:
        if event_type == topics.QUEUE_DISCARDED:
            self._discarded(told.name)
        elif event_type == topics.RUN_COMPLETED:
            self._run_completed(told)
        else:
            self._hold(event_type, told)

    def _fact(self, node: str, event_id: str, event_type: str, subject: str) -> None:
        if node in self.loose:
            return
        if event_id in self.event_ids:
            raise Violation("event_twice", f"fact {event_id} {event_type} of {node} is in the log twice", subject)
        known = self.recorded.get(event_id)
        if known is None:
            raise Violation(
                "ahead_of_disk", f"{event_type} of {node} is in the log, not on the node's disk", subject
            )
        if node in self.forked:
            return  # the order is that of the disk which came back, looked at in the end
        place = known[1]
        if place != self.fact_order.get(node, 0) + 1:
            message = f"{event_type} is fact {place} of {node}, it came after {self.fact_order.get(node, 0)}"
            raise Violation("fact_order", message, subject)
        self.fact_order[node] = place

    def _task_event(self, op: AppendEvent, told: Payload, reachable: dict[TaskState, frozenset[TaskState]]) -> None:
        event_type = op.envelope.type
        task_id = told.task_id
        track = self.tasks.get(task_id)
        if track is None:
            if event_type != topics.TASK_QUEUED:
                if event_type == topics.TASK_STARTED:
                    return  # of a task that a restored store does not know
                raise Violation("log_path", f"{event_type} of task {task_id}, which was never queued", task_id)
            track = self.tasks[task_id] = Track(told.run_id, told.device_serial)
            self._of_runs.setdefault(told.run_id, []).append(track)
        stale = told.token != track.token
        if event_type == topics.TASK_STARTED and stale:
            return
        if stale and event_type != topics.TASK_DISPATCHED and told.token is not None:
            message = f"{event_type} with token {told.token} of task {task_id}, which has {track.token}"
            raise Violation("stale_token", message, task_id)
        self._move(track, task_id, op, told, reachable[track.state])

    def _move(
        self, track: Track, task_id: str, op: AppendEvent, told: Payload, reachable: frozenset[TaskState]
    ) -> None:
        event_type, before = op.envelope.type, track.state
        if event_type == topics.TASK_STARTED and not (_RUNNING in reachable or before in reachable):
            return  # told again by a node whose disk is an old one
        if not reachable:
            raise Violation("log_path", f"task {task_id} was {before.value}, then came {event_type}", task_id)
        if event_type == topics.TASK_STARTED:
            after = _CANCELLING if before is _CANCELLING else _RUNNING
        else:
            after = _T(told.state) if event_type == topics.TASK_PROVEN else next(iter(reachable))
        if after not in reachable:
            raise Violation(
                "log_path", f"task {task_id} was {before.value}, {event_type} says {told.state}", task_id
            )
        if told.reason.startswith("discarded") and before not in _BEFORE:
            raise Violation("discarded", f"task {task_id} was discarded while it was {before.value}", task_id)
        track.state = after
        self._touched.add(task_id)
        if before is _QUEUED and not track.pooled:
            self.waiting.get(track.device or "", {}).pop(task_id, None)
        if event_type == topics.TASK_DISPATCHED:
            self._dispatched(track, task_id, told)
        elif after is _QUEUED:
            self._queued(track, task_id, op, event_type)
        if after not in _WITH_TOKEN:
            track.token = None
        if after in TERMINAL:
            self.ended += 1
            self._world.stopwatch.task_ends(task_id, self._world.now_s)

    def _queued(self, track: Track, task_id: str, op: AppendEvent, event_type: str) -> None:
        if event_type == topics.TASK_QUEUED:
            track.order = op.position
        if track.pooled:
            track.device = None
        else:
            self.waiting.setdefault(track.device or "", {})[task_id] = track

    def _dispatched(self, track: Track, task_id: str, told: Payload) -> None:
        token = told.token
        assert token is not None
        if token in self.tokens_ever or token <= self.last_token:
            message = f"task {task_id} got token {token} after {self.last_token}"
            raise Violation("token_reused", message, task_id)
        holder = self.held_for.get(told.device_serial or "")
        of_holder = holder is not None and self.of_bots.get(track.run_id) == holder.partition("/")[0]
        if holder is not None and not of_holder:
            message = f"task {task_id} is given to {told.device_serial}, which is held for {holder}"
            raise Violation("given_while_held", message, task_id)
        self.tokens_ever.add(token)
        self.last_token = token
        track.token = token
        track.device = told.device_serial
        if task_id in self.doomed:
            raise Violation("discarded", f"task {task_id} was given out after it was discarded", task_id)
        if self._is_paused(track):
            raise Violation("paused", f"task {task_id} was given out though its queue is paused", task_id)
        self._given += 1
        if of_holder:
            return  # the others wait until the bot gives the device back
        waiting = self.waiting.get(told.device_serial or "", {})
        open_ones = {
            other: found
            for other, found in waiting.items()
            if other not in self.doomed and not self._may_be_held_up(found)
        }
        overtaken = {other for other, found in open_ones.items() if self._key(found) < self._key(track)}
        if not overtaken:
            return
        if any(found.order < track.order for found in open_ones.values()):
            self._skipped |= overtaken
            return
        # It goes before others because it waits longest: one in ten of a device and one in ten of a node may.
        self._aged += 1
        if self._aged * OLDEST_EVERY > 2 * self._given:
            message = f"{self._aged} of {self._given} tasks that were given out overtook others by age"
            raise Violation("priority", message, task_id)

    def _discarded(self, queue: str) -> None:
        """Who waits now is never given out."""
        for task_id, track in self.tasks.items():
            if self.runs[track.run_id][0] == queue and track.state in _BEFORE:
                self.doomed.add(task_id)

    def _key(self, track: Track) -> tuple[int, int, int]:
        queue, priority, _ = self.runs[track.run_id]
        return -self.queues[queue].priority, -priority, track.order

    def _may_be_held_up(self, track: Track) -> bool:
        """Whether something else than its place may keep it from its device."""
        limited = self.queues[self.runs[track.run_id][0]].rate_per_min
        return bool(limited) or track.run_id in self.bounded or self._is_paused(track)

    def _is_paused(self, track: Track) -> bool:
        return self.queues[self.runs[track.run_id][0]].state is QueueState.PAUSED

    def _hold(self, event_type: str, told: Payload) -> None:
        holder = self.held_for.get(told.serial)
        if event_type == topics.DEVICE_HELD:
            if holder not in (None, told.actor):
                raise Violation("hold", f"{told.serial} of {holder} was taken by {told.actor}", told.serial)
            self.held_for[told.serial] = told.actor
        elif told.hold and self.held_for.pop(told.serial, None) is None:
            raise Violation("hold", f"{told.serial} was given back and not held", told.serial)

    def _run_completed(self, told: Payload) -> None:
        counts: dict[str, int] = {}
        for track in self._of_runs.get(told.run_id, ()):
            counts[track.state.value] = counts.get(track.state.value, 0) + 1
        if counts != told.counts:
            message = f"run {told.run_id} counts {told.counts}, its tasks are {counts}"
            raise Violation("run_counts", message, told.run_id)


_FOLLOW: Final[dict[type, Callable[[Ledger, Any], None]]] = {
    InsertRun: Ledger._made,
    PutQueue: Ledger._queue,
    InsertAttempt: Ledger._attempt,
    UpdateRun: Ledger._run,
}
