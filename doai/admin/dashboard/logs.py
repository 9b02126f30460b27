"""The log of all processes, newest first (step 14)."""

from __future__ import annotations

from typing import Final

from litestar import Response, get

from doai.admin.access import OPERATOR
from doai.admin.dashboard.visit import Visiting
from doai.admin.log_keeper import LogUnavailable
from doai.admin.routes.logs import LEVELS, level_name
from doai.store.line_store import LineFilter, LinePage

SHOWN: Final = 200
PROGRAMS: Final = ("broker", "admin", "node", "bot")


@get("/logs", opt={"needs": OPERATOR})
async def list_page(visit: Visiting) -> Response[str]:
    """All given filters hold."""
    level, after = visit.given("level"), visit.given("after")
    wanted = LineFilter(
        level_min=LEVELS.get(level, 0),
        program=visit.given("program"),
        source=visit.given("source"),
        run_id=visit.given("run_id"),
        task_id=visit.given("task_id"),
        device_serial=visit.given("device_serial"),
        text=visit.given("text"),
    )
    before = int(after) if after.isdecimal() and len(after) < 16 else None
    why_not = ""
    try:
        page = await visit.services.logs.page(wanted, before=before, after=None, limit=SHOWN)
    except LogUnavailable as error:
        page, why_not = LinePage([], None, 0), str(error)
    return await visit.page(
        "logs.html",
        lines=page.lines,
        following=None if page.older is None else str(page.older),
        why_not=why_not,
        levels=list(LEVELS),
        programs=PROGRAMS,
        level_name=level_name,
    )
