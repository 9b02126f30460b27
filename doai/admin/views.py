"""What the API answers, as data: rows of the store in camelCase, secrets left out (step 14)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from doai.changes.rows import ArtifactRow, AttemptRow, KeyRow, TaskRow, TokenRow, WorkflowRow
from doai.codec import BodyDecoder
from doai.envelope import to_json
from doai.errors import Failure
from doai.messages.link import Heartbeat
from doai.store.views import DeviceView, EventView, NodeView, RunView
from doai.story import sentence

_heartbeat = BodyDecoder(Heartbeat)


class View(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Base of all answers; every field is always there, null when there is nothing."""


class FailureJson(View, frozen=True, kw_only=True):
    """Why something did not pass."""

    error_class: str
    code: str
    message: str
    step: str | None


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


class TaskDetailJson(TaskJson, frozen=True, kw_only=True):
    """A task with its ended attempts (oldest first), its outputs, and its files."""

    attempts: list[AttemptJson]
    outputs: dict[str, Any]
    artifacts: list[ArtifactJson]


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


class DeviceJson(View, frozen=True, kw_only=True):
    """A device as its node last told."""

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
    first_seen_at_ms: int
    changed_at_ms: int
    proofs: ProofsJson


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


class NodeJson(View, frozen=True, kw_only=True):
    """A node as it last said hello; ``sample`` is null before its first heartbeat."""

    node_id: str
    host: str
    version: str
    state: str
    state_reason: str
    slots: int
    capabilities: list[str]
    started_at_ms: int
    first_seen_at_ms: int
    connected_at_ms: int
    changed_at_ms: int
    sample: SampleJson | None


class WorkflowJson(View, frozen=True, kw_only=True):
    """One version of a workflow."""

    name: str
    version: int
    title: str | None
    active: bool
    content_hash: str
    created_at_ms: int
    created_by: str


class WorkflowDetailJson(WorkflowJson, frozen=True, kw_only=True):
    """One version of a workflow with its recipe as stored, and the versions there are."""

    recipe: dict[str, Any]
    versions: list[int]


class KeyJson(View, frozen=True, kw_only=True):
    """A key of the mesh."""

    name: str
    role: str
    public_key: str
    may_upload: bool
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


def failure_json(failure: Failure | None) -> FailureJson | None:
    """Return a failure as the API shows it."""
    if failure is None:
        return None
    return FailureJson(
        error_class=failure.error_class.value, code=failure.code, message=failure.message, step=failure.step
    )


def run_json(view: RunView) -> RunJson:
    """Return a run as the API shows it."""
    row = view.row
    return RunJson(
        run_id=row.run_id,
        workflow=row.workflow,
        version=row.version,
        state=row.state.value,
        outcome=row.outcome.value if row.outcome else None,
        counts=view.counts,
        tasks=row.tasks,
        created_at_ms=row.created_at_ms,
        ended_at_ms=row.ended_at_ms,
        queue=row.queue,
        priority=row.priority,
        attempts_max=row.attempts_max,
        params=_object(row.params_body),
        targets=_object(row.targets_body),
        step_timeouts_s=_object(row.step_timeouts_body),
        actor=row.actor,
        interface=row.interface,
        trace_id=row.trace_id,
        recipe_hash=row.recipe_hash,
    )


def task_json(row: TaskRow) -> TaskJson:
    """Return a task as lists show it."""
    return TaskJson(**_task_fields(row))


def task_detail_json(
    row: TaskRow, attempts: list[AttemptRow], artifacts: list[ArtifactRow], artifacts_url: str
) -> TaskDetailJson:
    """Return a task whole."""
    return TaskDetailJson(
        **_task_fields(row),
        attempts=[_attempt_json(attempt) for attempt in attempts],
        outputs=_object(row.status.outputs_body),
        artifacts=[artifact_json(artifact, artifacts_url) for artifact in artifacts],
    )


def artifact_json(row: ArtifactRow, artifacts_url: str) -> ArtifactJson:
    """Return a stored file as the API shows it; ``artifacts_url`` is the address of the list."""
    return ArtifactJson(url=f"{artifacts_url}/{row.path}", **msgspec.structs.asdict(row))


