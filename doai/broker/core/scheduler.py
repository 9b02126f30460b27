"""What goes where: the backlog and its order, tokens, leases begun (steps 4 and 5).

Order: queue priority, run priority, then FIFO (the place in the event log at which a task was queued); but every
tenth task of a device is the one that waits longest for it, and every tenth of a node goes to the device for which
one waits longest, so that none waits for ever. A node is given work up to its capacity, first to devices that hold
none, then one task ahead for those that hold one.

Nothing is searched for: what changes marks its device, and `run`, at the end of every decision, offers marked
devices to their nodes and fills nodes from the offers. Void entries of heaps are dropped when they are met.
"""

from __future__ import annotations

import heapq
from typing import Final

from doai import topics
from doai.broker.core.bot_work import BotWork
from doai.broker.core.decision import Decision
from doai.broker.core.holders import holding_bot, is_held, is_idle
from doai.broker.core.lanes import Queue, goes_before, may_go, waits_for
from doai.broker.core.pools import Pool, Pools, facts_of
from doai.broker.core.state import State
from doai.broker.core.tables import Device, Peer, Run, Task
from doai.broker.core.waiting import capacity, waiting_reason
from doai.changes.ops import ReserveTokens
from doai.ids import Token
from doai.messages.commands import TargetKind
from doai.messages.events import TaskDispatched
from doai.messages.work import Dispatch, Recipe
from doai.states import DeviceState, ServiceState, TaskState, TaskTrigger
from doai.workflow.selection import unmet_requirement

OLDEST_EVERY: Final = 10
"""Of so many tasks that a device or node is given, one is the longest-waiting whatever its priority: a tenth of the
work is what the fleet pays so that low priorities go on."""


# Names of their own: a member of an enum is looked up by a function of its class.
_OLDEST_TURN: Final = OLDEST_EVERY - 1
_DISPATCH: Final = TaskTrigger.DISPATCH
_BOT: Final = TargetKind.BOT
_ONLINE: Final = DeviceState.ONLINE
_IN_SERVICE: Final = ServiceState.IN_SERVICE
_QUARANTINED: Final = ServiceState.QUARANTINED


