"""One example for every answer, made of the answers' own types so that it can not disagree with them (step 14)."""

from __future__ import annotations

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final

import msgspec
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Example

from doai.admin import views as v
from doai.admin.app_views import AppJson
from doai.admin.plugin_views import PluginJson
from doai.admin.problems import MEDIA_TYPE, ProblemDocument

RUN_ID: Final = "01KAJD8B00R0N0000000000001"
TASK_ID: Final = "01KAJD8B00TASK000000000001"
SHA256: Final = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
AT_MS: Final = 1_763_712_000_000
PUBLIC_KEY: Final = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"

FAILURE: Final = v.FailureJson(
    details={},
    error_class="app",
    code="not_visible",
    message="no element with the text 'Log in' was shown",
    step="login",
)
RUN: Final = v.RunJson(
    run_id=RUN_ID,
    workflow="playback-check",
    version=3,
    state="active",
    outcome=None,
    counts={"passed": 18, "running": 2},
    tasks=20,
    created_at_ms=AT_MS,
    ended_at_ms=None,
    queue="default",
    priority=0,
    attempts_max=3,
    params={"video_id": "doai-test-1"},
    targets={"kind": "all", "selector": {"tags": ["shelf-1"]}},
    step_timeouts_s={"play": 120.0},
    actor="user/first",
    interface="cli",
    trace_id="4bf92f3577b34da6a3ce929d0e0e4736",
    recipe_hash=SHA256,
    left_s=42.5,
    bounds=v.BoundsJson(max_parallel=5, canary=2, stop_rate=0.2, stop_after=None),
    stopped=None,
    campaign="",
    project="shelf-1",
)
_TASK_FIELDS: Final[dict[str, Any]] = {
    "task_id": TASK_ID,
    "run_id": RUN_ID,
    "device_serial": "R58M12ABCDE",
    "node_id": "node-1",
    "state": "failed",
    "attempt": 1,
    "queue": "default",
    "priority": 0,
    "target_kind": "all",
    "created_at_ms": AT_MS,
    "expires_at_ms": None,
    "not_before_ms": None,
    "dispatched_at_ms": AT_MS + 20,
    "started_at_ms": AT_MS + 35,
    "ended_at_ms": AT_MS + 9_000,
    "timeout_s": 600.0,
    "failure": FAILURE,
    "reason": "",
}
TASK: Final = v.TaskJson(**_TASK_FIELDS)
ARTIFACT_PATH: Final = f"doai-test-1/node-1/R58M12ABCDE/{RUN_ID}/20251121T080000.123Z-shot-1.png"
ARTIFACT: Final = v.ArtifactJson(
    path=ARTIFACT_PATH,
    url=f"/api/v1/artifacts/{ARTIFACT_PATH}",
    sha256=SHA256,
    size_bytes=48_213,
    media_type="image/png",
    node_id="node-1",
    device_serial="R58M12ABCDE",
    run_id=RUN_ID,
    task_id=TASK_ID,
    step_id="shot",
    stored_at_ms=AT_MS + 9_100,
)
FILE: Final = v.FileJson(
    name="my-app",
    version="1.4",
    newest=True,
    url="/api/v1/files/my-app@1.4",
    content_url=f"/api/v1/contents/{SHA256}",
    sha256=SHA256,
    size_bytes=24_117_248,
    media_type="application/vnd.android.package-archive",
    created_at_ms=AT_MS,
    created_by="user/first",
)
APP: Final = AppJson(
    file="my-app@1.4",
    sha256=SHA256,
    size_bytes=24_117_248,
    package="com.example.app",
    version_code=14,
    version_name="1.4",
    min_sdk=26,
    target_sdk=34,
    abis=["arm64-v8a", "armeabi-v7a"],
    permissions=["android.permission.CAMERA"],
    test_only=False,
    signature_scheme="v2",
    certificate_sha256=SHA256,
    certificate_hash="7b0b6a3b",
)
TASK_DETAIL: Final = v.TaskDetailJson(
    waiting_because=None,
    position=None,
    retried_as=None,
    retry_of=None,
    **_TASK_FIELDS,
    attempts=[
        v.AttemptJson(
            attempt=1,
            token="1.42",  # noqa: S106 - a fencing token, no secret
            node_id="node-1",
            device_serial="R58M12ABCDE",
            dispatched_at_ms=AT_MS + 20,
            started_at_ms=AT_MS + 35,
            ended_at_ms=AT_MS + 9_000,
            outcome="failed",
            failure=FAILURE,
        )
    ],
    outputs={"title": "a video"},
    artifacts=[ARTIFACT],
)
STEP: Final = v.StepJson(
    task_id=TASK_ID,
    device_serial="R58M12ABCDE",
    attempt=1,
    token="1.42",  # noqa: S106 - a fencing token, no secret
    step_id="login",
    use="ui.tap",
    label="Log in",
    try_number=1,
    state="failed",
    retried=False,
    optional=False,
    started_at_ms=AT_MS + 400,
    ended_at_ms=AT_MS + 8_900,
    duration_ms=8_500,
    failure=FAILURE,
    outputs={},
)
EVENT: Final = v.EventJson(
    position=1042,
    event_id="01KAJD8B00EVENT00000000001",
    type="task.started",
    subject=f"task/{TASK_ID}",
    source="node-1/main",
    trace_id="4bf92f3577b34da6a3ce929d0e0e4736",
    occurred_at=datetime(2025, 11, 21, 8, 0, 0, 35_000, tzinfo=UTC),
    recorded_at_ms=AT_MS + 41,
    text="Task started on device R58M12ABCDE (attempt 1)",
    payload={
        "taskId": TASK_ID,
        "runId": RUN_ID,
        "token": [1, 42],
        "attempt": 1,
        "deviceSerial": "R58M12ABCDE",
    },
    causation_id=None,
    schema_version=1,
    idempotency_key=None,
    actor=None,
    interface=None,
)
DEVICE: Final = v.DeviceJson(
    service="quarantined",
    quarantine=v.QuarantineJson(
        since_ms=AT_MS,
        until_ms=AT_MS + 60_000,
        reason="5 failures in a row; the last: device R58M12ABCDE is connected but does not answer",
        by="broker/main",
        count=1,
    ),
    hold=v.HoldJson(
        since_ms=AT_MS,
        until_ms=AT_MS + 3_600_000,
        by="user/ann",
        reason="its cable is changed",
        tasks_left=1,
        text="holding after current task for user/ann",
    ),
    serial="R58M12ABCDE",
    node_id="node-1",
    state="online",
    reason="",
    driver="adb",
    connection="R58M12ABCDE",
    model="SM-G991B",
    manufacturer="samsung",
    sdk=34,
    android="14",
    screen=(1080, 2400),
    tags=["shelf-1", "lab"],
    usb_path="1-4.2",
    description=v.DescriptionJson(label="S21 no. 7", shelf="A3-12", notes="", tags=["lab"], groups=["night"]),
    first_seen_at_ms=AT_MS,
    changed_at_ms=AT_MS,
    proven=True,
    proofs=v.ProofsJson(
        link=v.ProofJson(at_ms=AT_MS + 10_000),
        adb=v.ProofJson(at_ms=AT_MS + 9_200),
        answer=v.ProofJson(at_ms=AT_MS + 4_800),
    ),
)
NODE: Final = v.NodeJson(
    service="in_service",
    quarantine=None,
    plugins=[
        PluginJson(
            name="acme",
            version="1.2",
            digest=SHA256,
            state="ready",
            reason="",
            steps=["acme.reset"],
            drivers=[],
            bots=[],
        )
    ],
    node_id="node-1",
    host="rack-1",
    version="0.1.0",
    state="online",
    state_reason="connected",
    slots=20,
    running=20,
    capabilities=["driver:adb", "step:app.launch"],
    started_at_ms=AT_MS,
    first_seen_at_ms=AT_MS,
    connected_at_ms=AT_MS,
    changed_at_ms=AT_MS,
    sample=v.SampleJson(
        received_at_ms=AT_MS + 10_000,
        pid=4711,
        running=20,
        passed=310,
        failed=4,
        cpu_percent=37.5,
        memory_percent=41.0,
        rss_bytes=81_000_000,
        intake_closed="",
        wire_lowest=1,
        wire_highest=1,
    ),
)
_WORKFLOW_FIELDS: Final[dict[str, Any]] = {
    "name": "playback-check",
    "version": 3,
    "title": "A video plays",
    "state": "active",
    "content_hash": SHA256,
    "created_at_ms": AT_MS,
    "created_by": "user/first",
}
WORKFLOW: Final = v.WorkflowJson(**_WORKFLOW_FIELDS)
WORKFLOW_DETAIL: Final = v.WorkflowDetailJson(
    **_WORKFLOW_FIELDS,
    recipe={"workflow": "playback-check", "steps": [{"id": "boot", "use": "device.bootstrap"}]},
    versions=[1, 2, 3],
)
WORKFLOW_SOURCE: Final = (
    "workflow: look\nsteps:\n  - {id: boot, use: device.bootstrap}\n  - {id: shot, use: screen.capture}\n"
)
KEY: Final = v.KeyJson(
    name="node-1",
    role="node",
    public_key=PUBLIC_KEY,
    may_upload=True,
    next_public_key=None,
    created_at_ms=AT_MS,
    created_by="user/first",
    revoked_at_ms=None,
)
TOKEN: Final = v.TokenJson(
    name="first",
    role="admin",
    created_at_ms=AT_MS,
    created_by="admin/k3v1",
    revoked_at_ms=None,
    expires_at_ms=None,
    scopes=[],
)

