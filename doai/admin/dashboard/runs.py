"""Runs: the list, one as a matrix of devices and steps, and the form that starts another (steps 1 and 14)."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath
from litestar.response import Redirect

from doai.admin.access import OPERATOR, VIEWER
from doai.admin.dashboard.tasks import PICTURES
from doai.admin.dashboard.visit import PageRequest, Visit, Visiting, changing
from doai.admin.problems import CommandRefused
from doai.admin.routes.removed import missing
from doai.admin.routes.surroundings import Around
from doai.admin.steps import step_tries
from doai.admin.task_lists import OPEN_RUNS, RUN_STATES
from doai.admin.translation import run_json, task_json
from doai.admin.views import StepJson
from doai.admin.waiting import waiting_because
from doai.changes.rows import WorkflowRow
from doai.limits import EVENTS_PAGE_MAX
from doai.messages.commands import CreateRun, Selector, TargetKind, Targets
from doai.states import RunState, TaskState
from doai.workflow.language import Parameter
from doai.workflow.model import from_stored

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
    row = await visit.services.reader.workflow(name) if name else None
    parameters = from_stored(row.body).params if row is not None else {}
    try:
        command = CreateRun(
            workflow=name,
            targets=_targets(fields),
            params=_params(parameters, fields),
            queue=fields.get("queue") or "default",
        )
        key = fields.get("once") or None
        done = await visit.services.command_of(
            visit.caller, command, f"workflow/{name[:100]}", idempotency_key=f"form-{key}" if key else None
        )
    except (CommandRefused, ValueError) as refused:
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
    visit: Visit, name: str, given: dict[str, str], problem: str, *, status: int = 200
) -> Response[str]:
    reader = visit.services.reader
    active = {row.name: row for row in await reader.workflows() if row.state.value == "active"}
    row = active.get(name)
    known = await reader.fleet.facets()
    return await visit.page(
        "run_new.html",
        status=status,
        names={each: _title(visit, active[each]) for each in sorted(active)},
        chosen=name if row is not None else "",
        parameters=from_stored(row.body).params if row is not None else {},
        given=given,
        problem=problem,
        once=str(visit.at_ms) + visit.csrf[:16],
        nodes=list(known.nodes),
        groups=known.groups,
        queues=[queue.name for queue in await reader.queues.all()],
        default_of=default_of,
    )


def _title(visit: Visit, row: WorkflowRow) -> str:
    title = from_stored(row.body).title
    return visit.words.of(msgspec.to_builtins(title), row.name)


def default_of(parameter: Parameter) -> str:
    """Return the default as a form shows it."""
    if parameter.default is msgspec.UNSET or parameter.default is None:
        return ""
    if isinstance(parameter.default, bool):
        return "true" if parameter.default else "false"
    return "\n".join(map(str, parameter.default)) if isinstance(parameter.default, list) else str(parameter.default)


def _params(parameters: dict[str, Parameter], fields: dict[str, str]) -> dict[str, Any]:
    """Return the values of a form; one that was left as it came is not sent: the workflow's default holds."""
    values: dict[str, Any] = {}
    for name, parameter in parameters.items():
        text = fields.get(f"param.{name}", "")
        if text == default_of(parameter):
            continue
        if not text and parameter.nullable:
            values[name] = None
        else:
            values[name] = _value(name, parameter.type, parameter.items or "string", text)
    return values


def _value(name: str, kind: str, items: str, text: str) -> Any:
    try:
        if kind == "integer":
            return int(text)
        if kind == "number":
            return float(text)
    except ValueError:
        raise ValueError(f"{name}: {text[:60]!r} is no {kind}") from None
    if kind == "boolean":
        return text == "true"
    if kind == "list":
        return [_value(name, items, "string", line.strip()) for line in text.splitlines() if line.strip()]
    return text


def _targets(fields: dict[str, str]) -> Targets:
    on = fields.get("on", "all")
    if on == "devices":
        words = fields.get("serials", "").replace(",", " ").split()
        return Targets(kind=TargetKind.DEVICES, serials=words)
    if on == "group":
        return Targets(kind=TargetKind.ALL, selector=Selector(groups=[fields.get("group", "")]))
    if on == "node":
        return Targets(kind=TargetKind.ALL, selector=Selector(nodes=[fields.get("node", "")]))
    if on == "any":
        count = fields.get("count", "1")
        if not count.isdecimal():
            raise ValueError(f"{count[:20]!r} is no number of devices")
        return Targets(kind=TargetKind.ANY, count=int(count))
    return Targets(kind=TargetKind.ALL)
