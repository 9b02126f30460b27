"""What must hold between memory, disk and wire, looked at along the way and at the end (all steps)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from doai import topics
from doai.broker.core.core import BrokerCore
from doai.broker.core.effects import SendFrame
from doai.broker.core.tables import Task
from doai.changes.outbox import AppendFact, OutboxOp
from doai.changes.rows import TaskRow
from doai.codec import BodyDecoder, Kind, decode, unpack_header
from doai.envelope import Envelope
from doai.link.actions import OutgoingState
from doai.link.actions import SendFrame as NodeSendFrame
from doai.messages.commands import Reply, TargetKind
from doai.messages.link import Hello, Records, Role
from doai.messages.work import Dispatches
from doai.node.core.effects import StartStep
from doai.states import HELD, TERMINAL, DeviceState, IncidentState, RunState, TaskState
from doai.store.memory import MemoryTables
from tests.sim.broker import BrokerProcess
from tests.sim.campaigns import compare_campaigns
from tests.sim.ledger import Ledger, read_payload
from tests.sim.node import NodeProcess
from tests.sim.world import Violation

_envelope = BodyDecoder(Envelope)
_RECORDS, _HELLO, _DISPATCH, _REPLY = Kind.RECORDS, Kind.HELLO, Kind.DISPATCH, Kind.REPLY
_QUEUED, _DELAYED = TaskState.QUEUED, TaskState.DELAYED
"""By these names, because Python 3.11 finds a member of an enum by a call."""
_dispatches = BodyDecoder(Dispatches)
_records = BodyDecoder(Records)


class Checks:
    """Watches what leaves, and what lands on nodes' disks."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._begun: set[Any] = set()
        self._durable: set[Any] = set()
        self._places: dict[str, int] = {}
        self.dispatched_largest = 0

    @property
    def tries(self) -> int:
        """Tries of steps that were begun."""
        return len(self._begun)

    # --- nodes --------------------------------------------------------------------------------------------

    def node_landed(self, node: NodeProcess, ops: Sequence[OutboxOp]) -> None:
        """A batch is on a node's disk."""
        name, recorded, history = node.name, self._ledger.recorded, node.disk.history
        for op in ops:
            if type(op) is AppendFact:
                envelope: Envelope = _envelope(op.envelope)
                place = self._places[name] = self._places.get(name, 0) + 1
                recorded[envelope.event_id] = (name, place)
                history.append(envelope.event_id)
                if envelope.type == topics.STEP_STARTED:
                    told = read_payload(envelope.payload)
                    self._durable.add((told.task_id, told.token, told.step_id, told.try_number))

    def node_effect(self, node: NodeProcess, effect: Any) -> None:
        """Something leaves a node's core."""
        kind = type(effect)
        if kind is StartStep:
            self._step_begins(node, effect)
        elif kind is NodeSendFrame:
            self._node_sends(node, effect)

    def _step_begins(self, node: NodeProcess, effect: StartStep) -> None:
        key = effect.key
        name = (key.task_id, key.token, key.step_id, key.try_number)
        if name not in self._durable:
            raise Violation(
                "start_not_durable", f"{key} begins on {node.name}, its start is not on disk", key.task_id
            )
        if name in self._begun:
            raise Violation("begun_twice", f"{key} begins again on {node.name}", key.task_id)
        self._begun.add(name)
        node.world.stopwatch.step_begins(key.task_id, node.world.now_s)

    def _node_sends(self, node: NodeProcess, effect: NodeSendFrame) -> None:
        kind = effect.header[1]
        if kind == _RECORDS:
            last = _records(effect.body).records[-1].seq
            if last > node.disk.file.highest_seq:
                raise Violation(
                    "ahead_of_disk", f"{node.name} sends fact {last} before it is on its disk", node.name
                )
            assert node.core is not None
            link = node.core._session._outgoing
            if link.state is OutgoingState.LIVE and link._sent_seq > max(link._credit_seq, link.trimmed_seq):
                message = f"{node.name} sent fact {link._sent_seq}, its credit ends at {link._credit_seq}"
                raise Violation("credit", message, node.name)
        elif kind == _HELLO:
            hello = decode(effect.body, Hello)
            if hello.epoch > node.disk.file.epoch and hello.incarnation == node.disk.file.incarnation:
                raise Violation("ahead_of_disk", f"{node.name} says epoch {hello.epoch} before it is on its disk")

    # --- the broker ---------------------------------------------------------------------------------------

    def broker_sends(self, broker: BrokerProcess, effect: SendFrame) -> None:
        """A frame leaves the broker: what it says must be on disk."""
        tables, header = broker.disk.tables, unpack_header(effect.header)
        assert broker.core is not None
        if header.ack:
            peer = broker.core.state.links.get(effect.link)
            if peer is not None:
                known = [row.last_seq for key, row in tables.streams.items() if key[0] == peer.name]
                if header.ack > max(known, default=0):
                    message = f"the broker acknowledges fact {header.ack} of {peer.name} before it is on disk"
                    raise Violation("ack_before_commit", message, peer.name)
            if header.credit_seq < header.ack:
                raise Violation("credit", f"credit {header.credit_seq} is below the ack {header.ack}")
        if header.kind == _DISPATCH:
            dispatches = _dispatches(effect.body).dispatches
            self.dispatched_largest = max(self.dispatched_largest, len(dispatches))
            for dispatch in dispatches:
                if dispatch.token not in self._ledger.tokens_ever:
                    message = f"token {dispatch.token} leaves before it is on disk"
                    raise Violation("ack_before_commit", message, dispatch.task_id)
        elif header.kind == _REPLY:
            reply = decode(effect.body, Reply)
            if reply.position > tables.last_position:
                raise Violation(
                    "ack_before_commit", f"an answer names position {reply.position} before it is on disk"
                )
            self._ledger.trail.answered(reply)


