"""Tasks: the list with filters, and one with its steps, pictures, outputs and story (step 14)."""

from __future__ import annotations

from typing import Final

from litestar import Response, get
from litestar.params import FromPath

from doai.admin.access import VIEWER
from doai.admin.dashboard.spans import at_ms, command_value, field_value
from doai.admin.dashboard.visit import Visiting
from doai.admin.routes.events import told_of
from doai.admin.routes.removed import missing
from doai.admin.routes.surroundings import surroundings
from doai.admin.step_labels import labelled
from doai.admin.steps import STEP_EVENTS, step_tries
from doai.admin.task_lists import STATES, tasks_page
from doai.admin.translation import run_json, task_detail_json, task_json
from doai.limits import EVENTS_PAGE_MAX
from doai.states import TERMINAL, DeadLetterState
from doai.topics import task_subject
from doai.workflow.model import from_stored

SHOWN: Final = 100
PICTURES: Final = frozenset({"image/png", "image/jpeg", "image/webp"})


@get("/tasks", opt={"needs": VIEWER})
async def list_page(visit: Visiting) -> Response[str]:
    """Of a run by id, else newest first; within a time by their ends; all given filters hold."""
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
    return await visit.page(
        "tasks.html",
        items=[task_json(row) for row in page.items],
        following=page.next_cursor,
        states=STATES,
        fields=[field_value(each, visit.words.zone) for each in span],
        span=dict(zip(("since", "until"), map(command_value, span), strict=True)),
        queues=[queue.name for queue in await visit.services.reader.queues.all()],
    )


@get("/tasks/{task_id:str}", opt={"needs": VIEWER})
async def task_page(task_id: FromPath[str], visit: Visiting) -> Response[str]:
    """The failure is that of the last attempt."""
    reader = visit.services.reader
    view = await reader.task(task_id)
    if view is None:
        raise await missing(visit.services, "task", task_id, "tasks")
    files = await reader.artifacts(run_id=view.row.run_id, task_id=task_id, limit=EVENTS_PAGE_MAX)
    around = await surroundings(reader, view.row)
    links = await reader.dead_letters.retries(task_id)
    run = await reader.run(view.row.run_id)
    letter = await reader.dead_letters.find(task_id)
    log = await reader.events(subject=task_subject(task_id), limit=EVENTS_PAGE_MAX)
    task = task_detail_json(
        view.row, view.attempts, files.items, "/api/v1/artifacts", around, links, visit.words.voice
    )
    steps = step_tries(event for event in log.events if event.envelope.type in STEP_EVENTS)
    stored = await reader.workflows(run.row.workflow) if run is not None and run.row.workflow else []
    recipe = next((each for each in stored if run is not None and each.version == run.row.version), None)
    return await visit.page(
        "task.html",
        task=task,
        run=run_json(run) if run is not None else None,
        steps=labelled(steps, from_stored(recipe.body), visit.words.language) if recipe is not None else steps,
        pictures=[file for file in task.artifacts if file.media_type in PICTURES],
        files=[file for file in task.artifacts if file.media_type not in PICTURES],
        story=await told_of(reader, task_subject(task_id), visit.words.voice),
        is_open=view.row.status.state not in TERMINAL,
        letter=letter if letter is not None and letter.state is DeadLetterState.OPEN else None,
    )
