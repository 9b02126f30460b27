"""Devices and nodes, each with the time of its last proofs (step 14)."""

from __future__ import annotations

from typing import Annotated

from litestar import get
from litestar.params import FromPath, QueryParameter

from doai.admin import examples
from doai.admin.access import VIEWER
from doai.admin.pages import DevicePage, NodePage
from doai.admin.routes.parameters import Cursor, Given, Limit, not_found, now_ms, part
from doai.admin.translation import device_json, node_json
from doai.admin.views import DeviceJson, NodeJson
from doai.states import DeviceState


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
    wanted: Annotated[DeviceState | None, QueryParameter(name="state")] = None,
    node: Annotated[str | None, QueryParameter(max_length=63, description="name of a node")] = None,
    cursor: Cursor = None,
    limit: Limit = 500,
) -> DevicePage:
    """All given filters hold."""
    views = await services.reader.devices(state=wanted, node=node)
    items, following = part(views, lambda view: view.row.serial, cursor, limit)
    return DevicePage(items=[device_json(view, now_ms()) for view in items], next=following)


@get(
    "/devices/{serial:str}",
    opt={"needs": VIEWER},
    tags=["fleet"],
    summary="Show a device",
    responses=examples.answer(200, DeviceJson, examples.DEVICE, "The device.", problems=(404,)),
)
async def show_device(serial: FromPath[str], services: Given) -> DeviceJson:
    """Link, ADB and the device's own answer are three proofs, each with its time."""
    view = await services.reader.device(serial)
    if view is None:
        raise not_found("device", serial, "devices", (each.row.serial for each in await services.reader.devices()))
    return device_json(view, now_ms())


@get(
    "/nodes",
    opt={"needs": VIEWER},
    tags=["fleet"],
    summary="List nodes by name",
    responses=examples.answer(200, NodePage, NodePage(items=[examples.NODE], next=None), "A page of nodes."),
)
async def list_nodes(services: Given, cursor: Cursor = None, limit: Limit = 500) -> NodePage:
    """Each with its newest heartbeat."""
    views = await services.reader.nodes()
    items, following = part(views, lambda view: view.row.node_id, cursor, limit)
    return NodePage(items=[node_json(view, now_ms()) for view in items], next=following)


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
    return node_json(view, now_ms())
