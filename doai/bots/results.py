"""What came of a run, and how a bot learns of it (step 14).

The broker tells the end over the bot's own connection; then, and where it could not tell, the admin API is asked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

import msgspec
import trio

from doai.errors import DoaiError, Failure, Fault

FIRST_LOOK_S: Final = 0.2
LONGEST_LOOK_S: Final = 2.0
"""Between looks where a broker does not tell ends, the longer the run takes."""
TOLD_LOOK_S: Final = 60.0
"""Between looks where it tells them: nothing is known to be missed, and nobody waits for ever."""
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


class _Waiter:
    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.look = trio.Event()


class RunWaits:
    """Who waits for the ends of runs."""

    def __init__(self, follow: Callable[[], None]) -> None:
        """``follow`` has the broker tell ends; what it says comes back by `followed` and `ended`."""
        self._follow = follow
        self._tells = False
        self._waiters: dict[_Waiter, None] = {}

    def followed(self, problem: str) -> None:
        """The broker tells ends from now on, or says why it does not; what ended before is looked for."""
        self._tells = not problem
        for waiter in self._waiters:
            waiter.look.set()

    def ended(self, run_id: str) -> None:
        """A run is over."""
        for waiter in self._waiters:
            if waiter.run_id == run_id:
                waiter.look.set()

    async def wait(self, run_id: str, has_ended: Callable[[], Awaitable[bool]]) -> None:
        """Return when the run has ended; it is looked at whenever that may be so."""
        waiter = _Waiter(run_id)
        self._waiters[waiter] = None
        try:
            self._follow()
            look_s = FIRST_LOOK_S
            while not await has_ended():
                with trio.move_on_after(TOLD_LOOK_S if self._tells else look_s):
                    await waiter.look.wait()
                waiter.look = trio.Event()
                look_s = min(look_s * 1.5, LONGEST_LOOK_S)
        finally:
            del self._waiters[waiter]


async def wait_for_end(query: Query, run_id: str, waits: RunWaits) -> dict[str, Any]:
    """Return the run, as the API shows it, when it has ended. Raises QueryFailed."""
    query = patient(query)
    run: dict[str, Any] = {}

    async def has_ended() -> bool:
        run.update(await query(f"/runs/{run_id}"))
        return run["outcome"] is not None

    await waits.wait(run_id, has_ended)
    return run


async def wait_for_run(query: Query, run_id: str, waits: RunWaits) -> RunResult:
    """Return what came of the run when it has ended. Raises QueryFailed."""
    run = await wait_for_end(query, run_id, waits)
    query = patient(query)
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


def patient(query: Query) -> Query:
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
