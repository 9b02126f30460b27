"""Runs: the list, one as a matrix of devices and steps, and the form that starts another (steps 1 and 14)."""

from __future__ import annotations

from typing import Final

from litestar import Response, get, post
from litestar.params import FromPath
from litestar.response import Redirect

from doai.admin.access import OPERATOR, VIEWER
from doai.admin.dashboard.run_form import FieldMistake, choices_of, key_of, parameters_of, run_of_form
from doai.admin.dashboard.task_shown import PICTURES
from doai.admin.dashboard.visit import PageRequest, Visit, Visiting, changing
from doai.admin.problems import CommandRefused
from doai.admin.routes.removed import missing
from doai.admin.routes.surroundings import Around
from doai.admin.steps import step_tries
from doai.admin.task_lists import OPEN_RUNS, RUN_STATES
from doai.admin.translation import run_json, task_json
from doai.admin.views import StepJson
from doai.admin.waiting import waiting_because
from doai.limits import EVENTS_PAGE_MAX
from doai.states import RunState, TaskState

SHOWN: Final = 50
MATRIX_TASKS: Final = 60
"""Rows of the matrix: a screen full; the list of tasks has the others."""
WALL: Final = 60
WAITING_SHOWN: Final = 5
"""Tasks of which it is told why they wait: examples, no count."""


@get("/runs", opt={"needs": VIEWER})
async def list_page(visit: Visiting) -> Response[str]:
    """Newest first; all given filters hold."""
    wanted = visit.given("state")
    reader = visit.services.reader
    page = await reader.runs(
        state=RunState(wanted) if wanted in {state.value for state in RunState} else None,
        is_open=wanted == OPEN_RUNS,
        workflow=visit.given("workflow") or None,
        campaign=visit.given("campaign") or None,
        cursor=visit.given("after") or None,
        limit=SHOWN,
    )
    open_ids = [view.row.run_id for view in page.items if view.row.state is not RunState.COMPLETED]
    left_s = await visit.services.outlooks.left_s(open_ids)
    return await visit.page(
        "runs.html",
        items=[run_json(view, left_s.get(view.row.run_id)) for view in page.items],
        following=page.next_cursor,
        states=RUN_STATES,
        workflows=sorted({row.name for row in await reader.workflows()}),
    )


@get("/runs/new", opt={"needs": OPERATOR})
async def new_page(visit: Visiting) -> Response[str]:
    """Choose a workflow, then its parameters and on what it runs."""
    return await _form(visit, visit.given("workflow"), {}, "")


@post("/runs/new", opt={"needs": OPERATOR}, status_code=303)
async def create(request: PageRequest, visit: Visiting) -> Response[str] | Redirect:
    """Start a run; what is wrong is said beside what was typed."""
    fields = await changing(request)
    name = fields.get("workflow", "")[:63]
    try:
        command = run_of_form(name, await parameters_of(visit, name), fields)
        done = await visit.services.command_of(
            visit.caller, command, f"workflow/{name[:100]}", idempotency_key=key_of(fields)
        )
    except FieldMistake as mistake:
        return await _form(visit, name, fields, "", mistakes={mistake.field: str(mistake)}, status=422)
    except CommandRefused as refused:
        return await _form(visit, name, fields, str(refused), status=422)
    return Redirect(f"/runs/{done.result.run_id}", status_code=303)


@get("/runs/{run_id:str}", opt={"needs": VIEWER})
async def run_page(run_id: FromPath[str], visit: Visiting) -> Response[str]:
    """How its tasks stand, why some failed, what they wait for, step by step."""
    reader = visit.services.reader
    view = await reader.run(run_id)
    if view is None:
        raise await missing(visit.services, "run", run_id, "runs")
    left_s = await visit.services.outlooks.left_s([run_id] if view.row.state is not RunState.COMPLETED else [])
    tasks = await reader.tasks(run_id=run_id, cursor=visit.given("after") or None, limit=MATRIX_TASKS)
    events, _ = await reader.steps_of_run(run_id, cursor=visit.given("after") or None, limit=MATRIX_TASKS)
    files = await reader.artifacts(run_id=run_id, limit=EVENTS_PAGE_MAX)
    waiting = [row for row in tasks.items if row.status.state in (TaskState.QUEUED, TaskState.DELAYED)]
    reasons: dict[str, None] = {}
    about = Around(reader, view)
    for row in waiting[:WAITING_SHOWN]:
        around = await about.of(row)
        reasons[(waiting_because(row, around, visit.words.voice) if around else None) or "-"] = None
    columns, cells = matrix(step_tries(events))
    return await visit.page(
        "run.html",
        run=run_json(view, left_s.get(run_id)),
        tasks=[task_json(row) for row in tasks.items],
        following=tasks.next_cursor,
        columns=columns,
        cells=cells,
        causes=await reader.causes.of_run(run_id)
        if view.counts.get("failed") or view.counts.get("unknown")
        else [],
        pictures=[file for file in files.items if file.media_type in PICTURES][-WALL:],
        waiting=list(reasons),
        letters=await reader.dead_letters.count_open_of_run(run_id),
    )


def matrix(steps: list[StepJson]) -> tuple[list[str], dict[tuple[str, str], StepJson]]:
    """Return the steps as columns in the order in which they began, and the newest try of each of each task."""
    columns = list(dict.fromkeys(step.step_id for step in steps))
    return columns, {(step.task_id, step.step_id): step for step in steps}


async def _form(
    visit: Visit,
    name: str,
    given: dict[str, str],
    problem: str,
    *,
    mistakes: dict[str, str] | None = None,
    status: int = 200,
) -> Response[str]:
    return await visit.page(
        "run_new.html",
        status=status,
        problem=problem,
        mistakes=mistakes or {},
        **await choices_of(visit, name, given),
    )
