"""Payloads of events: facts, past tense, never changed (steps 10, 13).

Facts of a node travel in its stream; the broker's own are made with the change they tell of. What a node
says of the end of an attempt is `AttemptEnded`; the broker stores it once, under the type that says what
came of it (task.completed, task.failed, task.retried ...).
"""

from __future__ import annotations

from typing import Any

from doai.envelope import Message
from doai.errors import Failure
from doai.ids import Token
from doai.states import DeviceState, Outcome, WorkflowState


class DeviceOnline(Message, frozen=True, kw_only=True):
    """A device works; also sent when what is known of it changed."""

    serial: str
    node_id: str
    driver: str
    connection: str
    """How the driver addresses it now, e.g. ``127.0.0.1:5601`` or a USB serial."""
    model: str = ""
    manufacturer: str = ""
    sdk: int = 0
    android: str = ""
    """Version as people know it, e.g. ``14``."""
    screen: tuple[int, int] = (0, 0)
    """Width and height in pixels."""
    tags: list[str] = []
    usb_path: str = ""
    """Where on USB it is, as the adb server says, e.g. ``1-4.2``; empty = not on USB."""


class DeviceOffline(Message, frozen=True, kw_only=True):
    """A device can not work."""

    serial: str
    node_id: str
    state: DeviceState
    reason: str
    usb_path: str = ""
    """Where on USB its host sees it, of one that waits for a person; empty = not known."""


class DeviceError(Message, frozen=True, kw_only=True):
    """Something about a device needs a person."""

    serial: str
    node_id: str
    failure: Failure


class NodeOnline(Message, frozen=True, kw_only=True):
    """A node is connected and proven."""

    node_id: str
    host: str
    version: str
    slots: int
    incarnation: str = ""


class NodeStatus(Message, frozen=True, kw_only=True):
    """A node is late or offline, and why."""

    node_id: str
    reason: str


class DeviceDescribed(Message, frozen=True, kw_only=True):
    """A person said what a device is called, where it lies and what it belongs to; the whole of it as it is now."""

    serial: str
    node_id: str
    actor: str
    label: str = ""
    shelf: str = ""
    notes: str = ""
    tags: list[str] = []
    """Beside those of its node."""
    groups: list[str] = []


class DeviceQuarantined(Message, frozen=True, kw_only=True):
    """The broker gives a device no tasks for a while, and why."""

    serial: str
    node_id: str
    reason: str
    until_ms: int | None = None
    """Then it is tried with one task at a time; None = until a person releases it."""
    count: int = 0
    """The how many-th since it last worked; 0 = a person did it."""
    actor: str = ""
    """The person who did it; empty = the broker itself."""


class DeviceHeld(Message, frozen=True, kw_only=True):
    """A device is reserved for a person: what its node has of it ends, and it is given no tasks until then."""

    serial: str
    node_id: str
    reason: str
    until_ms: int
    actor: str
    """For whom."""
    tasks_left: int = 0
    """Tasks that its node still has; with none it is the person's at once."""
    extended: bool = False
    """It was held for the same person already, with another end."""


class DeviceReleased(Message, frozen=True, kw_only=True):
    """A device is quarantined, or held for a person, no longer, and why."""

    serial: str
    node_id: str
    reason: str
    actor: str = ""
    """The person who did it; empty = the broker itself."""
    hold: bool = False
    """It was held for a person; else it was quarantined. Each ends by itself."""


class NodeQuarantined(Message, frozen=True, kw_only=True):
    """The broker gives a node no tasks for a while, and why; fields as of DeviceQuarantined."""

    node_id: str
    reason: str
    until_ms: int | None = None
    count: int = 0
    actor: str = ""


class NodeReleased(Message, frozen=True, kw_only=True):
    """A node is given tasks as before, and why."""

    node_id: str
    reason: str
    actor: str = ""


class NodeEnrolled(Message, frozen=True, kw_only=True):
    """A node may join once, with a token that was told to the person; or change its key."""

    node_id: str
    expires_at_ms: int
    actor: str
    rotation: bool = False
    """It has joined before: its key stays accepted until the new one is in use."""


class NodeJoined(Message, frozen=True, kw_only=True):
    """A host used the token of a node: its key is accepted."""

    node_id: str
    rotation: bool = False


class NodeRevoked(Message, frozen=True, kw_only=True):
    """The key or the open token of a node is accepted no more."""

    node_id: str
    actor: str


class NodeRekeyed(Message, frozen=True, kw_only=True):
    """A node came with its new key: the one before is accepted no more."""

    node_id: str


class BotRegistered(Message, frozen=True, kw_only=True):
    bot: str
    instance: str
    version: str


class BotStatusChanged(Message, frozen=True, kw_only=True):
    bot: str
    instance: str
    status: str
    reason: str = ""


