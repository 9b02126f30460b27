"""One thing done to many devices: picked by hand or by filters, told how many, confirmed, then done (steps 1, 2).

Each device has a command of its own, so that the audit names each and one that is refused holds none up. The page
that asks carries a digest of the set: when another set would be touched by then, it asks again. What it carries
beside that makes the commands' keys: pressed twice, everything is done once.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Mapping
from typing import Final

import msgspec
from litestar import Response, post

from doai.admin import identifying
from doai.admin.access import OPERATOR
from doai.admin.dashboard import acting
from doai.admin.dashboard.devices import FILTERS, filter_of
from doai.admin.dashboard.visit import PageRequest, Visit, Visiting, changing, local_path
from doai.admin.mesh import BrokerUnavailable
from doai.admin.problems import CommandRefused
from doai.envelope import Message
from doai.errors import UserError
from doai.messages.commands import (
    DescribeDevices,
    DeviceDescription,
)
from doai.store.device_reader import DeviceFilter
from doai.store.views import DeviceView

MANY_MAX: Final = 2000
"""Devices of one press: some seconds of commands."""
AT_ONCE: Final = 32
"""Commands under way: the broker commits them together."""
NAMED: Final = 12
"""Serials, and refusals, that a page names."""
IDENTIFY: Final = "identify"

_EACH: Final = ("hold", "unhold", "quarantine", "release")
"""The same as the buttons of one device."""
_LISTS: Final = {
    "group": ("groups", True),
    "ungroup": ("groups", False),
    "tag": ("tags", True),
    "untag": ("tags", False),
}
DEEDS: Final = (*_EACH, *_LISTS, IDENTIFY)
ASKS: Final = {
    "hold": ("hours", "reason"),
    "unhold": ("reason",),
    "quarantine": ("reason",),
    "release": ("reason",),
    "group": ("word",),
    "ungroup": ("word",),
    "tag": ("word",),
    "untag": ("word",),
    IDENTIFY: ("text",),
}
"""Deed -> what the page that confirms asks for."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it."""

    done: int
    refused: list[str]
    """A sentence of each device that was refused."""
    run_id: str = ""


@post("/devices/many", opt={"needs": OPERATOR}, status_code=200)
async def act(request: PageRequest, visit: Visiting) -> Response[str]:
    """Say how many devices it is about; asked again with the digest of that set, do it."""
    form = await request.form()
    fields = await changing(request)
    deed = fields.get("deed", "")
    if deed not in DEEDS:
        raise UserError(f"{deed[:40]!r} can not be done to many devices", code="bad_request")
    picked = [] if fields.get("all") == "yes" else [str(serial) for serial in form.getall("serial", [])]
    devices = await _devices(visit, picked, fields)
    digest = _digest(visit, deed, devices)
    if not devices or fields.get("digest") != digest:
        return await _ask(visit, deed, devices, picked, fields, digest)
    key = f"many-{fields.get('once', '')[:40]}"
    outcome = await _do(visit, deed, devices, fields, key)
    return await visit.page(
        "many_done.html",
        deed=deed,
        outcome=outcome,
        named=NAMED,
        back=local_path(fields.get("from", ""), "/devices"),
    )


async def _devices(visit: Visit, picked: list[str], fields: dict[str, str]) -> list[DeviceView]:
    if not picked and fields.get("all") != "yes":
        return []
    which = DeviceFilter(serials=tuple(picked)) if picked else filter_of(fields)
    page = await visit.services.reader.fleet.page(which, visit.at_ms, limit=MANY_MAX)
    if page.next_cursor is not None:
        raise UserError(f"that is more than {MANY_MAX} devices: narrow the filters", code="bad_request")
    return page.items


def _digest(visit: Visit, deed: str, devices: list[DeviceView]) -> str:
    """Return what this person would confirm: the deed and the very set of devices."""
    lines = [visit.csrf, deed, *(view.row.serial for view in devices)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:32]


async def _ask(
    visit: Visit,
    deed: str,
    devices: list[DeviceView],
    picked: list[str],
    fields: dict[str, str],
    digest: str,
) -> Response[str]:
    return await visit.page(
        "many.html",
        deed=deed,
        count=len(devices),
        held=sum(1 for view in devices if view.row.hold is not None),
        names=[view.row.serial for view in devices[:NAMED]],
        picked=picked,
        filters={name: fields.get(name, "")[:200] for name in FILTERS if fields.get(name)},
        asks=ASKS[deed],
        given=fields,
        digest=digest,
        once=secrets.token_urlsafe(12),
        changed=bool(fields.get("digest")),
        back=local_path(fields.get("from", ""), "/devices"),
    )


async def _do(visit: Visit, deed: str, devices: list[DeviceView], fields: dict[str, str], key: str) -> Outcome:
    if deed in _EACH:
        _, make = acting.DEEDS["devices", deed]
        messages = {view.row.serial: make(view.row.serial, fields) for view in devices}
        return await _each(visit, messages, key)
    if deed in _LISTS:
        return await _each(visit, {view.row.serial: _described(deed, view, fields) for view in devices}, key)
    serials = [view.row.serial for view in devices]
    before = fields.get("text", "")
    done = await identifying.identify_each(
        visit.services, visit.caller, serials, before=before, idempotency_key=key
    )
    return Outcome(done=len(serials), refused=[], run_id=done.result.run_id)


async def _each(visit: Visit, messages: Mapping[str, Message], key: str) -> Outcome:
    """Send each device its message; a broker that goes away is not waited for again for each that is left."""
    refused: dict[str, str] = {}
    turn = asyncio.Semaphore(AT_ONCE)
    away = ""

    async def one(serial: str, message: Message) -> None:
        nonlocal away
        async with turn:
            if away:
                refused[serial] = f"{serial}: not tried: {away}"
                return
            try:
                await visit.services.command_of(
                    visit.caller,
                    message,
                    f"device/{serial[:130]}",
                    idempotency_key=f"{key}-{hashlib.sha256(serial.encode()).hexdigest()[:32]}",
                )
            except CommandRefused as problem:
                refused[serial] = str(problem)
            except BrokerUnavailable as problem:
                away = str(problem)
                refused[serial] = f"{serial}: {away}"

    async with asyncio.TaskGroup() as group:
        for serial, message in messages.items():
            group.create_task(one(serial, message))
    return Outcome(
        done=len(messages) - len(refused), refused=[refused[each] for each in messages if each in refused]
    )


def _described(deed: str, view: DeviceView, fields: dict[str, str]) -> DescribeDevices:
    """Return what adds words to what is said of a device, or takes them away; the rest stays."""
    name, adds = _LISTS[deed]
    words = fields.get("word", "").replace(",", " ").split()
    if not words:
        raise UserError("say which: letters, digits and . _ -", code="bad_request")
    before = list(getattr(view.row.description, name)) if view.row.description else []
    after = [*before, *words] if adds else [each for each in before if each not in words]
    said = DeviceDescription(
        serial=view.row.serial,
        groups=after if name == "groups" else None,
        tags=after if name == "tags" else None,
    )
    return DescribeDevices(devices=[said])
