"""Devices: the list with filters, the map of thousands, and one with what was last proven of it (step 14)."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from litestar import Response, get
from litestar.params import FromPath

from doai.admin.access import VIEWER
from doai.admin.dashboard.health import HEIGHT, WIDTH, health_curves
from doai.admin.dashboard.visit import Visit, Visiting
from doai.admin.routes.events import told_of
from doai.admin.routes.fleet import known_serials
from doai.admin.routes.parameters import not_found
from doai.admin.translation import device_json, task_json
from doai.admin.waiting import device_now
from doai.states import DeviceState, PeerState
from doai.store.device_reader import HELD, SILENT, DeviceFilter
from doai.store.views import DeviceView

SHOWN: Final = 100
MAP_MAX: Final = 20_000
"""Squares on one picture."""
STATES: Final = (*(state.value for state in DeviceState), SILENT)
SERVICES: Final = ("in_service", "quarantined", "probing", HELD)
OUT_OF_SERVICE: Final = ("quarantined", "probing", HELD)
"""That are marked on the map."""
FILTERS: Final = ("state", "service", "node", "group", "q")

_encode: Final = msgspec.json.Encoder().encode


@get("/devices", opt={"needs": VIEWER})
async def list_page(visit: Visiting) -> Response[str]:
    """By serial; all given filters hold."""
    which, fleet = filter_of(visit.query), visit.services.reader.fleet
    as_map = visit.given("view") == "map"
    page = await fleet.page(which, visit.at_ms, cursor=visit.given("after"), limit=SHOWN) if not as_map else None
    tallies = await fleet.tallies(which, visit.at_ms) if as_map else None
    facets = await fleet.facets()
    voice = visit.words.voice
    return await visit.page(
        "devices.html",
        items=[(device_json(view, visit.at_ms, voice), seen_as(view)) for view in page.items] if page else [],
        following=page.next_cursor if page else None,
        total=sum(tallies.seen.values()) if tallies else await fleet.count(which, visit.at_ms),
        tallies=tallies,
        out_of_service=OUT_OF_SERVICE,
        states=STATES,
        services=SERVICES,
        nodes=list(facets.nodes),
        groups=facets.groups,
        as_map=as_map,
        filters={name: visit.given(name) for name in FILTERS},
    )


@get("/devices/map.json", opt={"needs": VIEWER})
async def map_data(visit: Visiting) -> Response[bytes]:
    """The same devices as squares: serial, label, place of its state and of its node in their lists.

    One that is out of service has two more: how, and by whom and why.
    """
    which, fleet = filter_of(visit.query), visit.services.reader.fleet
    squares = await fleet.squares(which, visit.at_ms, limit=MAP_MAX)
    nodes: dict[str, int] = {}
    states = {state: place for place, state in enumerate(STATES)}
    packed = []
    for each in squares:
        square = (each.serial, each.label, states[each.seen], nodes.setdefault(each.node_id, len(nodes)))
        said = [part for part in (each.by, visit.words.reason(each.why)) if part]
        packed.append((*square, each.service, ": ".join(said)) if each.service in OUT_OF_SERVICE else square)
    left = max(0, await fleet.count(which, visit.at_ms) - MAP_MAX) if len(squares) == MAP_MAX else 0
    body = _encode({"states": STATES, "nodes": list(nodes), "squares": packed, "left": left})
    headers = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
    return Response(body, media_type="application/json", headers=headers)


@get("/devices/{serial:str}", opt={"needs": VIEWER})
async def device_page(serial: FromPath[str], visit: Visiting) -> Response[str]:
    """Three proofs that are not each other, its hold, its tasks, its story."""
    return await show_device(visit, serial)


async def show_device(
    visit: Visit, serial: str, *, given: dict[str, str] | None = None, problem: str = "", status: int = 200
) -> Response[str]:
    """Draw the page of a device; ``given`` is what somebody typed that was refused, ``problem`` says why."""
    reader = visit.services.reader
    view = await reader.device(serial)
    if view is None:
        raise not_found("device", serial, "devices", await known_serials(reader))
    tasks = await reader.tasks(device=serial, limit=20)
    device = device_json(view, visit.at_ms, visit.words.voice)
    said = device.description
    texts: dict[str, Any] = {
        "label": said.label,
        "shelf": said.shelf,
        "notes": said.notes,
        "tags": " ".join(said.tags),
        "groups": " ".join(said.groups),
    }
    return await visit.page(
        "device.html",
        status=status,
        device=device,
        seen=seen_as(view),
        now=device_now(view, visit.at_ms, visit.words.voice),
        tasks=[task_json(row) for row in tasks.items],
        story=await told_of(reader, f"device/{serial}", visit.words.voice),
        curves=await health_curves(visit, serial),
        width=WIDTH,
        height=HEIGHT,
        texts=texts | (given or {}),
        problem=problem,
    )


def filter_of(fields: dict[str, str]) -> DeviceFilter:
    """Return the devices that the fields of an address or a form mean."""
    state, service, node, group, text = (fields.get(name, "").strip()[:200] for name in FILTERS)
    return DeviceFilter(seen=state, service=service, node=node, group=group, text=text)


def seen_as(view: DeviceView) -> str:
    """Return its state as far as it is known; ``silent``: its node is not heard, so nobody knows."""
    return SILENT if view.node_state is PeerState.OFFLINE else view.row.state.value
