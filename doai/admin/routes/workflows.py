"""Workflows: versions that never change once stored (steps 2 and 14)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath, QueryParameter

from doai.admin import examples
from doai.admin.access import AUTHOR, VIEWER, Caller
from doai.admin.pages import WorkflowPage
from doai.admin.problems import CommandRefused
from doai.admin.routes.bodies import WorkflowText
from doai.admin.routes.parameters import (
    POSITION_MAX,
    AnyRequest,
    Cursor,
    Given,
    IdempotencyKey,
    Language,
    Limit,
    Text,
    Who,
    named,
    not_found,
    part,
)
from doai.admin.services import Done, Services
from doai.admin.translation import recipe_of, workflow_detail_json, workflow_json
from doai.admin.views import ChangeJson, CheckedJson, DiffJson, WorkflowDetailJson
from doai.changes.rows import WorkflowRow
from doai.errors import NotFoundError, UserError
from doai.limits import WORKFLOW_BYTES_MAX
from doai.messages.commands import ActivateWorkflow, ArchiveWorkflow, StoreWorkflow, WorkflowStored, WorkflowVersion
from doai.states import WorkflowState
from doai.story.voice import ENGLISH
from doai.workflow.diff import differences
from doai.workflow.drawing import draw
from doai.workflow.mistakes import WorkflowError
from doai.workflow.model import content_hash, from_stored, parse_workflow, to_stored
from doai.workflow.step_schema import best_offers, steps_of
from doai.workflow.step_type import StepType
from doai.workflow.steps import BUILT_IN

VERSION_MAX: Final = 2**31
Version = Annotated[
    int | None, QueryParameter(ge=1, le=VERSION_MAX, description="not given = the newest active one")
]
SVG: Final = "image/svg+xml"
_ACTIVATED = WorkflowVersion(name="look", version=2, state=WorkflowState.ACTIVE, active_version=2)
_ARCHIVED = WorkflowVersion(name="look", version=2, state=WorkflowState.ARCHIVED, active_version=1)
_DIFF = DiffJson(
    name="look",
    old=1,
    new=2,
    changes=[
        ChangeJson(
            kind="changed",
            path="steps.shot.timeout",
            before="90s",
            after="30s",
            text='~ steps.shot.timeout: "90s" -> "30s"',
        )
    ],
)
_CHECKED = CheckedJson(name="look", steps=2, content_hash=examples.SHA256)
_STORED = WorkflowStored(name="look", version=1, content_hash=examples.SHA256, new=True)


OfState = Annotated[WorkflowState | None, QueryParameter(name="state")]
BEFORE: Final = "`next` of the page before: a version, of which older ones follow"


@get(
    "/workflows",
    opt={"needs": VIEWER},
    tags=["workflows"],
    summary="List workflows by name",
    responses=examples.answer(
        200, WorkflowPage, WorkflowPage(items=[examples.WORKFLOW], next=None), "A page of workflows."
    ),
)
async def list_workflows(
    services: Given,
    wanted: OfState = None,
    text: Text = "",
    cursor: Cursor = None,
    limit: Limit = 500,
) -> WorkflowPage:
    """Of each the version that a bare name means; the newest where none is active."""
    chosen: dict[str, WorkflowRow] = {}
    for row in await services.reader.workflows():  # by name and version: a later active one wins
        before = chosen.get(row.name)
        if before is None or row.state is WorkflowState.ACTIVE or before.state is not WorkflowState.ACTIVE:
            chosen[row.name] = row
    rows = [row for row in named(chosen.values(), lambda row: row.name, text) if wanted in (None, row.state)]
    items, following = part(rows, lambda row: row.name, cursor, limit)
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
    version: Version = None,
) -> WorkflowDetailJson:
    """The recipe is the stored JSON, its defaults written in."""
    rows = await _versions(services, name)
    return workflow_detail_json(_chosen(rows, version), [row.version for row in rows])


@get(
    "/workflows/{name:str}/versions",
    opt={"needs": VIEWER},
    tags=["workflows"],
    summary="List the versions of a workflow, newest first",
    responses=examples.answer(
        200,
        WorkflowPage,
        WorkflowPage(items=[examples.WORKFLOW], next=None),
        "A page of its versions.",
        problems=(404,),
    ),
)
async def list_versions(
    name: FromPath[str],
    services: Given,
    wanted: OfState = None,
    cursor: Annotated[int | None, QueryParameter(ge=1, le=POSITION_MAX, description=BEFORE)] = None,
    limit: Limit = 500,
) -> WorkflowPage:
    """With the state of each: draft, active or archived; a bare name means the newest active one."""
    rows = [row for row in reversed(await _versions(services, name)) if wanted in (None, row.state)]
    rest = [row for row in rows if cursor is None or row.version < cursor]
    following = str(rest[limit - 1].version) if len(rest) > limit else None
    return WorkflowPage(items=[workflow_json(row) for row in rest[:limit]], next=following)


@get(
    "/workflows/{name:str}/diff",
    opt={"needs": VIEWER},
    tags=["workflows"],
    summary="Tell what differs between two versions",
    responses=examples.answer(200, DiffJson, _DIFF, "What differs, in the order of a recipe.", problems=(404,)),
)
async def diff_versions(
    name: FromPath[str],
    services: Given,
    old: Annotated[int, QueryParameter(name="from", ge=1, le=VERSION_MAX, description="the older version")],
    new: Annotated[int, QueryParameter(name="to", ge=1, le=VERSION_MAX, description="the newer version")],
) -> DiffJson:
    """Parameters, steps and settings that were added, removed, moved or changed; empty for the same content."""
    rows = await _versions(services, name)
    before, after = _chosen(rows, old), _chosen(rows, new)
    changes = differences(recipe_of(before), recipe_of(after))
    return DiffJson(
        name=name,
        old=old,
        new=new,
        changes=[ChangeJson(**msgspec.structs.asdict(change), text=str(change)) for change in changes],
    )


@get(
    "/workflows/{name:str}/graph.svg",
    opt={"needs": VIEWER},
    tags=["workflows"],
    summary="Draw the graph of a workflow's steps",
    media_type=SVG,
    responses=examples.answer(200, str, "<svg/>", "The drawing.", problems=(404,), media_type=SVG),
)
async def draw_graph(
    name: FromPath[str], services: Given, version: Version = None, language: Language = ENGLISH
) -> Response[str]:
    """An SVG that needs nothing else; its colours follow the reader's light or dark setting."""
    row = _chosen(await _versions(services, name), version)
    # It may be opened by itself: nothing in it runs or is fetched.
    headers = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
    drawing = draw(from_stored(row.body), version=row.version, language=language)
    return Response(drawing, media_type=SVG, headers=headers)