# --- memory and disk --------------------------------------------------------------------------------------


def compare_memory(core: BrokerCore, tables: MemoryTables) -> None:
    """The core's memory is what the disk holds, while nothing is on its way."""
    state = core.state
    stored: dict[str, TaskRow] = {}
    for task_id, row in tables.tasks.items():
        status = row.status
        is_open = status.state not in TERMINAL
        if is_open:
            stored[task_id] = row
        if (status.ended_at_ms is None) is not is_open:
            raise Violation("end_without_time", f"task {task_id} is {status}: lists go by the time", task_id)
    if stored.keys() != state.tasks.keys():
        other = next(iter(stored.keys() ^ state.tasks.keys()))
        raise Violation("memory_differs", f"task {other} is open on one side only", other)
    for task_id, task in state.tasks.items():
        if task.status() != stored[task_id].status:
            message = f"task {task_id}: memory has {task.status()}, the disk {stored[task_id].status}"
            raise Violation("memory_differs", message, task_id)
    _compare_runs(core, tables)
    open_incidents = {
        (row.type, row.subject): row for row in tables.incidents.values() if row.state is not IncidentState.RESOLVED
    }
    pairs = (
        ("position", state.log.position, tables.last_position),
        ("keys", state.keys, tables.keys),
        ("tokens", state.tokens, tables.tokens),
        ("enrolments", state.enrolments, tables.enrolments),
        ("secrets", state.secrets, tables.secrets),
        ("users", state.users, tables.users),
        ("sessions", state.sessions, tables.sessions),
        ("incidents", state.incidents, open_incidents),
        ("conditions", state.conditions, tables.conditions),
        ("queues", {name: queue.row for name, queue in state.queues.items() if queue.stored}, tables.queues),
        ("commands", state.commands, tables.commands),
        ("nodes", {name: peer.row for name, peer in state.nodes.items() if peer.row}, tables.nodes),
        ("devices", {serial: d.row for serial, d in state.devices.items() if d.row}, tables.devices),
        ("reserved tokens", state.token_reserved, tables.meta["token_reserved"]),
    )
    for what, memory, disk in pairs:
        if memory != disk:
            raise Violation("memory_differs", f"{what}: memory has {memory}, the disk {disk}")
    for (name, _, incarnation), row in tables.streams.items():
        stream = state.streams.get(f"{name}/{row.instance}", {}).get(incarnation)
        if stream is None or (stream.last_seq, stream.epoch) != (row.last_seq, row.epoch):
            raise Violation("memory_differs", f"the stream of {name} in memory is not that on disk")
    compare_campaigns(core, tables)
    _check_held(core)
    _check_queues(core)


def _compare_runs(core: BrokerCore, tables: MemoryTables) -> None:
    state = core.state
    open_runs = {run_id for run_id, row in tables.runs.items() if row.state is not RunState.COMPLETED}
    if open_runs != state.runs.keys():
        raise Violation("memory_differs", f"open runs differ: {open_runs ^ state.runs.keys()}")
    ended: dict[str, dict[str, int]] = {}
    for row in tables.tasks.values():
        if row.run_id in open_runs and row.status.state in TERMINAL:
            counts = ended.setdefault(row.run_id, {})
            counts[row.status.state.value] = counts.get(row.status.state.value, 0) + 1
    for run_id, run in state.runs.items():
        if run.counts != ended.get(run_id, {}):
            raise Violation(
                "run_counts", f"run {run_id} counts {run.counts}, its rows {ended.get(run_id, {})}", run_id
            )


