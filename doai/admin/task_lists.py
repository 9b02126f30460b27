"""Lists by a word for several states, as pages and API ask for them: `held` tasks, `open` runs (step 14)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from doai.changes.rows import TaskRow
from doai.states import HELD, TERMINAL, RunState, TaskState
from doai.store.reader import StoreReader
from doai.store.task_reader import TaskFilter
from doai.store.views import Page

OPEN_RUNS: Final = "open"
"""Runs that are active or being cancelled."""
HELD_NAME: Final = "held"
"""Tasks that nodes and bots hold: dispatched, running, unproven or being cancelled."""
WAITING_NAME: Final = "waiting"
"""Tasks that nobody has yet: queued and delayed ones, which a discard of their queue throws away."""
ENDED_NAME: Final = "ended"
"""Tasks that are over, however."""
JUDGED_NAME: Final = "judged"
"""Tasks that count for the success rate: passed, failed and unknown ones."""
_JUDGED: Final = (TaskState.PASSED, TaskState.FAILED, TaskState.UNKNOWN)
STATES: Final = (*(state.value for state in TaskState), WAITING_NAME, HELD_NAME, ENDED_NAME, JUDGED_NAME)
RUN_STATES: Final = (OPEN_RUNS, *(state.value for state in RunState))
_MANY: Final[Mapping[str, tuple[TaskState, ...]]] = {
    WAITING_NAME: (TaskState.QUEUED, TaskState.DELAYED),
    HELD_NAME: tuple(HELD),
    ENDED_NAME: tuple(state for state in TaskState if state in TERMINAL),
    JUDGED_NAME: _JUDGED,
}
TaskWord = Literal[
    "queued", "dispatched", "delayed", "running", "unproven", "cancelling", "passed", "failed", "cancelled",
    "expired", "unknown", "waiting", "held", "ended", "judged",
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
    since_ms: int | None = None,
    until_ms: int | None = None,
    cursor: str | None = None,
    limit: int = 100,
) -> Page[TaskRow]:
    """Return tasks of a run by id, else the newest first; all given filters hold. ``state`` is one of STATES.

    With a time, ms since 1970 (UTC): those that ended from ``since_ms`` on and before ``until_ms``, by their ends.
    """
    states = _MANY.get(state) or ((TaskState(state),) if state else ())
    which = TaskFilter(
        states=states,
        run_id=run_id,
        device=device,
        node=node,
        queue=queue,
        code=code,
        since_ms=since_ms,
        until_ms=until_ms,
    )
    return await reader.task_lists.page(which, cursor=cursor, limit=limit)
