"""Op lists made by hypothesis: mostly legal, sometimes not, so that both twins have something to refuse."""

from __future__ import annotations

from hypothesis import strategies as st

from doai.changes import bots, conditions, ops, outbox, people, retention, rows, samples
from doai.changes.audit import AuditOutcome, AuditRow
from doai.changes.campaigns import CampaignRow, FireRow
from doai.changes.dead_letters import DeadLetterKind, DeadLetterRow, DeadReason, SettleDeadLetter
from doai.changes.incidents import IncidentRow
from doai.changes.queues import PutQueue, QueueRow
from doai.changes.retention import UsageKind
from doai.changes.runs import StopRun
from doai.changes.statistics import Period, StatisticsRow
from doai.codec import raw
from doai.envelope import Envelope
from doai.errors import ErrorClass, Failure
from doai.ids import Token
from doai.incidents import IncidentType, Severity
from doai.messages.bots import BotStatus
from doai.messages.commands import TargetKind
from doai.messages.samples import DeviceHealth
from doai.messages.work import HoldingState
from doai.states import (
    TERMINAL,
    CampaignState,
    DeadLetterState,
    DeviceState,
    FireState,
    IncidentState,
    Outcome,
    PeerState,
    QueueState,
    RunState,
    TaskState,
    WorkflowState,
)

NAMES = st.sampled_from(["a", "b", "c"])
TIMES = st.integers(0, 9)
MAYBE_TIME = st.none() | TIMES
BODIES = st.sampled_from([b"", b"{}", b"\x00\xff"])
TEXTS = st.sampled_from(["", "x", "'; --", "전화"])
TOKENS = st.builds(Token, st.integers(1, 2), st.integers(0, 3))
FAILURES = st.none() | st.builds(
    Failure, error_class=st.sampled_from(ErrorClass), code=NAMES, message=TEXTS, step=st.none() | NAMES
)
OUTCOMES = st.none() | st.sampled_from(Outcome)

