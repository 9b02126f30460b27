"""Tasks: the list with filters and a drawer beside it, and one on a page of its own (step 14)."""

from __future__ import annotations

from typing import Final

from litestar import Response, get
from litestar.params import FromPath

from doai.admin.access import VIEWER
from doai.admin.dashboard.spans import at_ms, command_value, field_value
from doai.admin.dashboard.task_shown import TaskShown, task_shown
from doai.admin.dashboard.visit import Visit, Visiting
from doai.admin.task_lists import STATES, tasks_page
from doai.admin.translation import task_json
from doai.errors import NotFoundError

SHOWN: Final = 100


@get("/tasks", opt={"needs": VIEWER})
async def list_page(visit: Visiting) -> Response[str]:
    """Of a run by id, else newest first; within a time by their ends; all given filters hold.

    ``task`` is no filter: the task of that id is shown in a drawer beside the list.
    """
    wanted = visit.given("state")
    span = [at_ms(visit.given(name), visit.words.zone) for name in ("since", "until")]
    page = await tasks_page(
        visit.services.reader,
        state=wanted if wanted in STATES else "",
        run_id=visit.given("run") or None,
        device=visit.given("device") or None,
        node=visit.given("node") or None,
        code=visit.given("code") or None,
        queue=visit.given("queue") or None,
        since_ms=span[0],
        until_ms=span[1],
        cursor=visit.given("after") or None,
        limit=SHOWN,
    )
    opened = visit.given("task")
    shown, why_not = await _opened(visit, opened)
    return await visit.page(
        "tasks.html",
        opened=opened,
        shown=shown,
        why_not=why_not,
        items=[task_json(row) for row in page.items],
        following=page.next_cursor,
        states=STATES,
        fields=[field_value(each, visit.words.zone) for each in span],
        span=dict(zip(("since", "until"), map(command_value, span), strict=True)),
        queues=[queue.name for queue in await visit.services.reader.queues.all()],
    )


@get("/tasks/{task_id:str}", opt={"needs": VIEWER})
async def task_page(task_id: FromPath[str], visit: Visiting) -> Response[str]:
    """The same as the drawer of the list, on a page of its own."""
    return await visit.page("task.html", it=await task_shown(visit, task_id))


async def _opened(visit: Visit, task_id: str) -> tuple[TaskShown | None, str]:
    """Return the task of the drawer, or why there is none: the list beside it is shown all the same."""
    if not task_id:
        return None, ""
    try:
        return await task_shown(visit, task_id), ""
    except NotFoundError as error:
        return None, str(error)
