"""Again: a task or the failed part of a run as new tasks, and two runs beside each other (steps 1 and 14)."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Final

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath, QueryParameter

from doai.admin import examples
from doai.admin.access import OPERATOR, VIEWER
from doai.admin.routes.parameters import Given, Who
from doai.admin.routes.removed import missing
from doai.admin.run_comparison import Change, Compared, Ended, compare_runs
from doai.admin.services import Services
from doai.admin.views import View
from doai.changes.rows import TaskRow
from doai.errors import ConflictError, UserError
from doai.limits import EVENTS_PAGE_MAX
from doai.messages.dead_letters import DeadLettersRetried, LetterFilter, RetryDeadLetters
from doai.states import DeadLetterState, TaskState
from doai.store.views import RunView

COMPARED_MAX: Final = 20_000
"""Tasks of one of the two runs."""
_RETRIED: Final = DeadLettersRetried(retried=1, run_ids=["01KAJD8B00R0N0000000000002"])


class EndedJson(View, frozen=True, kw_only=True):
    """A phone in one run."""

    task_id: str
    state: str
    duration_s: float | None
    code: str


class ComparedJson(View, frozen=True, kw_only=True):
    """A phone in both."""

    device_serial: str
    change: str
    """same, better, worse, other (passed in neither), open (one has not ended), gone or new (only one had it)."""
    first: EndedJson | None
    second: EndedJson | None


class ComparisonJson(View, frozen=True, kw_only=True):
    """Two runs, phone by phone."""

    first: str
    second: str
    counts: dict[str, int]
    """Phones by change; they add up to the items."""
    items: list[ComparedJson]


def _json(found: Compared) -> ComparedJson:
    return ComparedJson(
        device_serial=found.serial,
        change=found.change.value,
        first=_ended(found.first),
        second=_ended(found.second),
    )


def _ended(found: Ended | None) -> EndedJson | None:
    if found is None:
        return None
    return EndedJson(**msgspec.structs.asdict(found) | {"state": found.state.value})


_COMPARED: Final = ComparisonJson(
    first=examples.RUN_ID,
    second="01KAJD8B00R0N0000000000002",
    counts={"better": 1},
    items=[
        _json(
            Compared(
                serial="R58M12ABCDE",
                change=Change.BETTER,
                first=Ended(task_id=examples.TASK_ID, state=TaskState.FAILED, duration_s=30.2, code="timeout"),
                second=Ended(task_id="01KAJD8B00TASK00000000002", state=TaskState.PASSED, duration_s=6.1, code=""),
            )
        )
    ],
)


@post(
    "/tasks/{task_id:str}/retry",
    status_code=200,
    opt={"needs": OPERATOR},
    tags=["tasks"],
    summary="Try a task that gave up again, as a new one",
    responses=examples.answer(200, DeadLettersRetried, _RETRIED, "What is tried again.", problems=(404, 409)),
)
async def retry_task(task_id: FromPath[str], services: Given, caller: Who) -> Response[DeadLettersRetried]:
    """On the same device, in a new run, which settles its dead letter. 409: nothing of it waits for anybody."""
    if await services.reader.task(task_id) is None:
        raise await missing(services, "task", task_id, "tasks")
    return await _again(services, caller, LetterFilter(ids=[task_id]), f"task {task_id}")


@post(
    "/runs/{run_id:str}/rerun",
    status_code=200,
    opt={"needs": OPERATOR},
    tags=["runs"],
    summary="Try the tasks of a run that gave up again, as a new run",
    responses=examples.answer(200, DeadLettersRetried, _RETRIED, "What is tried again.", problems=(404, 409)),
)
async def rerun_failed(run_id: FromPath[str], services: Given, caller: Who) -> Response[DeadLettersRetried]:
    """Each on its device. Ask again while `left` is not 0; 409: nothing of it waits for anybody."""
    await run_of(services, run_id)
    return await _again(services, caller, LetterFilter(run_id=run_id), f"run {run_id}")


async def _again(services: Services, caller: Who, which: LetterFilter, what: str) -> Response[DeadLettersRetried]:
    page = await services.reader.dead_letters.page(which, state=DeadLetterState.OPEN, cursor=None, limit=1)
    if not page.items:
        raise ConflictError(
            f"nothing of {what} gave up and waits for a person: start a new run instead", code="nothing_to_retry"
        )
    done = await services.command_of(caller, RetryDeadLetters(which=which), "dead-letters")
    return Response(done.result, headers=done.headers)


@get(
    "/runs/{run_id:str}/compare",
    opt={"needs": VIEWER},
    tags=["runs"],
    summary="Compare two runs, phone by phone",
    responses=examples.answer(200, ComparisonJson, _COMPARED, "Both, by phone.", problems=(404, 422)),
)
async def compare(
    run_id: FromPath[str],
    services: Given,
    other: Annotated[str, QueryParameter(name="with", max_length=64, description="id of the later run")],
) -> ComparisonJson:
    """The run of the path comes first: `better` means that the phone passed in the other only."""
    found = await compared(services, await run_of(services, run_id), await run_of(services, other))
    counts = Counter(each.change.value for each in found)
    return ComparisonJson(first=run_id, second=other, counts=dict(counts), items=[_json(each) for each in found])


async def run_of(services: Services, run_id: str) -> RunView:
    """Return a run; raises NotFoundError."""
    view = await services.reader.run(run_id)
    if view is None:
        raise await missing(services, "run", run_id, "runs")
    return view


async def compared(services: Services, first: RunView, second: RunView) -> list[Compared]:
    """Return what became of each phone in both; raises UserError for runs that are too large."""
    return compare_runs(await _tasks(services, first), await _tasks(services, second))


async def _tasks(services: Services, view: RunView) -> list[TaskRow]:
    run_id = view.row.run_id
    if view.row.tasks > COMPARED_MAX:
        raise UserError(f"run {run_id} has {view.row.tasks} tasks, {COMPARED_MAX} can be compared", code="too_many")
    tasks: list[TaskRow] = []
    cursor: str | None = None
    while True:
        page = await services.reader.tasks(run_id=run_id, cursor=cursor, limit=EVENTS_PAGE_MAX)
        tasks += page.items
        cursor = page.next_cursor
        if cursor is None:
            return tasks
