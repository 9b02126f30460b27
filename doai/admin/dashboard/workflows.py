"""Workflows: versions, their drawing, and what differs between two of them (step 14)."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Response, get
from litestar.params import FromPath

from doai.admin.access import VIEWER
from doai.admin.dashboard.visit import Visiting
from doai.admin.routes.parameters import not_found
from doai.admin.translation import recipe_of
from doai.workflow.diff import differences
from doai.workflow.model import from_stored


@get("/workflows", opt={"needs": VIEWER})
async def list_page(visit: Visiting) -> Response[str]:
    """By name, with the newest active version of each."""
    versions: dict[str, list[Any]] = {}
    for row in await visit.services.reader.workflows():
        versions.setdefault(row.name, []).append(row)
    items = []
    for name, rows in sorted(versions.items()):
        newest = next((row for row in reversed(rows) if row.state.value == "active"), rows[-1])
        model = from_stored(newest.body)
        title = visit.words.of(msgspec.to_builtins(model.title), name)
        items.append((name, title, newest, len(rows), len(model.steps)))
    return await visit.page("workflows.html", items=items)


@get("/workflows/{name:str}", opt={"needs": VIEWER})
async def workflow_page(name: FromPath[str], visit: Visiting) -> Response[str]:
    """One version, and what differs from the one before."""
    rows = await visit.services.reader.workflows(name)
    if not rows:
        known = {row.name for row in await visit.services.reader.workflows()}
        raise not_found("workflow", name, "workflows", known)
    wanted = visit.given("version")
    row = next((each for each in rows if str(each.version) == wanted), rows[-1])
    earlier = [each for each in rows if each.version < row.version]
    model = from_stored(row.body)
    return await visit.page(
        "workflow.html",
        row=row,
        rows=list(reversed(rows)),
        before=earlier[-1] if earlier else None,
        changes=differences(recipe_of(earlier[-1]), recipe_of(row)) if earlier else [],
        model=model,
        title=visit.words.of(msgspec.to_builtins(model.title), name),
        description=visit.words.of(msgspec.to_builtins(model.description), ""),
        recipe=recipe_of(row),
    )
