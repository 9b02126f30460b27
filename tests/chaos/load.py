"""A bounded load of runs, asked for through every fault; what was acknowledged is remembered (steps 1-4)."""

from __future__ import annotations

import random
from typing import Final

import trio
import trio.lowlevel

from doai.messages import commands as c
from tests.integration.fleet import Fleet

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
WORKFLOWS: Final = (
    f"workflow: chaos-repeatable\n{_RETRY}{_MIDDLE}{_END}",
    f"workflow: chaos-once\n{_RETRY}{_MIDDLE}{_ONCE}{_END}",
)
"""All steps of the first may be repeated; the second has one that may not."""


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
        self._workflows: list[str] = []
        self._serials: list[str] = []

    async def prepare(self) -> None:
        """Store the workflows; before the first fault."""
        for source in WORKFLOWS:
            stored = await self._fleet.command(c.STORE_WORKFLOW, c.StoreWorkflow(source=source))
            self._workflows.append(f"{stored['name']}@{stored['version']}")
        rows = self._fleet.store.ask("SELECT serial FROM devices ORDER BY serial")
        self._serials = [serial for (serial,) in rows]

    async def run(self) -> None:
        """Ask for runs until cancelled."""
        while True:
            while self.open_tasks() >= OPEN_TASKS_PER_PHONE * len(self._serials):  # noqa: ASYNC110
                await trio.sleep(LOOK_S)
            await self._create()

    def open_tasks(self) -> int:
        """Count the tasks that have not ended."""
        sql = "SELECT count(*) FROM tasks WHERE state NOT IN ('passed','failed','cancelled','expired','unknown')"
        return int(self._fleet.store.ask(sql)[0][0])

    async def _create(self) -> None:
        serials = self._rng.sample(self._serials, self._rng.randint(1, len(self._serials)))
        payload = c.CreateRun(
            workflow=self._rng.choice(self._workflows),
            targets=c.Targets(kind=c.TargetKind.DEVICES, serials=serials),
        )
        self.asked += 1
        reply = await self._until_answered(c.CREATE_RUN, payload)
        if reply.problem is not None:
            self.refused.append(reply.problem.message)
            await trio.sleep(1.0)  # It said why; a program that asks again at once is no better off.
            return
        run_id, task_ids = str(reply.result["runId"]), reply.result["taskIds"]
        self.acknowledged[run_id] = len(task_ids)
        if self._rng.random() < 0.15:
            task_id = str(self._rng.choice(task_ids))
            await self._until_answered(c.CANCEL_TASK, c.CancelTask(task_id=task_id, reason="chaos"))
            self.cancelled += 1

    async def _until_answered(self, name: str, payload: c.CreateRun | c.CancelTask) -> c.Reply:
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
        extra = made.keys() - self.acknowledged.keys()
        # The last one may have been carried out while its answer was waited for.
        if len(extra) > self.asked - len(self.acknowledged) - len(self.refused):
            wrong.append(f"runs began several times: asked for {self.asked}, also made were {sorted(extra)}")
        return wrong
