"""Schedules: campaigns with their next and newest time (step 14)."""

from __future__ import annotations

from litestar import Response, get

from doai.admin.access import VIEWER
from doai.admin.dashboard.visit import Visiting
from doai.admin.routes.campaigns import whole_campaign


@get("/schedules", opt={"needs": VIEWER})
async def list_page(visit: Visiting) -> Response[str]:
    """By name."""
    views = await visit.services.reader.campaigns.all()
    return await visit.page(
        "schedules.html",
        items=[await whole_campaign(visit.services, view) for view in views],
        runs=await visit.services.reader.overview.runs_of_campaigns(),
    )
