"""A bounded load of runs, asked for through every fault; what was acknowledged is remembered (steps 1-4)."""

from __future__ import annotations

import random
from typing import Any, Final

import apsw
import trio
import trio.lowlevel

from doai.envelope import Message
from doai.messages import commands as c
from tests.integration.fleet import Fleet
from tests.integration.reconcile import Store

ANSWER_S: Final = 5.0
"""Then the same command is sent again, under the same id: it must not be carried out twice."""
LOOK_S: Final = 0.25
OPEN_TASKS_PER_PHONE: Final = 2
STEPS_OF_ONE_COMMAND: Final = ("look", "flaky", "once")

_MIDDLE: Final = """
  - {id: ready, use: device.bootstrap}
  - {id: open, use: app.open_url, with: {url: "https://www.youtube.com/watch?v=dQw4w9WgXcQ"}}
  - {id: shot, use: screen.capture}
  - {id: keep, use: artifact.upload, with: {artifact: "${steps.shot.artifact}"}, needs: [shot]}
  - {id: look, use: device.shell, with: {command: sleep 0.4}, idempotent: true, needs: [shot]}
  - id: flaky
    use: device.shell
    with: {command: sleep 0.1; exit 3}
    idempotent: true
    optional: true
    retry: {attempts: 2, backoff: 100ms, on: [device, app]}
"""
_ONCE: Final = "  - {id: once, use: device.shell, with: {command: sleep 0.5}}"
_END: Final = """
always:
  - {id: bye, use: app.stop, with: {package: com.example.app}}
outputs: {screenshot: "${steps.keep.path}"}
"""
_RETRY: Final = "retry: {attempts: 8, backoff: 200ms, factor: 1, on: [device, infrastructure]}\nsteps:"
_HOPELESS: Final = """workflow: chaos-hopeless
steps:
  - {id: try, use: device.shell, with: {command: exit 7}, idempotent: true}
"""
WORKFLOWS: Final = (
    f"workflow: chaos-repeatable\n{_RETRY}{_MIDDLE}{_END}",
    f"workflow: chaos-once\n{_RETRY}{_MIDDLE}{_ONCE}{_END}",
    _HOPELESS,
)
"""All steps of the first may be repeated; the second has one that may not; the third always gives up."""
_SHARES: Final = (10, 10, 3)
"""Of the workflows among the runs."""
_OPEN: Final = "SELECT count(*) FROM tasks WHERE state NOT IN ('passed','failed','cancelled','expired','unknown')"
SIDE: Final = "side"
"""A second queue, with a third of the runs."""


async def ask(store: Store, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    """Ask the store while its disk may be full: then the index of its log has no room, and it can not be opened."""
    while True:
        try:
            return store.ask(sql, *values)
        except (apsw.IOError, apsw.CantOpenError, apsw.FullError):
            await trio.sleep(LOOK_S)


class Load:
    """Keeps some two tasks a phone open; `acknowledged` are the runs that the broker promised."""

    def __init__(self, fleet: Fleet, rng: random.Random) -> None:
        self.acknowledged: dict[str, int] = {}
        """Number of tasks, by run."""
        self.asked = 0
        """Commands for a run, each sent until it was answered."""
        self.refused: list[str] = []
        self.cancelled = 0
        self._fleet = fleet
        self._rng = rng
        self.workflows: list[str] = []
        self.serials: list[str] = []
        self.made_elsewhere: set[str] = set()
        """Runs that were promised to an operator: dead letters that are tried again."""

    async def prepare(self) -> None:
        """Store the workflows; before the first fault."""
        for source in WORKFLOWS:
            stored = await self._fleet.command(c.STORE_WORKFLOW, c.StoreWorkflow(source=source))
            self.workflows.append(f"{stored['name']}@{stored['version']}")
        rows = self._fleet.store.ask("SELECT serial FROM devices ORDER BY serial")
        self.serials = [serial for (serial,) in rows]

    async def run(self) -> None:
        """Ask for runs until cancelled."""
        while True:
            most = OPEN_TASKS_PER_PHONE * len(self.serials)
            while (await ask(self._fleet.store, _OPEN))[0][0] >= most:  # noqa: ASYNC110 - another process
                await trio.sleep(LOOK_S)
            await self._create()

    def open_tasks(self) -> int:
        """Count the tasks that have not ended."""
        return int(self._fleet.store.ask(_OPEN)[0][0])

    async def _create(self) -> None:
        [workflow] = self._rng.choices(self.workflows, weights=_SHARES)
        most = len(self.serials) if workflow != self.workflows[-1] else 1
        serials = self._rng.sample(self.serials, self._rng.randint(1, most))
        payload = c.CreateRun(
            workflow=workflow,
            queue=SIDE if self._rng.random() < 1 / 3 else "default",
            targets=c.Targets(kind=c.TargetKind.DEVICES, serials=serials),
        )
        self.asked += 1
        reply = await self.until_answered(c.CREATE_RUN, payload)
        if reply.problem is not None:
            self.refused.append(reply.problem.message)
            await trio.sleep(1.0)  # It said why; a program that asks again at once is no better off.
            return
        run_id, task_ids = str(reply.result["runId"]), reply.result["taskIds"]
        self.acknowledged[run_id] = len(task_ids)
        if self._rng.random() < 0.15:
            task_id = str(self._rng.choice(task_ids))
            await self.until_answered(c.CANCEL_TASK, c.CancelTask(task_id=task_id, reason="chaos"))
            self.cancelled += 1

    async def until_answered(self, name: str, payload: Message) -> c.Reply:
        """Give a command, under one id, again and again until the broker answers."""
        command_id = self._fleet.new_command_id()
        while True:
            try:
                return await self._fleet.ask(name, payload, command_id, within_s=ANSWER_S)
            except trio.TooSlowError:
                await trio.lowlevel.checkpoint()  # The answer, or the broker, is lost: the same again.

    def lost(self) -> list[str]:
        """What the store says of acknowledged runs that contradicts the answers."""
        made = dict(self._fleet.store.ask("SELECT run_id, tasks FROM runs"))
        wrong = [
            f"run {run_id} was acknowledged with {tasks} tasks, the store has {made.get(run_id)}"
            for run_id, tasks in self.acknowledged.items()
            if made.get(run_id) != tasks
        ]
        wrong += [f"run {run_id} was promised and is not there" for run_id in self.made_elsewhere - made.keys()]
        by_schedule = self._fleet.store.ask("SELECT run_id FROM fires WHERE run_id IS NOT NULL")
        known = self.acknowledged.keys() | self.made_elsewhere | {run_id for (run_id,) in by_schedule}
        extra = made.keys() - known
        # The last one may have been carried out while its answer was waited for.
        if len(extra) > self.asked - len(self.acknowledged) - len(self.refused):
            wrong.append(f"runs began several times: asked for {self.asked}, also made were {sorted(extra)}")
        return wrong
