"""Payloads of commands and of their answers: requests to change something, which may be refused (steps 1-4)."""

from __future__ import annotations

import enum
from typing import Any

from doai.envelope import Message
from doai.errors import Fault
from doai.states import ServiceState, WorkflowState

CREATE_RUN = "run.create"
CANCEL_RUN = "run.cancel"
CANCEL_TASK = "task.cancel"
STORE_WORKFLOW = "workflow.store"
ACTIVATE_WORKFLOW = "workflow.activate"
ARCHIVE_WORKFLOW = "workflow.archive"
RECORD_ARTIFACT = "artifact.record"
STORE_FILE = "file.store"
REMOVE_FILE = "file.remove"
ADD_KEY = "key.add"
REVOKE_KEY = "key.revoke"
ADD_TOKEN = "token.add"  # noqa: S105 - the name of a command
REVOKE_TOKEN = "token.revoke"  # noqa: S105
DESCRIBE_DEVICES = "device.describe"
QUARANTINE_DEVICE = "device.quarantine"
RELEASE_DEVICE = "device.release"
QUARANTINE_NODE = "node.quarantine"
RELEASE_NODE = "node.release"


class Selector(Message, frozen=True, kw_only=True):
    """Which devices: all given conditions hold. An empty selector matches every device."""

    tags: list[str] = []
    """The device has every one of these."""
    models: list[str] = []
    """The device's model is one of these."""
    nodes: list[str] = []
    groups: list[str] = []
    """The device is in one of these."""
    sdk: str | None = None
    """Comparison with the Android API level: ``>=28``, ``<34``, ``=30``; several joined by commas."""


class TargetKind(enum.Enum):
    """How a run names what it runs on."""

    DEVICES = "devices"
    """These serials, one task each."""
    ALL = "all"
    """Every device that matches the selector now, one task each."""
    ANY = "any"
    """`count` devices that match, each bound only at dispatch."""
    BOT = "bot"
    """A process of the bot kind."""


class Targets(Message, frozen=True, kw_only=True):
    """On what a run runs."""

    kind: TargetKind
    serials: list[str] = []
    selector: Selector = Selector()
    count: int = 1
    bot: str = ""


class CreateRun(Message, frozen=True, kw_only=True):
    """Run a workflow on targets. Answer: RunCreated."""

    workflow: str
    """``name`` (newest active version now) or ``name@version``."""
    targets: Targets
    params: dict[str, Any] = {}
    queue: str = "default"
    priority: int = 0
    """Larger goes first within the queue."""
    expires_in_s: float | None = None
    step_timeouts_s: dict[str, float] = {}
    attempts: int | None = None
    """Overrides the workflow's number of attempts; 1 = no retry."""
    max_parallel: int | None = None
    """So many tasks are with nodes at once, at most."""
    canary: int | None = None
    """So many tasks go first and end before the others go. Without a stop rule, one that fails stops the run."""
    stop_rate: float | None = None
    """The run stops when a larger share of its ended tasks failed (0 to 1): of the canary, or of 10 and more."""
    stop_after: int | None = None
    """The run stops when so many tasks failed."""
    project: str = ""
    """To whom or what it belongs: lists are filtered by it, use is counted by it."""


class RunCreated(Message, frozen=True, kw_only=True):
    """Answer to CreateRun."""

    run_id: str
    task_ids: list[str]
    workflow: str
    """``name@version`` as resolved."""


class CancelRun(Message, frozen=True, kw_only=True):
    """Cancel every open task of a run. Answer: Cancelled."""

    run_id: str
    reason: str = ""


class CancelTask(Message, frozen=True, kw_only=True):
    """Cancel one task. Answer: Cancelled."""

    task_id: str
    reason: str = ""


class Cancelled(Message, frozen=True, kw_only=True):
    """The wish is durable: how many tasks ended at once, how many wait for their holder, how many had ended."""

    cancelled: int
    cancelling: int
    ended_before: int


class StoreWorkflow(Message, frozen=True, kw_only=True):
    """Store a workflow as its next version. Answer: WorkflowStored. The same content again stores nothing."""

    source: str
    """YAML or JSON text."""
    activate: bool = True


class WorkflowStored(Message, frozen=True, kw_only=True):
    """Answer to StoreWorkflow."""

    name: str
    version: int
    content_hash: str
    new: bool


class ActivateWorkflow(Message, frozen=True, kw_only=True):
    """A bare name may mean this version: it means the newest active one. Answer: WorkflowVersion."""

    name: str
    version: int


class ArchiveWorkflow(Message, frozen=True, kw_only=True):
    """No run can be made of this version any more; those that were made go on. Answer: WorkflowVersion."""

    name: str
    version: int


class WorkflowVersion(Message, frozen=True, kw_only=True):
    """Answer to ActivateWorkflow and ArchiveWorkflow: how the version stands now."""

    name: str
    version: int
    state: WorkflowState
    active_version: int | None = None
    """What the bare name means now; None = nothing, every version is archived or a draft."""


class RecordArtifact(Message, frozen=True, kw_only=True):
    """The admin has a file durably on disk. Answer: ArtifactRecorded; the event is artifact.stored."""

    path: str
    """Relative to the artifacts folder, ``content/node/serial/run/name``."""
    sha256: str
    size_bytes: int
    node_id: str
    device_serial: str
    run_id: str
    task_id: str
    step_id: str
    """Empty when a restore took that back."""
    media_type: str


