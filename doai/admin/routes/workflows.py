"""Workflows: versions that never change once stored (steps 2 and 14)."""

from __future__ import annotations

from typing import Annotated

from litestar import Response, get, post
from litestar.params import FromPath, QueryParameter

from doai.admin import examples
from doai.admin.access import OPERATOR, VIEWER
from doai.admin.pages import WorkflowPage
from doai.admin.problems import CommandRefused
from doai.admin.routes.bodies import WorkflowText
from doai.admin.routes.parameters import AnyRequest, Cursor, Given, Limit, Who, not_found, part
from doai.admin.translation import workflow_detail_json, workflow_json
from doai.admin.views import WorkflowDetailJson
from doai.changes.rows import WorkflowRow
from doai.errors import NotFoundError, UserError
from doai.limits import WORKFLOW_BYTES_MAX
from doai.messages.commands import StoreWorkflow, WorkflowStored
from doai.workflow.mistakes import WorkflowError
from doai.workflow.model import parse_workflow

_STORED = WorkflowStored(name="look", version=1, content_hash=examples.SHA256, new=True)


@get(
    "/workflows",
    opt={"needs": VIEWER},
    tags=["workflows"],
    summary="List workflows by name",
    responses=examples.answer(
        200, WorkflowPage, WorkflowPage(items=[examples.WORKFLOW], next=None), "A page of workflows."
    ),
)
async def list_workflows(services: Given, cursor: Cursor = None, limit: Limit = 500) -> WorkflowPage:
    """Of each the version that a bare name means; the newest where none is active."""
    chosen: dict[str, WorkflowRow] = {}
    for row in await services.reader.workflows():  # by name and version: a later active one wins
        before = chosen.get(row.name)
        if before is None or row.active or not before.active:
            chosen[row.name] = row
    items, following = part(list(chosen.values()), lambda row: row.name, cursor, limit)
    return WorkflowPage(items=[workflow_json(row) for row in items], next=following)


@get(
    "/workflows/{name:str}",
    opt={"needs": VIEWER},
    tags=["workflows"],
    summary="Show a workflow with its recipe",
    responses=examples.answer(200, WorkflowDetailJson, examples.WORKFLOW_DETAIL, "The workflow.", problems=(404,)),
)
async def show_workflow(
    name: FromPath[str],
    services: Given,
    version: Annotated[int | None, QueryParameter(ge=1, le=2**31, description="not given = the active one")] = None,
) -> WorkflowDetailJson:
    """The recipe is the stored JSON, its defaults written in."""
    rows = await services.reader.workflows(name)
    if not rows:
        raise not_found("workflow", name, "workflows", (row.name for row in await services.reader.workflows()))
    wanted = [row for row in rows if (row.active if version is None else row.version == version)]
    if not wanted:
        known = ", ".join(str(row.version) for row in rows[-20:])
        what = f"version {version}" if version is not None else "active version"
        raise NotFoundError(f"workflow {name} has no {what}: versions are {known}")
    return workflow_detail_json(wanted[-1], [row.version for row in rows])


@post(
    "/workflows",
    opt={"needs": OPERATOR},
    tags=["workflows"],
    summary="Store a workflow as its next version",
    operation_class=WorkflowText,
    responses=examples.answer(201, WorkflowStored, _STORED, "A new version.", problems=(422,))
    | {200: examples.answer(200, WorkflowStored, _STORED, "The same content is stored already.")[200]},
)
async def store_workflow(
    request: AnyRequest,
    services: Given,
    caller: Who,
    activate: Annotated[bool, QueryParameter(description="make it the version that a bare name means")] = True,
) -> Response[WorkflowStored]:
    """201 for a new version, 200 when this content is stored already, 422 with every mistake's line and column."""
    source = _text(await request.body())
    command = StoreWorkflow(source=source, activate=activate)
    try:
        done = await services.command_of(caller, command, "workflow/new")
    except CommandRefused as refused:
        if refused.code == WorkflowError.code:
            # The broker's refusal has the sentences; places as data come from the same parser.
            parse_workflow(source)
        raise
    stored: WorkflowStored = done.result
    return Response(stored, status_code=201 if stored.new else 200, headers=done.headers)


def _text(body: bytes) -> str:
    if len(body) > WORKFLOW_BYTES_MAX:
        raise UserError(
            f"the workflow has {len(body)} bytes, {WORKFLOW_BYTES_MAX // 1024} KiB are allowed: split it",
            code="too_large",
        )
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(
            f"the workflow is no UTF-8 text (byte {error.start}): save it as UTF-8", code="bad_request"
        ) from None
