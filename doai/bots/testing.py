"""A mesh in memory with a broker that a test plays: a bot runs in it as in earnest, and no process is started.

::

    async def test_a_hot_phone_is_paused(autojump_clock):
        async with running(bot) as mesh:
            await mesh.sample("device.health", "device/R58", {"serial": "R58", "batteryTempC": 46})
            [pause] = mesh.commands(QuarantineDevice)
            assert pause.serial == "R58"

The clock is trio's own: with ``trio.testing.MockClock`` (the fixture ``autojump_clock`` of pytest-trio) hours pass
at once, see `Mesh.advance`. Without pytest `run_test` runs a test with such a clock.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import msgspec
import trio
import trio.testing

from doai.bots.bot import Bot
from doai.bots.core.effects import StopBot
from doai.bots.errors import SecretMissing
from doai.bots.played_broker import DeadLetter, PlayedBroker, TaskOutcome, refusal
from doai.bots.results import QueryFailed
from doai.bots.settings import config_of
from doai.bots.shell import Shell
from doai.bots.state import State
from doai.clock import Now
from doai.envelope import Message
from doai.errors import ConfigError, DoaiError, Failure
from doai.ids import RandomIds
from doai.limits import BOT_DRAIN_S
from doai.messages.bots import BotSettings, BotStatus
from doai.messages.catalogue import COMMANDS, EVENTS
from doai.messages.commands import CreateRun
from doai.messages.link import HostSample
from doai.store.bot_state import MemoryBotState
from doai.wire.keys import KeyTable, make_keypair
from doai.wire.memory import MemoryMesh, MemoryRouter

__all__ = ["BEGIN", "BotStopped", "DeadLetter", "Mesh", "PlayedTask", "TaskOutcome", "run_test", "running"]

BEGIN: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""What the clock of a test says first."""
_ENDPOINT: Final = "memory"
_T = TypeVar("_T")
_CommandT = TypeVar("_CommandT", bound=Message)
_TYPE_OF: Final = {payload: name for name, (payload, _) in COMMANDS.items()}


class BotStopped(DoaiError):
    """The bot ended while the test waited for it; the message is its sentence."""

    code = "bot_stopped"


class PlayedTask(msgspec.Struct, frozen=True):
    """What came of a task of a run that a test plays."""

    state: str = "passed"
    """passed, failed, cancelled, expired or unknown."""
    outputs: dict[str, Any] = {}
    failure: Failure | None = None
    reason: str = ""


class MeshClock:
    """Trio's time, which a test can move, and a UTC that goes with it."""

    def __init__(self) -> None:
        self._begin_s = trio.current_time()

    def now(self) -> Now:
        now_s = trio.current_time()
        return Now(now_s, round(BEGIN.timestamp() * 1000 + (now_s - self._begin_s) * 1000))


