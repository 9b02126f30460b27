"""All of the core's memory in one place, as loaded from the store (steps 2-5, 12)."""

from __future__ import annotations

from typing import Final

import msgspec

from doai.broker.core.bot_table import Bot
from doai.broker.core.campaign_table import CampaignTable
from doai.broker.core.deadlines import Deadlines, Due
from doai.broker.core.decision import Log
from doai.broker.core.lanes import Queue
from doai.broker.core.open_letters import OpenLetters
from doai.broker.core.rates import Rate
from doai.broker.core.recipes import Recipes
from doai.broker.core.settings import CoreSettings
from doai.broker.core.stored_files import StoredFiles
from doai.broker.core.tables import Device, Peer, Run, Task
from doai.changes.ops import Snapshot
from doai.changes.people import SessionRow, UserRow
from doai.changes.queues import QueueRow
from doai.changes.rows import (
    CommandRow,
    EnrolmentRow,
    KeyRow,
    Quarantine,
    RunRow,
    SecretRow,
    TaskRow,
    TokenRow,
)
from doai.clock import Now
from doai.codec import encode
from doai.disk_reserve import DiskReserve
from doai.ids import IdSource
from doai.limits import ALWAYS_GRACE_S, LEASE_MARGIN_S
from doai.link.incoming import Incoming
from doai.link.liveness import Liveness
from doai.messages.commands import Targets
from doai.messages.link import Role
from doai.messages.work import FilePin
from doai.states import HELD, PeerState, ServiceState, TaskState

NEXT: Final = "~"
"""Joins name and next public key of a node in what that key proves; no name has it."""


def proven(key_name: str) -> tuple[str, str]:
    """Return the name that a key proves, and the key itself where it is one that a node changes to, else ``""``."""
    name, _, next_public_key = key_name.partition(NEXT)
    return name, next_public_key


class State:
    """Tables of the core; modules find each other's data here."""

    def __init__(self, snapshot: Snapshot, ids: IdSource, settings: CoreSettings, now: Now) -> None:
        self.settings = settings
        self.log = Log(snapshot.last_position, settings.source, ids)
        self.store_id = snapshot.store_id
        self.life = ids.new_id(now.utc_ms)
        """Of this process; peers learn by it that what only memory held is gone."""
        self.generation = snapshot.generation
        self.token_reserved = snapshot.token_reserved
        self.token_last = snapshot.token_reserved
        self.disk = DiskReserve(settings.disk_reserve_bytes)
        self.recipes = Recipes(snapshot.workflows)
        self.files = StoredFiles(snapshot.files)
        self.letters = OpenLetters(snapshot.dead_letters, snapshot.dead_runs)
        self.deadlines = Deadlines()
        self.peers: dict[str, Peer] = {}
        """By address."""
        self.nodes: dict[str, Peer] = {}
        """Nodes by name: a node has one instance."""
        self.links: dict[int, Peer] = {}
        self.devices: dict[str, Device] = {}
        self.queues: dict[str, Queue] = {}
        self.changed_queues: dict[Queue, None] = {}
        """Queues whose row is to be written again."""
        self.runs: dict[str, Run] = {}
        self.tasks: dict[str, Task] = {}
        self.keys: dict[str, KeyRow] = {row.name: row for row in snapshot.keys}
        self.enrolments: dict[str, EnrolmentRow] = {row.name: row for row in snapshot.enrolments}
        self.secrets: dict[str, SecretRow] = {row.name: row for row in snapshot.secrets}
        self.incidents = {(row.type, row.subject): row for row in snapshot.incidents}
        """Those that are not resolved."""
        self.tokens: dict[str, TokenRow] = {row.name: row for row in snapshot.tokens}
        self.users: dict[str, UserRow] = {row.name: row for row in snapshot.users}
        self.sessions: dict[str, SessionRow] = {row.token_sha256: row for row in snapshot.sessions}
        self.commands: dict[str, CommandRow] = {row.idempotency_key: row for row in snapshot.commands}
        self.streams: dict[str, dict[str, Incoming]] = {}
        """Streams by address and incarnation: HELLO takes the one it names, or begins it."""
        self.campaigns = CampaignTable(snapshot)
        self.bots: dict[str, Bot] = {}
        self.conditions = {(row.serial, row.bot): row for row in snapshot.conditions}
        """What bots found wrong, by device and bot."""
        self.sweep_s: float | None = now.mono_s
        """Nothing of peers, leases or remembered commands is due before; proofs only move it away."""
        _Loader(self, snapshot, now).load()

    def live_keys(self) -> dict[str, str]:
        """Return who may connect: public key -> what it proves, a name; of the next key of a node see `proven`."""
        live = [row for row in self.keys.values() if row.revoked_at_ms is None]
        changing = {row.next_public_key: f"{row.name}{NEXT}{row.next_public_key}" for row in live}
        changing.pop("", None)
        return {row.public_key: row.name for row in live} | changing

    def add_queue(self, row: QueueRow, *, stored: bool = False) -> Queue:
        """Let there be another queue."""
        queue = self.queues[row.name] = Queue(row, self.changed_queues, stored=stored)
        return queue

    def queue(self, name: str) -> Queue:
        """Return the queue of a run that is stored; one that nobody has configured any more is made again."""
        return self.queues.get(name) or self.add_queue(QueueRow(name=name))

    def sweep_by(self, due_s: float) -> None:
        """Something new is due then."""
        if self.sweep_s is None or due_s < self.sweep_s:
            self.sweep_s = due_s


