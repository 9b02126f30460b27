"""A test of a channel of notifications, from the page of notify-bot (step 14)."""

from __future__ import annotations

from litestar import post
from litestar.params import FromPath
from litestar.response import Redirect

from doai.admin.access import OPERATOR
from doai.admin.dashboard.visit import PageRequest, Visiting, changing
from doai.admin.routes.notifications import begin_test


@post("/notifications/{channel:str}/test", opt={"needs": OPERATOR}, status_code=303)
async def test(channel: FromPath[str], request: PageRequest, visit: Visiting) -> Redirect:
    """Send a test message; the task's page says what came of it."""
    await changing(request)
    done = await begin_test(visit.services, visit.caller, channel)
    return Redirect(f"/tasks/{done.result.task_ids[0]}", status_code=303)