@post(
    "/workflows/{name:str}/versions/{version:int}/activate",
    status_code=200,
    opt={"needs": AUTHOR},
    tags=["workflows"],
    summary="Make a version active",
    responses=examples.answer(200, WorkflowVersion, _ACTIVATED, "How it stands now.", problems=(404, 409)),
)
async def activate_version(
    name: FromPath[str],
    version: FromPath[int],
    services: Given,
    caller: Who,
    idempotency_key: IdempotencyKey = None,
) -> Response[WorkflowVersion]:
    """A bare name means the newest active version."""
    return await _set_state(services, caller, ActivateWorkflow(name=name, version=version), idempotency_key)


@post(
    "/workflows/{name:str}/versions/{version:int}/archive",
    status_code=200,
    opt={"needs": AUTHOR},
    tags=["workflows"],
    summary="Archive a version",
    responses=examples.answer(200, WorkflowVersion, _ARCHIVED, "How it stands now.", problems=(404, 409)),
)
async def archive_version(
    name: FromPath[str],
    version: FromPath[int],
    services: Given,
    caller: Who,
    idempotency_key: IdempotencyKey = None,
) -> Response[WorkflowVersion]:
    """No run can be made of it any more; those that were made go on."""
    return await _set_state(services, caller, ArchiveWorkflow(name=name, version=version), idempotency_key)


@post(
    "/workflow-checks",
    status_code=200,
    opt={"needs": VIEWER},
    tags=["workflows"],
    summary="Check a workflow without storing it",
    operation_class=WorkflowText,
    responses=examples.answer(200, CheckedJson, _CHECKED, "It has no mistake.", problems=(413, 422)),
)
async def check_workflow(request: AnyRequest, services: Given) -> CheckedJson:
    """422 with every mistake's line and column, as storing it would answer."""
    workflow = parse_workflow(_text(await request.body()), await _step_types(services))
    return CheckedJson(
        name=workflow.name, steps=len(workflow.steps), content_hash=content_hash(to_stored(workflow))
    )


@post(
    "/workflows",
    opt={"needs": AUTHOR},
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
    done = await stored(services, caller, StoreWorkflow(source=_text(await request.body()), activate=activate))
    answer: WorkflowStored = done.result
    return Response(answer, status_code=201 if answer.new else 200, headers=done.headers)


async def stored(services: Services, caller: Caller, command: StoreWorkflow) -> Done:
    """Have the broker store a workflow; raises CommandRefused, and WorkflowError with every mistake's place."""
    try:
        return await services.command_of(caller, command, "workflow/new")
    except CommandRefused as refused:
        if refused.code == WorkflowError.code:
            # The broker's refusal has the sentences; places as data come from the same parser.
            parse_workflow(command.source, await _step_types(services))
        raise


async def _step_types(services: Services) -> Mapping[str, StepType]:
    """Return the steps of doai, and of every plug-in that a node ever offered."""
    nodes = await services.reader.nodes()
    return {**BUILT_IN, **steps_of(best_offers(offer for view in nodes for offer in view.row.plugins))}


async def _versions(services: Services, name: str) -> list[WorkflowRow]:
    rows = await services.reader.workflows(name)
    if not rows:
        raise not_found("workflow", name, "workflows", (row.name for row in await services.reader.workflows()))
    return rows


def _chosen(rows: list[WorkflowRow], version: int | None) -> WorkflowRow:
    """Return one version; None = the newest active one."""
    if version is None:
        wanted = [row for row in rows if row.state is WorkflowState.ACTIVE]
    else:
        wanted = [row for row in rows if row.version == version]
    if not wanted:
        known = ", ".join(str(row.version) for row in rows[-20:])
        what = f"version {version}" if version is not None else "active version"
        raise NotFoundError(f"workflow {rows[0].name} has no {what}: versions are {known}")
    return wanted[-1]


async def _set_state(
    services: Services, caller: Caller, command: ActivateWorkflow | ArchiveWorkflow, key: str | None
) -> Response[WorkflowVersion]:
    subject = f"workflow/{command.name[:63]}"
    done = await services.command_of(caller, command, subject, idempotency_key=key)
    return Response(done.result, headers=done.headers)


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
