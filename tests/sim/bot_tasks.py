"""Tasks of bots in a world: processes that take them, die, freeze, leave; an operator; and what must hold.

Each task ends once; an attempt is one process's, and ends as that process said, or by the end of its lease; an end
that comes after it changes nothing. In the end none is open.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING, Any, Final

import msgspec

from doai.broker.core.effects import SendFrame
from doai.changes.bots import PutSubscription
from doai.changes.ops import InsertAttempt, Op
from doai.codec import Header, Kind, decode, encode, kind_of
from doai.envelope import Envelope
from doai.errors import ErrorClass, Failure
from doai.ids import Token
from doai.messages import bots as b
from doai.messages import commands as c
from doai.messages.link import HostSample, Role
from doai.messages.work import Cancels, Releases
from doai.states import TERMINAL, Outcome
from doai.topics import RUN_COMPLETED
from tests.sim.admin import BotProcess
from tests.sim.mix import BOT_TASKS, has
from tests.sim.odd_bots import OddBots
from tests.sim.world import Violation

if TYPE_CHECKING:
    from tests.sim.simulation import Simulation

NAME: Final = "builder"
KINDS: Final = ("report.build", "mail.send")
SUBSCRIPTION: Final = "log"
FOLLOWED: Final = 9
"""The channel on which a connection follows ends of runs."""
SCHEMA: Final = {
    "type": "object",
    "properties": {"pages": {"type": "integer", "minimum": 1}},
    "additionalProperties": False,
}
SLOTS: Final = 3
TASK_S: Final = 4.0
DONE_AFTER_S: Final = 0.5
"""What it was given is told done together."""
RUNS: Final = 14
_TOLD: Final = (Outcome.PASSED,) * 8 + (Outcome.FAILED, Outcome.FAILED, Outcome.UNKNOWN)
_CLASSES: Final = (ErrorClass.APP, ErrorClass.USER, ErrorClass.INFRASTRUCTURE, ErrorClass.TIMEOUT)


class Builder(BotProcess):
    """One process of the bot."""

    def __init__(self, tasks: BotTasks) -> None:
        self._tasks = tasks
        self._random = tasks.random
        self._life = 0
        self._work: dict[Token, b.BotTask] = {}
        self._done: dict[tuple[int, int, int], list[int]] = {}
        """Positions that are to be told, by life, connection and channel."""
        self._silent_until_s = 0.0
        self._late: list[b.BotTask] = []
        """Whose handlers were to end while it stood still."""
        super().__init__(tasks.simulation.world, tasks.simulation.network, NAME, Role.BOT)

    def die(self) -> None:
        """SIGKILL in the middle of its handlers, and a new process, which knows nothing."""
        self._life += 1
        self._work.clear()
        self._late.clear()
        self._pending.clear()
        super().die()

    def forget_to_vouch(self) -> None:
        """Its heartbeats name no task for a while, though it works on."""
        self._silent_until_s = self.world.now_s + 100.0

    @property
    def instance(self) -> str:
        """Of this life."""
        return self._instance

    # --- inside -------------------------------------------------------------------------------------------

    def _sample(self) -> HostSample:
        return HostSample(host="desk", pid=1, version="sim", started_at_ms=0, slots=SLOTS)

    def _tokens(self) -> list[tuple[int, int]]:
        if self.world.now_s < self._silent_until_s:
            return []
        return [(token.generation, token.n) for token in self._work]

    def _thawed(self) -> None:
        # Handlers that were due end.
        late, self._late = self._late, []
        for task in late:
            self._end(self._life, task)

    def _heard(self, header: Header, body: bytes) -> None:
        kind = header.kind
        if kind == Kind.WELCOME:
            self._register(self._epoch)
        elif kind == Kind.TASKS:
            for task in decode(body, b.BotTasks).tasks:
                self._begin(task)
        elif kind in (Kind.CANCEL, Kind.RELEASE):
            if kind == Kind.RELEASE and self._random.random() < 0.6:
                return  # a handler that does not let itself be cut off ends later, and tells it
            for ref in decode(body, Cancels if kind == Kind.CANCEL else Releases).tasks:
                task = self._work.pop(ref.token, None)
                if task is not None and kind == Kind.CANCEL:
                    self._tell(task, Outcome.CANCELLED)
        elif kind == Kind.EVENTS:
            channel = header.channel
            events = decode(body, b.Events).events
            if channel == FOLLOWED:
                self._tasks.followed(events)
            key = self._life, self._epoch, channel
            if events and key not in self._done:
                self._done[key] = []
                self.world.after(DONE_AFTER_S, self._tell_done, key)
            if events:
                self._done[key] += [event.position for event in events]

    def _tell_done(self, key: tuple[int, int, int]) -> None:
        if self._frozen is not None:
            self.world.after(DONE_AFTER_S, self._tell_done, key)
            return
        done, (life, epoch, channel) = self._done.pop(key), key
        if (life, epoch) == (self._life, self._epoch):
            failed: list[b.FailedEvent] = []
            if channel == 1 and done and self._random.random() < 0.05 and not self._tasks.calm:
                failed.append(b.FailedEvent(done.pop(), "failed", "by chance", 3))
            cursor = b.Cursor(
                channel=channel, done=done, failed=failed, credit_events=1 << 30, credit_bytes=1 << 40
            )
            self.send_raw(Kind.CURSOR, encode(cursor))

    @property
    def registration(self) -> b.RegisterBot:
        """What it says of itself."""
        return b.RegisterBot(
            name=NAME,
            version=str(self._life),
            config_schema=SCHEMA,
            subscriptions=[b.Subscription(name=SUBSCRIPTION, topics=["**"])],
            task_kinds=list(KINDS),
        )

    def register_again(self) -> None:
        """Say once more what it is."""
        if self._frozen is None:
            self._register(self._epoch)

    def _register(self, epoch: int) -> None:

        def subscribe(payload: Any, reply: c.Reply) -> None:
            if epoch == self._epoch and reply.problem is None:
                ask = b.Subscribe(channel=1, subscription=SUBSCRIPTION, credit_events=1 << 30, credit_bytes=1 << 40)
                self.send_raw(Kind.SUBSCRIBE, encode(ask))
                follows = self._random.choice((["run.completed"], ["run.completed"], ["Run *"]))
                follow = msgspec.structs.replace(ask, channel=FOLLOWED, follows=follows)
                for _ in range(self._random.choice((1, 1, 2, 40))):
                    self.send_raw(Kind.SUBSCRIBE, encode(follow))

        for waiting in [key for key, found in self._pending.items() if isinstance(found.payload, b.RegisterBot)]:
            del self._pending[waiting]
        self.command(b.REGISTER_BOT, self.registration, subscribe, key=None)

    def _begin(self, task: b.BotTask) -> None:
        self._tasks.given(self, task)
        if task.token in self._work or self._tasks.was_told(task.token):
            return
        self._work[task.token] = task
        # Some take longer than a lease: who lost one in the middle tells its end while another has the task.
        usual_s, long_s = self._random.expovariate(1.0 / TASK_S), self._random.uniform(30.0, 150.0)
        is_long = self._random.random() < (0.3 if task.attempt == 1 else 0.7) and not self._tasks.calm
        duration_s = long_s if is_long else usual_s
        self.world.after(duration_s, self._end, self._life, task)

    def _end(self, life: int, task: b.BotTask) -> None:
        if life != self._life or task.token not in self._work:
            return
        if self._frozen is not None:
            self._late.append(task)
            return
        del self._work[task.token]
        self._tell(task, self._random.choice(_TOLD) if not self._tasks.calm else Outcome.PASSED)

    def _tell(self, task: b.BotTask, outcome: Outcome) -> None:
        failure = None
        if outcome is not Outcome.PASSED and self._random.random() < 0.8:
            failure = Failure(error_class=self._random.choice(_CLASSES), code="sim", message="as the seed says")
        end = b.EndBotTask(
            task_id=task.task_id, token=task.token, outcome=outcome, outputs={"pages": 3}, failure=failure
        )
        self._tasks.told(task, outcome)
        self.command(b.END_BOT_TASK, end, self._tasks.answered, key=f"bot-task:{task.task_id}:{task.token}")


class BotTasks:
    """The bot of a world that takes tasks, its operator, and its checker."""

    def __init__(self, simulation: Simulation, seed: int) -> None:
        self.simulation = simulation
        self.random = Random(seed)
        self.calm = False
        self.is_there = has(seed, BOT_TASKS)
        self._holders: dict[Token, str] = {}
        """Which process was given each attempt."""
        self._told: dict[Token, Outcome] = {}
        """How the process that had it said that it ended."""
        self._ended: dict[Token, str] = {}
        """How attempts ended on disk."""
        self._place = 0
        self._processes: list[Builder] = []
        if not self.is_there:
            return
        simulation.broker.disk.observers.append(self._observe)
        self._processes = [Builder(self) for _ in range(self.random.choice((1, 2, 3)))]
        for _ in range(RUNS):
            simulation.world.after(self.random.uniform(8.0, 8.0 + simulation.scenario.work_s * 0.8), self._ask)
        simulation.world.after(self.random.expovariate(1.0 / 12.0), self._strike)
        simulation.world.after(self.random.expovariate(1.0 / 12.0), self._operate)
        self._odd = OddBots(simulation, self._processes, seed)
        simulation.world.after(4.0, self._do_odd)

    def settle(self) -> None:
        """No more faults; the bot works."""
        self.calm = True
        for process in self._processes:
            process.thaw()
            process.register_again()
        if self.is_there:
            self._command(b.SET_BOT_STATUS, b.SetBotStatus(name=NAME, status=b.BotStatus.ACTIVE))

    def look_after(self) -> None:
        """Whoever was refused is started anew; a bot that a restore put to rest works again."""
        for process in self._processes:
            if process.fenced:
                process.die()
        core = self.simulation.broker.core
        bot = core.state.bots.get(NAME) if core is not None else None
        if self.is_there and bot is not None and not bot.works:
            self._command(b.SET_BOT_STATUS, b.SetBotStatus(name=NAME, status=b.BotStatus.ACTIVE))

    def quiet(self) -> bool:
        """Whether no task of a bot is open."""
        core = self.simulation.broker.core
        return core is None or not any(
            task.target_kind is c.TargetKind.BOT and task.run.row.workflow in KINDS
            for task in core.state.tasks.values()
        )

    # --- what people do -------------------------------------------------------------------------------------

    def _ask(self) -> None:
        random = self.random
        kind = random.choice((*KINDS, KINDS[0], "no.such.kind"))
        create = c.CreateRun(
            project="sim",
            workflow="",
            targets=c.Targets(kind=c.TargetKind.BOT, bot=kind, count=random.choice((1, 1, 3, 12))),
            params={"month": "2026-11"},
            queue=random.choice(("default", "default", "urgent", "bulk")),
            priority=random.choice((0, 0, 5)),
            attempts=random.choice((None, 1, 2, 6)),
            expires_in_s=random.choice((None, None, None, 30.0)) if kind in KINDS else 60.0,
            max_parallel=random.choice((None, None, None, 2)),
        )
        self.simulation.admin.command(c.CREATE_RUN, create, self.simulation.workload.was_created)

    def _operate(self) -> None:
        """Say something of the bot that may be right or wrong."""
        if self.calm:
            return
        random = self.random
        name = random.choice((NAME, NAME, NAME, NAME, "no-such-bot"))
        deed = random.choice(("config", "config", "status", "status", "reset", "reset"))
        if deed == "config":
            config: dict[str, Any] = random.choice(
                ({"pages": 5}, {}, {"pages": 0}, {"sheets": 1}, {"pages": "x" * 70_000})
            )
            self._command(b.CONFIGURE_BOT, b.ConfigureBot(name=name, config=config))
        elif deed == "status":
            status = random.choice(list(b.BotStatus))
            self._command(b.SET_BOT_STATUS, b.SetBotStatus(name=name, status=status, reason="sim"))
            back = b.SetBotStatus(name=NAME, status=b.BotStatus.ACTIVE)
            self.simulation.world.after(random.uniform(1.0, 40.0), self._command, b.SET_BOT_STATUS, back)
        else:
            self._command(b.RESET_SUBSCRIPTION, self._reset(name))
        self.simulation.world.fault(f"operator_bot_{deed}")
        self.simulation.world.after(random.expovariate(1.0 / 12.0), self._operate)

    def _do_odd(self) -> None:
        if not self.calm:
            self._odd.deed()
            self.simulation.world.after(2.0, self._do_odd)

    def _reset(self, name: str) -> b.ResetSubscription:
        random, last = self.random, self.simulation.broker.disk.tables.last_position
        subscription = random.choice((SUBSCRIPTION,) * 5 + ("none",))
        kind = random.choice(("position", "position", "time", "end", "both", "ahead"))
        return b.ResetSubscription(
            name=name,
            subscription=subscription,
            position={"position": random.randrange(last + 1), "both": 0, "ahead": last + 1000}.get(kind),
            time_ms=self.simulation.broker.clock.now().utc_ms - random.randrange(100_000)
            if kind == "time"
            else None,
            to_end=kind in ("end", "both"),
        )

    def _command(self, command_type: str, payload: Any) -> None:
        self.simulation.admin.command(command_type, payload, _nothing)

    def _strike(self) -> None:
        if self.calm:
            return
        self.simulation.world.after(self.random.expovariate(1.0 / 12.0), self._strike)
        standing = [process for process in self._processes if not process.is_frozen]
        if not standing:
            return
        process = self.random.choice(standing)
        deed = self.random.choice(
            ("builder_dies", "builder_dies", "builder_leaves", "builder_frozen", "builder_cut", "builder_silent")
        )
        if deed == "builder_dies":
            process.die()
        elif deed == "builder_leaves":
            process.leave()
        elif deed == "builder_silent":
            process.forget_to_vouch()
        elif deed == "builder_cut":
            self.simulation.network.break_links(NAME)
        else:
            process.freeze()
            self.simulation.world.after(self.random.choice((3.0, 30.0, 90.0)), process.thaw)
        self.simulation.world.fault(deed)

    # --- what must hold -----------------------------------------------------------------------------------

    def was_told(self, token: Token) -> bool:
        """Whether the end of an attempt was told by whoever had it."""
        return token in self._told

    def given(self, process: Builder, task: b.BotTask) -> None:
        """A process is given an attempt: it is nobody else's."""
        holder = self._holders.setdefault(task.token, process.instance)
        if holder != process.instance:
            message = (
                f"{process.instance} is given attempt {task.attempt} of {task.task_id}, which {holder} was given"
            )
            raise Violation("leased_twice", message, task.task_id)

    def told(self, task: b.BotTask, outcome: Outcome) -> None:
        """A process says how its attempt ended."""
        self._told.setdefault(task.token, outcome)

    def answered(self, payload: Any, reply: c.Reply) -> None:
        """The broker took an end, or it was that of nobody."""
        if self.simulation.restored_s:
            return
        if reply.problem is not None:
            raise Violation("end_refused", f"an end was refused: {reply.problem.message}", payload.task_id)
        taken = msgspec.convert(reply.result, b.BotTaskEnded).taken
        if not taken:
            self.simulation.world.fault("bot_end_of_nobody")
        how = self._ended.get(payload.token, "open")
        if taken and how != payload.outcome.value:
            message = f"the end of attempt {payload.token} of {payload.task_id} was taken, on disk it is {how}"
            raise Violation("ack_lost", message, payload.task_id)
        track = self.simulation.ledger.tasks.get(payload.task_id)
        if not taken and track is not None and track.token == payload.token:
            message = f"the end of attempt {payload.token} of {payload.task_id} was refused while it was the lease"
            raise Violation("end_refused", message, payload.task_id)

    def _observe(self, ops: Sequence[Op]) -> None:
        for op in ops:
            if isinstance(op, InsertAttempt) and op.row.token in self._holders:
                row = op.row
                if row.token in self._ended and not self.simulation.restored_s:
                    raise Violation("ended_twice", f"attempt {row.token} of {row.task_id} ended twice", row.task_id)
                how = self._ended[row.token] = _how(row.outcome, row.failure)
                self.simulation.world.fault(f"bot_attempt_{how}")
                self._check_outcome(op)
            elif isinstance(op, PutSubscription) and op.row.bot == NAME:
                self._place = op.row.position

    def _check_outcome(self, op: InsertAttempt) -> None:
        """An attempt whose process said nothing of it was lost."""
        row = op.row
        by_broker = _how(row.outcome, row.failure) in ("lost", "released", "cancelled")
        if not by_broker and row.token not in self._told:
            message = f"attempt {row.token} of {row.task_id} is {row.outcome}, and its process has not told an end"
            raise Violation("ended_by_nobody", message, row.task_id)

    def sent(self, effect: SendFrame) -> None:
        """A frame leaves the broker: a lease is on disk before its process knows of it."""
        if kind_of(effect.header) != Kind.TASKS:
            return
        for task in decode(effect.body, b.BotTasks).tasks:
            if task.token not in self.simulation.ledger.tokens_ever:
                raise Violation(
                    "ack_before_commit", f"token {task.token} leaves before it is on disk", task.task_id
                )

    def followed(self, events: Sequence[b.LoggedEvent]) -> None:
        """Events of a channel that follows ends of runs came."""
        for event in events:
            found = decode(event.envelope, Envelope)
            early = event.position > self.simulation.ledger.position and not self.simulation.restored_s
            if found.type != RUN_COMPLETED or early:
                raise Violation(
                    "followed", f"event {event.position} {found.type} is given to who follows ends of runs"
                )
            self.simulation.world.fault("run_end_told")

    def check_at_end(self) -> None:
        """No task of a bot is open, and who told the last end of each was heard."""
        tables = self.simulation.broker.disk.tables
        for task_id, row in tables.tasks.items():
            run = tables.runs.get(row.run_id)
            if run is not None and run.workflow in KINDS and row.status.state not in TERMINAL:
                raise Violation(
                    "never_ends", f"task {task_id} of {run.workflow} is {row.status.state.value}", task_id
                )


def _how(outcome: Outcome | None, failure: Failure | None) -> str:
    if failure is not None and failure.code == "attempt_lost":
        return "lost"
    return outcome.value if outcome is not None else "released"


def _nothing(payload: Any, reply: c.Reply) -> None:
    """An answer of which nothing follows."""