def event_json(view: EventView) -> EventJson:
    """Return an event as the API shows it."""
    told = to_json(view.envelope, view.position)
    payload = told.payload if isinstance(told.payload, dict) else {}
    fields = msgspec.structs.asdict(told) | {"payload": payload, "position": view.position}
    return EventJson(recorded_at_ms=view.recorded_at_ms, text=sentence(told.type, payload), **fields)


def device_json(view: DeviceView) -> DeviceJson:
    """Return a device as the API shows it."""
    fields = msgspec.structs.asdict(view.row)
    return DeviceJson(
        state=fields.pop("state").value,
        screen=(fields.pop("screen_width"), fields.pop("screen_height")),
        proofs=ProofsJson(
            link=ProofJson(at_ms=view.proof_at_ms),
            adb=ProofJson(at_ms=_before(view.proof_at_ms, view.adb_age_s)),
            answer=ProofJson(at_ms=_before(view.proof_at_ms, view.answer_age_s)),
        ),
        **fields,
    )


def node_json(view: NodeView) -> NodeJson:
    """Return a node as the API shows it."""
    sample = None
    if view.sample is not None:
        heartbeat: Heartbeat = _heartbeat(view.sample.body)
        sample = SampleJson(
            received_at_ms=view.sample.received_at_ms,
            intake_closed=heartbeat.intake_closed,
            **{name: getattr(heartbeat.sample, name) for name in _SAMPLE_FIELDS},
        )
    return NodeJson(sample=sample, **msgspec.structs.asdict(view.row))


def workflow_json(row: WorkflowRow) -> WorkflowJson:
    """Return a version of a workflow as lists show it."""
    return WorkflowJson(**_workflow_fields(row))


def workflow_detail_json(row: WorkflowRow, versions: list[int]) -> WorkflowDetailJson:
    """Return a version of a workflow whole."""
    return WorkflowDetailJson(recipe=_object(row.body), versions=versions, **_workflow_fields(row))


def key_json(row: KeyRow) -> KeyJson:
    """Return a key as the API shows it."""
    fields = msgspec.structs.asdict(row)
    return KeyJson(may_upload=bool(fields.pop("secret_sha256")), **fields)


def token_json(row: TokenRow) -> TokenJson:
    """Return a token as the API shows it."""
    fields = msgspec.structs.asdict(row)
    del fields["token_sha256"]
    return TokenJson(**fields)


_SAMPLE_FIELDS = ("pid", "running", "passed", "failed", "cpu_percent", "memory_percent", "rss_bytes")
_STATUS_FIELDS = (
    "device_serial",
    "node_id",
    "attempt",
    "not_before_ms",
    "dispatched_at_ms",
    "started_at_ms",
    "ended_at_ms",
    "reason",
)


def _task_fields(row: TaskRow) -> dict[str, Any]:
    fields = msgspec.structs.asdict(row)
    status = fields.pop("status")
    del fields["selector_body"]
    fields["target_kind"] = row.target_kind.value
    fields |= {name: getattr(status, name) for name in _STATUS_FIELDS}
    return fields | {"state": status.state.value, "failure": failure_json(status.failure)}


def _attempt_json(row: AttemptRow) -> AttemptJson:
    fields = msgspec.structs.asdict(row)
    del fields["task_id"]
    outcome = row.outcome.value if row.outcome else None
    return AttemptJson(
        **fields | {"token": str(row.token), "outcome": outcome, "failure": failure_json(row.failure)}
    )


def _workflow_fields(row: WorkflowRow) -> dict[str, Any]:
    fields = msgspec.structs.asdict(row)
    title = _object(fields.pop("body")).get("title")
    if isinstance(title, dict):  # translations: lists show one
        title = title.get("en") or next(iter(title.values()), None)
    return fields | {"title": title}


def _object(body: bytes | None) -> dict[str, Any]:
    """A stored JSON object; nothing stored is an empty one."""
    return msgspec.json.decode(body, type=dict[str, Any]) if body else {}


def _before(at_ms: int | None, age_s: float | None) -> int | None:
    return None if at_ms is None or age_s is None else at_ms - round(age_s * 1000)