STATUSES = st.builds(
    rows.TaskStatusRow,
    state=st.sampled_from(TaskState),
    order=st.integers(0, 9),
    device_serial=st.none() | NAMES,
    attempt=st.integers(1, 3),
    token=st.none() | TOKENS,
    node_id=st.none() | NAMES,
    not_before_ms=MAYBE_TIME,
    dispatched_at_ms=MAYBE_TIME,
    started_at_ms=MAYBE_TIME,
    ended_at_ms=MAYBE_TIME,
    failure=FAILURES,
    outputs_body=st.none() | BODIES,
    reason=TEXTS,
)
WORKFLOWS = st.builds(
    rows.WorkflowRow,
    name=NAMES,
    version=st.integers(1, 4),
    content_hash=TEXTS,
    body=BODIES,
    created_at_ms=TIMES,
    created_by=TEXTS,
    state=st.sampled_from(WorkflowState),
)
RUNS = st.builds(
    rows.RunRow,
    run_id=NAMES,
    workflow=NAMES,
    version=st.integers(1, 4),
    recipe_hash=TEXTS,
    params_body=BODIES,
    targets_body=BODIES,
    step_timeouts_body=BODIES,
    queue=NAMES,
    priority=st.integers(-1, 1),
    attempts_max=st.integers(1, 3),
    tasks=st.integers(0, 3),
    created_at_ms=TIMES,
    actor=TEXTS,
    interface=TEXTS,
    trace_id=TEXTS,
    state=st.sampled_from(RunState),
    outcome=OUTCOMES,
    ended_at_ms=MAYBE_TIME,
    files_body=BODIES,
)
TASKS = st.builds(
    rows.TaskRow,
    task_id=st.sampled_from(["t1", "t2", "t3", "t4"]),
    run_id=NAMES,
    target_kind=st.sampled_from(TargetKind),
    selector_body=st.none() | BODIES,
    queue=NAMES,
    priority=st.integers(-1, 1),
    created_at_ms=TIMES,
    expires_at_ms=MAYBE_TIME,
    timeout_s=st.sampled_from([0.5, 600.0]),
    status=STATUSES,
)
ATTEMPTS = st.builds(
    rows.AttemptRow,
    task_id=st.sampled_from(["t1", "t2"]),
    token=TOKENS,
    attempt=st.integers(1, 3),
    node_id=NAMES,
    device_serial=NAMES,
    dispatched_at_ms=TIMES,
    started_at_ms=MAYBE_TIME,
    ended_at_ms=TIMES,
    outcome=OUTCOMES,
    failure=FAILURES,
)
QUARANTINES = st.none() | st.builds(
    rows.Quarantine, since_ms=TIMES, until_ms=MAYBE_TIME, reason=TEXTS, by=NAMES, count=st.integers(0, 3)
)
DEVICES = st.builds(
    rows.DeviceRow,
    serial=NAMES,
    node_id=NAMES,
    state=st.sampled_from(DeviceState),
    reason=TEXTS,
    driver=TEXTS,
    connection=TEXTS,
    model=TEXTS,
    manufacturer=TEXTS,
    sdk=st.integers(0, 40),
    android=TEXTS,
    screen_width=TIMES,
    screen_height=TIMES,
    tags=st.lists(TEXTS, max_size=2),
    first_seen_at_ms=TIMES,
    changed_at_ms=TIMES,
    quarantine=QUARANTINES,
    usb_path=TEXTS,
    description=st.none() | st.builds(rows.Description, label=TEXTS, tags=st.lists(TEXTS, max_size=2)),
    hold=st.none() | st.builds(rows.Hold, since_ms=TIMES, until_ms=TIMES, by=NAMES, reason=TEXTS),
)
NODES = st.builds(
    rows.NodeRow,
    node_id=NAMES,
    host=TEXTS,
    version=TEXTS,
    slots=TIMES,
    capabilities=st.lists(TEXTS, max_size=2),
    started_at_ms=TIMES,
    first_seen_at_ms=TIMES,
    connected_at_ms=TIMES,
    state=st.sampled_from(["online", "late", "offline"]),
    state_reason=TEXTS,
    changed_at_ms=TIMES,
    quarantine=QUARANTINES,
)
STREAMS = st.builds(
    rows.StreamRow,
    name=NAMES,
    instance=st.just("1"),
    incarnation=st.sampled_from(["i", "j"]),
    epoch=TIMES,
    last_seq=st.integers(0, 1),
)
DIGESTS = st.lists(st.binary(min_size=8, max_size=8), min_size=1, max_size=4)
ARTIFACTS = st.builds(
    rows.ArtifactRow,
    path=NAMES,
    sha256=TEXTS,
    size_bytes=TIMES,
    media_type=TEXTS,
    node_id=NAMES,
    device_serial=NAMES,
    run_id=NAMES,
    task_id=st.sampled_from(["t1", "t2"]),
    step_id=TEXTS,
    stored_at_ms=TIMES,
)
FILES = st.builds(
    rows.FileRow,
    name=NAMES,
    version=st.sampled_from(["1", "2"]),
    sha256=TEXTS,
    size_bytes=TIMES,
    media_type=TEXTS,
    position=TIMES,
    created_at_ms=TIMES,
    created_by=TEXTS,
)
KEYS = st.builds(
    rows.KeyRow,
    name=NAMES,
    role=TEXTS,
    public_key=TEXTS,
    secret_sha256=TEXTS,
    created_at_ms=TIMES,
    created_by=TEXTS,
    revoked_at_ms=MAYBE_TIME,
    next_public_key=TEXTS,
    next_secret_sha256=TEXTS,
)
ENROLMENTS = st.builds(
    rows.EnrolmentRow,
    name=NAMES,
    token_sha256=TEXTS,
    created_at_ms=TIMES,
    created_by=TEXTS,
    expires_at_ms=TIMES,
    used_at_ms=MAYBE_TIME,
    revoked_at_ms=MAYBE_TIME,
)
SECRETS = st.builds(
    rows.SecretRow,
    name=NAMES,
    ciphertext=BODIES,
    created_at_ms=TIMES,
    created_by=TEXTS,
    changed_at_ms=TIMES,
    changed_by=TEXTS,
)
API_TOKENS = st.builds(
    rows.TokenRow,
    name=NAMES,
    token_sha256=TEXTS,
    role=TEXTS,
    created_at_ms=TIMES,
    created_by=TEXTS,
    revoked_at_ms=MAYBE_TIME,
    expires_at_ms=MAYBE_TIME,
    scopes=TEXTS,
)
USERS = st.builds(
    people.UserRow,
    name=NAMES,
    role=TEXTS,
    password_hash=TEXTS,
    created_at_ms=TIMES,
    created_by=TEXTS,
    password_at_ms=TIMES,
    removed_at_ms=MAYBE_TIME,
)
SESSIONS = st.builds(
    people.SessionRow, token_sha256=NAMES, user=NAMES, created_at_ms=TIMES, expires_at_ms=TIMES, address=TEXTS
)
COMMANDS = st.builds(
    rows.CommandRow,
    idempotency_key=NAMES,
    payload_sha256=TEXTS,
    reply_body=BODIES,
    created_at_ms=TIMES,
    expires_at_ms=TIMES,
)
SAMPLES = st.builds(rows.SampleRow, name=NAMES, instance=NAMES, received_at_ms=TIMES, body=BODIES)
SUBJECTS = st.sampled_from(["task/t1", "task/t2", "task/t3", "run/a", "run/b", "device/a", "node/a"])
TYPES = st.sampled_from(["task.queued", "task.completed", "run.created", "device.online", "step.started"])


