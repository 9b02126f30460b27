"""The buttons of pages: each is one command in the name of the person who pressed it (steps 1 and 2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from urllib.parse import quote, urlencode

from litestar import Response, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.response import Redirect

from doai.admin.access import DISCARD, OPERATOR
from doai.admin.dashboard.dead_letters import FILTERS, which_of
from doai.admin.dashboard.devices import show_device
from doai.admin.dashboard.visit import PageRequest, Visiting, back, changing
from doai.admin.identifying import identify_one
from doai.admin.problems import CommandRefused
from doai.envelope import Message
from doai.errors import UserError
from doai.messages import campaigns, holds, incidents, queues
from doai.messages import commands as c
from doai.messages.bots import BotStatus, SetBotStatus
from doai.messages.dead_letters import DiscardDeadLetters, LetterFilter, RetryDeadLetters
from doai.states import DeadLetterState

_OPEN: Final = DeadLetterState.OPEN
REASON_MAX: Final = 500

_Make = Callable[[str, dict[str, str]], Message]
DEEDS: Final[dict[tuple[str, str], tuple[str, _Make]]] = {
    ("queues", "pause"): ("queue", lambda name, f: queues.PauseQueue(name=name, reason=_reason(f))),
    ("queues", "resume"): ("queue", lambda name, f: queues.ResumeQueue(name=name, reason=_reason(f))),
    ("queues", "drain"): ("queue", lambda name, f: queues.DrainQueue(name=name, reason=_reason(f))),
    ("incidents", "acknowledge"): (
        "incident",
        lambda name, f: incidents.AcknowledgeIncident(incident_id=name, note=_reason(f)),
    ),
    ("incidents", "resolve"): (
        "incident",
        lambda name, f: incidents.ResolveIncident(incident_id=name, note=_reason(f)),
    ),
    ("devices", "hold"): (
        "device",
        lambda name, f: holds.HoldDevice(serial=name, for_s=_for_s(f), reason=_reason(f)),
    ),
    ("devices", "unhold"): ("device", lambda name, f: holds.UnholdDevice(serial=name, reason=_reason(f))),
    ("devices", "quarantine"): ("device", lambda name, f: c.QuarantineDevice(serial=name, reason=_reason(f))),
    ("devices", "release"): ("device", lambda name, f: c.ReleaseDevice(serial=name, reason=_reason(f))),
    ("nodes", "quarantine"): ("node", lambda name, f: c.QuarantineNode(node_id=name, reason=_reason(f))),
    ("nodes", "release"): ("node", lambda name, f: c.ReleaseNode(node_id=name, reason=_reason(f))),
    ("runs", "cancel"): ("run", lambda name, f: c.CancelRun(run_id=name, reason=_reason(f))),
    ("campaigns", "pause"): ("campaign", lambda name, f: campaigns.PauseCampaign(name=name, reason=_reason(f))),
    ("campaigns", "resume"): ("campaign", lambda name, f: campaigns.ResumeCampaign(name=name, reason=_reason(f))),
    ("campaigns", "fire"): ("campaign", lambda name, f: campaigns.FireCampaign(name=name)),
    ("tasks", "cancel"): ("task", lambda name, f: c.CancelTask(task_id=name, reason=_reason(f))),
    ("bots", "activate"): ("bot", lambda name, f: _wanted(name, BotStatus.ACTIVE, f)),
    ("bots", "deactivate"): ("bot", lambda name, f: _wanted(name, BotStatus.INACTIVE, f)),
    ("bots", "deprecate"): ("bot", lambda name, f: _wanted(name, BotStatus.DEPRECATED, f)),
}
"""List and button -> kind of the subject, and the command."""


def _button(of: str, deed: str, kind: str, make: _Make) -> HTTPRouteHandler:
    async def act(name: FromPath[str], request: PageRequest, visit: Visiting) -> Redirect:
        """Do one thing to one thing; what the broker refuses is shown as it says it."""
        fields = await changing(request)
        await visit.services.command_of(visit.caller, make(name, fields), f"{kind}/{name[:130]}")
        return back(request, fields, f"/{of}", f"{of}_{deed}")

    return post(f"/{of}/{{name:str}}/{deed}", name=f"{of}_{deed}", opt={"needs": OPERATOR}, status_code=303)(act)


@post("/devices/{serial:str}/describe", opt={"needs": OPERATOR}, status_code=303)
async def describe(serial: FromPath[str], request: PageRequest, visit: Visiting) -> Response[str] | Redirect:
    """Say which phone a device is; what is refused is said beside what was typed."""
    fields = await changing(request)
    texts = {name: fields.get(name, "").strip() for name in ("label", "shelf", "notes", "tags", "groups")}
    said = c.DeviceDescription(
        serial=serial,
        label=texts["label"],
        shelf=texts["shelf"],
        notes=texts["notes"],
        tags=texts["tags"].replace(",", " ").split(),
        groups=texts["groups"].replace(",", " ").split(),
    )
    try:
        await visit.services.command_of(visit.caller, c.DescribeDevices(devices=[said]), f"device/{serial[:130]}")
    except CommandRefused as refused:
        return await show_device(
            visit, serial, given=texts, problem="; ".join([*refused.details] or [str(refused)]), status=422
        )
    return back(request, {}, f"/devices/{quote(serial, safe='')}", "devices_describe")


@post("/devices/{serial:str}/identify", opt={"needs": OPERATOR}, status_code=303)
async def identify(serial: FromPath[str], request: PageRequest, visit: Visiting) -> Redirect:
    """Have a phone show which one it is, and go to the run that does it."""
    await changing(request)
    done, _ = await identify_one(visit.services, visit.caller, serial)
    return Redirect(f"/runs/{done.result.run_id}?done=devices_identify", status_code=303)


@post("/tasks/{task_id:str}/retry", opt={"needs": OPERATOR}, status_code=303)
async def retry_task(task_id: FromPath[str], request: PageRequest, visit: Visiting) -> Redirect:
    """Try a task that gave up again, as a new task, and go there."""
    await changing(request)
    command = RetryDeadLetters(which=LetterFilter(ids=[task_id]))
    done = await visit.services.command_of(visit.caller, command, "dead-letters")
    if not done.result.run_ids:
        raise UserError("; ".join(done.result.refused) or "nothing was tried again", code="conflict")
    return Redirect(f"/runs/{done.result.run_ids[0]}?done=tasks_retry", status_code=303)


@post("/dead/retry", opt={"needs": OPERATOR}, status_code=303)
async def retry_letters(request: PageRequest, visit: Visiting) -> Response[str] | Redirect:
    """Try what the filters mean again: first say how many, then do it."""
    fields = await changing(request)
    which = which_of(fields)
    filters = {name: fields.get(name, "") for name in FILTERS}
    if fields.get("sure") != "yes":
        count = await _count(visit, which)
        return await visit.page(
            "confirm.html", deed="dead_retry", count=count, action="/dead/retry", hidden=filters | {"sure": "yes"},
            cancel="/dead", reason=False, listed=_listed(filters),
        )  # fmt: skip
    command = RetryDeadLetters(which=which, everything=which == LetterFilter())
    await visit.services.command_of(visit.caller, command, "dead-letters")
    return back(request, {"from": "/runs"}, "/runs", "dead_retry")


@post("/dead/discard", opt={"needs": DISCARD}, status_code=303)
async def discard_letters(request: PageRequest, visit: Visiting) -> Response[str] | Redirect:
    """Be done with what the filters mean: the broker says how many, and confirms those and no others."""
    fields = await changing(request)
    which = which_of(fields)
    command = DiscardDeadLetters(
        which=which,
        everything=which == LetterFilter(),
        reason=_reason(fields),
        confirm=fields.get("confirm", "")[:64],
    )
    done = await visit.services.command_of(visit.caller, command, "dead-letters")
    if fields.get("confirm"):
        return back(request, {}, "/dead", "dead_discard")
    filters = {name: fields.get(name, "") for name in FILTERS}
    return await visit.page(
        "confirm.html", deed="dead_discard", count=done.result.left, action="/dead/discard",
        hidden=filters | {"confirm": done.result.confirm}, cancel="/dead", reason=True, listed=_listed(filters),
    )  # fmt: skip


@post("/queues/{name:str}/discard", opt={"needs": DISCARD}, status_code=303)
async def discard_queue(name: FromPath[str], request: PageRequest, visit: Visiting) -> Response[str] | Redirect:
    """Throw away what waits in a queue: the broker says how many, and confirms those and no others."""
    fields = await changing(request)
    command = queues.DiscardQueue(name=name, confirm=fields.get("confirm", "")[:100], reason=_reason(fields))
    done = await visit.services.command_of(visit.caller, command, f"queue/{name[:63]}")
    if fields.get("confirm"):
        return back(request, {}, "/queues", "queues_discard")
    return await visit.page(
        "confirm.html", deed="queues_discard", count=done.result.tasks, action=request.url.path,
        hidden={"confirm": done.result.confirm}, cancel="/queues", reason=True,
        listed=f"/tasks?queue={quote(name, safe='')}&state=waiting",
    )  # fmt: skip


def _listed(filters: dict[str, str]) -> str:
    return f"/dead?{urlencode({name: value for name, value in filters.items() if value})}"


ACTIONS: Final = (
    *(_button(of, deed, *found) for (of, deed), found in DEEDS.items()),
    describe,
    identify,
    retry_task,
    retry_letters,
    discard_letters,
    discard_queue,
)


async def _count(visit: Visiting, which: LetterFilter) -> int:
    """Return how many letters are meant, as far as a person wants to know."""
    letters, count, cursor = visit.services.reader.dead_letters, 0, None
    while count < 10_000:
        page = await letters.page(which, state=_OPEN, cursor=cursor, limit=1000)
        count, cursor = count + len(page.items), page.next_cursor
        if cursor is None:
            break
    return count


def _reason(fields: dict[str, str]) -> str:
    return fields.get("reason", "").strip()[:REASON_MAX]


def _wanted(name: str, status: BotStatus, fields: dict[str, str]) -> SetBotStatus:
    return SetBotStatus(name=name, status=status, reason=_reason(fields))


def _for_s(fields: dict[str, str]) -> float:
    text = fields.get("hours", "1")
    try:
        return float(text) * 3600.0
    except ValueError:
        raise UserError(f"{text[:20]!r} is no number of hours", code="bad_request") from None