class Scheduler:
    """Gives tasks to nodes."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._pools = Pools()
        self._marked: dict[Device, None] = {}
        self._nodes: dict[Peer, None] = {}
        self._new_pools: dict[Pool, None] = {}
        self._offers = 0
        self._fresh_after = 0
        """Offers with a larger number were made in this very turn of giving out."""
        self._held_max = state.settings.held_per_device_max
        self._unfit: list[tuple[Task, str]] = []
        self.bots = BotWork(state)
        """Tasks of bots, which know no devices."""
        for task in state.tasks.values():
            if task.state is TaskState.QUEUED:
                self.enqueue(task)

    # --- what changes -------------------------------------------------------------------------------------

    def enqueue(self, task: Task) -> None:
        """Let a queued task wait in its place."""
        device = task.device
        if task.target_kind is _BOT:
            self.bots.enqueue(task)
            return
        self._needs(task.run)
        if device is None:
            pool = self._pools.add(task, self._state.recipes.by_hash(task.run.recipe_hash))
            self._new_pools[pool] = None
            return
        if device.waiting.add(task) or is_held(device):  # else it was asked about the one before it
            self._marked[device] = None

    def free(self, task: Task) -> None:
        """Its holder has the task no more."""
        token, device = task.token, task.device
        assert token is not None
        if task.target_kind is _BOT:
            self.bots.free(task)
            return
        key = (token.generation, token.n)
        if task.run.gate is not None:
            task.run.gate.held -= 1
            self.reopen(task.run)
        node = self._state.nodes.get(task.node or "")
        if node is not None and node.held.pop(key, None) is not None:
            self._nodes[node] = None
        if device is not None:
            device.held.pop(key, None)
            self._marked[device] = None

    def unbind(self, task: Task) -> None:
        """A task for any device goes to any device again."""
        if task.target_kind is TargetKind.ANY:
            task.device = None

    def mark(self, device: Device) -> None:
        """What is known of the device, or where it is, changed."""
        self._marked[device] = None

    def mark_node(self, node: Peer) -> None:
        """The node may take tasks again, or has another capacity."""
        node.wants.clear()
        self._marked.update(dict.fromkeys(node.devices.values()))

    def mark_queue(self, queue: Queue) -> None:
        """Its tasks may be given out again, or have another priority."""
        self.bots.mark()
        for node in self._state.nodes.values():
            self.mark_node(node)
        self._new_pools.update(dict.fromkeys(pool for pool in self._pools if pool.run.queue is queue))

    def reopen(self, run: Run) -> None:
        """A run that is bounded may let more of its tasks go."""
        if run.gate is not None:
            self._marked.update(run.gate.blocked)
            run.gate.blocked.clear()
            pool = self._pools.of(run)
            if pool is not None:
                self._new_pools[pool] = None

    def forget(self, run: Run) -> None:
        """The run has ended."""
        self._pools.forget(run)

    def waiting_reason(self, task: Task) -> str:
        """Return why a task that is queued now does not go at once, for a person; empty when it may."""
        return waiting_reason(self._state, self.bots, task, self._needs(task.run))

    def _needs(self, run: Run) -> frozenset[str]:
        if run.needs is None:
            recipe = self._state.recipes.by_hash(run.recipe_hash)
            run.needs, run.requires = recipe.plugin_steps, recipe.requires
        return run.needs

    # --- what follows -------------------------------------------------------------------------------------

    def run(self, decision: Decision) -> None:
        """Give out what can be given out now."""
        self._fresh_after = self._offers
        while self._marked or self._nodes or self._new_pools:
            marked, self._marked = self._marked, {}
            new_pools, self._new_pools = self._new_pools, {}
            for _, pool in sorted((head.key, pool) for pool in new_pools if (head := pool.head()) is not None):
                self._place(decision, pool)
            for device in marked:
                self._offer(device)
            nodes, self._nodes = self._nodes, {}
            for node in nodes:
                self._fill(decision, node)
        self.bots.run(decision, self._next_token)

    def take_unfit(self) -> list[tuple[Task, str]]:
        """Return (and forget) queued tasks whose device no longer fulfils what the recipe requires."""
        unfit, self._unfit = self._unfit, []
        return unfit

    def _room(self, device: Device) -> bool:
        """Whether the device may be given one more task."""
        node = device.node
        return node is not None and _is_open(node) and self._is_free(device, node)

    def _is_free(self, device: Device, node: Peer) -> bool:
        """Whether a device of a node that takes tasks may be given one more."""
        held = device.held
        if device.state is not _ONLINE or len(held) >= self._held_max:
            return False
        if device.service is not _IN_SERVICE and (device.service is _QUARANTINED or held):
            return False
        if is_held(device) and not holding_bot(self._state.bots, device):
            return False
        # No next attempt while one that nobody vouches for, or that another node holds, may still act on it.
        for task in held.values():  # noqa: SIM110 - a generator costs a frame, four times a task
            if task.lost or task.node != node.name:
                return False
        return True

    def _best(self, device: Device, *, oldest: bool = False) -> Task | None:
        oldest = oldest or device.given % OLDEST_EVERY == _OLDEST_TURN
        if is_held(device):
            bot = holding_bot(self._state.bots, device)
            return device.waiting.first(oldest=oldest, bot=bot) if bot else None
        own = device.waiting.first(oldest=oldest)
        if not self._pools:
            return own
        pooled = self._pools.first(device, oldest=oldest)
        if pooled is None:
            return own
        if own is None:
            # Bound as late as can be: not while the device has something to do.
            return pooled if not device.held else None
        return pooled if goes_before(pooled, own, oldest=oldest) else own

    def _offer(self, device: Device) -> None:
        node = device.node
        if node is not None and _is_open(node):
            self._ask(device, node)

    def _ask(self, device: Device, node: Peer) -> None:
        """Let a device of a node that takes tasks say what it wants next."""
        task = self._best(device) if self._is_free(device, node) else None
        if task is None:
            return
        self._offers += 1
        device.offer = self._offers
        heapq.heappush(node.wants, (len(device.held), *task.key, self._offers, device, task))
        self._nodes[node] = None

    def _fill(self, decision: Decision, node: Peer) -> None:
        if not _is_open(node):
            return  # once it is, all its devices are asked again
        most = capacity(node)
        while node.wants and len(node.held) < most:
            turn = node.given % OLDEST_EVERY == _OLDEST_TURN
            found = (self._longest_waiting(node) if turn else None) or self._most_wanted(node)
            if found is None:
                return
            device, task = found
            if task.device is device:
                device.waiting.take(task)
                reason = self._unmet(task, device)
                if reason is not None:
                    self._unfit.append((task, reason))
                    self._ask(device, node)
                    continue
            self._dispatch(decision, task, device, node)
            self._ask(device, node)

    def _most_wanted(self, node: Peer) -> tuple[Device, Task] | None:
        """Take the next offer that still holds."""
        wants = node.wants
        while wants:
            _, _, _, _, offer, device, offered = heapq.heappop(wants)
            if device.offer != offer or device.node is not node:
                continue
            steady = self._is_steady(offered.run)
            if offer > self._fresh_after and steady:
                return device, offered
            if not self._is_free(device, node):
                continue
            if steady and waits_for(offered, device) and not is_held(device):
                return device, offered
            task = self._best(device)
            if task is not None:
                return device, task
        return None

    def _is_steady(self, run: Run) -> bool:
        """Whether a task of the run that was found to be next for a device is so still, while it waits for it.

        What the device itself was given makes its offer void, and whatever else changes asks it anew; but pools,
        bounds of runs, rates and plug-ins are everyone's.
        """
        return run.gate is None and not run.needs and run.queue.open and run.queue.rate is None and not self._pools

    def _longest_waiting(self, node: Peer) -> tuple[Device, Task] | None:
        """Look at every device of the node; None where nobody can be overtaken, because all have one priority."""
        if sum(len(queue.waiting_by_priority) for queue in self._state.queues.values()) < 2:
            return None
        found: tuple[Device, Task] | None = None
        for device in node.devices.values():
            task = self._best(device, oldest=True) if self._room(device) else None
            if task is not None and (found is None or task.order < found[1].order):
                found = device, task
        return found

    def _unmet(self, task: Task, device: Device) -> str | None:
        requires = task.run.requires
        if requires is None:
            return None
        facts = facts_of(device)
        return None if facts is None else unmet_requirement(requires, facts)

    def _place(self, decision: Decision, pool: Pool) -> None:
        """Spread new tasks of a pool over the idle devices of the least loaded nodes."""
        idle: dict[Peer, list[Device]] = {}
        for device in self._state.devices.values():
            if is_idle(device) and self._room(device) and pool.fits(device):
                assert device.node is not None
                idle.setdefault(device.node, []).append(device)
        loads = [(len(node.held), node.name) for node in idle]
        heapq.heapify(loads)
        while loads:
            held, name = heapq.heappop(loads)
            node = self._state.nodes[name]
            task = pool.head()
            if task is None:
                return
            if held >= capacity(node):
                continue
            if not may_go(task, idle[node][-1]):
                break
            self._dispatch(decision, task, idle[node].pop(), node)
            if idle[node]:
                heapq.heappush(loads, (held + 1, name))
        # What is left goes to whichever fitting device has room or is free next.
        self._marked.update(dict.fromkeys(device for device in self._state.devices.values() if self._room(device)))

    def _dispatch(self, decision: Decision, task: Task, device: Device, node: Peer) -> None:
        now, run = decision.now, task.run
        token = self._next_token(decision)
        key = (token.generation, token.n)
        if run.gate is not None:
            run.gate.held += 1
            run.gate.tried_open += not task.tried
        task.move(_DISPATCH)
        task.device = device
        task.node = node.name
        task.token = token
        task.dispatched_at_ms = now.utc_ms
        task.started_at_ms = None
        task.reason = ""
        task.lost = task.unsure = False
        task.proven_s = now.mono_s
        device.held[key] = node.held[key] = task
        device.offer = 0
        node.given += 1
        device.given += 1
        if run.queue.rate is not None:
            run.queue.rate.take(now.mono_s)
            run.queue.look_at_rate(now.mono_s)
            self._state.sweep_by(run.queue.rate.opens_s)
        if node.lease_due_s is None:
            node.lease_due_s = now.mono_s + self._state.settings.lease_s
            self._state.sweep_by(node.lease_due_s)
        decision.touch(task)
        run_id, serial = run.row.run_id, device.serial
        decision.task_event(
            topics.TASK_DISPATCHED,
            task,
            TaskDispatched(
                task_id=task.task_id,
                run_id=run_id,
                token=token,
                attempt=task.attempt,
                node_id=node.name,
                device_serial=serial,
            ),
        )
        if run.recipe_hash not in node.recipes:
            node.recipes.add(run.recipe_hash)
            recipe = self._state.recipes.by_hash(run.recipe_hash)
            decision.recipe(node, Recipe(recipe_hash=run.recipe_hash, body=recipe.row.body))
        decision.dispatch(
            node,
            Dispatch(
                task_id=task.task_id,
                run_id=run_id,
                token=token,
                attempt=task.attempt,
                device_serial=serial,
                workflow=run.title,
                recipe_hash=run.recipe_hash,
                params=run.params,
                trace_id=run.trace_id,
                timeout_s=task.timeout_s,
                step_timeouts_s=run.step_timeouts,
                begin_within_s=max(0.0, task.expires_s - now.mono_s) if task.expires_s is not None else None,
                created_at_ms=task.created_at_ms,
                files=run.files,
            ),
        )

    def _next_token(self, decision: Decision) -> Token:
        state = self._state
        state.token_last += 1
        if state.token_last > state.token_reserved:
            state.token_reserved += state.settings.tokens_reserved
            decision.ops.append(ReserveTokens(state.token_reserved))
        return Token(state.generation, state.token_last)


def _is_open(node: Peer) -> bool:
    """Whether the node is given tasks at all."""
    return node.service is not _QUARANTINED and node.takes_tasks
