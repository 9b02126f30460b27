"""Lists by a word for several states, as pages and API ask for them: `held` tasks, `open` runs (step 14)."""

from __future__ import annotations

from typing import Final, Literal

from doai.changes.rows import TaskRow
from doai.states import HELD, RunState, TaskState
from doai.store.reader import StoreReader
from doai.store.views import Page

OPEN_RUNS: Final = "open"
"""Runs that are active or being cancelled."""
HELD_NAME: Final = "held"
"""Tasks that nodes and bots hold: dispatched, running, unproven or being cancelled."""
STATES: Final = (*(state.value for state in TaskState), HELD_NAME)
RUN_STATES: Final = (OPEN_RUNS, *(state.value for state in RunState))
TaskWord = Literal[
    "queued", "dispatched", "delayed", "running", "unproven", "cancelling", "passed", "failed", "cancelled",
    "expired", "unknown", "held",
]  # fmt: skip
RunWord = Literal["open", "active", "cancelling", "completed"]
"""The same for the contract of the API."""


async def tasks_page(
    reader: StoreReader,
    *,
    state: str = "",
    run_id: str | None = None,
    device: str | None = None,
    node: str | None = None,
    queue: str | None = None,
    code: str | None = None,
    cursor: str | None = None,
    limit: int = 100,
) -> Page[TaskRow]:
    """Return tasks of a run by id, else the newest first; all given filters hold. ``state`` is one of STATES."""
    states = [*HELD] if state == HELD_NAME else [TaskState(state) if state else None]
    pages = [
        await reader.tasks(
            run_id=run_id, state=each, device=device, node=node, queue=queue, code=code, cursor=cursor, limit=limit
        )
        for each in states
    ]
    if len(pages) == 1:
        return pages[0]
    rows = sorted((row for page in pages for row in page.items), key=lambda row: row.task_id, reverse=not run_id)
    goes_on = len(rows) > limit or any(page.next_cursor for page in pages)
    return Page(rows[:limit], rows[:limit][-1].task_id if goes_on else None)
