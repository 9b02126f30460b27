"""Bots: what registered, how it fares, what an operator wants of it (steps 1 and 14)."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from litestar import Response, get, post, put
from litestar.openapi.spec import Example
from litestar.params import Body, FromPath, QueryParameter

from doai.admin import examples
from doai.admin.access import AUTHOR, OPERATOR, VIEWER
from doai.admin.routes.parameters import Cursor, Given, Limit, Text, Who, named, not_found, now_ms, part
from doai.admin.views import View
from doai.changes.bots import BotProcess, SubscriptionRow
from doai.limits import BOT_LOOK_S
from doai.messages.bots import (
    BotSettings,
    BotStatus,
    ConfigureBot,
    RegisterBot,
    ResetSubscription,
    SetBotStatus,
    SubscriptionReset,
)
from doai.states import PeerState
from doai.store.bot_reader import BotAbout

_DAY_S: Final = 24 * 3600.0


class BotSubscriptionJson(View, frozen=True, kw_only=True):
    """What a bot hears of, and how far it is."""

    name: str
    topics: list[str]
    position: int
    """All that matches and is at or below is done, but for open subjects."""
    behind: int
    """Events of the log after the first that may not be done."""
    open_subjects: int
    """With an event below that is not done."""
    again: int
    """Events that a person gives again."""
    moved_at_ms: int


class BotJson(View, frozen=True, kw_only=True):
    """A bot."""

    name: str
    title: str
    type: str
    version: str
    entry_point: str
    capabilities: list[str]
    tags: list[str]
    task_kinds: list[str]
    status: str
    """active, inactive or deprecated, as an operator wants it."""
    status_reason: str
    state: str
    """online: heard within 15 s; late: within 60 s; offline."""
    state_reason: str
    proven_at_ms: int
    """When it was last heard; up to a minute old while it is online."""
    uptime_day_percent: float
    """Of the last 24 hours, or since it registered."""
    uptime_week_percent: float
    processes: list[BotProcess]
    config: dict[str, Any]
    config_schema: dict[str, Any]
    revision: int
    subscriptions: list[BotSubscriptionJson]
    registered_at_ms: int
    changed_at_ms: int


class BotPage(View, frozen=True, kw_only=True):
    """Bots, by name."""

    items: list[BotJson]
    next: str | None


class BotStatusWish(View, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is wanted of a bot, and why."""

    status: BotStatus
    reason: Annotated[str, msgspec.Meta(max_length=500)] = ""


