"""The editor of workflows: what is typed is checked while it is typed, and stored as the next version (step 2)."""

from __future__ import annotations

from litestar import Response, get, post
from litestar.params import FromPath
from litestar.response import Redirect

from doai.admin.access import AUTHOR
from doai.admin.dashboard.visit import PageRequest, Visit, Visiting, changing
from doai.admin.problems import CommandRefused
from doai.admin.routes.parameters import not_found
from doai.admin.routes.workflows import stored
from doai.admin.translation import recipe_of
from doai.errors import UserError
from doai.messages.commands import StoreWorkflow
from doai.workflow.mistakes import Mistake, MistakesError
from doai.workflow.writing import write_recipe

FIRST = """\
workflow: my-workflow
title: {en: What it does, ko: 하는 일}
steps:
  - {id: picture, use: screen.capture}
"""


@get("/workflows/new", opt={"needs": AUTHOR})
async def new_page(visit: Visiting) -> Response[str]:
    """An empty one, as far as anything can be."""
    return await _page(visit, FIRST)


@get("/workflows/{name:str}/edit", opt={"needs": AUTHOR})
async def edit_page(name: FromPath[str], visit: Visiting) -> Response[str]:
    """What a bare name means now, to be changed."""
    row = await visit.services.reader.workflow(name)
    if row is None:
        raise not_found(
            "workflow", name, "workflows", {row.name for row in await visit.services.reader.workflows()}
        )
    return await _page(visit, write_recipe(recipe_of(row)))


@post("/workflows/new", opt={"needs": AUTHOR}, status_code=303)
async def store(request: PageRequest, visit: Visiting) -> Response[str] | Redirect:
    """Store it as the next version; what is wrong is said with its place."""
    fields = await changing(request)
    source = fields.get("source", "").replace("\r\n", "\n")
    try:
        done = await stored(visit.services, visit.caller, StoreWorkflow(source=source))
    except MistakesError as error:
        return await _page(visit, source, mistakes=list(error.mistakes), status=422)
    except (CommandRefused, UserError) as refused:
        return await _page(visit, source, problem=str(refused), status=422)
    return Redirect(f"/workflows/{done.result.name}?done=workflows_store", status_code=303)


PAGES = (new_page, edit_page, store)


async def _page(
    visit: Visit, source: str, *, mistakes: list[Mistake] | None = None, problem: str = "", status: int = 200
) -> Response[str]:
    return await visit.page(
        "workflow_edit.html", status=status, source=source, mistakes=mistakes or [], problem=problem
    )
