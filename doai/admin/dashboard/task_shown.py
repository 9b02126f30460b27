"""One task with all that a page tells of it: steps, pictures, outputs and story (step 14)."""

from __future__ import annotations

from typing import Final

import msgspec

from doai.admin.dashboard.visit import Visit
from doai.admin.routes.events import told_of
from doai.admin.routes.removed import missing
from doai.admin.routes.surroundings import surroundings
from doai.admin.step_labels import labelled
from doai.admin.steps import STEP_EVENTS, step_tries
from doai.admin.translation import run_json, task_detail_json
from doai.admin.views import ArtifactJson, EventJson, RunJson, StepJson, TaskDetailJson
from doai.limits import EVENTS_PAGE_MAX
from doai.states import TERMINAL, DeadLetterState
from doai.topics import task_subject
from doai.workflow.model import from_stored

PICTURES: Final = frozenset({"image/png", "image/jpeg", "image/webp"})


class TaskShown(msgspec.Struct, frozen=True, kw_only=True):
    """What the task's own page and the drawer beside a list show, by the macros of ``task_parts.html``."""

    task: TaskDetailJson
    """Its failure is that of the last attempt."""
    run: RunJson | None
    steps: list[StepJson]
    pictures: list[ArtifactJson]
    files: list[ArtifactJson]
    """Those that are no pictures."""
    story: list[EventJson]
    is_open: bool
    has_letter: bool
    """It gave up, and waits for a person."""


async def task_shown(visit: Visit, task_id: str) -> TaskShown:
    """Read a task; raises NotFoundError, which says whether it was removed or never was."""
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
    return TaskShown(
        task=task,
        run=run_json(run) if run is not None else None,
        steps=labelled(steps, from_stored(recipe.body), visit.words.language) if recipe is not None else steps,
        pictures=[file for file in task.artifacts if file.media_type in PICTURES],
        files=[file for file in task.artifacts if file.media_type not in PICTURES],
        story=await told_of(reader, task_subject(task_id), visit.words.voice),
        is_open=view.row.status.state not in TERMINAL,
        has_letter=letter is not None and letter.state is DeadLetterState.OPEN,
    )
