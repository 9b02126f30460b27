"""Leases: who vouches for which attempt, what follows when nobody does, what a node holds after all (steps 5, 12).

A heartbeat extends the leases of the tokens it lists. A lease that ends makes the attempt unproven; it is given up
only when its holder can no longer act on it. HOLDINGS, after WELCOME, settles what is open between broker and node.
"""

from __future__ import annotations

from doai import topics
from doai.broker.core.deadlines import Due
from doai.broker.core.decision import Decision
from doai.broker.core.scheduler import Scheduler
from doai.broker.core.state import State, give_up_after_s
from doai.broker.core.tables import Peer, Task, TokenKey
from doai.broker.core.tasks import Tasks
from doai.codec import Kind
from doai.errors import ErrorClass, Failure
from doai.messages.link import Heartbeat, Role
from doai.messages.work import Holdings, TaskRef
from doai.reasons import reason as because
from doai.states import TaskState, TaskTrigger


class Leases:
    """Judges what nodes hold."""

    def __init__(self, state: State, scheduler: Scheduler, tasks: Tasks) -> None:
        self._state = state
        self._scheduler = scheduler
        self._tasks = tasks

    def heartbeat(self, decision: Decision, peer: Peer, heartbeat: Heartbeat) -> bool:
        """Extend the leases of the listed tokens; return whether all of them are the peer's.

        One that is not is released when its list is judged, or settled by a new HELLO.
        """
        self._intake(decision, peer, heartbeat.intake_closed)
        foreign = False
        for generation, n in heartbeat.tokens:
            task = peer.held.get((generation, n))
            if task is None:
                foreign = True
                continue
            self.prove(decision, task)
            if task.state is TaskState.CANCELLING:
                self._tasks.ask_to_cancel(decision, task)
        if peer.role is Role.NODE and not peer.ready and peer.holdings is None:
            # A node lists what it holds before its first heartbeat: that frame was lost.
            decision.log("warning", f"what node {peer.name} holds did not come: it is asked to list it")
            decision.send_to(peer, Kind.HELLO_REQUIRED)
        settled = peer.ready and peer.stream.last_seq == heartbeat.as_of_seq
        if foreign and settled:
            decision.log("warning", f"node {peer.name} holds tasks that are not its own: it is asked to list them")
            decision.send_to(peer, Kind.HELLO_REQUIRED)
        elif settled and any(decision.now.mono_s - task.proven_s > self._unlisted_s for task in peer.held.values()):
            decision.log("warning", f"node {peer.name} does not list all it was given: it is asked to list it")
            decision.send_to(peer, Kind.HELLO_REQUIRED)
        return not foreign

    @property
    def _unlisted_s(self) -> float:
        """A task that a node was given this long ago is in its heartbeat, unless its Dispatch was lost."""
        return 2.0 * self._state.settings.heartbeat_s

    def _intake(self, decision: Decision, peer: Peer, closed: str) -> None:
        if closed == peer.intake_closed:
            return
        peer.intake_closed = closed
        level, text = ("warning", f"takes no tasks: {closed}") if closed else ("info", "takes tasks again")
        decision.log(level, f"{peer.role.value} {peer.name} {text}", {"node_id": peer.name})
        self._scheduler.mark_node(peer)
        self._scheduler.bots.mark()

    def prove(self, decision: Decision, task: Task) -> None:
        """The holder vouches for it."""
        task.proven_s = decision.now.mono_s
        if not task.lost:
            return
        task.lost = False
        self._watch(task)
        if task.device is not None:
            self._scheduler.mark(task.device)
        begun = task.started_at_ms is not None
        trigger = TaskTrigger.PROVE if begun else TaskTrigger.PROVE_WAITING
        task.reason = "" if task.state is TaskState.UNPROVEN else task.reason
        self._tasks.move(decision, task, trigger)
        self._tasks.say(decision, task, topics.TASK_PROVEN, f"node {task.node} vouches for it again")

    def _watch(self, task: Task) -> None:
        node = self._state.nodes.get(task.node or "")
        if node is not None and node.lease_due_s is None:
            node.lease_due_s = task.proven_s + self._state.settings.lease_s
            self._state.sweep_by(node.lease_due_s)

    def holdings(self, decision: Decision, peer: Peer, holdings: Holdings) -> None:
        """Take what the node says it holds; judged once the facts that belong to it are applied."""
        peer.holdings = holdings
        self.reconcile(decision, peer)

    def reconcile(self, decision: Decision, peer: Peer) -> None:
        """Send the difference between what the node holds and what it should hold, if it can be told yet."""
        holdings = peer.holdings
        if holdings is None or peer.stream.last_seq < holdings.as_of_seq:
            return
        peer.holdings = None
        listed: set[TokenKey] = set()
        for holding in holdings.tasks:
            key = (holding.token.generation, holding.token.n)
            task = peer.held.get(key)
            if task is None or task.task_id != holding.task_id:
                decision.release(peer, TaskRef(holding.task_id, holding.token))
                continue
            listed.add(key)
            self.prove(decision, task)
            if task.state is TaskState.CANCELLING:
                self._tasks.ask_to_cancel(decision, task)
        for key, task in list(peer.held.items()):
            if key not in listed:
                self._missing(decision, task)
        peer.ready = True
        self._scheduler.mark_node(peer)

    def _missing(self, decision: Decision, task: Task) -> None:
        reason = because("not_held", node=task.node)
        if task.started_at_ms is None and not task.unsure:
            # Its start is durable at the node before the first device command: nothing was done.
            self._tasks.close_attempt(decision, task, None)
            self._tasks.decide(decision, task, TaskTrigger.RELEASE, reason)
            if task.state is TaskState.QUEUED:
                self._tasks.released(decision, task)
            return
        self._tasks.lose(decision, task, self._nobody_knows(task, reason), reason)

    def _nobody_knows(self, task: Task, reason: str) -> Failure:
        repeatable = self._state.recipes.by_hash(task.run.recipe_hash).repeatable
        return Failure(
            error_class=ErrorClass.INFRASTRUCTURE if repeatable else ErrorClass.UNKNOWN,
            code="attempt_lost",
            message=f"{reason}, and how attempt {task.attempt} ended was not recorded: look at the device",
        )

    def sweep(self, decision: Decision) -> None:
        """End the leases whose term is over."""
        now_s = decision.now.mono_s
        for peer in self._state.nodes.values():
            if peer.lease_due_s is not None and peer.lease_due_s <= now_s:
                self._sweep_node(decision, peer)

    def _sweep_node(self, decision: Decision, peer: Peer) -> None:
        now_s, lease_s = decision.now.mono_s, self._state.settings.lease_s
        earliest: float | None = None
        for task in list(peer.held.values()):
            if task.lost:
                continue
            ends_s = task.proven_s + lease_s
            if ends_s <= now_s:
                self._end_lease(decision, peer, task)
            elif earliest is None or ends_s < earliest:
                earliest = ends_s
        peer.lease_due_s = earliest

    def _end_lease(self, decision: Decision, peer: Peer, task: Task) -> None:
        task.lost = True
        silent_s = decision.now.mono_s - task.proven_s
        reason = because("not_vouched", node=peer.name, seconds=f"{silent_s:.0f}")
        if task.state is TaskState.CANCELLING:
            self._tasks.move(decision, task, TaskTrigger.LOSE)
        else:
            self._tasks.decide(decision, task, TaskTrigger.LOSE, reason)
        self._state.deadlines.add(task.proven_s + give_up_after_s(task), Due.GIVE_UP, task)

    def give_up(self, decision: Decision, task: Task) -> None:
        """The time is over after which a lost holder can still act; if it was heard meanwhile, nothing follows."""
        if not task.lost:
            return
        due_s = task.proven_s + give_up_after_s(task)
        if decision.now.mono_s < due_s:
            self._state.deadlines.add(due_s, Due.GIVE_UP, task)
            return
        reason = because("not_heard_of", node=task.node)
        self._tasks.lose(decision, task, self._nobody_knows(task, reason), reason)

    def due_s(self) -> float | None:
        """Return when the next lease may end."""
        ends = [peer.lease_due_s for peer in self._state.nodes.values() if peer.lease_due_s is not None]
        return min(ends, default=None)