class Mesh:
    """What a test gives a bot, and what the bot did."""

    def __init__(self, bot: Bot, router: MemoryRouter, memory: MemoryMesh, nursery: trio.Nursery) -> None:
        self.bot = bot
        self.clock = MeshClock()
        self.secrets: dict[str, str] = {}
        """What `Context.secret` has, by name."""
        self.pages: dict[str, Any] = {}
        """What `Context.query` has, by path; a function is called with the query."""
        self.run_ends: dict[str, Mapping[str, Any]] = {}
        """What came of runs of a workflow, as `ends_runs` set it."""
        self.run_plays: dict[str, Callable[[CreateRun], Mapping[str, PlayedTask]]] = {}
        """The same as `plays_runs` set it."""
        self._played: dict[str, Mapping[str, PlayedTask]] = {}
        self._ids = RandomIds(random.Random(7).getrandbits)
        self.broker = PlayedBroker(router, self._ids, self.clock)
        self._keys = make_keypair()
        self._memory = memory
        self._server_key = ""
        self._nursery = nursery
        self._state_file = MemoryBotState()
        self._shell: Shell | None = None
        self._scope = trio.CancelScope()
        self.stopped: StopBot | None = None
        """Why the bot ended, with its exit code; None = it runs."""

    # --- giving ---------------------------------------------------------------------------------------------

    async def event(self, event_type: str, subject: str, payload: object, *, settle: bool = True) -> int:
        """Write an event to the log and, unless told not to, wait until it is handled; return its position.

        The payload must be what doai's event of that type has. Raises ConfigError when it is not, BotStopped.
        """
        wanted = EVENTS.get(event_type)
        if wanted is None:
            raise ConfigError(f"there is no event {event_type}: proto/MESSAGES.md lists them")
        data = msgspec.to_builtins(payload)
        try:
            msgspec.convert(data, wanted)
        except msgspec.ValidationError as error:
            raise ConfigError(f"this is no payload of {event_type}: {error}") from None
        position = self.broker.append(event_type, subject, data)
        if settle:
            await self.settle()
        return position

    async def sample(self, topic: str, subject: str, payload: object) -> None:
        """Give a sample and wait until it is handled. Raises BotStopped."""
        self.broker.give_sample(topic, subject, payload)
        await self.settle()

    async def task(self, kind: str, params: Mapping[str, Any] | None = None) -> TaskOutcome:
        """Give a task and return what came of it. Raises BotStopped."""
        task_id = self.broker.give_task(kind, dict(params or {}))
        await self._wait(lambda: task_id in self.broker.outcomes)
        return self.broker.outcomes[task_id]

    async def configure(self, status: BotStatus = BotStatus.ACTIVE, **config: Any) -> None:
        """Set configuration and status as an operator does. Raises ConfigError when it does not fit."""
        config_of(self.bot, config)
        revision = self.broker.settings.revision + 1
        self.broker.set(BotSettings(name=self.bot.name, status=status, config=config, revision=revision))
        await trio.testing.wait_all_tasks_blocked()

    async def advance(self, seconds: float) -> None:
        """Let time pass; at once with a clock that jumps."""
        clock = trio.lowlevel.current_clock()
        if isinstance(clock, trio.testing.MockClock) and math.isinf(clock.autojump_threshold):
            clock.jump(seconds)
        else:
            await trio.sleep(seconds)
        await trio.testing.wait_all_tasks_blocked()

    async def settle(self) -> None:
        """Wait until all that was given is handled or given up. Raises BotStopped."""
        await self._wait(lambda: self.broker.settled)
        await trio.testing.wait_all_tasks_blocked()

    async def _wait(self, condition: Callable[[], bool]) -> None:
        await self.broker.wait(lambda: condition() or self.stopped is not None)
        if self.stopped is not None and not condition():
            raise BotStopped(f"the bot ended with exit code {self.stopped.exit_code}: {self.stopped.reason}")

    # --- answers --------------------------------------------------------------------------------------------

    def answer(self, command: type[_CommandT], answer: Callable[[_CommandT], Message]) -> None:
        """Answer a command with what the function returns; without one the answer has every field set somehow."""
        self.broker.answers[_TYPE_OF[command]] = answer

    def refuse(self, command: type[Message], message: str, *, code: str = "refused") -> None:
        """Refuse a command."""
        self.broker.answers[_TYPE_OF[command]] = lambda _: refusal(message, code=code)

    def plays_runs(self, workflow: str, ends: Callable[[CreateRun], Mapping[str, PlayedTask]]) -> None:
        """Let runs of a workflow end as the function says: what came of each device that the run is on."""
        self.run_plays[workflow] = ends

    def ends_runs(self, workflow: str, outcome: str = "passed", **outputs: Any) -> None:
        """Let runs of a workflow end like this, each task with these outputs."""
        self.run_ends[workflow] = {"outcome": outcome, "outputs": outputs}

    # --- what the bot did -------------------------------------------------------------------------------------

    def commands(self, command: type[_CommandT]) -> list[_CommandT]:
        """Return the commands of a type that the bot gave, in order; each once."""
        return [given.payload for given in self.broker.commands if isinstance(given.payload, command)]

    @property
    def waiting_commands(self) -> int:
        """Commands that have no answer yet."""
        return self._shell.waiting_commands if self._shell is not None else 0

    @property
    def dead_letters(self) -> list[DeadLetter]:
        """Events that handlers gave up."""
        return self.broker.dead_letters

    @property
    def state(self) -> State:
        """What the bot keeps."""
        return State(lambda: self._state_file, in_thread=False)

    # --- the process ------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the bot and return when it is taken in. Raises BotStopped when it is refused."""
        self.stopped = None
        self._scope = trio.CancelScope()
        self._shell = Shell(
            self.bot,
            instance=f"t{self._ids.new_id(0)[-8:]}",
            entry_point="test",
            open_dealer=lambda: self._memory.open_dealer(_ENDPOINT, self._keys, self._server_key),
            clock=self.clock,
            ids=self._ids,
            state=self.state,
            outside=self,
            sample=self._sample,
            random01=random.Random(7).random,
        )
        self._nursery.start_soon(self._run, self._shell, self._scope)
        shell = self._shell

        async def look() -> None:
            await shell.serving.wait()
            self.broker.progressed()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(look)
            await self.broker.wait(lambda: shell.serving.is_set() or self.stopped is not None)
            nursery.cancel_scope.cancel()
        if not shell.serving.is_set():
            await self._wait(lambda: False)

    async def _run(self, shell: Shell, scope: trio.CancelScope) -> None:
        stopped = StopBot("it was killed", -9)
        with scope:
            stopped = await shell.run()
        self.stopped = stopped
        self.broker.progressed()

    def _sample(self) -> HostSample:
        now_ms = self.clock.now().utc_ms
        return HostSample(
            host="test", pid=1, version="test", started_at_ms=now_ms, slots=self.bot.max_tasks, utc_ms=now_ms
        )

    async def stop(self) -> StopBot:
        """Stop the bot as SIGTERM does; return its sentence and exit code."""
        if self.stopped is None and self._shell is not None:
            self._shell.drain("it was stopped", BOT_DRAIN_S)
        await self.broker.wait(lambda: self.stopped is not None)
        assert self.stopped is not None
        return self.stopped

    async def kill(self) -> None:
        """End the bot as SIGKILL does: what it was doing is not done."""
        self._scope.cancel()
        await self.broker.wait(lambda: self.stopped is not None)
        self.broker.gone()

    def cut(self) -> None:
        """End the connection, as a network does; the bot connects again."""
        self.broker.cut()

    # --- what contexts ask for --------------------------------------------------------------------------------

    async def query(self, path: str, query: Mapping[str, object]) -> Any:
        """Answer `Context.query`: from `pages`, and of the runs that the bot made."""
        await trio.lowlevel.checkpoint()
        if path in self.pages:
            page = self.pages[path]
            return page(query) if callable(page) else page
        kind, _, name = path.removeprefix("/").partition("/")
        if kind == "runs" and name in self.broker.runs:
            return self._run_page(name)
        if kind == "tasks" and query.get("run_id") in self.broker.runs:
            return {"items": self._tasks_of(str(query["run_id"])), "next": None}
        for run_id in self.broker.runs if kind == "tasks" else ():
            for task in self._tasks_of(run_id):
                if task["taskId"] == name:
                    return task
        raise QueryFailed(f"the mesh of this test has nothing at {path}: set mesh.pages[{path!r}]", status=404)

    def _run_page(self, run_id: str) -> dict[str, Any]:
        name, _, version = self.broker.runs[run_id].workflow.partition("@")
        counts = Counter(task["state"] for task in self._tasks_of(run_id))
        state = next((state for state in counts if state != "passed"), "passed")
        return {"workflow": name, "version": version or "1", "outcome": state, "counts": dict(counts)}

    def _tasks_of(self, run_id: str) -> list[dict[str, Any]]:
        command = self.broker.runs[run_id]
        play = self.run_plays.get(command.workflow)
        if play is not None:
            if run_id not in self._played:
                self._played[run_id] = play(command)
            return [
                _task(run_id, number, serial, msgspec.to_builtins(task))
                for number, (serial, task) in enumerate(self._played[run_id].items(), 1)
            ]
        end = self.run_ends.get(command.workflow, {"outcome": "passed", "outputs": {}})
        fields = {"state": end["outcome"], "outputs": end["outputs"]}
        return [
            _task(run_id, number, serial, fields)
            for number, serial in enumerate(command.targets.serials or [None], 1)
        ]

    async def secret(self, name: str) -> str:
        """Answer `Context.secret`."""
        await trio.lowlevel.checkpoint()
        if name not in self.secrets:
            raise SecretMissing(f"the mesh of this test has no secret {name}: set mesh.secrets[{name!r}]")
        return self.secrets[name]


