"""What came of a run, and how a bot learns of it: the admin API is asked until the run has ended (step 14)."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Final, Protocol

import msgspec
import trio

from doai.errors import DoaiError, Failure, Fault

FIRST_LOOK_S: Final = 0.2
LONGEST_LOOK_S: Final = 2.0
"""Between looks, the longer the run takes: it is over at most this long when it is found."""
PAGE: Final = 500
AWAY_S: Final = 300.0
"""So long the API may be away while a run is waited for: an upgrade of its host takes some minutes."""


class QueryFailed(DoaiError):
    """The admin API refused, does not answer, or is not configured."""

    fault = Fault.PEER
    code = "query_failed"

    def __init__(self, message: str, *, status: int = 0) -> None:
        """``status``: of HTTP; 0 = there was no answer of the API."""
        super().__init__(message)
        self.status = status

    @property
    def away(self) -> bool:
        """Whether it may be answered later: the API, or the broker behind it, was not there."""
        return self.status in (0, 502, 503, 504)


class TaskResult(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What came of one task of a run."""

    task_id: str
    device_serial: str | None
    state: str
    """passed, failed, cancelled, expired or unknown."""
    failure: Failure | None = None
    reason: str = ""
    outputs: dict[str, Any] = {}


class RunResult(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a run."""

    run_id: str
    workflow: str
    """``name@version``."""
    outcome: str
    counts: dict[str, int]
    """Tasks by state."""
    tasks: list[TaskResult]

    @property
    def passed(self) -> bool:
        """Whether every task passed."""
        return self.outcome == "passed"


class Query(Protocol):
    """Asks the admin API; `Context.query` is one."""

    def __call__(self, path: str, **query: object) -> Awaitable[Any]: ...


async def wait_for_run(query: Query, run_id: str) -> RunResult:
    """Return when the run has ended. Raises QueryFailed."""
    query, look_s = _patient(query), FIRST_LOOK_S
    while True:
        run = await query(f"/runs/{run_id}")
        if run["outcome"] is not None:
            break
        await trio.sleep(look_s)
        look_s = min(look_s * 1.5, LONGEST_LOOK_S)
    tasks: list[TaskResult] = []
    cursor: str | None = None
    while True:
        page = await query("/tasks", run_id=run_id, limit=PAGE, cursor=cursor)
        tasks += [await _result(query, task) for task in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    return RunResult(
        run_id=run_id,
        workflow=f"{run['workflow']}@{run['version']}",
        outcome=run["outcome"],
        counts=run["counts"],
        tasks=tasks,
    )


def _patient(query: Query) -> Query:
    """Return a query that waits while the API is away: what was made goes on without it."""

    async def ask(path: str, **values: object) -> Any:
        until_s = trio.current_time() + AWAY_S
        while True:
            try:
                return await query(path, **values)
            except QueryFailed as error:
                if not error.away or trio.current_time() >= until_s:
                    raise
            await trio.sleep(LONGEST_LOOK_S)

    return ask


async def _result(query: Query, task: dict[str, Any]) -> TaskResult:
    whole = await query(f"/tasks/{task['taskId']}")
    try:
        return msgspec.convert(whole, TaskResult)
    except msgspec.ValidationError as error:
        raise QueryFailed(f"the API's answer about task {task['taskId']} can not be read: {error}") from None
