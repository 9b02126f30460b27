"""Notifications: the channels of notify-bot, and a test of each (steps 1 and 14)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath

from doai.admin import examples
from doai.admin.access import OPERATOR, VIEWER, Caller
from doai.admin.routes.parameters import Cursor, Given, Limit, Text, Who, named, not_found, now_ms, part
from doai.admin.services import Done, Services
from doai.admin.views import View
from doai.changes.bots import BotRow
from doai.errors import ConflictError
from doai.messages.bots import BotStatus
from doai.messages.commands import CreateRun, RunCreated, TargetKind, Targets
from doai.notifications import NOTIFY_BOT, TEST_KIND
from doai.states import PeerState

TEST_EXPIRES_S: Final = 120.0
"""A test that nobody took by then is of no use to whoever asked."""


class ChannelJson(View, frozen=True, kw_only=True):
    """A channel as it is set."""

    name: str
    kind: str
    """service or webhook."""
    about: list[str]
    severity: str
    """It tells nothing less grave."""
    language: str
    settings: dict[str, Any]
    """All that an operator set of it; secrets are names."""


class ChannelPage(View, frozen=True, kw_only=True):
    """Channels, by name."""

    items: list[ChannelJson]
    next: str | None


class BegunTest(View, frozen=True, kw_only=True):
    """A test under way: its run's only task has as outputs ``sent``, and ``problem``, why not."""

    run_id: str
    channel: str
    url: str


_SET: Final = {"name": "ops", "kind": "webhook", "url": "https://hooks.example/doai", "key": "${secret.ops-key}"}
_DEFAULTS: Final[Mapping[str, Any]] = {
    "kind": "service",
    "about": ["incidents", "dead_letters", "campaigns"],
    "severity": "low",
    "language": "en",
}
_CHANNEL: Final = ChannelJson(
    name="ops",
    kind="webhook",
    about=["incidents", "dead_letters", "campaigns"],
    severity="low",
    language="en",
    settings=_SET,
)
_BEGUN: Final = BegunTest(run_id=examples.RUN_ID, channel="ops", url=f"/api/v1/runs/{examples.RUN_ID}")


@get(
    "/notifications",
    opt={"needs": VIEWER},
    tags=["notifications"],
    summary="List the channels of notifications",
    responses=examples.answer(200, ChannelPage, ChannelPage(items=[_CHANNEL], next=None), "Channels, by name."),
)
async def list_channels(services: Given, text: Text = "", cursor: Cursor = None, limit: Limit = 100) -> ChannelPage:
    """They are the configuration of notify-bot: PUT /bots/notify-bot/config sets them."""
    items, following = part(named(await channels_of(services) or [], _name, text), _name, cursor, limit)
    return ChannelPage(items=list(items), next=following)


@post(
    "/notifications/{channel:str}/test",
    opt={"needs": OPERATOR},
    tags=["notifications"],
    summary="Send a test message to a channel",
    responses=examples.answer(201, BegunTest, _BEGUN, "notify-bot sends it now.", problems=(404, 409)),
)
async def test_channel(channel: FromPath[str], services: Given, caller: Who) -> Response[BegunTest]:
    """Past all that waits; what came of it are the outputs of the run's only task."""
    done = await begin_test(services, caller, channel)
    created: RunCreated = done.result
    answer = BegunTest(run_id=created.run_id, channel=channel, url=f"/api/v1/runs/{created.run_id}")
    return Response(answer, status_code=201, headers=done.headers)


async def begin_test(services: Services, caller: Caller, channel: str) -> Done:
    """Let notify-bot send a test; raises NotFoundError, and ConflictError where it can not."""
    row = await _bot(services)
    names = [] if row is None else [str(found.get("name")) for found in _channels(row)]
    if channel not in names:
        raise not_found("channel", channel, "notifications", names)
    assert row is not None
    if row.status is BotStatus.INACTIVE or row.state is PeerState.OFFLINE:
        how = "inactive" if row.status is BotStatus.INACTIVE else "offline"
        raise ConflictError(f"{NOTIFY_BOT} is {how}, so nothing can be sent: `doai bots show {NOTIFY_BOT}`")
    command = CreateRun(
        workflow="",
        targets=Targets(kind=TargetKind.BOT, bot=TEST_KIND, count=1),
        params={"channel": channel},
        expires_in_s=TEST_EXPIRES_S,
        attempts=1,
    )
    return await services.command_of(caller, command, f"bot/{NOTIFY_BOT}")


async def channels_of(services: Services) -> list[ChannelJson] | None:
    """Return all channels by name; None = notify-bot was never there."""
    row = await _bot(services)
    return None if row is None else sorted((_json(channel) for channel in _channels(row)), key=_name)


async def _bot(services: Services) -> BotRow | None:
    about = await services.reader.bots.one(NOTIFY_BOT, now_ms())
    return None if about is None else about.row


def _channels(row: BotRow) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = msgspec.json.decode(row.config_body).get("channels", [])
    return found


def _json(settings: dict[str, Any]) -> ChannelJson:
    shown = {**_DEFAULTS, **settings}
    return ChannelJson(
        name=str(shown["name"]),
        kind=str(shown["kind"]),
        about=list(shown["about"]),
        severity=str(shown["severity"]),
        language=str(shown["language"]),
        settings=settings,
    )


def _name(channel: ChannelJson) -> str:
    return channel.name
