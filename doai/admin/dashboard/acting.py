"""The buttons of pages: each is one command in the name of the person who pressed it (steps 1 and 2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from urllib.parse import quote

from litestar import Response, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.response import Redirect

from doai.admin.access import AUTHOR, OPERATOR
from doai.admin.dashboard.devices import show_device
from doai.admin.dashboard.visit import PageRequest, Visiting, back, changing
from doai.admin.identifying import identify_one
from doai.admin.problems import CommandRefused
from doai.envelope import Message
from doai.errors import NotFoundError, UserError
from doai.messages import campaigns, holds, incidents, queues
from doai.messages import commands as c
from doai.messages.bots import BotStatus, SetBotStatus
from doai.messages.dead_letters import LetterFilter, RetryDeadLetters

REASON_MAX: Final = 500

_Make = Callable[[str, dict[str, str]], Message]
DEEDS: Final[dict[tuple[str, str], tuple[str, _Make]]] = {
    ("queues", "pause"): ("queue", lambda name, f: queues.PauseQueue(name=name, reason=reason_of(f))),
    ("queues", "resume"): ("queue", lambda name, f: queues.ResumeQueue(name=name, reason=reason_of(f))),
    ("queues", "drain"): ("queue", lambda name, f: queues.DrainQueue(name=name, reason=reason_of(f))),
    ("incidents", "acknowledge"): (
        "incident",
        lambda name, f: incidents.AcknowledgeIncident(incident_id=name, note=reason_of(f)),
    ),
    ("incidents", "resolve"): (
        "incident",
        lambda name, f: incidents.ResolveIncident(incident_id=name, note=reason_of(f)),
    ),
    ("devices", "hold"): (
        "device",
        lambda name, f: holds.HoldDevice(serial=name, for_s=_for_s(f), reason=reason_of(f)),
    ),
    ("devices", "unhold"): ("device", lambda name, f: holds.UnholdDevice(serial=name, reason=reason_of(f))),
    ("devices", "quarantine"): ("device", lambda name, f: c.QuarantineDevice(serial=name, reason=reason_of(f))),
    ("devices", "release"): ("device", lambda name, f: c.ReleaseDevice(serial=name, reason=reason_of(f))),
    ("nodes", "quarantine"): ("node", lambda name, f: c.QuarantineNode(node_id=name, reason=reason_of(f))),
    ("nodes", "release"): ("node", lambda name, f: c.ReleaseNode(node_id=name, reason=reason_of(f))),
    ("runs", "cancel"): ("run", lambda name, f: c.CancelRun(run_id=name, reason=reason_of(f))),
    ("campaigns", "pause"): ("campaign", lambda name, f: campaigns.PauseCampaign(name=name, reason=reason_of(f))),
    ("campaigns", "resume"): ("campaign", lambda name, f: campaigns.ResumeCampaign(name=name, reason=reason_of(f))),
    ("campaigns", "fire"): ("campaign", lambda name, f: campaigns.FireCampaign(name=name)),
    ("tasks", "cancel"): ("task", lambda name, f: c.CancelTask(task_id=name, reason=reason_of(f))),
    ("bots", "activate"): ("bot", lambda name, f: _wanted(name, BotStatus.ACTIVE, f)),
    ("bots", "deactivate"): ("bot", lambda name, f: _wanted(name, BotStatus.INACTIVE, f)),
    ("bots", "deprecate"): ("bot", lambda name, f: _wanted(name, BotStatus.DEPRECATED, f)),
}
"""List and button -> kind of the subject, and the command."""
VERSION_DEEDS: Final[dict[str, type[c.ActivateWorkflow | c.ArchiveWorkflow]]] = {
    "activate": c.ActivateWorkflow,
    "archive": c.ArchiveWorkflow,
}


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


@post("/workflows/{name:str}/versions/{version:int}/{deed:str}", opt={"needs": AUTHOR}, status_code=303)
async def set_version(
    name: FromPath[str], version: FromPath[int], deed: FromPath[str], request: PageRequest, visit: Visiting
) -> Redirect:
    """Let a bare name mean this version, or take it out of use; what runs of it were made go on."""
    fields = await changing(request)
    if deed not in VERSION_DEEDS:
        raise NotFoundError(f"nothing that is called {deed[:40]!r} can be done to a version of a workflow")
    command = VERSION_DEEDS[deed](name=name, version=version)
    await visit.services.command_of(visit.caller, command, f"workflow/{name[:63]}")
    page = f"/workflows/{quote(name, safe='')}?version={version}"
    return back(request, fields, page, f"workflows_{deed}")


ACTIONS: Final = (
    *(_button(of, deed, *found) for (of, deed), found in DEEDS.items()),
    describe,
    identify,
    retry_task,
    set_version,
)


def reason_of(fields: dict[str, str]) -> str:
    """Return why somebody does it, as far as it is kept."""
    return fields.get("reason", "").strip()[:REASON_MAX]


def _wanted(name: str, status: BotStatus, fields: dict[str, str]) -> SetBotStatus:
    return SetBotStatus(name=name, status=status, reason=reason_of(fields))


def _for_s(fields: dict[str, str]) -> float:
    text = fields.get("hours", "1")
    try:
        return float(text) * 3600.0
    except ValueError:
        raise UserError(f"{text[:20]!r} is no number of hours", code="bad_request") from None
