"""What the API answers, as data: rows of the store in camelCase, secrets left out (step 14)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from doai.admin.plugin_views import PluginJson


class View(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Base of all answers; every field is always there, null when there is nothing."""


class FailureJson(View, frozen=True, kw_only=True):
    """Why something did not pass."""

    error_class: str
    code: str
    message: str
    step: str | None
    details: dict[str, Any]
    """What a program may go on with, by the code."""


class BoundsJson(View, frozen=True, kw_only=True):
    """How many tasks of a run go at once, how many first, and when the rest does not go; null = no such bound."""

    max_parallel: int | None
    canary: int
    """0 = none."""
    stop_rate: float | None
    stop_after: int | None


class RunJson(View, frozen=True, kw_only=True):
    """A run; ``counts`` are its tasks by state."""

    run_id: str
    workflow: str
    version: int
    state: str
    outcome: str | None
    counts: dict[str, int]
    tasks: int
    created_at_ms: int
    ended_at_ms: int | None
    queue: str
    priority: int
    attempts_max: int
    params: dict[str, Any]
    targets: dict[str, Any]
    step_timeouts_s: dict[str, float]
    actor: str
    interface: str
    trace_id: str
    recipe_hash: str
    left_s: float | None = None
    """About how long until it has ended, as its workflow took of late; null = it has ended, or nobody can know."""
    bounds: BoundsJson
    stopped: str | None
    """Why it goes no further: too much failed."""
    campaign: str
    """That made it; empty = none did."""
    project: str


class TaskJson(View, frozen=True, kw_only=True):
    """A task."""

    task_id: str
    run_id: str
    device_serial: str | None
    node_id: str | None
    state: str
    attempt: int
    queue: str
    priority: int
    target_kind: str
    created_at_ms: int
    expires_at_ms: int | None
    not_before_ms: int | None
    dispatched_at_ms: int | None
    started_at_ms: int | None
    ended_at_ms: int | None
    timeout_s: float
    failure: FailureJson | None
    reason: str


class AttemptJson(View, frozen=True, kw_only=True):
    """One ended attempt; ``outcome`` null = given back untouched."""

    attempt: int
    token: str
    node_id: str
    device_serial: str
    dispatched_at_ms: int
    started_at_ms: int | None
    ended_at_ms: int
    outcome: str | None
    failure: FailureJson | None


class ArtifactJson(View, frozen=True, kw_only=True):
    """A stored file."""

    path: str
    url: str
    sha256: str
    size_bytes: int
    media_type: str
    node_id: str
    device_serial: str
    run_id: str
    task_id: str
    step_id: str
    stored_at_ms: int


class FileJson(View, frozen=True, kw_only=True):
    """One version of a file for phones."""

    name: str
    version: str
    newest: bool
    """It is what the bare name means."""
    url: str
    content_url: str
    sha256: str
    size_bytes: int
    media_type: str
    created_at_ms: int
    created_by: str


class TaskDetailJson(TaskJson, frozen=True, kw_only=True):
    """A task with its ended attempts (oldest first), its outputs, and its files."""

    waiting_because: str | None
    """One sentence on what it waits for or why it is held, as of now; null while it runs and after its end."""
    position: int | None
    """Its place in the line of its device, or of its run for any device, from 1; null when it is not queued."""
    retried_as: str | None
    """The task that tries it again, where a person asked for that."""
    retry_of: str | None
    """The task that this one tries again."""
    attempts: list[AttemptJson]
    outputs: dict[str, Any]
    artifacts: list[ArtifactJson]


class StepJson(View, frozen=True, kw_only=True):
    """One try of one step of one attempt."""

    task_id: str
    device_serial: str
    attempt: int | None
    token: str
    step_id: str
    use: str | None
    """The step type; null for one that was skipped."""
    label: str
    try_number: int
    state: str
    """passed, failed, skipped, or started: its end was not seen, or not yet."""
    retried: bool
    """It failed, and another try followed."""
    optional: bool
    """It failed, and the task went on without it."""
    started_at_ms: int | None
    """By the node's clock; null for one that was skipped."""
    ended_at_ms: int | None
    duration_ms: int | None
    failure: FailureJson | None
    outputs: dict[str, Any]


class EventJson(View, frozen=True, kw_only=True):
    """An event of the log and the sentence that a person reads."""

    position: int
    event_id: str
    type: str
    subject: str
    source: str
    trace_id: str
    occurred_at: datetime
    recorded_at_ms: int
    text: str
    payload: dict[str, Any]
    causation_id: str | None
    schema_version: int
    idempotency_key: str | None
    actor: str | None
    interface: str | None


class ProofJson(View, frozen=True, kw_only=True):
    """When something was last proven; null = never."""

    at_ms: int | None


