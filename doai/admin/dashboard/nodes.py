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
    running = await reader.overview.running_of_nodes()
    found = [node_json(view, running.get(view.row.node_id, 0), visit.at_ms) for view in await reader.nodes()]
    devices = (await reader.fleet.facets()).nodes
    items = [node for node in found if state in ("", node.state)]
    return await visit.page(
        "nodes.html",
        items=items,
        devices=devices,
        states=("online", "late", "offline"),
    )