def make_envelope(event_id: str, subject: str, event_type: str) -> Envelope:
    return Envelope(
        event_id=event_id,
        type=event_type,
        subject=subject,
        source="broker/1",
        trace_id="0" * 32,
        occurred_at_ms=5,
        payload=raw({"note": event_id}),
    )


EVENTS = st.builds(
    lambda position, subject, event_type, at: ops.AppendEvent(
        position, make_envelope(f"e{position}", subject, event_type), at
    ),
    st.just(-1),
    SUBJECTS,
    TYPES,
    TIMES,
)
"""Position -1: the caller numbers them (`numbered`)."""

STATISTICS = st.builds(
    StatisticsRow,
    row_id=st.integers(0, 99).map(str),
    queue=NAMES,
    period=st.sampled_from(Period),
    at_ms=TIMES,
    position=TIMES,
    observed_ms=TIMES,
    **dict.fromkeys(["waiting", "running", "delayed", "unproven", "nodes_online", "nodes_total"], MAYBE_TIME),
    **dict.fromkeys(["passed", "failed", "cancelled", "expired", "unknown"], TIMES),
    wait=BODIES,
    duration=BODIES,
)
AUDIT = st.builds(
    AuditRow,
    at_ms=TIMES,
    **dict.fromkeys(["actor", "role", "token", "address", "interface", "process", "action", "subject"], TEXTS),
    outcome=st.sampled_from(AuditOutcome),
    before=st.none() | TEXTS,
    after=st.none() | TEXTS,
    position=TIMES,
)
CAMPAIGNS = st.builds(
    CampaignRow,
    name=NAMES,
    campaign_id=NAMES,
    state=st.sampled_from(CampaignState),
    reason=TEXTS,
    plan_body=BODIES,
    decided_to_ms=TIMES,
    runs=TIMES,
    created_at_ms=TIMES,
    created_by=TEXTS,
    changed_at_ms=TIMES,
    changed_by=TEXTS,
)
HANDS = st.sampled_from(["", "h1"])
FIRES = st.builds(
    FireRow,
    campaign_id=NAMES,
    fire_at_ms=TIMES,
    hand=HANDS,
    state=st.sampled_from(FireState),
    recorded_at_ms=TIMES,
    run_id=st.none() | NAMES,
    reason=TEXTS,
    actor=TEXTS,
    times=TIMES,
    last_at_ms=MAYBE_TIME,
)
INCIDENTS = st.builds(
    IncidentRow,
    incident_id=NAMES,
    type=st.sampled_from([IncidentType.NODE_DOWN, IncidentType.LOW_DISK]),
    subject=NAMES,
    severity=st.sampled_from(Severity),
    state=st.sampled_from(IncidentState),
    message=TEXTS,
    affected=TIMES,
    opened_at_ms=TIMES,
    seen_at_ms=TIMES,
    acknowledged_at_ms=MAYBE_TIME,
    acknowledged_by=TEXTS,
    resolved_at_ms=MAYBE_TIME,
    resolved_by=TEXTS,
    note=TEXTS,
)
LETTER_IDS = st.integers(0, 9).map(str)
DEAD_LETTERS = st.builds(
    DeadLetterRow,
    letter_id=LETTER_IDS,
    kind=st.sampled_from(DeadLetterKind),
    reason=st.sampled_from(DeadReason),
    state=st.sampled_from(DeadLetterState),
    **dict.fromkeys(["code", "error_class", "device_serial", "task_id", "workflow", "queue", "type"], NAMES),
    **dict.fromkeys(["message", "settled_by", "settled_why", "retried_as", "subscription"], TEXTS),
    **dict.fromkeys(["node_id", "run_id"], NAMES),
    **dict.fromkeys(["created_at_ms", "position", "attempts", "seq", "data_bytes"], TIMES),
    incarnation=st.sampled_from(["i", "j"]),
    data=BODIES,
    settled_at_ms=MAYBE_TIME,
)
QUEUES = st.builds(
    QueueRow,
    name=NAMES,
    state=st.sampled_from(QueueState),
    degraded=st.booleans(),
    reason=NAMES,
    **dict.fromkeys(["priority", "degraded_above", "waiting", "delayed", "held", "rate_per_min"], TIMES),
)
DEVICE_SAMPLES = st.builds(
    samples.DeviceSampleRow,
    serial=NAMES,
    minute=st.integers(0, 130),
    body=st.builds(
        DeviceHealth,
        serial=NAMES,
        problem=st.sampled_from(["", "", "silent"]),
        battery_percent=st.none() | st.integers(0, 100),
        battery_temp_c=st.none() | st.floats(-20, 90),
        thermal_status=st.sampled_from(["unknown", "none", "severe"]),
    ).map(samples.sample_body),
)
BOTS = st.builds(
    bots.BotRow,
    name=NAMES,
    status=st.sampled_from(BotStatus),
    state=st.sampled_from(PeerState),
    **dict.fromkeys(["status_reason", "state_reason"], TEXTS),
    **dict.fromkeys(["declared_body", "config_body", "processes_body"], BODIES),
    **dict.fromkeys(["revision", "proven_at_ms", "registered_at_ms", "changed_at_ms"], TIMES),
)
SUBSCRIPTIONS = st.builds(
    bots.SubscriptionRow,
    bot=NAMES,
    name=NAMES,
    **dict.fromkeys(["topics_body", "open_body", "again_body"], BODIES),
    **dict.fromkeys(["position", "since_ms", "done_to_ms", "moved_at_ms"], TIMES),
)
OPS = st.one_of(
    EVENTS,
    EVENTS,
    st.builds(ops.InsertWorkflow, WORKFLOWS),
    st.builds(ops.SetWorkflowState, NAMES, st.integers(1, 4), st.sampled_from(WorkflowState)),
    st.builds(ops.InsertRun, RUNS),
    st.builds(ops.UpdateRun, NAMES, st.sampled_from(RunState), OUTCOMES, MAYBE_TIME),
    st.builds(StopRun, NAMES, TEXTS),
    st.builds(ops.InsertTask, TASKS),
    st.builds(ops.UpdateTask, st.sampled_from(["t1", "t2", "t3", "t4"]), STATUSES),
    st.builds(ops.InsertAttempt, ATTEMPTS),
    st.builds(ops.PutDevice, DEVICES),
    st.builds(ops.PutNode, NODES),
    st.builds(ops.PutSample, SAMPLES),
    st.builds(ops.PutStream, STREAMS),
    st.builds(ops.AdvanceStream, NAMES, st.just("1"), st.sampled_from(["i", "j"]), st.integers(1, 4), DIGESTS),
    st.builds(ops.InsertArtifact, ARTIFACTS),
    st.builds(ops.InsertFile, FILES),
    st.builds(ops.DeleteFile, NAMES, st.sampled_from(["1", "2"])),
    st.builds(ops.PutKey, KEYS),
    st.builds(ops.PutToken, API_TOKENS),
    st.builds(ops.PutEnrolment, ENROLMENTS),
    st.builds(ops.PutIncident, INCIDENTS),
    st.builds(ops.PutSecret, SECRETS),
    st.builds(ops.DropSecret, NAMES),
    st.builds(people.PutUser, USERS),
    st.builds(people.PutSession, SESSIONS),
    st.builds(people.DropSession, NAMES),
    st.builds(ops.RememberCommand, COMMANDS),
    st.builds(ops.ForgetCommands, TIMES),
    st.builds(ops.ReserveTokens, TIMES),
    st.builds(PutQueue, QUEUES),
    st.builds(bots.PutBot, BOTS),
    st.builds(bots.PutSubscription, SUBSCRIPTIONS),
    st.builds(bots.DropSubscription, NAMES, NAMES),
    st.builds(bots.KeepEvent, LETTER_IDS),
    st.builds(bots.AddUptime, NAMES, TIMES, st.floats(0, 60), TIMES),
    st.builds(samples.PutDeviceSample, DEVICE_SAMPLES),
    st.builds(samples.PutDeviceSample, DEVICE_SAMPLES),
    st.builds(
        conditions.PutCondition,
        st.builds(conditions.ConditionRow, serial=NAMES, bot=NAMES, body=BODIES, changed_at_ms=TIMES),
    ),
    st.builds(samples.PruneSamples, st.lists(NAMES, max_size=2), st.integers(0, 130), st.integers(0, 3)),
    st.builds(ops.InsertStatistics, STATISTICS),
    st.builds(ops.AppendAudit, AUDIT),
    st.builds(ops.InsertDeadLetter, DEAD_LETTERS),
    st.builds(SettleDeadLetter, LETTER_IDS, st.sampled_from(DeadLetterState), TIMES, TEXTS, TEXTS, TEXTS),
    st.builds(
        retention.AddUsage,
        TIMES,
        st.dictionaries(st.sampled_from(UsageKind), NAMES),
        st.none() | st.sampled_from(sorted(TERMINAL, key=lambda state: state.value)),
        TIMES,
        TIMES,
    ),
    st.builds(retention.PruneTasks, st.lists(st.sampled_from(["t1", "t2", "t3", "t4"]), max_size=4), TIMES),
    st.builds(retention.PruneRuns, st.lists(NAMES, max_size=3), TIMES),
    st.builds(retention.PruneEvents, st.lists(st.integers(1, 20), max_size=5)),
    st.builds(retention.PruneArtifacts, st.lists(NAMES, max_size=2)),
    st.builds(retention.PruneAudit, TIMES, TIMES),
    st.builds(ops.TrimStatistics, st.sampled_from(Period), TIMES),
    st.builds(ops.PutCampaignRow, CAMPAIGNS),
    st.builds(ops.DropCampaign, NAMES),
    st.builds(ops.InsertFire, FIRES),
    st.builds(ops.UpdateFire, NAMES, TIMES, HANDS, st.sampled_from(FireState), st.none() | NAMES, TEXTS),
    st.builds(ops.TrimFires, NAMES, st.integers(1, 3)),
)
UNITS = st.lists(st.lists(OPS, min_size=1, max_size=4), max_size=14)


