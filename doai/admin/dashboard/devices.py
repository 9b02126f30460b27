"""Devices: the list with filters, the map of thousands, and one with what was last proven of it (step 14)."""

from __future__ import annotations

from typing import Any, Final

from litestar import Response, get
from litestar.params import FromPath

from doai.admin.access import VIEWER
from doai.admin.dashboard.visit import Visit, Visiting
from doai.admin.routes.events import told_of
from doai.admin.routes.parameters import not_found
from doai.admin.translation import device_json, task_json
from doai.admin.views import DeviceJson
from doai.admin.waiting import device_now
from doai.states import DeviceState
from doai.store.views import DeviceView

SHOWN: Final = 100
MAP_MAX: Final = 20_000
"""Squares on one picture."""
STATES: Final = (*(state.value for state in DeviceState), "silent")
SERVICES: Final = ("in_service", "quarantined", "probing", "held")


@get("/devices", opt={"needs": VIEWER})
async def list_page(visit: Visiting) -> Response[str]:
    """By serial; all given filters hold."""
    found = await _wanted(visit)
    cursor = visit.given("after")
    rest = [device for device in found if device.serial > cursor]
    known = await visit.services.reader.devices()
    return await visit.page(
        "devices.html",
        items=rest[:SHOWN],
        following=rest[SHOWN - 1].serial if len(rest) > SHOWN else None,
        total=len(found),
        states=STATES,
        services=SERVICES,
        nodes=sorted({view.row.node_id for view in known}),
        groups=groups_of(known),
        as_map=visit.given("view") == "map",
        seen_as=seen_as,
    )


@get("/devices/map.json", opt={"needs": VIEWER})
async def map_data(visit: Visiting) -> dict[str, Any]:
    """The same devices as squares: serial, label, state, node."""
    found = await _wanted(visit)
    squares = [
        [device.serial, device.description.label, seen_as(device), device.node_id] for device in found[:MAP_MAX]
    ]
    return {"squares": squares, "left": max(0, len(found) - MAP_MAX), "atMs": visit.at_ms}


@get("/devices/{serial:str}", opt={"needs": VIEWER})
async def device_page(serial: FromPath[str], visit: Visiting) -> Response[str]:
    """Three proofs that are not each other, its hold, its tasks, its story."""
    reader = visit.services.reader
    view = await reader.device(serial)
    if view is None:
        raise not_found("device", serial, "devices", (each.row.serial for each in await reader.devices()))
    tasks = await reader.tasks(device=serial, limit=20)
    return await visit.page(
        "device.html",
        device=device_json(view, visit.at_ms),
        seen=seen_as(device_json(view, visit.at_ms)),
        now=device_now(view, visit.at_ms),
        tasks=[task_json(row) for row in tasks.items],
        story=await told_of(reader, f"device/{serial}"),
    )


async def _wanted(visit: Visit) -> list[DeviceJson]:
    """Return the devices that the filters of the address mean, by serial."""
    state, service, node, group = (visit.given(name) for name in ("state", "service", "node", "group"))
    text = visit.given("q").casefold()
    views = await visit.services.reader.devices(node=node or None)
    found = []
    for view in views:
        device = device_json(view, visit.at_ms)
        if state and seen_as(device) != state:
            continue
        if service and service != ("held" if device.hold is not None else device.service):
            continue
        if group and group not in device.description.groups:
            continue
        if text and not any(text in word.casefold() for word in _said(device)):
            continue
        found.append(device)
    return found


def groups_of(views: list[DeviceView]) -> list[str]:
    """Return the groups that any of these devices is in."""
    return sorted({group for view in views if view.row.description for group in view.row.description.groups})


def seen_as(device: DeviceJson) -> str:
    """Return its state as far as it is proven; ``silent``: its node is not heard, so nobody knows."""
    return device.state if device.proven else "silent"


def _said(device: DeviceJson) -> list[str]:
    said = device.description
    return [device.serial, device.model, device.node_id, said.label, said.shelf, *device.tags, *said.groups]
