"""Incidents: what an operator must know of, the gravest first (step 14)."""

from __future__ import annotations

from typing import Final

from litestar import Response, get

from doai.admin.access import VIEWER
from doai.admin.dashboard.visit import Visiting
from doai.admin.routes.incidents import incident_json
from doai.incidents import Severity

SHOWN: Final = 100
_GRAVITY: Final = {severity: place for place, severity in enumerate(Severity)}


@get("/incidents", opt={"needs": VIEWER})
async def list_page(visit: Visiting) -> Response[str]:
    """Those that are not over; or the history, newest first."""
    history = visit.given("show") == "all"
    page = await visit.services.reader.incidents.page(
        resolved=history, cursor=visit.given("after") or None, limit=SHOWN
    )
    rows = (
        page.items if history else sorted(page.items, key=lambda row: (-_GRAVITY[row.severity], row.opened_at_ms))
    )
    return await visit.page(
        "incidents.html",
        items=[incident_json(row) for row in rows],
        history=history,
        following=page.next_cursor,
    )
