"""Tasks of bots: any process of their kind takes them; who stops vouching for one loses it (steps 4, 5, 12).

There is no FIFO a device, and nothing is held unproven: handlers are idempotent by task id, so the end of a lease
is the next attempt.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Final, cast

from doai import topics
from doai.broker.core.bot_table import Bot, Process
from doai.broker.core.decision import Decision
from doai.broker.core.lanes import Queue
from doai.broker.core.state import State
from doai.broker.core.tables import Peer, Task, TokenKey
from doai.codec import Kind, encode
from doai.ids import Token
from doai.messages.bots import BotTask, BotTasks
from doai.messages.commands import TargetKind
from doai.messages.events import TaskDispatched, TaskStarted
from doai.reasons import reason as because
from doai.states import PeerState, TaskState, TaskTrigger

Lane = list[tuple[int, str, Task]]
"""Heap of (order, id, task) of one queue and priority."""
LaneKey = tuple[int, int, str]
"""(-priority of the queue, -priority of the run, queue)."""
_NONE: Final = 0


class BotWork:
    """What waits for bots, and what their processes hold."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.waiting: dict[str, dict[LaneKey, Lane]] = {}
        """By kind."""
        self.held: dict[TokenKey, Task] = {}
        for task in state.tasks.values():
            if task.target_kind is TargetKind.BOT and task.token is not None:
                self.held[task.token.generation, task.token.n] = task
        self._marked = False

    def enqueue(self, task: Task) -> None:
        """Let it wait."""
        run = task.run
        key = -run.queue.priority, -run.row.priority, run.row.queue
        lane = self.waiting.setdefault(run.row.workflow, {}).setdefault(key, [])
        heapq.heappush(lane, (task.order, task.task_id, task))
        self._marked = True

    def mark(self) -> None:
        """Something changed: a process, a queue."""
        self._marked = True

    def free(self, task: Task) -> None:
        """Its holder has it no more."""
        assert task.token is not None
        key = task.token.generation, task.token.n
        self.held.pop(key, None)
        peer = self._state.peers.get(task.node or "")
        if peer is not None:
            peer.held.pop(key, None)
        self._marked = True

    def registered(self, decision: Decision, peer: Peer) -> None:
        """A process greeted: it is told again what it was given, should a frame have been lost."""
        for key, task in self.held.items():
            if task.node == peer.address:
                peer.held[key] = task
                self._send(decision, peer, task)
        self._marked = True

    def run(self, decision: Decision, next_token: Callable[[Decision], Token]) -> None:
        """Give out what can be given out now."""
        if not self._marked:
            return
        self._marked = False
        for kind in [kind for kind, lanes in self.waiting.items() if lanes]:
            takers = self._takers(kind)
            while takers and (task := self._next(kind)) is not None:
                process = max(takers, key=lambda process: (_room(process), process.peer.address))
                self._give(decision, task, process.peer, next_token(decision))
                takers = [process for process in takers if _room(process) > 0]

    def knows(self, kind: str) -> bool:
        """Whether a bot that an operator lets work takes this kind, whether or not it lives."""
        return any(bot.works and kind in bot.kinds for bot in self._state.bots.values())

    def waits(self) -> dict[str, int]:
        """Return how many tasks wait, by kind."""
        return {kind: count for kind, lanes in self.waiting.items() if (count := _live(lanes))}

    def waiting_reason(self, task: Task) -> str:
        """Return why a task waits, for a person."""
        kind = task.run.row.workflow
        if not self.knows(kind):
            return because("no_bot_takes", kind=kind)
        return "" if self._takers(kind) else because("waits_for_process", kind=kind)

    def lost(self, now_s: float) -> list[Task]:
        """Return tasks for which nobody vouched in time."""
        lease_s = self._state.settings.lease_s
        return [task for task in self.held.values() if task.proven_s + lease_s <= now_s]

    def held_by(self, peer: Peer) -> list[Task]:
        """Return what a process holds."""
        return [task for task in self.held.values() if task.node == peer.address]

    def due_s(self) -> float | None:
        """Return when a lease may end."""
        if not self.held:
            return None
        return min(task.proven_s for task in self.held.values()) + self._state.settings.lease_s

    # --- inside -------------------------------------------------------------------------------------------

    def _takers(self, kind: str) -> list[Process]:
        bots: list[Bot] = [bot for bot in self._state.bots.values() if bot.works]
        processes = [process for bot in bots for process in bot.processes.values()]
        return [process for process in processes if kind in process.kinds and _room(process) > 0]

    def _next(self, kind: str) -> Task | None:
        """Take the next task that may go: of the first queue, the oldest."""
        lanes = self.waiting[kind]
        for key in sorted(lanes):
            lane = lanes[key]
            while lane and not _waits(lane[0]):
                heapq.heappop(lane)
            if not lane:
                del lanes[key]
                continue
            queue: Queue = lane[0][2].run.queue
            if queue.open:
                return heapq.heappop(lane)[2]
        return None

    def _give(self, decision: Decision, task: Task, peer: Peer, token: Token) -> None:
        now, run = decision.now, task.run
        task.move(TaskTrigger.DISPATCH)
        task.node, task.token = peer.address, token
        task.dispatched_at_ms = task.started_at_ms = now.utc_ms
        task.reason = ""
        task.lost = task.unsure = False
        task.proven_s = now.mono_s
        key = token.generation, token.n
        self.held[key] = peer.held[key] = task
        peer.given += 1
        if run.queue.rate is not None:
            run.queue.rate.take(now.mono_s)
            run.queue.look_at_rate(now.mono_s)
            self._state.sweep_by(run.queue.rate.opens_s)
        self._state.sweep_by(now.mono_s + self._state.settings.lease_s)
        decision.touch(task)
        subject, run_id = topics.task_subject(task.task_id), run.row.run_id
        given = TaskDispatched(
            task_id=task.task_id,
            run_id=run_id,
            token=token,
            attempt=task.attempt,
            node_id=peer.address,
            device_serial="",
        )
        decision.event(topics.TASK_DISPATCHED, subject, given, trace_id=run.trace_id)
        # A process begins what it is given; there is no device for which it would wait.
        task.move(TaskTrigger.START)
        begun = TaskStarted(
            task_id=task.task_id, run_id=run_id, token=token, attempt=task.attempt, device_serial=""
        )
        decision.event(topics.TASK_STARTED, subject, begun, trace_id=run.trace_id)
        self._send(decision, peer, task)

    def _send(self, decision: Decision, peer: Peer, task: Task) -> None:
        assert task.token is not None
        run = task.run
        told = BotTask(
            task_id=task.task_id,
            run_id=run.row.run_id,
            kind=run.row.workflow,
            token=task.token,
            attempt=task.attempt,
            params=cast("dict[str, object]", run.params),
            trace_id=run.trace_id,
            timeout_s=task.timeout_s,
            lease_s=self._state.settings.lease_s,
            created_at_ms=task.created_at_ms,
        )
        decision.send_to(peer, Kind.TASKS, encode(BotTasks([told])))


def _room(process: Process) -> int:
    """So many tasks it may be given now."""
    peer = process.peer
    if peer.link is None or peer.intake_closed or peer.liveness.state is not PeerState.ONLINE:
        return _NONE
    return (peer.sample.slots if peer.sample is not None else _NONE) - len(peer.held)


def _waits(entry: tuple[int, str, Task]) -> bool:
    order, _, task = entry
    return task.state is TaskState.QUEUED and task.order == order and not task.doomed


def _live(lanes: dict[LaneKey, Lane]) -> int:
    return sum(_waits(entry) for lane in lanes.values() for entry in lane)
