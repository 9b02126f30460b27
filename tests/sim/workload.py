"""What people ask for in a world: recipes, runs, cancels; and what was acknowledged to them (steps 1-3)."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from doai.errors import ErrorClass, Failure
from doai.messages import commands as c
from doai.messages.link import Role
from doai.node.core.effects import StartStep
from doai.workflow.duration import parse_duration
from tests.sim.admin import AdminProcess
from tests.sim.campaigns import CampaignWork
from tests.sim.phones import FAILURES, _failure
from tests.sim.queues import BULK
from tests.sim.recipes import RECIPES
from tests.sim.scenario import Scenario
from tests.sim.world import Violation, World

_RECIPE_SHARES = {
    "look": 7,
    "rest": 7,
    "watch": 4,
    "tap": 2,
    "walk": 1,
    "branch": 1,
    "picky": 0.7,
    "broken": 0.15,
    "journey": 0.5,
    "parcel": 0.7,
    "errand": 1,
}


ANY_MAX: Final = 24
"""Tasks of one run on any device."""


class Workload:
    """Asks for runs over the working time, and cancels some."""

    def __init__(self, world: World, scenario: Scenario, admin: AdminProcess, serials: list[str]) -> None:
        self.acknowledged: dict[str, tuple[float, int]] = {}
        """Runs whose creation was answered: when, and how many tasks each has (0 = not told)."""
        self.refused = 0
        self._world = world
        self._scenario = scenario
        self._admin = admin
        self._serials = serials
        self.campaigns = CampaignWork(world, admin, scenario.work_s)
        self._task_ids: list[str] = []
        self._stored: set[str] = set()
        self._again = 0
        for name, text in RECIPES.items():
            world.after(0.5, self._store, name, text)
        random = world.random
        for _ in range(scenario.runs):
            world.after(random.uniform(8.0, 8.0 + scenario.work_s * 0.8), self._create)

    @property
    def asked_all(self) -> bool:
        """Everything was answered."""
        return not self._admin.waiting

    def _store(self, name: str, text: str) -> None:
        self._admin.command(c.STORE_WORKFLOW, c.StoreWorkflow(source=text), self._was_stored)

    def _was_stored(self, payload: Any, reply: c.Reply) -> None:
        if reply.problem is None:
            self._stored.add(payload.source)
            return
        self._again += 1
        if self._again > 100:
            raise Violation("workload", f"a recipe is refused: {reply.problem.message}")
        # There was no room, or the frame with the recipe that it calls was lost: that one comes again.
        self._world.after(5.0, self._admin.command, c.STORE_WORKFLOW, payload, self._was_stored)

    def again(self) -> None:
        """The store was restored: what it had forgotten is stored again."""
        for name, text in RECIPES.items():
            self._store(name, text)

    def _create(self) -> None:
        random, scenario = self._world.random, self._scenario
        kind = random.choice((c.TargetKind.DEVICES, c.TargetKind.DEVICES, c.TargetKind.ALL, c.TargetKind.ANY))
        wanted = max(1, scenario.tasks // scenario.runs)
        repeats = 1
        if kind is c.TargetKind.DEVICES:
            serials = random.sample(self._serials, min(len(self._serials), wanted))
            repeats = max(1, wanted // max(1, len(serials)))
            targets = c.Targets(kind=kind, serials=serials)
        elif kind is c.TargetKind.ALL:
            repeats = max(1, wanted // len(self._serials))
            targets = c.Targets(kind=kind, selector=self._selector())
        else:
            # Few at once: of what matches a single phone, one after the other, the last must end in this world too.
            repeats = 1 + wanted // ANY_MAX
            targets = c.Targets(kind=kind, count=min(wanted, ANY_MAX))
        for _ in range(min(repeats, 12)):
            if kind is c.TargetKind.ANY:
                targets = msgspec.structs.replace(targets, selector=self._selector())
            self._ask(targets)

    def _selector(self) -> c.Selector:
        return self._world.random.choice(
            (
                c.Selector(),
                c.Selector(),
                c.Selector(tags=["shelf"]),
                c.Selector(models=["P7"]),
                c.Selector(sdk=">=29"),
            )
        )

    def _ask(self, targets: c.Targets) -> None:
        random = self._world.random
        names = list(_RECIPE_SHARES)
        name = random.choices(names, list(_RECIPE_SHARES.values()))[0]
        create = c.CreateRun(
            project="sim",
            workflow=f"{name}@1" if random.random() < 0.2 else name,
            targets=targets,
            params=self._params(name),
            queue=random.choice(("default", "default", "urgent", BULK)),
            priority=random.choice((0, 0, 0, 5, -5)),
            expires_in_s=random.choice((None,) * 9 + (20.0, 120.0, 600.0)),
            attempts=random.choice((None, None, 1, 4)),
            step_timeouts_s={"shot": 30.0} if name == "look" and random.random() < 0.2 else {},
            max_parallel=random.choice((None, None, None, None, 1, 4)),
            canary=random.choice((None,) * 7 + (2,)),
            stop_rate=random.choice((None, None, None, None, None, 0.3)),
            stop_after=random.choice((None,) * 7 + (3,)),
        )
        self._admin.command(c.CREATE_RUN, create, self.was_created)

    def _params(self, name: str) -> dict[str, Any]:
        random = self._world.random
        if name == "branch":
            return {"fast": random.random() < 0.5}
        return {"rounds": random.choice((1, 2, 2, 3, 9))} if name == "journey" else {}

    def was_created(self, payload: Any, reply: c.Reply) -> None:
        """A run was answered: it must be there in the end, unless it was refused."""
        if reply.problem is not None or reply.result is None:
            self.refused += 1
            return
        created = msgspec.convert(reply.result, c.RunCreated)
        self.acknowledged[created.run_id] = (self._world.now_s, len(created.task_ids))
        self._task_ids.extend(created.task_ids)
        random = self._world.random
        if random.random() < 0.05:
            cancel = c.CancelRun(run_id=created.run_id, reason="sim")
            self._world.after(random.uniform(0.0, 60.0), self._admin.command, c.CANCEL_RUN, cancel, _nothing)
        for task_id in created.task_ids:
            if random.random() < 0.03:
                one = c.CancelTask(task_id=task_id)
                self._world.after(random.uniform(0.0, 60.0), self._admin.command, c.CANCEL_TASK, one, _nothing)


def _nothing(payload: Any, reply: c.Reply) -> None:
    """An answer of which nothing follows."""


class Steps:
    """Draws how each step goes."""

    def __init__(self, world: World, scenario: Scenario) -> None:
        self._world = world
        self._scenario = scenario
        self.calm = False

    def draw(self, effect: StartStep) -> list[tuple[float, Failure | None]]:
        """Return the commands of one try: how long each takes and how it ends."""
        random, scenario = self._world.random, self._scenario
        if not effect.on_device:
            asks = effect.use == "http.request"
            failure = _failure(ErrorClass.APP, "status_unwanted") if asks and self._fails() else None
            return [(self._host_s(effect), failure)]
        longest_s = effect.timeout_s * 0.9
        commands: list[tuple[float, Failure | None]] = []
        for _ in range(1 if random.random() < 0.8 else 2):
            duration_s = random.uniform(0.6 * longest_s, longest_s) / (2 if len(commands) else 1)
            failure = None
            if self._fails():
                error_class, code = random.choice(FAILURES)
                failure = _failure(error_class, code)
                self._world.faults["step_failed"] += 1
                self._world.faults[f"step_failed_{error_class.value}"] += 1
            if not self.calm and self._world.chance(scenario.slow_share):
                duration_s = effect.timeout_s * random.uniform(1.0, 3.0)
                self._world.faults["step_slow"] += 1
            commands.append((duration_s, failure))
        return commands

    def _fails(self) -> bool:
        return not self.calm and self._world.chance(self._scenario.fail_share)

    def _host_s(self, effect: StartStep) -> float:
        """How long a step takes that no phone is needed for; a report is now and then late."""
        if effect.use == "wait":
            return parse_duration(str(effect.arguments["for"]))
        return 0.001 if self._world.random.random() < 0.8 else self._world.random.uniform(0.5, 6.0)


ROLES = {"admin": Role.ADMIN, "robot": Role.BOT}
