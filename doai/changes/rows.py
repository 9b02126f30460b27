"""Rows of the broker's store as the core knows them (steps 3 and 13).

Times are ms since 1970 (UTC) and come from the caller. Fields named `*_body` are encoded by the caller and
not looked into by the store.
"""

from __future__ import annotations

import msgspec

from doai.errors import Failure
from doai.ids import Token
from doai.messages.commands import TargetKind
from doai.messages.plugins import PluginOffer, PluginState
from doai.states import DeviceState, Outcome, RunState, TaskState, WorkflowState


class WorkflowRow(msgspec.Struct, frozen=True, kw_only=True):
    """One immutable version of a workflow; only `state` may change.

    A name with a slash is a version together with the workflows it calls, as runs pin it: ``login-check/3``.
    """

    name: str
    version: int
    content_hash: str
    body: bytes
    """Canonical JSON (doai.workflow)."""
    created_at_ms: int
    created_by: str
    state: WorkflowState


class RunRow(msgspec.Struct, frozen=True, kw_only=True):
    """One request: a workflow version, parameters, targets."""

    run_id: str
    workflow: str
    version: int
    recipe_hash: str
    params_body: bytes
    """JSON object."""
    targets_body: bytes
    """JSON of doai.messages.commands.Targets."""
    step_timeouts_body: bytes
    """JSON object: step id -> seconds."""
    queue: str
    priority: int
    attempts_max: int
    tasks: int
    created_at_ms: int
    actor: str
    interface: str
    trace_id: str
    state: RunState = RunState.ACTIVE
    outcome: Outcome | None = None
    ended_at_ms: int | None = None
    files_body: bytes = b"[]"
    """JSON array of doai.messages.work.FilePin."""
    bounds_body: bytes = b"{}"
    """JSON of doai.changes.runs.Bounds."""
    stopped: str = ""
    """Why it goes no further; empty = it does."""
    campaign: str = ""
    """Name of the campaign that made it; empty = none did."""
    project: str = ""


class TaskStatusRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """All that changes of a task; written as a whole."""

    state: TaskState
    order: int
    """Event-log position at which it joined the end of its FIFO."""
    device_serial: str | None = None
    """Named by the run, or bound at dispatch."""
    attempt: int = 1
    """The attempt that waits, runs or was the last."""
    token: Token | None = None
    node_id: str | None = None
    not_before_ms: int | None = None
    dispatched_at_ms: int | None = None
    started_at_ms: int | None = None
    ended_at_ms: int | None = None
    failure: Failure | None = None
    """Why it failed, or why the last attempt did."""
    outputs_body: bytes | None = None
    """JSON object."""
    reason: str = ""
    """For a person: why it waits, is held, or was cancelled."""


class TaskRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The workflow of a run on one target, as first stored."""

    task_id: str
    run_id: str
    target_kind: TargetKind
    selector_body: bytes | None
    """JSON of the Selector for *any that match* while no device is bound."""
    queue: str
    priority: int
    created_at_ms: int
    expires_at_ms: int | None
    timeout_s: float
    status: TaskStatusRow


class AttemptRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One ended attempt; the open one lives in its task."""

    task_id: str
    token: Token
    attempt: int
    node_id: str
    device_serial: str
    dispatched_at_ms: int
    started_at_ms: int | None
    ended_at_ms: int
    outcome: Outcome | None
    """None = released untouched."""
    failure: Failure | None = None


class Quarantine(msgspec.Struct, frozen=True, kw_only=True):
    """Why and how long a device or a node is given no tasks; after `until_ms` it is tried with one at a time."""

    since_ms: int
    until_ms: int | None
    """None = until a person releases it."""
    reason: str
    by: str
    """Who did it: a person (``user/ann``), or the broker."""
    count: int
    """The how many-th since it last worked; 0 = a person did it."""


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """A device is reserved for a person: it is given no tasks until then."""

    since_ms: int
    until_ms: int
    by: str
    """For whom, e.g. ``user/ann``."""
    reason: str


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """What a person says of a device, so that it is found on its shelf and chosen for runs."""

    label: str = ""
    shelf: str = ""
    """Where it lies, in words of the shelf's owner, e.g. ``A3-12``."""
    notes: str = ""
    tags: list[str] = []
    """Beside those of its node."""
    groups: list[str] = []


