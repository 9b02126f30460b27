"""What the core keeps in memory of open work: runs, tasks, devices, peers (steps 2-5, 12).

Plain classes with slots, because a broker has 100,000 of them. They decide nothing; what has ended is dropped.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final

from doai.broker.core.bounds import Gate
from doai.broker.core.health import Health
from doai.broker.core.lanes import Lanes, Queue
from doai.changes.rows import DeviceRow, NodeRow, RunRow, TaskRow, TaskStatusRow
from doai.changes.runs import Bounds, read_bounds
from doai.errors import Failure
from doai.ids import Token
from doai.limits import FLAPS
from doai.link.incoming import Incoming
from doai.link.liveness import Liveness
from doai.messages.commands import Selector, TargetKind
from doai.messages.events import DeviceOnline
from doai.messages.link import HostSample, Role
from doai.messages.work import FilePin, Holdings
from doai.states import (
    TASK_TABLE,
    DeviceState,
    PeerState,
    RunState,
    ServiceState,
    TaskState,
    TaskTrigger,
    move,
)
from doai.wire_versions import GREETING
from doai.workflow.language import Requires

# Names of their own: a member of an enum is looked up by a function of its class.
_QUEUED: Final = TaskState.QUEUED
_ONLINE: Final = PeerState.ONLINE

TokenKey = tuple[int, int]
"""(generation, n) of a token."""
SchedulingKey = tuple[int, int, int]
"""(-queue priority, -run priority, order): the smallest goes first."""


class Run:
    """An open run."""

    __slots__ = (
        "counts",
        "files",
        "gate",
        "needs",
        "open",
        "params",
        "queue",
        "recipe_hash",
        "requires",
        "row",
        "selector",
        "state",
        "step_timeouts",
        "stopped",
        "title",
        "trace_id",
    )

    def __init__(
        self,
        row: RunRow,
        queue: Queue,
        params: Any,
        step_timeouts: dict[str, float],
        selector: Selector | None,
        files: list[FilePin],
    ) -> None:
        self.row = row
        self.queue = queue
        self.params = params
        """msgspec.Raw of the parameters, encoded once for all dispatches."""
        self.step_timeouts = step_timeouts
        self.selector = selector
        """Of *any that match*."""
        self.files = files
        """What its steps may ask for."""
        self.recipe_hash = row.recipe_hash
        self.title = f"{row.workflow}@{row.version}"
        self.trace_id = row.trace_id
        self.needs: frozenset[str] | None = None
        """Steps of plug-ins that its tasks use; None = its recipe was not looked at yet."""
        self.requires: Requires | None = None
        """What its recipe wants of a device, once it was looked at."""
        self.state = row.state
        self.open: dict[str, Task] = {}
        self.counts: dict[str, int] = {}
        """Ended tasks by outcome."""
        bounds = read_bounds(row.bounds_body)
        self.gate = None if bounds == Bounds() else Gate(bounds, self.counts)
        """Of a run that is bounded."""
        self.stopped = row.stopped
        """Why it goes no further; empty = it does."""


class Task:
    """An open task. ``expires_s``, ``proven_s`` are monotonic seconds."""

    __slots__ = (
        "attempt",
        "created_at_ms",
        "device",
        "dispatched_at_ms",
        "doomed",
        "ended_at_ms",
        "expires_at_ms",
        "expires_s",
        "failure",
        "lost",
        "node",
        "not_before_ms",
        "order",
        "outputs_body",
        "proven_s",
        "reason",
        "run",
        "started_at_ms",
        "state",
        "stored",
        "target_kind",
        "task_id",
        "timeout_s",
        "token",
        "unsure",
    )

    def __init__(
        self,
        task_id: str,
        run: Run,
        target_kind: TargetKind,
        *,
        timeout_s: float,
        created_at_ms: int,
        expires_at_ms: int | None,
        expires_s: float | None,
    ) -> None:
        self.task_id = task_id
        self.run = run
        self.target_kind = target_kind
        self.timeout_s = timeout_s
        self.created_at_ms = created_at_ms
        self.expires_at_ms = expires_at_ms
        self.expires_s = expires_s
        self.state = _QUEUED
        """Where it stands; its queue counts it there, so that only `move` and `stand` change it."""
        run.queue.count(_QUEUED, run.row.priority, 1)
        self.order = 0
        """Its place in the FIFO, which is that of an event in the log."""
        self.device: Device | None = None
        self.attempt = 1
        self.token: Token | None = None
        self.node: str | None = None
        self.not_before_ms: int | None = None
        self.dispatched_at_ms: int | None = None
        self.started_at_ms: int | None = None
        self.ended_at_ms: int | None = None
        self.failure: Failure | None = None
        self.outputs_body: bytes | None = None
        self.reason = ""
        self.proven_s = 0.0
        """When its holder last spoke of it, or when it was dispatched."""
        self.lost = False
        """Its lease ended; also while it is being cancelled."""
        self.unsure = False
        """Its holder's outbox began a new life since it was dispatched: what is not told may still have begun."""
        self.stored = False
        self.doomed = False
        """It was discarded and ends in a moment: nobody is given it."""

    def move(self, trigger: TaskTrigger) -> None:
        """Move it by the table; raises IllegalTransitionError."""
        self.stand(move(TASK_TABLE, self.state, trigger, self))

    def stand(self, state: TaskState) -> None:
        """Let it stand there, as its row says."""
        before = self.state
        if before is not state:
            self.state = state
            self.run.queue.moved(before, state, self.run.row.priority)

    def __str__(self) -> str:
        return f"task {self.task_id}"

    @property
    def tried(self) -> bool:
        """Whether it was given to a node and not given back untouched."""
        return self.attempt > 1 or self.token is not None

    @property
    def key(self) -> SchedulingKey:
        """Its place among all that waits."""
        run = self.run
        return -run.queue.priority, -run.row.priority, self.order

    def status(self) -> TaskStatusRow:
        """Return all that changes of it, for the store."""
        device = self.device
        return TaskStatusRow(
            state=self.state,
            order=self.order,
            device_serial=device.serial if device is not None else None,
            attempt=self.attempt,
            token=self.token,
            node_id=self.node,
            not_before_ms=self.not_before_ms,
            dispatched_at_ms=self.dispatched_at_ms,
            started_at_ms=self.started_at_ms,
            ended_at_ms=self.ended_at_ms,
            failure=self.failure,
            outputs_body=self.outputs_body,
            reason=self.reason,
        )

    def row(self, selector_body: bytes | None) -> TaskRow:
        """Return it as first stored."""
        return TaskRow(
            task_id=self.task_id,
            run_id=self.run.row.run_id,
            target_kind=self.target_kind,
            selector_body=selector_body,
            queue=self.run.row.queue,
            priority=self.run.row.priority,
            created_at_ms=self.created_at_ms,
            expires_at_ms=self.expires_at_ms,
            timeout_s=self.timeout_s,
            status=self.status(),
        )


