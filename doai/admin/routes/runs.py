"""Runs and tasks: ask for them, look at them, cancel them (steps 1 and 14)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
from litestar import Response, get, post
from litestar.openapi.spec import Example
from litestar.params import Body, FromPath, QueryParameter

from doai.admin import examples
from doai.admin.access import OPERATOR, VIEWER
from doai.admin.pages import RunPage, StepPage, TaskPage
from doai.admin.problems import CommandRefused
from doai.admin.routes.parameters import (
    AnyRequest,
    Cursor,
    Given,
    IdempotencyKey,
    Language,
    Limit,
    Who,
    id_cursor,
)
from doai.admin.routes.removed import missing
from doai.admin.routes.surroundings import surroundings
from doai.admin.steps import step_tries
from doai.admin.task_lists import OPEN_RUNS, RunWord, TaskWord, tasks_page
from doai.admin.translation import run_json, task_detail_json, task_json
from doai.admin.views import RunJson, TaskDetailJson, View
from doai.errors import ConflictError
from doai.limits import EVENTS_PAGE_MAX
from doai.messages.commands import Cancelled, CancelRun, CancelTask, CreateRun, RunCreated, Selector, Targets
from doai.states import TERMINAL, RunState
from doai.store.views import RunView
from doai.story.voice import ENGLISH, VOICES

STEP_TASKS_MAX: Final = 100
"""Tasks of which one answer has all steps: within a read's time, at 40 steps a task."""
_CREATE_EXAMPLE = {
    "workflow": "playback-check",
    "targets": {"kind": "all", "selector": {"tags": ["shelf-1"]}},
    "params": {"video_id": "doai-test-1"},
}