_PROBLEMS: Final = {
    400: ("bad_request", "the request can not be understood: limit: Expected `int` >= 1"),
    401: ("unauthorized", "this token is not accepted: it is unknown or was revoked, ask for another one"),
    403: ("forbidden", "token dash has the role viewer, and this needs operator"),
    404: ("not_found", "there is no run 'x': GET /api/v1/runs lists what there is"),
    409: ("conflict", "the idempotency key 'k' was used for another command: take a new key"),
    411: ("length_required", "Content-Length is needed: how many bytes the file has"),
    413: ("too_large", "the file has 70000000 bytes, 64 MiB are allowed: make it smaller"),
    422: ("bad_targets", "there is no device 'R58M12ABCDF': did you mean 'R58M12ABCDE'?"),
    502: ("screen_unavailable", "device R58M12ABCDE is offline"),
    503: (
        "broker_unavailable",
        "nobody listens at tcp://10.0.0.5:7701: start the broker; nothing was changed, try again",
    ),
    507: ("disk_full", "the disk of /srv/doai/artifacts is full: make space, the node will send the file again"),
}
"""Status -> code and sentence of the example."""


def answer(
    status: int,
    kind: type[Any],
    value: object,
    description: str,
    *,
    problems: tuple[int, ...] = (),
    usual: tuple[int, ...] = (400, 401, 403, 503),
    media_type: str = "application/json",
) -> dict[int, ResponseSpec]:
    """Return the ``responses`` of an operation: its answer with an example, and its errors."""
    specs = {status: _spec(kind, msgspec.to_builtins(value), description, media_type)}
    for number in sorted({*usual, *problems}):
        code, detail = _PROBLEMS[number]
        example = ProblemDocument(
            type=f"urn:doai:problem:{code}",
            title=HTTPStatus(number).phrase,
            status=number,
            detail=detail,
            code=code,
            fault="user" if number < 500 else "ours",
        )
        specs[number] = _spec(ProblemDocument, msgspec.to_builtins(example), HTTPStatus(number).phrase, MEDIA_TYPE)
    return specs


def _spec(kind: type[Any], value: object, description: str, media_type: str) -> ResponseSpec:
    return ResponseSpec(
        data_container=kind,
        generate_examples=False,
        description=description,
        media_type=media_type,
        examples=[Example(summary="example", value=value)],
    )