class Device:
    """A device, and the tasks that wait for it or are held on it."""

    __slots__ = (
        "claims",
        "facts",
        "given",
        "health",
        "held",
        "node",
        "offer",
        "row",
        "serial",
        "service",
        "state",
        "waiting",
        "went_s",
    )

    def __init__(self, serial: str) -> None:
        self.serial = serial
        self.row: DeviceRow | None = None
        """None while only tasks know it."""
        self.state = DeviceState.OFFLINE
        self.node: Peer | None = None
        """The node that holds it."""
        self.held: dict[TokenKey, Task] = {}
        self.waiting = Lanes(self)
        self.given = 0
        """Tasks it was given, from whichever node, since the broker started."""
        self.offer = 0
        """Number of its newest entry among the node's devices that want work; older entries are void, and it is
        itself once the device was given a task (0)."""
        self.facts = 0
        """Counts changes of what selectors look at."""
        self.claims: dict[str, DeviceOnline] = {}
        """Other nodes that say they see it."""
        self.service = ServiceState.IN_SERVICE
        self.went_s: deque[float] = deque(maxlen=2 * FLAPS)
        """When it stopped working, lately."""
        self.health = Health()


class Peer:
    """Whatever holds a DEALER socket, by its address."""

    __slots__ = (
        "address",
        "capacity",
        "clock_skew_s",
        "devices",
        "given",
        "handle",
        "health",
        "held",
        "holdings",
        "instance",
        "intake_closed",
        "lease_due_s",
        "link",
        "liveness",
        "name",
        "ready",
        "recipes",
        "role",
        "row",
        "sample",
        "service",
        "settled_s",
        "steps",
        "stream",
        "unknown_frames",
        "wants",
        "wire_version",
    )

    def __init__(self, name: str, instance: str, role: Role, stream: Incoming, liveness: Liveness) -> None:
        self.name = name
        self.instance = instance
        self.address = f"{name}/{instance}"
        self.role = role
        self.stream = stream
        self.liveness = liveness
        self.link: int | None = None
        self.handle = 0
        self.wire_version = GREETING
        """What was agreed on with it."""
        self.unknown_frames = 0
        """Of kinds that only a newer peer knows; ignored."""
        self.capacity = 0
        self.ready = False
        """What it holds was compared since WELCOME: it may be given tasks."""
        self.holdings: Holdings | None = None
        """What it said it holds, until the facts that belong to it are applied."""
        self.held: dict[TokenKey, Task] = {}
        self.given = 0
        """Tasks it was given since the broker started."""
        self.devices: dict[str, Device] = {}
        self.steps: frozenset[str] = frozenset()
        """Steps of plug-ins that it performs."""
        self.recipes: set[str] = set()
        """Recipes it was sent over this connection."""
        self.wants: list[tuple[int, int, int, int, int, Device, Task]] = []
        """Heap of its devices that want a task: (held, scheduling key, offer, device, what was next for it)."""
        self.lease_due_s: float | None = None
        """No lease of it ends before; None while it holds nothing that can be lost."""
        self.row: NodeRow | None = None
        self.settled_s = 0.0
        """Monotonic time from which on its process has found all its devices."""
        self.intake_closed = ""
        """Why it starts no new task now, as its heartbeat said."""
        self.sample: HostSample | None = None
        """As it last said of its host."""
        self.clock_skew_s = 0.0
        """How much its clock is before the broker's, as last heard; what the frame took on its way is in it."""
        self.service = ServiceState.IN_SERVICE
        """Of a node, as the next one."""
        self.health = Health()

    @property
    def takes_tasks(self) -> bool:
        """Whether a Dispatch may be sent to it now."""
        return self.ready and self.link is not None and not self.intake_closed and self.liveness.state is _ONLINE


OPEN_RUN_STATES = frozenset({RunState.ACTIVE, RunState.CANCELLING})