class _Loader:
    """Turns the rows of a snapshot into the tables."""

    def __init__(self, state: State, snapshot: Snapshot, now: Now) -> None:
        self._state = state
        self._snapshot = snapshot
        self._now = now

    def load(self) -> None:
        state, snapshot = self._state, self._snapshot
        for stream in snapshot.streams:
            address = f"{stream.row.name}/{stream.row.instance}"
            incoming = Incoming(stream.row.name, stream.row.instance)
            incoming.load(stream.row, stream.digests)
            state.streams.setdefault(address, {})[stream.row.incarnation] = incoming
        self._load_nodes()
        for row in snapshot.devices:
            device = state.devices[row.serial] = Device(row.serial)
            device.row = row
            device.state = row.state
            device.node = state.nodes.get(row.node_id)
            device.service = _service_of(row.quarantine)
            if device.node is not None:
                device.node.devices[row.serial] = device
        for queue_row in snapshot.queues:
            queue = state.add_queue(queue_row, stored=True)
            if queue_row.rate_per_min:
                queue.limit(Rate(queue_row.rate_per_min, self._now.mono_s, fresh=False), self._now.mono_s)
        for name, priority in state.settings.queues.items():
            if name not in state.queues:
                state.add_queue(QueueRow(name=name, priority=priority))
        for run_row in snapshot.runs:
            run = state.runs[run_row.run_id] = load_run(run_row, state.queue(run_row.queue))
            run.counts.update(snapshot.ended_counts.get(run_row.run_id, {}))
        for task_row in snapshot.tasks:
            self._load_task(task_row)

    def _load_nodes(self) -> None:
        state = self._state
        instances = {stream.row.name: stream.row.instance for stream in self._snapshot.streams}
        for row in self._snapshot.nodes:
            stream = Incoming(row.node_id, instances.get(row.node_id, ""))
            # A broker that starts gives everyone a full term to be heard from.
            liveness = Liveness(row.node_id, Role.NODE, PeerState(row.state), self._now.mono_s)
            peer = Peer(row.node_id, stream.instance, Role.NODE, stream, liveness)
            peer.row = row
            peer.steps = row.offered_steps
            state.nodes[row.node_id] = peer
            state.peers[peer.address] = peer
            peer.service = _service_of(row.quarantine)

    def _load_task(self, row: TaskRow) -> None:
        state, now, status = self._state, self._now, row.status
        run = state.runs[row.run_id]
        expires_s = None
        if row.expires_at_ms is not None:
            expires_s = now.mono_s + (row.expires_at_ms - now.utc_ms) / 1000
        task = Task(
            row.task_id,
            run,
            row.target_kind,
            timeout_s=row.timeout_s,
            created_at_ms=row.created_at_ms,
            expires_at_ms=row.expires_at_ms,
            expires_s=expires_s,
        )
        task.stored = True
        task.stand(status.state)
        task.order = status.order
        for name in ("attempt", "token", "not_before_ms", "dispatched_at_ms", "started_at_ms"):
            setattr(task, name, getattr(status, name))
        task.node, task.failure = status.node_id, status.failure
        task.outputs_body, task.reason = status.outputs_body, status.reason
        state.tasks[task.task_id] = run.open[task.task_id] = task
        if run.gate is not None:
            run.gate.tried_open += task.tried
            run.gate.held += task.state in HELD
        if status.device_serial is not None:
            task.device = state.devices.get(status.device_serial)
            if task.device is None:
                task.device = state.devices[status.device_serial] = Device(status.device_serial)
        if expires_s is not None:
            state.deadlines.add(expires_s, Due.EXPIRE, task)
        if task.state is TaskState.DELAYED:
            wait_s = max(0.0, ((task.not_before_ms or 0) - now.utc_ms) / 1000)
            state.deadlines.add(now.mono_s + wait_s, Due.RETRY, task)
        elif task.state in HELD:
            self._load_held(task)

    def _load_held(self, task: Task) -> None:
        # Every open lease gets a full term; what was unproven stays so until its holder speaks or the term ends.
        state, now = self._state, self._now
        assert task.token is not None
        key = (task.token.generation, task.token.n)
        task.proven_s = now.mono_s
        task.lost = task.state is TaskState.UNPROVEN
        if task.device is not None:
            task.device.held[key] = task
        if task.lost:
            state.deadlines.add(now.mono_s + give_up_after_s(task), Due.GIVE_UP, task)
        node = state.nodes.get(task.node or "")
        if node is not None:
            node.held[key] = task
            node.lease_due_s = now.mono_s + state.settings.lease_s


def _service_of(quarantine: Quarantine | None) -> ServiceState:
    return ServiceState.IN_SERVICE if quarantine is None else ServiceState.QUARANTINED


def give_up_after_s(task: Task) -> float:
    """Return how long after its last proof the holder of a task can no longer act on it."""
    return task.timeout_s + ALWAYS_GRACE_S + LEASE_MARGIN_S


def load_run(row: RunRow, queue: Queue) -> Run:
    """Return the run of a row, its bodies read."""
    params = msgspec.Raw(encode(msgspec.json.decode(row.params_body)))
    step_timeouts = msgspec.json.decode(row.step_timeouts_body, type=dict[str, float])
    targets = msgspec.json.decode(row.targets_body, type=Targets)
    files = msgspec.json.decode(row.files_body, type=list[FilePin])
    return Run(row, queue, params, step_timeouts, targets.selector, files)
