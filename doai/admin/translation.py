"""From rows of the store to answers of the API: stored JSON as objects, secrets left out (step 14)."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import msgspec

from doai.admin.plugin_views import plugins_json
from doai.admin.views import (
    ArtifactJson,
    AttemptJson,
    BoundsJson,
    DescriptionJson,
    DeviceJson,
    EventJson,
    FailureJson,
    FileJson,
    HoldJson,
    KeyJson,
    NodeJson,
    ProofJson,
    ProofsJson,
    QuarantineJson,
    RunJson,
    SampleJson,
    TaskDetailJson,
    TaskJson,
    TokenJson,
    WorkflowDetailJson,
    WorkflowJson,
)
from doai.admin.waiting import Surroundings, hold_now, position, service_of, waiting_because
from doai.changes.rows import (
    ArtifactRow,
    AttemptRow,
    Description,
    FileRow,
    Hold,
    KeyRow,
    Quarantine,
    TaskRow,
    TokenRow,
    WorkflowRow,
)
from doai.changes.runs import read_bounds
from doai.codec import BodyDecoder
from doai.envelope import utc_datetime
from doai.errors import Failure
from doai.messages.link import Heartbeat
from doai.states import PeerState
from doai.store.dead_letter_reader import RetryLinks
from doai.store.views import DeviceView, EventView, NodeView, RunView
from doai.story.sentences import sentence
from doai.story.voice import IN_ENGLISH, Voice

_heartbeat = BodyDecoder(Heartbeat)


def failure_json(failure: Failure | None) -> FailureJson | None:
    """Return a failure as the API shows it."""
    if failure is None:
        return None
    return FailureJson(
        error_class=failure.error_class.value,
        code=failure.code,
        message=failure.message,
        step=failure.step,
        details=failure.details,
    )


def run_json(view: RunView, left_s: float | None = None) -> RunJson:
    """Return a run as the API shows it, with a guess of how long it may still take."""
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
        left_s=left_s,
        bounds=BoundsJson(**msgspec.structs.asdict(read_bounds(row.bounds_body))),
        stopped=row.stopped or None,
        campaign=row.campaign,
        project=row.project,
    )


def task_json(row: TaskRow) -> TaskJson:
    """Return a task as lists show it."""
    return TaskJson(**_task_fields(row))


def task_detail_json(
    row: TaskRow,
    attempts: list[AttemptRow],
    artifacts: list[ArtifactRow],
    artifacts_url: str,
    around: Surroundings | None,
    links: RetryLinks,
    voice: Voice = IN_ENGLISH,
) -> TaskDetailJson:
    """Return a task whole; ``around`` is there for an open one, and it is told in a language why that waits."""
    return TaskDetailJson(
        waiting_because=waiting_because(row, around, voice) if around is not None else None,
        position=position(row, around) if around is not None else None,
        **_task_fields(row),
        retried_as=links.retried_as,
        retry_of=links.retry_of,
        attempts=[_attempt_json(attempt) for attempt in attempts],
        outputs=_object(row.status.outputs_body),
        artifacts=[artifact_json(artifact, artifacts_url) for artifact in artifacts],
    )


def artifact_json(row: ArtifactRow, artifacts_url: str) -> ArtifactJson:
    """Return a stored file as the API shows it; ``artifacts_url`` is the address of the list."""
    return ArtifactJson(url=f"{artifacts_url}/{row.path}", **msgspec.structs.asdict(row))


def event_json(view: EventView, voice: Voice = IN_ENGLISH) -> EventJson:
    """Return an event as the API shows it, told in a language."""
    envelope = view.envelope
    found = msgspec.msgpack.decode(envelope.payload)
    payload = found if isinstance(found, dict) else {}
    return EventJson(
        position=view.position,
        event_id=envelope.event_id,
        type=envelope.type,
        subject=envelope.subject,
        source=envelope.source,
        trace_id=envelope.trace_id,
        occurred_at=utc_datetime(envelope.occurred_at_ms),
        recorded_at_ms=view.recorded_at_ms,
        text=sentence(envelope.type, payload, voice),
        payload=payload,
        causation_id=envelope.causation_id,
        schema_version=envelope.schema_version,
        idempotency_key=envelope.idempotency_key,
        actor=envelope.actor,
        interface=envelope.interface,
    )


def device_json(view: DeviceView, now_ms: int, voice: Voice = IN_ENGLISH) -> DeviceJson:
    """Return a device as the API shows it."""
    fields = msgspec.structs.asdict(view.row)
    said = view.row.description or Description()
    del fields["description"]
    return DeviceJson(
        state=fields.pop("state").value,
        service=service_of(fields["quarantine"], now_ms).value,
        quarantine=_quarantine_json(fields.pop("quarantine")),
        hold=_hold_json(fields.pop("hold"), view.tasks_held, voice),
        tags=list(dict.fromkeys([*fields.pop("tags"), *said.tags])),
        description=DescriptionJson(**msgspec.structs.asdict(said)),
        screen=(fields.pop("screen_width"), fields.pop("screen_height")),
        proven=view.node_state is PeerState.ONLINE,
        proofs=ProofsJson(
            link=ProofJson(at_ms=view.proof_at_ms),
            adb=ProofJson(at_ms=_before(view.proof_at_ms, view.adb_age_s)),
            answer=ProofJson(at_ms=_before(view.proof_at_ms, view.answer_age_s)),
        ),
        **fields,
    )


def _quarantine_json(quarantine: Quarantine | None) -> QuarantineJson | None:
    return None if quarantine is None else QuarantineJson(**msgspec.structs.asdict(quarantine))


def _hold_json(hold: Hold | None, tasks_left: int, voice: Voice) -> HoldJson | None:
    if hold is None:
        return None
    return HoldJson(text=hold_now(hold, tasks_left, voice), tasks_left=tasks_left, **msgspec.structs.asdict(hold))


def node_json(view: NodeView, running: int, now_ms: int) -> NodeJson:
    """Return a node as the API shows it; ``running``: tasks on it."""
    sample = None
    if view.sample is not None:
        heartbeat: Heartbeat = _heartbeat(view.sample.body)
        sample = SampleJson(
            received_at_ms=view.sample.received_at_ms,
            intake_closed=heartbeat.intake_closed,
            **{name: getattr(heartbeat.sample, name) for name in _SAMPLE_FIELDS},
        )
    fields = msgspec.structs.asdict(view.row)
    service = service_of(fields["quarantine"], now_ms).value
    fields |= {"quarantine": _quarantine_json(fields["quarantine"]), "plugins": plugins_json(view.row.plugins)}
    return NodeJson(sample=sample, service=service, running=running, **fields)


def workflow_json(row: WorkflowRow) -> WorkflowJson:
    """Return a version of a workflow as lists show it."""
    return WorkflowJson(**_workflow_fields(row))


def recipe_of(row: WorkflowRow) -> dict[str, Any]:
    """Return the recipe of a stored version."""
    return _object(row.body)


def workflow_detail_json(row: WorkflowRow, versions: list[int]) -> WorkflowDetailJson:
    """Return a version of a workflow whole."""
    return WorkflowDetailJson(recipe=_object(row.body), versions=versions, **_workflow_fields(row))


def file_json(row: FileRow, *, newest: bool, base: str) -> FileJson:
    """Return a version of a file as the API shows it; ``base`` is the address of the API."""
    fields = msgspec.structs.asdict(row)
    del fields["position"]
    url = f"{base}/files/{quote(f'{row.name}@{row.version}', safe='/@+')}"
    return FileJson(newest=newest, url=url, content_url=f"{base}/contents/{row.sha256}", **fields)


def key_json(row: KeyRow) -> KeyJson:
    """Return a key as the API shows it."""
    fields = msgspec.structs.asdict(row)
    del fields["next_secret_sha256"]
    return KeyJson(
        may_upload=bool(fields.pop("secret_sha256")),
        next_public_key=fields.pop("next_public_key") or None,
        **fields,
    )


def token_json(row: TokenRow) -> TokenJson:
    """Return a token as the API shows it."""
    fields = msgspec.structs.asdict(row)
    del fields["token_sha256"]
    return TokenJson(**fields | {"scopes": row.scopes.split()})


_SAMPLE_FIELDS = (
    "pid",
    "running",
    "passed",
    "failed",
    "cpu_percent",
    "memory_percent",
    "rss_bytes",
    "wire_lowest",
    "wire_highest",
)
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
    return fields | {"title": title, "state": row.state.value}


def _object(body: bytes | None) -> dict[str, Any]:
    """A stored JSON object; nothing stored is an empty one."""
    return msgspec.json.decode(body, type=dict[str, Any]) if body else {}


def _before(at_ms: int | None, age_s: float | None) -> int | None:
    return None if at_ms is None or age_s is None else at_ms - round(age_s * 1000)
