"""Deeds of pages that say first how many things they touch: letters, what waits in a queue (steps 2 and 14)."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote, urlencode

import msgspec
from litestar import Response, post
from litestar.params import FromPath
from litestar.response import Redirect

from doai.admin.access import DISCARD, OPERATOR
from doai.admin.dashboard.acting import reason_of
from doai.admin.dashboard.dead_letters import FILTERS, flags_of, which_of
from doai.admin.dashboard.visit import PageRequest, Visit, Visiting, back, changing
from doai.admin.problems import CommandRefused
from doai.admin.services import Done
from doai.envelope import Message
from doai.messages.dead_letters import DeadLettersRetried, DiscardDeadLetters, LetterFilter, RetryDeadLetters
from doai.messages.queues import DiscardQueue

VOID: Final = frozenset({"confirmation_outdated", "confirmation_unknown"})
"""Codes of confirmations that do not hold any more: what they were given for is another number of things now."""


@post("/dead/retry", opt={"needs": OPERATOR}, status_code=303)
async def retry_letters(request: PageRequest, visit: Visiting) -> Response[str] | Redirect:
    """Try what the filters mean again and lead to the new run; what is refused, and what is left, is told."""
    fields = await changing(request)
    which = which_of(fields)
    if fields.get("sure") != "yes":
        count = await visit.services.reader.dead_letters.count_open(which)
        return await _ask_letters(visit, fields, "retry", count, {"sure": "yes"})
    command = RetryDeadLetters(which=which, everything=which == LetterFilter())
    done = await visit.services.command_of(visit.caller, command, "dead-letters")
    result: DeadLettersRetried = done.result
    if result.refused or result.left:
        return await visit.page(
            "retried.html", result=result, listed=_listed(fields), filters=_filters(fields), flags=flags_of(fields)
        )
    if len(result.run_ids) == 1:
        return Redirect(f"/runs/{result.run_ids[0]}?done=dead_retry", status_code=303)
    return back(request, {}, "/runs", "dead_retry")


@post("/dead/discard", opt={"needs": DISCARD}, status_code=303)
async def discard_letters(request: PageRequest, visit: Visiting) -> Response[str] | Redirect:
    """Be done with what the filters mean: the broker says how many, and confirms those and no others.

    It discards a bounded number at once: while some are left, the page asks for those.
    """
    fields = await changing(request)
    which = which_of(fields)
    wish = DiscardDeadLetters(which=which, everything=which == LetterFilter(), reason=reason_of(fields))
    changed = False
    if fields.get("confirm"):
        sure = msgspec.structs.replace(wish, confirm=fields["confirm"][:64])
        done = await _confirmed(visit, sure, "dead-letters")
        if done is not None and not done.result.left:
            return back(request, {}, "/dead", "dead_discard")
        changed = done is None
    asked = await visit.services.command_of(visit.caller, wish, "dead-letters")
    sure_of = {"confirm": asked.result.confirm}
    return await _ask_letters(visit, fields, "discard", asked.result.left, sure_of, changed=changed)


@post("/queues/{name:str}/discard", opt={"needs": DISCARD}, status_code=303)
async def discard_queue(name: FromPath[str], request: PageRequest, visit: Visiting) -> Response[str] | Redirect:
    """Throw away what waits in a queue: the broker says how many, and confirms those and no others."""
    fields = await changing(request)
    subject, changed = f"queue/{name[:63]}", False
    if fields.get("confirm"):
        sure = DiscardQueue(name=name, confirm=fields["confirm"][:100], reason=reason_of(fields))
        if await _confirmed(visit, sure, subject) is not None:
            return back(request, {}, "/queues", "queues_discard")
        changed = True
    asked = await visit.services.command_of(visit.caller, DiscardQueue(name=name), subject)
    return await visit.page(
        "confirm.html", deed="queues_discard", count=asked.result.tasks, action=request.url.path,
        hidden={"confirm": asked.result.confirm}, cancel="/queues", reason=True, changed=changed,
        listed=f"/tasks?queue={quote(name, safe='')}&state=waiting", command=f"doai queues discard {name}",
    )  # fmt: skip


ACTIONS: Final = (retry_letters, discard_letters, discard_queue)


async def _confirmed(visit: Visit, sure: Message, subject: str) -> Done | None:
    """Return what came of a confirmed command; None when its confirmation does not hold any more."""
    try:
        return await visit.services.command_of(visit.caller, sure, subject)
    except CommandRefused as refused:
        if refused.code in VOID:
            return None
        raise


async def _ask_letters(
    visit: Visit, fields: dict[str, str], deed: str, count: int, sure: dict[str, str], *, changed: bool = False
) -> Response[str]:
    return await visit.page(
        "confirm.html", deed=f"dead_{deed}", count=count, action=f"/dead/{deed}", hidden=_filters(fields) | sure,
        cancel=_listed(fields), reason=deed == "discard", changed=changed, listed=_listed(fields),
        command=f"doai dead {deed}{flags_of(fields) or ' --all'}",
    )  # fmt: skip


def _filters(fields: dict[str, str]) -> dict[str, str]:
    return {name: fields.get(name, "").strip() for name in FILTERS}


def _listed(fields: dict[str, str]) -> str:
    given = {name: value for name, value in _filters(fields).items() if value}
    return f"/dead?{urlencode(given)}" if given else "/dead"
