"""Devices and nodes, each with the time of its last proofs (step 14)."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from litestar import get
from litestar.params import FromPath, QueryParameter

from doai.admin import examples
from doai.admin.access import VIEWER
from doai.admin.pages import DevicePage, NodePage
from doai.admin.routes.parameters import Cursor, Given, Language, Limit, Text, named, not_found, now_ms, part
from doai.admin.translation import device_json, node_json
from doai.admin.views import DeviceJson, NodeJson
from doai.states import PeerState, ServiceState
from doai.store.device_reader import DeviceFilter
from doai.store.reader import StoreReader
from doai.story.voice import ENGLISH, VOICES

SERIALS_MAX: Final = 20_000
"""Devices of a fleet: more than any broker is measured for."""
Seen = Literal["online", "unresponsive", "unauthorized", "offline", "silent"]
Service = Literal["held", "in_service", "quarantined", "probing"]


@get(
    "/devices",
    opt={"needs": VIEWER},
    tags=["fleet"],
    summary="List devices by serial",
    responses=examples.answer(
        200, DevicePage, DevicePage(items=[examples.DEVICE], next=None), "A page of devices."
    ),
)
async def list_devices(
    services: Given,
    wanted: Annotated[
        Seen | None,
        QueryParameter(
            name="state", description="as it is known now; `silent`: nobody knows, its node is not heard"
        ),
    ] = None,
    node: Annotated[str, QueryParameter(max_length=63, description="name of a node")] = "",
    group: Annotated[str, QueryParameter(max_length=80, description="that it is in")] = "",
    service: Annotated[Service | None, QueryParameter()] = None,
    text: Annotated[
        str,
        QueryParameter(
            name="q", max_length=200, description="part of serial, model, node, label, shelf, tag, group"
        ),
    ] = "",
    cursor: Cursor = None,
    limit: Limit = 500,
    language: Language = ENGLISH,
) -> DevicePage:
    """All given filters hold."""
    which = DeviceFilter(seen=wanted or "", node=node, group=group, service=service or "", text=text)
    at_ms = now_ms()
    page = await services.reader.fleet.page(which, at_ms, cursor=cursor or "", limit=limit)
    voice = VOICES[language]
    return DevicePage(items=[device_json(view, at_ms, voice) for view in page.items], next=page.next_cursor)


@get(
    "/devices/{serial:str}",
    opt={"needs": VIEWER},
    tags=["fleet"],
    summary="Show a device",
    responses=examples.answer(200, DeviceJson, examples.DEVICE, "The device.", problems=(404,)),
)
async def show_device(serial: FromPath[str], services: Given, language: Language = ENGLISH) -> DeviceJson:
    """Link, ADB and the device's own answer are three proofs, each with its time."""
    view = await services.reader.device(serial)
    if view is None:
        raise not_found("device", serial, "devices", await known_serials(services.reader))
    return device_json(view, now_ms(), VOICES[language])


async def known_serials(reader: StoreReader) -> list[str]:
    """Return the serials of all devices, for whoever mistyped one."""
    return await reader.fleet.serials(DeviceFilter(), now_ms(), limit=SERIALS_MAX)


@get(
    "/nodes",
    opt={"needs": VIEWER},
    tags=["fleet"],
    summary="List nodes by name",
    responses=examples.answer(200, NodePage, NodePage(items=[examples.NODE], next=None), "A page of nodes."),
)
async def list_nodes(
    services: Given,
    heard: Annotated[PeerState | None, QueryParameter(name="state", description="whether it is heard")] = None,
    service: Annotated[ServiceState | None, QueryParameter()] = None,
    text: Text = "",
    cursor: Cursor = None,
    limit: Limit = 500,
) -> NodePage:
    """Each with its newest heartbeat; all given filters hold."""
    views = named(await services.reader.nodes(), lambda view: view.row.node_id, text)
    running, at_ms = await services.reader.overview.running_of_nodes(), now_ms()
    found = [node_json(view, running.get(view.row.node_id, 0), at_ms) for view in views]
    found = [node for node in found if heard is None or node.state == heard.value]
    found = [node for node in found if service is None or node.service == service.value]
    items, following = part(found, lambda node: node.node_id, cursor, limit)
    return NodePage(items=list(items), next=following)


@get(
    "/nodes/{node_id:str}",
    opt={"needs": VIEWER},
    tags=["fleet"],
    summary="Show a node",
    responses=examples.answer(200, NodeJson, examples.NODE, "The node.", problems=(404,)),
)
async def show_node(node_id: FromPath[str], services: Given) -> NodeJson:
    """With its newest heartbeat."""
    view = await services.reader.node(node_id)
    if view is None:
        raise not_found("node", node_id, "nodes", (each.row.node_id for each in await services.reader.nodes()))
    running = await services.reader.overview.running_of_nodes()
    return node_json(view, running.get(node_id, 0), now_ms())
