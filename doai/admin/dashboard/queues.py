"""Queues: how each stands, and the buttons that change it (step 14)."""

from __future__ import annotations

from litestar import Response, get

from doai.admin.access import VIEWER
from doai.admin.dashboard.visit import Visiting


@get("/queues", opt={"needs": VIEWER})
async def list_page(visit: Visiting) -> Response[str]:
    """All queues, by name; their counts are a second old at most."""
    return await visit.page("queues.html", items=await visit.services.reader.queues.all())
