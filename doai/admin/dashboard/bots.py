"""Bots: how each fares, what it hears of and how far it is, its configuration as a form (steps 1 and 14)."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath
from litestar.response import Redirect

from doai.admin.access import AUTHOR, OPERATOR, VIEWER
from doai.admin.dashboard.schema_form import form_fields, form_texts, form_value
from doai.admin.dashboard.visit import PageRequest, Visit, Visiting, back, changing
from doai.admin.problems import CommandRefused
from doai.admin.routes.bots import BotJson, BotSubscriptionJson, bot_json
from doai.admin.routes.events import told_of
from doai.admin.routes.parameters import not_found
from doai.errors import NotFoundError, UserError
from doai.json_schema import value_mistakes
from doai.messages.bots import BotStatus, ConfigureBot, ResetSubscription
from doai.states import PeerState
from doai.topics import bot_subject


@get("/bots", opt={"needs": VIEWER})
async def list_page(visit: Visiting) -> Response[str]:
    """By name; all given filters hold."""
    state, status = visit.given("state"), visit.given("status")
    reader = visit.services.reader
    found = [bot_json(about) for about in await reader.bots.all(visit.at_ms)]
    return await visit.page(
        "bots.html",
        items=[bot for bot in found if state in ("", bot.state) and status in ("", bot.status)],
        letters=_by_bot(await reader.dead_letters.count_open_events()),
        states=[each.value for each in PeerState],
        statuses=[each.value for each in BotStatus],
    )


@get("/bots/{name:str}", opt={"needs": VIEWER})
async def bot_page(name: FromPath[str], visit: Visiting) -> Response[str]:
    """Its processes, its subscriptions, its configuration, its story."""
    return await _page(visit, await _bot(visit, name))


@post("/bots/{name:str}/config", opt={"needs": AUTHOR}, status_code=303)
async def configure(name: FromPath[str], request: PageRequest, visit: Visiting) -> Response[str] | Redirect:
    """Set its configuration as a whole; what does not fit is said beside what was typed."""
    fields = await changing(request)
    bot = await _bot(visit, name)
    try:
        config = form_value(form_fields(bot.config_schema), fields, bot.config)
        mistakes = value_mistakes(bot.config_schema, config)
        if mistakes:
            return await _page(visit, bot, given=fields, problems=mistakes, status=422)
        await visit.services.command_of(visit.caller, ConfigureBot(name=name, config=config), f"bot/{name[:63]}")
    except (CommandRefused, UserError) as refused:
        return await _page(visit, bot, given=fields, problems=[str(refused)], status=422)
    return back(request, fields, f"/bots/{name}", "bots_config")


@post("/bots/{name:str}/subscriptions/{subscription:str}/reset", opt={"needs": OPERATOR}, status_code=303)
async def reset(
    name: FromPath[str], subscription: FromPath[str], request: PageRequest, visit: Visiting
) -> Response[str] | Redirect:
    """Let a subscription begin anew: first say how many events of the log that is about, then do it."""
    fields = await changing(request)
    bot = await _bot(visit, name)
    known = next((each for each in bot.subscriptions if each.name == subscription), None)
    if known is None:
        raise NotFoundError(f"bot {name} has no subscription {subscription[:80]!r}: its page lists them")
    to_end = fields.get("begin") == "end"
    position = 0 if fields.get("begin") == "oldest" else _position(fields.get("position", ""), to_end=to_end)
    if fields.get("sure") != "yes":
        return await _confirm(visit, bot, known, fields, None if to_end else position)
    command = ResetSubscription(
        name=name, subscription=subscription, position=None if to_end else position, to_end=to_end
    )
    await visit.services.command_of(visit.caller, command, f"bot/{name[:63]}")
    return back(request, {}, f"/bots/{name}", "bots_reset")


PAGES = (list_page, bot_page, configure, reset)


async def _bot(visit: Visit, name: str) -> BotJson:
    reader = visit.services.reader
    about = await reader.bots.one(name, visit.at_ms)
    if about is None:
        raise not_found("bot", name, "bots", [each.row.name for each in await reader.bots.all(visit.at_ms)])
    return bot_json(about)


async def _page(
    visit: Visit,
    bot: BotJson,
    *,
    given: dict[str, str] | None = None,
    problems: list[str] | None = None,
    status: int = 200,
) -> Response[str]:
    reader = visit.services.reader
    fields = form_fields(bot.config_schema)
    return await visit.page(
        "bot.html",
        status=status,
        bot=bot,
        processes=[msgspec.to_builtins(process) for process in bot.processes],
        letters=await reader.dead_letters.count_open_events(),
        fields=fields,
        texts=form_texts(fields, bot.config) | (given or {}),
        problems=problems or [],
        story=await told_of(reader, bot_subject(bot.name), visit.words.voice),
    )


async def _confirm(
    visit: Visit, bot: BotJson, known: BotSubscriptionJson, fields: dict[str, str], position: int | None
) -> Response[str]:
    """Ask for the second press; ``position`` None = the end of the log."""
    begin = await visit.services.reader.last_position() if position is None else position
    distance = begin - known.position
    place = "--to-end" if position is None else f"--position {position}"
    return await visit.page(
        "confirm.html",
        deed="bots_reset_forward" if distance >= 0 else "bots_reset_back",
        count=abs(distance),
        action=visit.path,
        hidden={"begin": fields.get("begin", ""), "position": fields.get("position", "").strip(), "sure": "yes"},
        cancel=f"/bots/{bot.name}",
        reason=False,
        changed=False,
        command=f"doai bots reset {bot.name} {known.name} {place}",
    )


def _position(text: str, *, to_end: bool) -> int:
    if to_end:
        return 0
    if not text.strip().isdecimal() or len(text) > 15:
        raise UserError(f"{text[:40]!r} is no position of the event log: give a number", code="bad_request")
    return int(text)


def _by_bot(letters: dict[str, int]) -> dict[str, int]:
    counts: dict[str, Any] = {}
    for subscription, count in letters.items():
        bot = subscription.partition("/")[0]
        counts[bot] = counts.get(bot, 0) + count
    return counts
