"""Retention: what is kept how long, what would go, the passes so far; and the use that outlives it (step 14)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Final

import msgspec
from litestar import get, post
from litestar.params import QueryParameter

from doai.admin import examples
from doai.admin.access import ADMIN, VIEWER
from doai.admin.routes.parameters import Given, Who, now_ms
from doai.admin.views import View
from doai.changes.retention import DAY_MS, RetentionPass, UsageKind, UsageRow

PASSES_SHOWN: Final = 10


class PolicyJson(View, frozen=True, kw_only=True):
    """How long and how many; 0 = without end."""

    every_h: float
    """Hours between two passes; 0 = only on demand."""
    tasks_days: float
    """After the end of their run, as a whole."""
    tasks_max: int
    events_days: float
    """Those of devices, nodes and the system; those of tasks and runs go with them."""
    events_max: int
    artifacts_days: float
    artifacts_disk_percent: float
    """Share of their disk."""
    audit_days: float
    audit_max: int
    samples_hours: float
    """Of devices, one a minute."""
    sample_hours_days: float
    """What hours of them came to."""


class HeldJson(View, frozen=True, kw_only=True):
    """How much there is."""

    tasks: int
    runs: int
    events: int
    artifacts: int
    artifact_bytes: int
    audit: int
    samples: int
    """Of devices, by the minute; counted up to a million, and so are the hours."""
    sample_hours: int


class GoingJson(View, frozen=True, kw_only=True):
    """How much a pass would remove now."""

    tasks: int
    """With their attempts and events."""
    runs: int
    events: int
    artifacts: int
    """Before their run goes."""
    artifact_bytes: int
    audit: int
    samples: int
    sample_hours: int


class PassJson(View, frozen=True, kw_only=True):
    """One pass."""

    began_at_ms: int
    ended_at_ms: int | None
    """null = it is under way."""
    actor: str
    tasks: int
    runs: int
    events: int
    artifacts: int
    audit: int
    freed_bytes: int
    problem: str
    """Why it ended early; empty = it did all there was to do."""
    queue: str
    """Of which what had ended was removed; empty = of everything."""


class RetentionJson(View, frozen=True, kw_only=True):
    """What is kept how long, what there is, what would go, and what went."""

    policy: PolicyJson
    held: HeldJson
    going: GoingJson
    running: PassJson | None
    passes: list[PassJson]
    """The last ones, newest first."""


class BegunJson(View, frozen=True, kw_only=True):
    """A pass has begun; `GET /retention` tells how far it is."""

    url: str


class UsageJson(View, frozen=True, kw_only=True):
    """What was done with one device, of one workflow, by one actor, for one project or campaign."""

    name: str
    day: str
    """UTC; of a sum its first day with any."""
    tasks: int
    passed: int
    failed: int
    cancelled: int
    expired: int
    unknown: int
    attempts: int
    device_s: float
    """How long attempts had their device."""


class UsagePage(View, frozen=True, kw_only=True):
    """By name, or by day and name."""

    items: list[UsageJson]
    next: str | None


_COUNTS: Final = {"tasks": 1200, "runs": 60, "events": 400, "artifacts": 900, "audit": 0}
_PASS: Final = PassJson(
    began_at_ms=examples.AT_MS,
    ended_at_ms=examples.AT_MS + 9_000,
    actor="admin/4f1c2ab90d3e",
    freed_bytes=48_000_000,
    problem="",
    queue="",
    **_COUNTS,
)
POLICY: Final = PolicyJson(
    every_h=6.0,
    tasks_days=90.0,
    tasks_max=2_000_000,
    events_days=90.0,
    events_max=2_000_000,
    artifacts_days=30.0,
    artifacts_disk_percent=50.0,
    audit_days=400.0,
    audit_max=2_000_000,
    samples_hours=24.0,
    sample_hours_days=90.0,
)
"""Of examples: as it is unless it is set."""
_EXAMPLE: Final = RetentionJson(
    policy=POLICY,
    held=HeldJson(
        artifact_bytes=90_000_000_000, samples=144_000, sample_hours=216_000, **{**_COUNTS, "tasks": 812_000}
    ),
    going=GoingJson(artifact_bytes=48_000_000, samples=600, sample_hours=100, **_COUNTS),
    running=None,
    passes=[_PASS],
)
_USAGE: Final = UsageJson(
    name="R58M12ABCDE",
    day="2025-11-21",
    tasks=310,
    passed=301,
    failed=7,
    cancelled=1,
    expired=0,
    unknown=1,
    attempts=322,
    device_s=18_400.5,
)


@get(
    "/retention",
    opt={"needs": VIEWER},
    tags=["retention"],
    summary="What is kept how long, and what would go",
    responses=examples.answer(200, RetentionJson, _EXAMPLE, "Policy, outlook and the last passes."),
)
async def show_retention(services: Given) -> RetentionJson:
    """Nothing is removed by asking."""
    janitor = services.janitor
    outlook = await janitor.outlook()
    policy = PolicyJson(every_h=janitor.every_h, **msgspec.structs.asdict(janitor.policy))
    running = None
    if janitor.is_running:
        running = PassJson(ended_at_ms=None, actor="", **msgspec.structs.asdict(janitor.progress))
    return RetentionJson(
        policy=policy,
        held=HeldJson(**msgspec.structs.asdict(outlook.held)),
        going=GoingJson(**msgspec.structs.asdict(outlook.going)),
        running=running,
        passes=[_pass_json(row) for row in await janitor.reader.passes(PASSES_SHOWN)],
    )


@post(
    "/retention",
    status_code=202,
    opt={"needs": ADMIN},
    tags=["retention"],
    summary="Remove now what would go",
    responses=examples.answer(
        202, BegunJson, BegunJson(url="/api/v1/retention"), "A pass has begun.", problems=(409,)
    ),
)
async def begin_retention(services: Given, caller: Who) -> BegunJson:
    """Small slices beside the load; 409 while a pass is under way."""

    async def command(payload: msgspec.Struct) -> object:
        return await services.command_of(caller, payload, "retention")  # type: ignore[arg-type]

    services.janitor.begin(command)
    return BegunJson(url="/api/v1/retention")


@get(
    "/usage",
    opt={"needs": VIEWER},
    tags=["retention"],
    summary="What was done with devices, of workflows, by actors, for projects and campaigns",
    responses=examples.answer(200, UsagePage, UsagePage(items=[_USAGE], next=None), "By name."),
)
async def list_usage(
    services: Given,
    by: Annotated[
        UsageKind, QueryParameter(description="device, workflow, actor, project or campaign")
    ] = UsageKind.DEVICE,
    since_ms: Annotated[
        int | None,
        QueryParameter(ge=0, le=2**53, description="ms since 1970 (UTC), with its whole day"),
    ] = None,
    daily: Annotated[bool, QueryParameter(description="a row for each day")] = False,
) -> UsagePage:
    """It outlives the tasks that it counts; a day is one of UTC."""
    since_day = (since_ms if since_ms is not None else now_ms() - 30 * DAY_MS) // DAY_MS
    rows = await services.janitor.reader.usage(by, since_day, daily=daily)
    return UsagePage(items=[_usage_json(row) for row in rows], next=None)


def _pass_json(row: RetentionPass) -> PassJson:
    fields = msgspec.structs.asdict(row)
    del fields["pass_id"]
    return PassJson(**fields)


def _usage_json(row: UsageRow) -> UsageJson:
    fields = msgspec.structs.asdict(row)
    del fields["kind"]
    day = datetime.fromtimestamp(fields.pop("day") * DAY_MS / 1000, UTC).date().isoformat()
    return UsageJson(day=day, device_s=fields.pop("device_ms") / 1000, **fields)
