"""Campaigns: runs that are made again and again by a schedule (steps 1 and 14)."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from litestar import Response, delete, get, post
from litestar.openapi.spec import Example
from litestar.params import Body, FromPath, QueryParameter

from doai.admin import campaign_views as v
from doai.admin import examples
from doai.admin.access import OPERATOR, VIEWER
from doai.admin.routes.parameters import Cursor, Given, IdempotencyKey, Limit, Who, not_found, now_ms, part
from doai.admin.routes.runs import NewRun
from doai.admin.services import Services
from doai.admin.views import View
from doai.messages import campaigns as m
from doai.schedule import Schedule
from doai.states import CampaignState, RunState
from doai.store.campaign_reader import CampaignView

TIMES_MAX: Final = 100
_SCHEDULE: Final = {"cron": "0 3 * * *", "zone": "Asia/Seoul"}
_RUN: Final = {"workflow": "reboot", "targets": {"kind": "all", "selector": {"groups": ["shelf-1"]}}}
_NEW: Final = {"name": "nightly-reboot", "plan": {"run": _RUN, "schedule": _SCHEDULE, "overlap": "skip"}}


class NewSchedule(Schedule, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When; a field that is not known must not be ignored."""


class NewPlan(m.CampaignPlan, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is run, when, and what happens where times meet."""

    run: NewRun
    schedule: NewSchedule


class NewCampaign(m.PutCampaign, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A campaign to make or to change."""

    plan: NewPlan


class CampaignReason(View, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why, for its story."""

    reason: Annotated[str, msgspec.Meta(max_length=500)] = ""


class PreviewWish(View, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A schedule that nothing has yet."""

    schedule: NewSchedule
    count: Annotated[int, msgspec.Meta(ge=1, le=TIMES_MAX)] = 5


_STATUS: Final = m.CampaignStatus(
    name="nightly-reboot", campaign_id=examples.RUN_ID, state=CampaignState.ACTIVE, next_at_ms=examples.AT_MS
)
_FIRE: Final = v.FireJson(
    fire_at_ms=examples.AT_MS,
    state="fired",
    run_id=examples.RUN_ID,
    came_of="passed",
    reason="",
    by="",
    times=1,
    last_at_ms=None,
    recorded_at_ms=examples.AT_MS + 4,
)
_CAMPAIGN: Final = v.CampaignJson(
    name="nightly-reboot",
    campaign_id=examples.RUN_ID,
    project="shelf-1",
    state="active",
    reason="",
    when="0 3 * * * Asia/Seoul",
    schedule=_SCHEDULE,
    run=_RUN,
    overlap="skip",
    catch_up="latest",
    catch_up_max=10,
    runs=41,
    runs_max=None,
    next_at_ms=examples.AT_MS,
    waiting=0,
    current=None,
    newest=_FIRE,
    created_at_ms=examples.AT_MS,
    created_by="user/ann",
    changed_at_ms=examples.AT_MS,
    changed_by="user/ann",
)
_TIMES: Final = v.TimesJson(
    when="0 3 * * * Asia/Seoul",
    zone="Asia/Seoul",
    items=[
        v.TimeJson(
            at_ms=1_763_748_000_000,
            due_at_ms=None,
            local="2025-11-22T03:00:00+09:00",
            utc="2025-11-21T18:00:00+00:00",
        )
    ],
)
_WHY: Final = Example(value={"reason": "the shelf is moved"})
_WHY_BODY = Annotated[CampaignReason | None, Body(examples=[_WHY])]
Count = Annotated[int, QueryParameter(ge=1, le=TIMES_MAX, description="how many times")]


@get(
    "/campaigns",
    opt={"needs": VIEWER},
    tags=["campaigns"],
    summary="List campaigns by name",
    responses=examples.answer(200, v.CampaignPage, v.CampaignPage(items=[_CAMPAIGN], next=None), "A page."),
)
async def list_campaigns(
    services: Given,
    wanted: Annotated[CampaignState | None, QueryParameter(name="state")] = None,
    project: Annotated[str | None, QueryParameter(max_length=80)] = None,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> v.CampaignPage:
    """Each with its open run, the newest of its times and the next one."""
    found = [view for view in await services.reader.campaigns.all() if wanted in (None, view.row.state)]
    if project is not None:
        found = [view for view in found if v.plan_of(view).project == project]
    shown, following = part(found, lambda view: view.row.name, cursor, limit)
    return v.CampaignPage(items=[await whole_campaign(services, view) for view in shown], next=following)


@post(
    "/campaigns",
    status_code=201,
    opt={"needs": OPERATOR},
    tags=["campaigns"],
    summary="Make a campaign, or change one",
    responses=examples.answer(201, m.CampaignStatus, _STATUS, "It is stored.", problems=(404, 409, 422)),
)
async def put_campaign(
    data: Annotated[NewCampaign, Body(examples=[Example(value=_NEW)])],
    services: Given,
    caller: Who,
    idempotency_key: IdempotencyKey = None,
) -> Response[m.CampaignStatus]:
    """409 when there is one of that name with another plan and `replace` is not set."""
    command = msgspec.convert(msgspec.to_builtins(data), m.PutCampaign)
    return await _done(services, caller, command, command.name, idempotency_key)


@get(
    "/campaigns/{name:str}",
    opt={"needs": VIEWER},
    tags=["campaigns"],
    summary="Show a campaign",
    responses=examples.answer(200, v.CampaignJson, _CAMPAIGN, "The campaign.", problems=(404,)),
)
async def show_campaign(name: FromPath[str], services: Given) -> v.CampaignJson:
    """With the progress of its open run."""
    return await whole_campaign(services, await one_campaign(services, name))


@get(
    "/campaigns/{name:str}/times",
    opt={"needs": VIEWER},
    tags=["campaigns"],
    summary="List what came of a campaign's times, newest first",
    responses=examples.answer(
        200, v.FirePage, v.FirePage(items=[_FIRE], next=None), "Its history.", problems=(404,)
    ),
)
async def list_times(name: FromPath[str], services: Given, cursor: Cursor = None, limit: Limit = 50) -> v.FirePage:
    """Runs with their outcomes; times that were skipped or missed, and why."""
    view = await one_campaign(services, name)
    page = await services.reader.campaigns.fires(view.row.campaign_id, cursor=cursor, limit=limit)
    return v.FirePage(items=[v.fire_json(fire) for fire in page.items], next=page.next_cursor)


@get(
    "/campaigns/{name:str}/next",
    opt={"needs": VIEWER},
    tags=["campaigns"],
    summary="Show the next times of a campaign",
    responses=examples.answer(200, v.TimesJson, _TIMES, "In its zone and in UTC.", problems=(404, 422)),
)
async def next_times(name: FromPath[str], services: Given, count: Count = 5) -> v.TimesJson:
    """Also of one that is paused: as if it were resumed now."""
    view = await one_campaign(services, name)
    row, after_ms = view.row, view.row.decided_to_ms
    if row.state is CampaignState.PAUSED:
        after_ms = max(after_ms, now_ms())
    return v.times_json(v.plan_of(view).schedule, after_ms, count, row.campaign_id)


@post(
    "/schedules/preview",
    status_code=200,
    opt={"needs": VIEWER},
    tags=["campaigns"],
    summary="Show the next times of a schedule before anything has it",
    responses=examples.answer(200, v.TimesJson, _TIMES, "In its zone and in UTC.", problems=(422,)),
)
async def preview_schedule(
    data: Annotated[PreviewWish, Body(examples=[Example(value={"schedule": _SCHEDULE, "count": 5})])],
) -> v.TimesJson:
    """422 when it is wrong or never comes."""
    schedule, at_ms = msgspec.convert(msgspec.to_builtins(data.schedule), Schedule), now_ms()
    return v.preview_json(schedule, at_ms, data.count)


@post(
    "/campaigns/{name:str}/pause",
    status_code=200,
    opt={"needs": OPERATOR},
    tags=["campaigns"],
    summary="Let the times of a campaign pass by",
    responses=examples.answer(200, m.CampaignStatus, _STATUS, "It is paused.", problems=(404, 409)),
)
async def pause_campaign(
    name: FromPath[str], services: Given, caller: Who, data: _WHY_BODY = None
) -> Response[m.CampaignStatus]:
    """An open run goes on."""
    return await _done(services, caller, m.PauseCampaign(name=name, reason=data.reason if data else ""), name)


@post(
    "/campaigns/{name:str}/resume",
    status_code=200,
    opt={"needs": OPERATOR},
    tags=["campaigns"],
    summary="Let a paused campaign fire again",
    responses=examples.answer(200, m.CampaignStatus, _STATUS, "It is active.", problems=(404, 409)),
)
async def resume_campaign(
    name: FromPath[str], services: Given, caller: Who, data: _WHY_BODY = None
) -> Response[m.CampaignStatus]:
    """From the next time on: what passed meanwhile is not made up for."""
    return await _done(services, caller, m.ResumeCampaign(name=name, reason=data.reason if data else ""), name)


@post(
    "/campaigns/{name:str}/fire",
    status_code=200,
    opt={"needs": OPERATOR},
    tags=["campaigns"],
    summary="Make a run of a campaign now",
    responses=examples.answer(
        200,
        m.CampaignRun,
        m.CampaignRun(name="nightly-reboot", run_id=examples.RUN_ID),
        "Its run is made, or waits for the end of the one before.",
        problems=(404, 409),
    ),
)
async def fire_campaign(
    name: FromPath[str], services: Given, caller: Who, idempotency_key: IdempotencyKey = None
) -> Response[m.CampaignRun]:
    """Its overlap holds: 409 when a run of it is open and that is `skip`."""
    return await _done(services, caller, m.FireCampaign(name=name), name, idempotency_key)


@delete(
    "/campaigns/{name:str}",
    status_code=200,
    opt={"needs": OPERATOR},
    tags=["campaigns"],
    summary="Remove a campaign and its history",
    responses=examples.answer(200, m.CampaignStatus, _STATUS, "As it was.", problems=(404,)),
)
async def remove_campaign(name: FromPath[str], services: Given, caller: Who) -> Response[m.CampaignStatus]:
    """Its runs stay, an open one goes on."""
    return await _done(services, caller, m.RemoveCampaign(name=name), name)


async def _done(
    services: Services, caller: Any, command: Any, name: str, idempotency_key: str | None = None
) -> Response[Any]:
    done = await services.command_of(caller, command, f"campaign/{name[:63]}", idempotency_key=idempotency_key)
    status = 201 if isinstance(command, m.PutCampaign) else 200
    return Response(done.result, status_code=status, headers=done.headers)


async def one_campaign(services: Services, name: str) -> CampaignView:
    """Return a campaign; raises NotFoundError naming what is near."""
    view = await services.reader.campaigns.one(name)
    if view is None:
        names = [other.row.name for other in await services.reader.campaigns.all()]
        raise not_found("campaign", name, "campaigns", names)
    return view


async def whole_campaign(services: Services, view: CampaignView) -> v.CampaignJson:
    """Return a campaign as the API shows it, with how its open run stands."""
    run_id = next((fire.row.run_id for fire in reversed(view.going_on) if fire.row.run_id is not None), None)
    current = await services.reader.run(run_id) if run_id is not None else None
    if current is not None and current.row.state is RunState.COMPLETED:
        current = None  # since the first question was asked
    return v.campaign_json(view, current)