class ResetWish(View, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a subscription begins anew: exactly one of the three."""

    position: int | None = None
    """The next event is the first after this; 0 = the oldest there is."""
    time_ms: int | None = None
    """The next event is the first recorded at or after this time."""
    to_end: bool = False


_BOT: Final = BotJson(
    name="thermal-guard",
    title="Pauses hot phones",
    type="health",
    version="1.2",
    entry_point="guard.py",
    capabilities=[],
    tags=["lab"],
    task_kinds=[],
    status="active",
    status_reason="",
    state="online",
    state_reason="registered",
    proven_at_ms=examples.AT_MS,
    uptime_day_percent=99.8,
    uptime_week_percent=99.9,
    processes=[],
    config={"limit_c": 45},
    config_schema={"type": "object", "properties": {"limit_c": {"type": "number"}}},
    revision=1,
    subscriptions=[
        BotSubscriptionJson(
            name="failed",
            topics=["task.failed"],
            position=1200,
            behind=0,
            open_subjects=0,
            again=0,
            moved_at_ms=examples.AT_MS,
        )
    ],
    registered_at_ms=examples.AT_MS,
    changed_at_ms=examples.AT_MS,
)
_SETTINGS: Final = BotSettings(name="thermal-guard", status=BotStatus.ACTIVE, config={"limit_c": 45}, revision=2)
_RESET: Final = SubscriptionReset(name="thermal-guard", subscription="failed", position=0, before=1200)
_CONFIG_BODY = Annotated[dict[str, Any], Body(examples=[Example(value={"limit_c": 45})])]
_STATUS_BODY = Annotated[
    BotStatusWish, Body(examples=[Example(value={"status": "inactive", "reason": "too eager"})])
]
_RESET_BODY = Annotated[ResetWish, Body(examples=[Example(value={"position": 0})])]


@get(
    "/bots",
    opt={"needs": VIEWER},
    tags=["bots"],
    summary="List bots",
    responses=examples.answer(200, BotPage, BotPage(items=[_BOT], next=None), "Bots, by name."),
)
async def list_bots(
    services: Given,
    heard: Annotated[Literal["online", "late", "offline"] | None, QueryParameter(name="state")] = None,
    status: Annotated[BotStatus | None, QueryParameter(description="what is wanted of it")] = None,
    text: Text = "",
    cursor: Cursor = None,
    limit: Limit = 100,
) -> BotPage:
    """Also those that are not heard."""
    found = [bot_json(about) for about in await services.reader.bots.all(now_ms())]
    found = [bot for bot in named(found, lambda bot: bot.name, text) if heard in (None, bot.state)]
    found = [bot for bot in found if status is None or bot.status == status.value]
    items, following = part(found, lambda bot: bot.name, cursor, limit)
    return BotPage(items=list(items), next=following)


@get(
    "/bots/{name:str}",
    opt={"needs": VIEWER},
    tags=["bots"],
    summary="Show a bot",
    responses=examples.answer(200, BotJson, _BOT, "The bot.", problems=(404,)),
)
async def show_bot(name: FromPath[str], services: Given) -> BotJson:
    """With its processes, its configuration and how far its subscriptions are."""
    about = await services.reader.bots.one(name, now_ms())
    if about is None:
        raise not_found("bot", name, "bots")
    return bot_json(about)


@put(
    "/bots/{name:str}/config",
    opt={"needs": AUTHOR},
    tags=["bots"],
    summary="Set the configuration of a bot",
    responses=examples.answer(200, BotSettings, _SETTINGS, "It is set.", problems=(404, 422)),
)
async def configure_bot(
    name: FromPath[str], services: Given, caller: Who, data: _CONFIG_BODY
) -> Response[BotSettings]:
    """As a whole; it must fit the schema that the bot declares, and reaches its processes at once."""
    done = await services.command_of(caller, ConfigureBot(name=name, config=data), f"bot/{name[:63]}")
    return Response(done.result, headers=done.headers)


@post(
    "/bots/{name:str}/status",
    status_code=200,
    opt={"needs": OPERATOR},
    tags=["bots"],
    summary="Activate, deactivate or deprecate a bot",
    responses=examples.answer(200, BotSettings, _SETTINGS, "It is wanted so.", problems=(404, 422)),
)
async def set_bot_status(
    name: FromPath[str], services: Given, caller: Who, data: _STATUS_BODY
) -> Response[BotSettings]:
    """An inactive one is given no events and tasks; its cursors stay where they are."""
    command = SetBotStatus(name=name, status=data.status, reason=data.reason)
    done = await services.command_of(caller, command, f"bot/{name[:63]}")
    return Response(done.result, headers=done.headers)


@post(
    "/bots/{name:str}/subscriptions/{subscription:str}/reset",
    status_code=200,
    opt={"needs": OPERATOR},
    tags=["bots"],
    summary="Begin a subscription of a bot anew",
    responses=examples.answer(200, SubscriptionReset, _RESET, "It begins there.", problems=(404, 422)),
)
async def reset_subscription(
    name: FromPath[str], subscription: FromPath[str], services: Given, caller: Who, data: _RESET_BODY
) -> Response[SubscriptionReset]:
    """From a position, a time or the end of the log."""
    command = ResetSubscription(
        name=name, subscription=subscription, position=data.position, time_ms=data.time_ms, to_end=data.to_end
    )
    done = await services.command_of(caller, command, f"bot/{name[:63]}")
    return Response(done.result, headers=done.headers)


def bot_json(about: BotAbout) -> BotJson:
    """Return a bot as the API shows it."""
    row = about.row
    declared = msgspec.json.decode(row.declared_body, type=RegisterBot)
    at_ms = now_ms()
    age_s = max(1.0, (at_ms - row.registered_at_ms) / 1000)
    # The broker writes once a minute how long a bot was heard: the time since then is added while it is online.
    since_s = min(BOT_LOOK_S, max(0.0, (at_ms - row.proven_at_ms) / 1000)) if row.state is PeerState.ONLINE else 0.0
    return BotJson(
        name=row.name,
        title=declared.title,
        type=declared.type,
        version=declared.version,
        entry_point=declared.entry_point,
        capabilities=declared.capabilities,
        tags=declared.tags,
        task_kinds=declared.task_kinds,
        status=row.status.value,
        status_reason=row.status_reason,
        state=row.state.value,
        state_reason=row.state_reason,
        proven_at_ms=row.proven_at_ms,
        uptime_day_percent=_percent(about.heard_day_s + since_s, min(age_s, _DAY_S)),
        uptime_week_percent=_percent(about.heard_week_s + since_s, min(age_s, 7 * _DAY_S)),
        processes=msgspec.json.decode(row.processes_body, type=list[BotProcess]),
        config=msgspec.json.decode(row.config_body),
        config_schema=declared.config_schema,
        revision=row.revision,
        subscriptions=[_subscription_json(found, about.last_position) for found in about.subscriptions],
        registered_at_ms=row.registered_at_ms,
        changed_at_ms=row.changed_at_ms,
    )


def _percent(heard_s: float, of_s: float) -> float:
    return round(min(100.0, 100 * heard_s / of_s), 2)


def _subscription_json(row: SubscriptionRow, last_position: int) -> BotSubscriptionJson:
    opened = msgspec.json.decode(row.open_body, type=dict[str, int])
    again = msgspec.json.decode(row.again_body, type=list[int])
    return BotSubscriptionJson(
        name=row.name,
        topics=msgspec.json.decode(row.topics_body),
        position=row.position,
        behind=max(0, last_position - min([row.position, *(at - 1 for at in opened.values())])),
        open_subjects=len(opened),
        again=len(again),
        moved_at_ms=row.moved_at_ms,
    )
