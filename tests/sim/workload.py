"""What people ask for in a world: recipes, runs, cancels; and what was acknowledged to them (steps 1-3)."""

from __future__ import annotations

from collections.abc import Callable
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
    "playback": 50,
    "look": 4,
    "rest": 3,
    "watch": 2,
    "tap": 1.5,
    "walk": 1,
    "branch": 1,
    "picky": 0.7,
    "broken": 0.15,
    "journey": 0.5,
    "parcel": 0.7,
    "errand": 1,
    "sign-in": 0.5,
}
"""A shelf mostly checks that videos play; the others are there for what only they do."""
ANY_MAX: Final = 24
"""Tasks of one run on any device."""
REFUSED_MAX: Final = 12
"""A run that is refused is asked for so often again: the disk has room by then, the queue takes runs."""
_TOO_MANY: Final = frozenset({"too_many_targets", "bad_request"})


class Workload:
    """Asks for runs over the working time, and cancels some."""

    def __init__(
        self,
        world: World,
        scenario: Scenario,
        admin: AdminProcess,
        serials: list[str],
        open_tasks: Callable[[], int],
    ) -> None:
        self.acknowledged: dict[str, tuple[float, int]] = {}
        """Runs whose creation was answered: when, and how many tasks each has (0 = not told)."""
        self.refused = 0
        self._world = world
        self._scenario = scenario
        self._admin = admin
        self._serials = serials
        self._open_tasks = open_tasks
        self.campaigns = CampaignWork(world, admin, scenario.work_s)
        self._task_ids: list[str] = []
        self._stored: set[str] = set()
        self._again = 0
        for name, text in RECIPES.items():
            world.after(0.5, self._store, name, text)
        self._until_s = 8.0 + scenario.work_s * 0.8
        random = world.random
        for _ in range(scenario.runs):
            world.after(random.uniform(8.0, self._until_s), self._create, 1 + scenario.tasks // 8)
        world.after(8.0, self._fill)

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

    def _fill(self) -> None:
        """Whoever looks after the fleet sees that it has little to do, and asks for more."""
        missing = self._scenario.tasks - self._open_tasks()
        if missing > 0 and not self._admin.waiting:
            self._create(missing)
        if self._world.now_s < self._until_s:
            self._world.after(self._world.random.uniform(4.0, 16.0), self._fill)

    def _create(self, wanted: int) -> None:
        random, scenario = self._world.random, self._scenario
        kind = random.choice((c.TargetKind.DEVICES, c.TargetKind.DEVICES, c.TargetKind.ALL, c.TargetKind.ANY))
        repeats = 1
        if kind is c.TargetKind.DEVICES:
            serials = random.sample(self._serials, min(len(self._serials), wanted, scenario.targets_max))
            repeats = max(1, wanted // max(1, len(serials)))
            targets = c.Targets(kind=kind, serials=serials)
        elif kind is c.TargetKind.ALL:
            repeats = max(1, wanted // len(self._serials))
            targets = c.Targets(kind=kind, selector=self._selector())
        else:
            # Few at once: of what matches a single phone, one after the other, the last must end in this world too.
            repeats = 1 + wanted // ANY_MAX
            targets = c.Targets(kind=kind, count=min(wanted, ANY_MAX, scenario.targets_max))
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
        size = len(targets.serials) or (targets.count if targets.kind is c.TargetKind.ANY else len(self._serials))
        create = c.CreateRun(
            project="sim",
            workflow=f"{name}@1" if random.random() < 0.2 else name,
            targets=targets,
            params=self._params(name),
            queue=self._queue(),
            priority=random.choice((0, 0, 0, 5, -5)),
            expires_in_s=random.choice((None,) * 9 + (20.0, 120.0, 600.0)),
            attempts=random.choice((None, None, 1, 4)),
            step_timeouts_s={"shot": 30.0} if name == "look" and random.random() < 0.2 else {},
            # The last of a bounded run must end in this world, too.
            max_parallel=random.choice((None,) * 8 + (1 + size // 6, 2 + size // 3)),
            canary=random.choice((None,) * 11 + (2,)),
            stop_rate=random.choice((None, None, None, None, None, 0.3)),
            stop_after=random.choice((None,) * 7 + (3,)),
        )
        self._command(create, 0)

    def _queue(self) -> str:
        return self._world.random.choice(("default", "default", "urgent", BULK))

    def _command(self, create: c.CreateRun, refused: int) -> None:
        """Ask for a run; when it is refused, later once more, for another queue or for fewer phones."""

        def answered(payload: Any, reply: c.Reply) -> None:
            self.was_created(payload, reply)
            if reply.problem is None or refused >= REFUSED_MAX:
                return
            targets = create.targets
            if reply.problem.code in _TOO_MANY:
                serials = targets.serials or self._serials
                few = self._world.random.sample(serials, max(1, min(len(serials) // 2, self._scenario.targets_max)))
                targets = c.Targets(kind=c.TargetKind.DEVICES, serials=few)
            again = msgspec.structs.replace(create, targets=targets, queue=self._queue())
            self._world.after(self._world.random.uniform(1.0, 12.0), self._command, again, refused + 1)

        self._admin.command(c.CREATE_RUN, create, answered)

    def _params(self, name: str) -> dict[str, Any]:
        random = self._world.random
        if name == "playback":
            return {"seconds": random.choice((45, 50, 53, 54, 55))}
        if name == "sign-in":
            return {"account": random.choice(("kim", "somebody with a long name"))}
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
        if effect.use == "media.wait_playing":
            return [self._watched(float(str(effect.arguments["seconds"])))]
        longest_s = effect.timeout_s * 0.9
        commands: list[tuple[float, Failure | None]] = []
        for _ in range(1 if random.random() < 0.8 else 2):
            duration_s = random.uniform(0.6 * longest_s, longest_s) / (2 if len(commands) else 1)
            failure = self._failure()
            if not self.calm and self._world.chance(scenario.slow_share):
                duration_s = effect.timeout_s * random.uniform(1.0, 3.0)
                self._world.faults["step_slow"] += 1
            commands.append((duration_s, failure))
        return commands

    def _watched(self, seconds: float) -> tuple[float, Failure | None]:
        """A video plays for so long, after a moment; what goes wrong does so at its beginning or at any time."""
        random = self._world.random
        failure = self._failure()
        if failure is not None:
            return random.uniform(0.2, random.choice((2.0, 2.0, 4.0, seconds))), failure
        if not self.calm and self._world.chance(self._scenario.slow_share):
            self._world.faults["step_slow"] += 1
            return random.uniform(1.0, 3.0) * 60.0, None
        return seconds + random.uniform(0.2, 3.0), None

    def _failure(self) -> Failure | None:
        if not self._fails():
            return None
        error_class, code = self._world.random.choice(FAILURES)
        self._world.faults["step_failed"] += 1
        self._world.faults[f"step_failed_{error_class.value}"] += 1
        return _failure(error_class, code)

    def _fails(self) -> bool:
        return not self.calm and self._world.chance(self._scenario.fail_share)

    def _host_s(self, effect: StartStep) -> float:
        """How long a step takes that no phone is needed for; a report is now and then late."""
        if effect.use == "wait":
            return parse_duration(str(effect.arguments["for"]))
        return 0.001 if self._world.random.random() < 0.8 else self._world.random.uniform(0.5, 6.0)


ROLES = {"admin": Role.ADMIN, "robot": Role.BOT}