class DeviceRow(msgspec.Struct, frozen=True, kw_only=True):
    """A device as its holder last told, and as a person describes it."""

    serial: str
    node_id: str
    state: DeviceState
    reason: str
    driver: str
    connection: str
    model: str
    manufacturer: str
    sdk: int
    android: str
    screen_width: int
    screen_height: int
    tags: list[str]
    first_seen_at_ms: int
    changed_at_ms: int
    quarantine: Quarantine | None = None
    usb_path: str = ""
    """Where on USB its node sees it, as the adb server says, e.g. ``1-4.2``; empty = not on USB."""
    description: Description | None = None
    hold: Hold | None = None


class NodeRow(msgspec.Struct, frozen=True, kw_only=True):
    """A node as it last said HELLO."""

    node_id: str
    host: str
    version: str
    slots: int
    capabilities: list[str]
    started_at_ms: int
    first_seen_at_ms: int
    connected_at_ms: int
    state: str
    """A PeerState; what changed it is in the event log."""
    state_reason: str
    changed_at_ms: int
    quarantine: Quarantine | None = None
    plugins: list[PluginOffer] = []
    """As its process last told, and after them those that are gone."""

    @property
    def offered_steps(self) -> frozenset[str]:
        """Steps of plug-ins that it performs now."""
        ready = (offer for offer in self.plugins if offer.state is PluginState.READY)
        return frozenset(schema.name for offer in ready for schema in offer.steps)


class SampleRow(msgspec.Struct, frozen=True, kw_only=True):
    """The newest heartbeat of a peer; the newest wins, no history."""

    name: str
    instance: str
    received_at_ms: int
    body: bytes
    """msgpack of doai.messages.link.Heartbeat."""


class StreamRow(msgspec.Struct, frozen=True, kw_only=True):
    """How far a peer's stream was taken, per life of its outbox."""

    name: str
    instance: str
    incarnation: str
    epoch: int
    last_seq: int


class ArtifactRow(msgspec.Struct, frozen=True, kw_only=True):
    """A file that the admin has durably on disk."""

    path: str
    sha256: str
    size_bytes: int
    media_type: str
    node_id: str
    device_serial: str
    run_id: str
    task_id: str
    step_id: str
    stored_at_ms: int


class FileRow(msgspec.Struct, frozen=True, kw_only=True):
    """One immutable version of a file that people put; the admin has the bytes durably on disk."""

    name: str
    version: str
    sha256: str
    size_bytes: int
    media_type: str
    position: int
    """Of its file.stored in the event log: of a name the largest is the newest."""
    created_at_ms: int
    created_by: str


class KeyRow(msgspec.Struct, frozen=True, kw_only=True):
    """A CURVE public key and the name it proves."""

    name: str
    role: str
    public_key: str
    secret_sha256: str
    """Of the secret for uploads, hexadecimal; empty = may not upload."""
    created_at_ms: int
    created_by: str
    revoked_at_ms: int | None = None
    next_public_key: str = ""
    """The key that the node changes to: accepted too, and the only one from its first HELLO on; empty = none."""
    next_secret_sha256: str = ""


class EnrolmentRow(msgspec.Struct, frozen=True, kw_only=True):
    """A node that may join once with a token; only the token's hash is kept."""

    name: str
    token_sha256: str
    created_at_ms: int
    created_by: str
    expires_at_ms: int
    used_at_ms: int | None = None
    revoked_at_ms: int | None = None


class SecretRow(msgspec.Struct, frozen=True, kw_only=True):
    """A secret as the admin encrypted it; nobody else has the key."""

    name: str
    ciphertext: bytes
    created_at_ms: int
    created_by: str
    changed_at_ms: int
    changed_by: str


class TokenRow(msgspec.Struct, frozen=True, kw_only=True):
    """An API token, only as its hash."""

    name: str
    token_sha256: str
    role: str
    created_at_ms: int
    created_by: str
    revoked_at_ms: int | None = None
    expires_at_ms: int | None = None
    """None = it does not end by itself."""
    scopes: str = ""
    """Parts of the API that it opens, by spaces; empty = all of it."""


class CommandRow(msgspec.Struct, frozen=True, kw_only=True):
    """A command that succeeded, remembered under its idempotency key."""

    idempotency_key: str
    payload_sha256: str
    """Of type and payload."""
    reply_body: bytes
    """msgpack of doai.messages.commands.Reply."""
    created_at_ms: int
    expires_at_ms: int