def numbered(unit: list[ops.Op], last_position: int, *, wrong: bool = False) -> list[ops.Op]:
    """Return the unit with the events numbered after last_position; ``wrong`` leaves a gap."""
    result: list[ops.Op] = []
    for op in unit:
        if isinstance(op, ops.AppendEvent):
            last_position += 2 if wrong else 1
            op = ops.AppendEvent(
                last_position,
                make_envelope(f"e{last_position}", op.envelope.subject, op.envelope.type),
                op.recorded_at_ms,
            )
        result.append(op)
    return result


HELD = st.builds(
    outbox.HeldRow,
    task_id=NAMES,
    token=TOKENS,
    order=TIMES,
    dispatch_body=BODIES,
    state=st.sampled_from(HoldingState),
    received_at_ms=TIMES,
    step_begun=TEXTS,
    repeatable=st.booleans(),
)
OUTBOX_OPS = st.one_of(
    st.builds(outbox.AppendFact, st.just(-1), st.binary(min_size=1, max_size=6), st.booleans()),
    st.builds(outbox.AppendFact, st.just(-1), st.binary(min_size=1, max_size=6), st.booleans()),
    st.builds(outbox.AppendFact, st.just(-1), st.binary(min_size=1, max_size=6), st.booleans()),
    st.builds(outbox.TrimFacts, st.integers(0, 12)),
    st.builds(outbox.PutHeld, HELD),
    st.builds(outbox.PutProgress, NAMES, TOKENS, st.sampled_from(HoldingState), TEXTS, st.booleans()),
    st.builds(outbox.DropHeld, NAMES, TOKENS),
    st.builds(outbox.PutRecipe, NAMES, BODIES),
    st.builds(outbox.DropRecipe, NAMES),
    st.builds(outbox.PutEpoch, TIMES),
    st.builds(outbox.PutStoreId, NAMES),
    st.builds(outbox.RenewIncarnation, NAMES, st.integers(0, 9), st.booleans()),
)
OUTBOX_UNITS = st.lists(st.lists(OUTBOX_OPS, min_size=1, max_size=5), max_size=14)