class ArtifactRecorded(Message, frozen=True, kw_only=True):
    """Answer to RecordArtifact."""

    path: str


class StoreFile(Message, frozen=True, kw_only=True):
    """The admin has the bytes of a file durably on disk: let a name and version stand for them. Answer: FileStored.

    The same version with the same bytes again stores nothing; with other bytes it is refused.
    """

    name: str
    """Parts joined by slashes, as doai.file_reference says."""
    version: str = ""
    """Empty = the next number; or none, when the newest version has these bytes."""
    sha256: str
    size_bytes: int
    media_type: str = "application/octet-stream"
    origin: str = ""
    """What it was made from, such as the artifact that became a baseline; told in its event."""


class FileStored(Message, frozen=True, kw_only=True):
    """Answer to StoreFile."""

    name: str
    version: str
    sha256: str
    size_bytes: int
    new: bool


class RemoveFile(Message, frozen=True, kw_only=True):
    """Forget a version of a file; refused while an open run needs it. Answer: FileRemoved."""

    name: str
    version: str


class FileRemoved(Message, frozen=True, kw_only=True):
    """Answer to RemoveFile."""

    name: str
    version: str
    sha256: str
    unused: bool
    """No other file has these bytes: the admin may drop them."""


class AddKey(Message, frozen=True, kw_only=True):
    """Allow the holder of a CURVE key to speak under a name. Answer: KeyAdded."""

    name: str
    role: str
    public_key: str
    """Z85, 40 characters."""
    secret_sha256: str = ""
    """Nodes: SHA-256 of the secret of their uploads (hexadecimal); the secret itself is never sent here."""


class KeyAdded(Message, frozen=True, kw_only=True):
    """Answer to AddKey and RevokeKey."""

    name: str


class RevokeKey(Message, frozen=True, kw_only=True):
    """The key of this name is no longer accepted; a connected peer is fenced. Answer: KeyAdded."""

    name: str


class AddToken(Message, frozen=True, kw_only=True):
    """Allow a bearer of an API token. Answer: TokenAdded."""

    name: str
    token_sha256: str
    role: str = "admin"
    scopes: list[str] = []
    """Parts of the API that it opens, as the API's tags; empty = all of it."""
    expires_in_s: float | None = None
    """None = it does not end by itself."""


class TokenAdded(Message, frozen=True, kw_only=True):
    """Answer to AddToken and RevokeToken."""

    name: str


class RevokeToken(Message, frozen=True, kw_only=True):
    """The token of this name is no longer accepted. Answer: TokenAdded."""

    name: str


class DeviceDescription(Message, frozen=True, kw_only=True):
    """What a person says of one device. What is None stays as it is; an empty text or list takes away."""

    serial: str
    label: str | None = None
    shelf: str | None = None
    notes: str | None = None
    tags: list[str] | None = None
    groups: list[str] | None = None


class DescribeDevices(Message, frozen=True, kw_only=True):
    """Describe devices: all of them, or none. Answer: DevicesDescribed."""

    devices: list[DeviceDescription]
    check_only: bool = False
    """Say what would be refused, and change nothing."""


class DevicesDescribed(Message, frozen=True, kw_only=True):
    """Answer to DescribeDevices."""

    described: int
    changed: int
    """Of those, how many are, or with `check_only` would be, other than before."""


class QuarantineDevice(Message, frozen=True, kw_only=True):
    """Give a device no tasks; what it holds goes on. Again: with another term. Answer: Service."""

    serial: str
    for_s: float | None = None
    """Then it is tried with one task at a time; None = until it is released."""
    reason: str = ""
    unless_other: bool = False
    """Refused (`not_own`) while somebody else keeps it quarantined: a bot must not take that from them."""


class ReleaseDevice(Message, frozen=True, kw_only=True):
    """Give a quarantined device tasks as before. Answer: Service."""

    serial: str
    reason: str = ""
    only_own: bool = False
    """Refused (`not_own`) when somebody else keeps it quarantined."""


class QuarantineNode(Message, frozen=True, kw_only=True):
    """Give the devices of a node no tasks; what they hold goes on. Answer: Service."""

    node_id: str
    for_s: float | None = None
    """Then it is tried with one task at a time; None = until it is released."""
    reason: str = ""


class ReleaseNode(Message, frozen=True, kw_only=True):
    """Give a quarantined node tasks as before. Answer: Service."""

    node_id: str
    reason: str = ""


class Service(Message, frozen=True, kw_only=True):
    """Answer to quarantine and release: how the device or node stands now."""

    name: str
    """Serial of the device, or name of the node."""
    state: ServiceState
    until_ms: int | None = None
    """End of the quarantine; None = there is none, or it lasts until it is released."""


class Problem(Message, frozen=True, kw_only=True):
    """Why a command was refused: maps to an HTTP status and an exit code."""

    code: str
    message: str
    fault: Fault
    details: list[str] = []
    """More sentences, one a mistake, e.g. of a workflow."""


class Reply(Message, frozen=True, kw_only=True):
    """Body of REPLY: the answer to one command."""

    command_id: str
    """event_id of the command's envelope."""
    position: int = 0
    """Reads that follow begin after this place of the event log."""
    result: Any = None
    """The answer that the catalogue names for the command, as a map."""
    problem: Problem | None = None