class ProofsJson(View, frozen=True, kw_only=True):
    """Three proofs that are not each other: its node spoke, ADB listed it, the device itself answered."""

    link: ProofJson
    adb: ProofJson
    answer: ProofJson


class QuarantineJson(View, frozen=True, kw_only=True):
    """Why and how long a device or node is given no tasks."""

    since_ms: int
    until_ms: int | None
    """Then it is tried with one task at a time; null = until it is released."""
    reason: str
    by: str
    count: int
    """The how many-th since it last worked; 0 = a person did it."""


class HoldJson(View, frozen=True, kw_only=True):
    """For whom, how long and why a device is reserved."""

    since_ms: int
    until_ms: int
    by: str
    reason: str
    tasks_left: int
    """Tasks that its node still has: the device is the person's when they have ended."""
    text: str
    """As a person reads it: ``holding after current task``, then ``held by ANN until ... because ...``."""


class DescriptionJson(View, frozen=True, kw_only=True):
    """What people said of a device."""

    label: str
    shelf: str
    notes: str
    tags: list[str]
    """Beside those of its node."""
    groups: list[str]


class DeviceJson(View, frozen=True, kw_only=True):
    """A device as its node last told, and as people describe it."""

    serial: str
    node_id: str
    state: str
    reason: str
    driver: str
    connection: str
    model: str
    manufacturer: str
    sdk: int
    android: str
    screen: tuple[int, int]
    tags: list[str]
    """Those of its node, and those that people gave it."""
    usb_path: str
    """Where on USB its node sees it, such as 1-4.2; empty = not on USB."""
    description: DescriptionJson
    first_seen_at_ms: int
    changed_at_ms: int
    proofs: ProofsJson
    proven: bool
    """Its node is heard; false = `state` is only what was last told, since the newest of `proofs`."""
    service: str
    """in_service, quarantined, or probing: one task at a time until one works."""
    quarantine: QuarantineJson | None
    hold: HoldJson | None
    """null = it is reserved for nobody."""


class SampleJson(View, frozen=True, kw_only=True):
    """The node's newest heartbeat."""

    received_at_ms: int
    pid: int
    running: int
    passed: int
    failed: int
    cpu_percent: float
    memory_percent: float
    rss_bytes: int
    intake_closed: str
    """Why it starts no new task now; empty = it does."""
    wire_lowest: int
    wire_highest: int


class NodeJson(View, frozen=True, kw_only=True):
    """A node as it last said hello; ``sample`` is null before its first heartbeat."""

    node_id: str
    host: str
    version: str
    state: str
    state_reason: str
    slots: int
    running: int
    """Tasks that run on it, as the log has it now; in ``sample`` is what its heartbeat said, up to 10 s ago."""
    capabilities: list[str]
    started_at_ms: int
    first_seen_at_ms: int
    connected_at_ms: int
    changed_at_ms: int
    sample: SampleJson | None
    service: str
    """As of a device; a node that is quarantined has all of its devices wait."""
    quarantine: QuarantineJson | None
    plugins: list[PluginJson]


class WorkflowJson(View, frozen=True, kw_only=True):
    """One version of a workflow."""

    name: str
    version: int
    title: str | None
    state: str
    """draft, active or archived; a bare name means the newest active version."""
    content_hash: str
    created_at_ms: int
    created_by: str


class WorkflowDetailJson(WorkflowJson, frozen=True, kw_only=True):
    """One version of a workflow with its recipe as stored, and the versions there are."""

    recipe: dict[str, Any]
    versions: list[int]


class ChangeJson(View, frozen=True, kw_only=True):
    """One thing that differs between two versions of a workflow."""

    kind: str
    """added, removed, changed or moved."""
    path: str
    """``steps.login.with.text``: a step is named by its id."""
    before: Any
    """null when it was added; of one that was moved its place in its section, from 1."""
    after: Any
    text: str
    """As a person reads it."""


class DiffJson(View, frozen=True, kw_only=True):
    """What differs between two versions."""

    name: str
    old: int
    new: int
    changes: list[ChangeJson]


class CheckedJson(View, frozen=True, kw_only=True):
    """A workflow without mistakes that was not stored."""

    name: str
    steps: int
    content_hash: str
    """Of what would be stored."""


class KeyJson(View, frozen=True, kw_only=True):
    """A key of the mesh."""

    name: str
    role: str
    public_key: str
    may_upload: bool
    next_public_key: str | None
    """The key that the node changes to, once it uses it."""
    created_at_ms: int
    created_by: str
    revoked_at_ms: int | None


class TokenJson(View, frozen=True, kw_only=True):
    """An API token, without what it is."""

    name: str
    role: str
    created_at_ms: int
    created_by: str
    revoked_at_ms: int | None
    expires_at_ms: int | None
    scopes: list[str]
    """Parts of the API that it opens; empty = all of it."""