def _check_held(core: BrokerCore) -> None:
    state = core.state
    with_token = {(t.token.generation, t.token.n): t for t in state.tasks.values() if t.state in HELD and t.token}
    held = {key: task for key, task in with_token.items() if task.target_kind is not TargetKind.BOT}
    of_bots = {key: task for key, task in with_token.items() if task.target_kind is TargetKind.BOT}
    if of_bots != core._scheduler.bots.held:
        raise Violation("memory_differs", "held tasks of bots are not those of their leases")
    for peer in state.peers.values():
        theirs = {key: task for key, task in of_bots.items() if task.node == peer.address}
        if peer.role is Role.BOT and not peer.held.items() <= theirs.items():
            raise Violation("memory_differs", f"{peer.address} holds tasks of bots that are not its own")
    by_device = {key: task for device in state.devices.values() for key, task in device.held.items()}
    by_node = {key: task for node in state.nodes.values() for key, task in node.held.items()}
    if held != by_device or not by_node.items() <= held.items():
        raise Violation("memory_differs", "held tasks are not those of devices and nodes")
    for device in state.devices.values():
        if len(device.held) > state.settings.held_per_device_max:
            raise Violation("bounds", f"device {device.serial} holds {len(device.held)} tasks")
    for node in state.nodes.values():
        if node.capacity and len(node.held) > node.capacity:
            raise Violation(
                "bounds", f"node {node.name} holds {len(node.held)} tasks, its capacity is {node.capacity}"
            )


def _check_queues(core: BrokerCore) -> None:
    """What queues count as they go is what their tasks come to."""
    tasks_of: dict[int, list[Task]] = {}
    for task in core.state.tasks.values():
        tasks_of.setdefault(id(task.run.queue), []).append(task)
    for queue in core.state.queues.values():
        tasks = tasks_of.get(id(queue), [])
        waiting = Counter(task.run.row.priority for task in tasks if task.state is _QUEUED)
        delayed = sum(task.state is _DELAYED for task in tasks)
        held = sum(task.state in HELD for task in tasks)
        counted = (queue.waiting, queue.waiting_by_priority, queue.delayed, queue.held)
        if counted != (waiting.total(), dict(waiting), delayed, held):
            raise Violation("queue_counts", f"queue {queue.row.name} counts {counted}, there are {waiting}")


# --- the end ----------------------------------------------------------------------------------------------


def check_open_tasks(core: BrokerCore, patient: bool) -> list[str]:
    """Return why each open task is held; raises Violation for one without a reason."""
    reasons: list[str] = []
    for task in core.state.tasks.values():
        reason = core._scheduler.waiting_reason(task) if task.state is TaskState.QUEUED else ""
        if task.state is TaskState.QUEUED and not reason and task.device is not None:
            other = next(iter(task.device.held.values()), None)
            reason = f"device holds {other.task_id}" if other is not None and other is not task else ""
        if task.state is not TaskState.QUEUED and not patient:
            reason = f"it is {task.state.value}"
        if not reason:
            message = f"task {task.task_id} is {task.state.value} on {task.device and task.device.serial} for ever"
            raise Violation("never_ends", message, task.task_id)
        if task.state is TaskState.QUEUED and task.device is None:
            _check_none_fits(core, task)
        reasons.append(reason)
    return reasons


def _check_none_fits(core: BrokerCore, task: Task) -> None:
    """A task for any device waits only while there is no device for it."""
    pool = core._scheduler._pools.of(task.run)
    if pool is None or not task.run.queue.open or (task.run.gate is not None and not task.run.gate.lets(task)):
        return
    for device in core.state.devices.values():
        row, node = device.row, device.node
        if row is None or node is None or node.row is None or device.held or not node.takes_tasks:
            continue
        kept = row.quarantine or row.hold or node.row.quarantine or len(node.held) >= node.capacity
        if not kept and device.state is DeviceState.ONLINE and pool.fits(device):
            message = f"task {task.task_id} waits for ever though {device.serial} is free"
            raise Violation("never_ends", message, task.task_id)


def check_nodes_at_end(nodes: Sequence[NodeProcess], ledger: Ledger) -> None:
    """Every fact on a disk that came back is in the log, and nothing is left in memory."""
    for node in nodes:
        if node.core is None:
            continue
        file = node.disk.file
        if file.facts:
            message = f"{len(file.facts)} facts of {node.name} were never taken"
            raise Violation("stream_stuck", message, node.name)
        if node.name in ledger.loose:
            continue
        places = [ledger.event_ids.get(event_id) for event_id in node.disk.history]
        if None in places:
            message = f"{places.count(None)} facts of {node.name} are not in the log"
            raise Violation("fact_lost", message, node.name)
        if places != sorted(places):  # type: ignore[type-var]
            raise Violation("fact_order", f"facts of {node.name} are in the log in another order", node.name)
    for node in nodes:
        tasks = node.core._tasks if node.core is not None else None
        if tasks is not None and (tasks.held or tasks.running or len(tasks._waiting)):
            raise Violation(
                "never_ends", f"{node.name} still holds {tasks.held} tasks, {tasks.running} run", node.name
            )