class TaskQueued(Message, frozen=True, kw_only=True):
    task_id: str
    run_id: str
    queue: str
    device_serial: str | None = None
    """None until it is bound, for *any that match*."""
    attempt: int = 1


class TaskDispatched(Message, frozen=True, kw_only=True):
    task_id: str
    run_id: str
    token: Token
    attempt: int
    node_id: str
    device_serial: str


class TaskStarted(Message, frozen=True, kw_only=True):
    """Fact of a node: the attempt began; its slot and device are taken."""

    task_id: str
    run_id: str
    token: Token
    attempt: int
    device_serial: str


class AttemptEnded(Message, frozen=True, kw_only=True):
    """Fact of a node: how an attempt ended."""

    task_id: str
    run_id: str
    token: Token
    attempt: int
    device_serial: str
    outcome: Outcome
    duration_ms: int
    failure: Failure | None = None
    outputs: dict[str, Any] = {}
    released: bool = False
    """Given back untouched (drain, restart before it began): burns no attempt; the outcome says nothing."""
    repeatable: bool = True
    """False when a step that is not idempotent began and its end was not observed."""


class TaskStatus(Message, frozen=True, kw_only=True):
    """A task changed state by the broker's own decision, and why."""

    task_id: str
    run_id: str
    state: str
    reason: str
    token: Token | None = None
    failure: Failure | None = None


class StepStarted(Message, frozen=True, kw_only=True):
    """Fact of a node, committed before the step's first device command."""

    task_id: str
    run_id: str
    token: Token
    device_serial: str
    step_id: str
    use: str
    try_number: int
    label: str = ""


class StepCompleted(Message, frozen=True, kw_only=True):
    task_id: str
    run_id: str
    token: Token
    device_serial: str
    step_id: str
    try_number: int
    duration_ms: int
    outputs: dict[str, Any] = {}
    skipped: bool = False
    """Its `if` was false."""


class StepFailed(Message, frozen=True, kw_only=True):
    task_id: str
    run_id: str
    token: Token
    device_serial: str
    step_id: str
    try_number: int
    duration_ms: int
    failure: Failure
    retried: bool = False
    """Another try of this step follows."""
    optional: bool = False
    """The task goes on without it."""


class RunCreatedEvent(Message, frozen=True, kw_only=True):
    run_id: str
    workflow: str
    tasks: int
    queue: str
    actor: str
    campaign: str = ""
    project: str = ""


class RunStopped(Message, frozen=True, kw_only=True):
    """Too much of a run failed: what waited was cancelled, what nodes held went on."""

    run_id: str
    reason: str
    counts: dict[str, int]
    """Ended tasks by outcome, until then."""


class RunCompleted(Message, frozen=True, kw_only=True):
    run_id: str
    workflow: str
    outcome: Outcome
    counts: dict[str, int]
    """Tasks by outcome."""


class ArtifactStored(Message, frozen=True, kw_only=True):
    path: str
    sha256: str
    size_bytes: int
    node_id: str
    device_serial: str
    run_id: str
    task_id: str
    step_id: str
    media_type: str


class HealthCheckCompleted(Message, frozen=True, kw_only=True):
    serial: str
    node_id: str
    healthy: bool
    values: dict[str, float] = {}
    """What is wrong, by rule (doai.messages.health.HealthRule), as measured when it began."""
    began: list[str] = []
    """Rules that hold since this check; of a device of which a bot had told nothing all that hold."""
    ended: list[str] = []
    bot: str = ""
    """Which looked; empty = a node."""


class SystemNotice(Message, frozen=True, kw_only=True):
    """Something went wrong inside doai (system.error) or needs an operator (system.alert)."""

    code: str
    message: str
    subject: str = ""
    data: bytes = b""
    """The first bytes of what could not be understood."""


class FileStoredEvent(Message, frozen=True, kw_only=True):
    name: str
    version: str
    sha256: str
    size_bytes: int
    media_type: str
    actor: str
    origin: str = ""
    """What it was made from; empty = it was put."""


class FileRemovedEvent(Message, frozen=True, kw_only=True):
    name: str
    version: str
    sha256: str
    actor: str


class WorkflowStateChanged(Message, frozen=True, kw_only=True):
    """A version of a workflow was made active or archived."""

    name: str
    version: int
    state: WorkflowState
    actor: str


class WorkflowStoredEvent(Message, frozen=True, kw_only=True):
    name: str
    version: int
    content_hash: str
    actor: str


class SecretStored(Message, frozen=True, kw_only=True):
    """A secret has a value, or another one; the value is told to nobody."""

    name: str
    actor: str


class SecretRemoved(Message, frozen=True, kw_only=True):
    """A secret is gone."""

    name: str
    actor: str