@asynccontextmanager
async def running(
    bot: Bot, *, start: bool = True, secrets: Mapping[str, str] | None = None, **config: Any
) -> AsyncIterator[Mesh]:
    """Run a bot in a mesh of its own, with this configuration; at the end it is stopped as by SIGTERM.

    With ``start`` False the test calls `Mesh.start` itself, after it has prepared answers.
    """
    memory, ring, server = MemoryMesh(), KeyTable(), make_keypair()
    try:
        async with memory.open_router(_ENDPOINT, server, ring) as router, trio.open_nursery() as nursery:
            mesh = Mesh(bot, router, memory, nursery)
            mesh._server_key = server.public
            ring.add(mesh._keys.public, bot.name)
            mesh.secrets.update(secrets or {})
            mesh.broker.settings = BotSettings(name=bot.name, status=BotStatus.ACTIVE, config=config)
            config_of(bot, config)
            nursery.start_soon(mesh.broker.run)
            if start:
                await mesh.start()
            yield mesh
            if mesh._shell is not None:
                await mesh.stop()
            nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        # A test reads the one error that it is about, not the group in which it came.
        raise _only(group) from None


def _task(run_id: str, number: int, serial: str | None, fields: Mapping[str, Any]) -> dict[str, Any]:
    return {"taskId": f"{run_id}-{number}", "deviceSerial": serial, **fields}


def _only(group: BaseExceptionGroup[BaseException]) -> BaseException:
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup) and len(found.exceptions) == 1:
        found = found.exceptions[0]
    return found


def run_test(test: Callable[[], Awaitable[_T]]) -> _T:
    """Run a test with a clock that jumps whenever everybody waits; for use without pytest."""
    return trio.run(test, clock=trio.testing.MockClock(autojump_threshold=0), strict_exception_groups=True)