class NewSelector(Selector, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which devices: all given conditions hold. A condition that is not known must not be ignored."""


class NewTargets(Targets, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """On what a run runs."""

    selector: NewSelector | None = None  # type: ignore[assignment]


class NewRun(CreateRun, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A run to make."""

    targets: NewTargets


class CreatedRun(View, frozen=True, kw_only=True):
    """A run that was made."""

    run_id: str
    task_ids: list[str]
    workflow: str
    """``name@version`` as resolved."""
    url: str


class Reason(View, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why something is cancelled, for its story."""

    reason: Annotated[str, msgspec.Meta(max_length=500)] = ""


_CREATED = CreatedRun(
    run_id=examples.RUN_ID,
    task_ids=[examples.TASK_ID],
    workflow="playback-check@3",
    url=f"/api/v1/runs/{examples.RUN_ID}",
)
_CANCELLED = Cancelled(cancelled=12, cancelling=8, ended_before=0)


@post(
    "/runs",
    opt={"needs": OPERATOR},
    tags=["runs"],
    summary="Run a workflow on targets",
    responses=examples.answer(201, CreatedRun, _CREATED, "It is stored.", problems=(404, 409, 422)),
)
async def create_run(
    data: Annotated[NewRun, Body(examples=[Example(summary="all of a shelf", value=_CREATE_EXAMPLE)])],
    request: AnyRequest,
    services: Given,
    caller: Who,
    idempotency_key: IdempotencyKey = None,
) -> Response[CreatedRun]:
    """Answer once the run and all its tasks are on disk."""
    command = msgspec.convert(msgspec.to_builtins(data), CreateRun)
    done = await services.command_of(
        caller, command, f"workflow/{command.workflow[:100]}", idempotency_key=idempotency_key
    )
    created: RunCreated = done.result
    url = f"{_base(request)}/runs/{created.run_id}"
    answer = CreatedRun(run_id=created.run_id, task_ids=created.task_ids, workflow=created.workflow, url=url)
    return Response(answer, status_code=201, headers={**done.headers, "Location": url})


@get(
    "/runs",
    opt={"needs": VIEWER},
    tags=["runs"],
    summary="List runs, newest first",
    responses=examples.answer(
        200, RunPage, RunPage(items=[examples.RUN], next=None), "A page of runs.", problems=(422,)
    ),
)
async def list_runs(
    services: Given,
    wanted: Annotated[
        RunWord | None,
        QueryParameter(name="state", description="`open`: those that are active or being cancelled"),
    ] = None,
    workflow: Annotated[str | None, QueryParameter(max_length=63, description="name of a workflow")] = None,
    campaign: Annotated[str | None, QueryParameter(max_length=63, description="name of a campaign")] = None,
    project: Annotated[str | None, QueryParameter(max_length=80)] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> RunPage:
    """Each with its tasks counted by state."""
    page = await services.reader.runs(
        state=RunState(wanted) if wanted is not None and wanted != OPEN_RUNS else None,
        is_open=wanted == OPEN_RUNS,
        workflow=workflow,
        campaign=campaign,
        project=project,
        cursor=id_cursor(cursor),
        limit=limit,
    )
    left_s = await services.outlooks.left_s(_open(page.items))
    items = [run_json(view, left_s.get(view.row.run_id)) for view in page.items]
    return RunPage(items=items, next=page.next_cursor)


def _open(views: Sequence[RunView]) -> list[str]:
    return [view.row.run_id for view in views if view.row.state is not RunState.COMPLETED]


@get(
    "/runs/{run_id:str}",
    opt={"needs": VIEWER},
    tags=["runs"],
    summary="Show a run",
    responses=examples.answer(200, RunJson, examples.RUN, "The run.", problems=(404,)),
)
async def show_run(run_id: FromPath[str], services: Given) -> RunJson:
    """With its tasks counted by state."""
    view = await services.reader.run(run_id)
    if view is None:
        raise await missing(services, "run", run_id, "runs")
    left_s = await services.outlooks.left_s(_open([view]))
    return run_json(view, left_s.get(run_id))


@get(
    "/runs/{run_id:str}/steps",
    opt={"needs": VIEWER},
    tags=["runs"],
    summary="Show every try of every step of a run's tasks",
    responses=examples.answer(
        200,
        StepPage,
        StepPage(items=[examples.STEP], next=None),
        "Steps of part of its tasks.",
        problems=(404, 422),
    ),
)
async def list_steps(
    run_id: FromPath[str],
    services: Given,
    cursor: Cursor = None,
    limit: Annotated[int, QueryParameter(ge=1, le=STEP_TASKS_MAX, description="tasks at most")] = 50,
) -> StepPage:
    """In the order in which they began; a step that never began is not in it."""
    if await services.reader.run(run_id) is None:
        raise await missing(services, "run", run_id, "runs")
    events, following = await services.reader.steps_of_run(run_id, cursor=id_cursor(cursor), limit=limit)
    return StepPage(items=step_tries(events), next=following)


@post(
    "/runs/{run_id:str}/cancel",
    status_code=200,
    opt={"needs": OPERATOR},
    tags=["runs"],
    summary="Cancel every open task of a run",
    responses=examples.answer(200, Cancelled, _CANCELLED, "The wish is durable.", problems=(404, 409)),
)
async def cancel_run(
    run_id: FromPath[str],
    services: Given,
    caller: Who,
    data: Annotated[Reason | None, Body(examples=[Example(value={"reason": "wrong parameters"})])] = None,
) -> Response[Cancelled]:
    """What waits is cancelled at once, what runs ends with its `always` steps; 409 when the run has ended."""
    view = await services.reader.run(run_id)
    if view is None:
        raise await missing(services, "run", run_id, "runs")
    command = CancelRun(run_id=run_id, reason=data.reason if data else "")
    try:
        done = await services.command_of(caller, command, f"run/{run_id}")
    except CommandRefused as refused:
        view = await services.reader.run(run_id)
        if refused.code == "not_open" and view is not None and view.row.state is RunState.COMPLETED:
            outcome = view.row.outcome.value if view.row.outcome else "completed"
            raise _too_late("run", run_id, outcome) from None
        raise
    return Response(done.result, headers=done.headers)


@get(
    "/tasks",
    opt={"needs": VIEWER},
    tags=["tasks"],
    summary="List tasks: of a run by id, else newest first",
    responses=examples.answer(
        200, TaskPage, TaskPage(items=[examples.TASK], next=None), "A page of tasks.", problems=(422,)
    ),
)
async def list_tasks(
    services: Given,
    run_id: Annotated[str | None, QueryParameter(max_length=64)] = None,
    wanted: Annotated[
        TaskWord | None,
        QueryParameter(
            name="state",
            description="`waiting`: queued and delayed ones; `held`: those that nodes and bots hold; "
            "`ended`: that are over; `judged`: passed, failed and unknown ones",
        ),
    ] = None,
    device: Annotated[str | None, QueryParameter(max_length=127, description="serial of a device")] = None,
    node: Annotated[str | None, QueryParameter(max_length=63, description="name of a node")] = None,
    queue: Annotated[str | None, QueryParameter(max_length=63, description="name of a queue")] = None,
    code: Annotated[str | None, QueryParameter(max_length=80, description="of its failure")] = None,
    since_ms: Annotated[
        int | None, QueryParameter(ge=0, le=2**53, description="ms since 1970 (UTC); that ended then or later")
    ] = None,
    until_ms: Annotated[
        int | None, QueryParameter(ge=0, le=2**53, description="ms since 1970 (UTC); that ended before then")
    ] = None,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> TaskPage:
    """All given filters hold. With a time: those that ended within it, the newest end first."""
    page = await tasks_page(
        services.reader,
        state=wanted or "",
        run_id=run_id,
        device=device,
        node=node,
        queue=queue,
        code=code,
        since_ms=since_ms,
        until_ms=until_ms,
        # Within a time it has the time of the last end too, which the reader looks at.
        cursor=id_cursor(cursor) if since_ms is None and until_ms is None else cursor,
        limit=limit,
    )
    return TaskPage(items=[task_json(row) for row in page.items], next=page.next_cursor)


@get(
    "/tasks/{task_id:str}",
    opt={"needs": VIEWER},
    tags=["tasks"],
    summary="Show a task with its attempts, outputs and files",
    responses=examples.answer(200, TaskDetailJson, examples.TASK_DETAIL, "The task.", problems=(404,)),
)
async def show_task(
    task_id: FromPath[str], request: AnyRequest, services: Given, language: Language = ENGLISH
) -> TaskDetailJson:
    """The failure is that of the last attempt."""
    view = await services.reader.task(task_id)
    if view is None:
        raise await missing(services, "task", task_id, "tasks")
    files = await services.reader.artifacts(run_id=view.row.run_id, task_id=task_id, limit=EVENTS_PAGE_MAX)
    around = await surroundings(services.reader, view.row)
    links = await services.reader.dead_letters.retries(task_id)
    url = f"{_base(request)}/artifacts"
    return task_detail_json(view.row, view.attempts, files.items, url, around, links, VOICES[language])


@post(
    "/tasks/{task_id:str}/cancel",
    status_code=200,
    opt={"needs": OPERATOR},
    tags=["tasks"],
    summary="Cancel one task",
    responses=examples.answer(200, Cancelled, _CANCELLED, "The wish is durable.", problems=(404, 409)),
)
async def cancel_task(
    task_id: FromPath[str],
    services: Given,
    caller: Who,
    data: Annotated[Reason | None, Body(examples=[Example(value={"reason": "the phone is needed"})])] = None,
) -> Response[Cancelled]:
    """409 when it has ended."""
    if await services.reader.task(task_id) is None:
        raise await missing(services, "task", task_id, "tasks")
    command = CancelTask(task_id=task_id, reason=data.reason if data else "")
    try:
        done = await services.command_of(caller, command, f"task/{task_id}")
    except CommandRefused as refused:
        view = await services.reader.task(task_id)
        if refused.code == "not_open" and view is not None and view.row.status.state in TERMINAL:
            raise _too_late("task", task_id, view.row.status.state.value) from None
        raise
    return Response(done.result, headers=done.headers)


def _too_late(kind: str, name: str, outcome: str) -> ConflictError:
    return ConflictError(f"{kind} {name} had ended before ({outcome}): nothing was cancelled", code="too_late")


def _base(request: AnyRequest) -> str:
    return str(request.base_url).rstrip("/") + "/api/v1"
