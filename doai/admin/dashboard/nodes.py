"""Nodes: hosts with phones, their slots and their newest heartbeat (step 14)."""

from __future__ import annotations

from litestar import Response, get

from doai.admin.access import VIEWER
from doai.admin.dashboard.visit import Visiting
from doai.admin.translation import node_json


@get("/nodes", opt={"needs": VIEWER})
async def list_page(visit: Visiting) -> Response[str]:
    """By name."""
    state = visit.given("state")
    reader = visit.services.reader
    found = [node_json(view, visit.at_ms) for view in await reader.nodes()]
    devices = (await reader.fleet.facets()).nodes
    items = [node for node in found if state in ("", node.state)]
    return await visit.page(
        "nodes.html",
        items=items,
        devices=devices,
        running=await reader.overview.running_of_nodes(),
        states=("online", "late", "offline"),
    )
