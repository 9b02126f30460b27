"""The core of a bot and the broker's over a network that loses frames: nothing waits for ever or comes twice."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest

from doai.bots import Bot, Context
from doai.bots.core.core import BotCore
from doai.bots.core.effects import CoreEffect, ExitCodes, RunEnded, RunsFollowed, StopBot
from doai.bots.core.session import Answered, Session
from doai.bots.core.work import Cause, Cut, Ended, Start
from doai.bots.sources import sources_of
from doai.broker.core.effects import Effect, SendFrame, ShutLink
from doai.changes.dead_letters import DeadLetterKind
from doai.codec import Kind, encode
from doai.ids import RandomIds
from doai.link.actions import OpenSocket
from doai.link.actions import SendFrame as SendToBroker
from doai.messages import commands as c
from doai.messages.link import Heartbeat
from doai.states import RunState
from doai.topics import matches
from tests.unit.broker.harness import FakeAdmin, FakeNode, World, sample

EXITS = ExitCodes(stopped=0, refused=2, fenced=3)
TOPICS = ["run.*", "task.queued"]
TRIES = 2
HOPELESS = 7
"""Of so many events the handler fails for one each time."""
KIND = "robot.count"
LATENCY_S = 0.01
LOSSY_S = 150.0
CALM_S = 240.0
"""A lease that was lost, its next attempt, a silent connection: all of it once more."""


def counting() -> Bot:
    """A bot of which only what it declares is used."""
    bot = Bot("robot", max_concurrent=4, max_tasks=2)

    @bot.on(*TOPICS, tries=TRIES, from_beginning=True)
    async def hear(event: Any, ctx: Context) -> None: ...

    @bot.sample("node.host")
    async def look(sample: Any, ctx: Context) -> None: ...

    @bot.task(KIND, timeout="30s")
    async def count(params: dict[str, Any], ctx: Context) -> None: ...

    return bot


class Wired(World):
    """A broker whose frames to the bot go through a network."""

    def __init__(self) -> None:
        self.wires: dict[int, Callable[[SendFrame | ShutLink], None]] = {}
        super().__init__()

    def _perform(self, effect: Effect) -> None:
        if isinstance(effect, SendFrame | ShutLink) and effect.link in self.wires:
            self.wires[effect.link](effect)
        else:
            super()._perform(effect)


class Pair:
    """Both cores, one clock, and a network between them."""

    def __init__(self, seed: int, lost_share: float) -> None:
        self.random = random.Random(seed)
        self.lost_share = lost_share
        self.world = Wired()
        self.node = FakeNode(self.world).connect()
        self.node.device("d1")
        self.node.flush()
        self.admin = FakeAdmin(self.world)
        self.admin.store()
        bot = counting()
        ids = RandomIds(self.random.getrandbits)
        session = Session(bot.registration(), instance="x1", ids=ids, sample=sample(slots=bot.max_tasks))
        self.core = BotCore(
            session,
            sources_of(bot, self.world.mono_s),
            max_concurrent=bot.max_concurrent,
            max_tasks=bot.max_tasks,
            exits=EXITS,
        )
        self.session = session
        self.handled: list[int] = []
        """Positions of events, in the order in which their handlers ended."""
        self.given_up: list[int] = []
        self.sampled_s = 0.0
        """When it was given the newest sample."""
        self.known_to_end: set[str] = set()
        """Runs of whose end it was told, and those that had ended when it was told to look."""
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._epoch = self._link = 0
        self._cut: dict[int, Ended] = {}
        self._beat()
        self._bot_does(self.core.follow_runs(self.world.now))

    @property
    def ended_runs(self) -> set[str]:
        return {run.run_id for run in self.world.tables.runs.values() if run.state is RunState.COMPLETED}

    # --- time -------------------------------------------------------------------------------------------------

    def later(self, delay_s: float, what: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._later, (self.world.mono_s + delay_s, self._count, what))

    def run(self, seconds: float) -> None:
        world, end_s = self.world, self.world.mono_s + seconds
        while True:
            broker_s, bot_s = world.core.next_due_s(), self.core.due_s()
            times = [due_s for due_s in (self._later[0][0], broker_s, bot_s) if due_s is not None]
            now_s = max(min(times), world.mono_s)
            if now_s > end_s:
                break
            world._go_to(now_s)
            if self._later[0][0] <= now_s:
                heapq.heappop(self._later)[2]()
            elif bot_s is not None and bot_s <= now_s:
                self._bot_does(self.core.tick(world.now, self.random.random()))
            else:
                world.apply(world.core.tick(world.now))
            world.read()
        world._go_to(end_s)

    # --- the network ------------------------------------------------------------------------------------------

    def cut(self) -> None:
        """The connection ends, and both sides see it."""
        link, epoch, self._link = self._link, self._epoch, 0
        if link:
            self.world.apply(self.world.core.link_gone(link, self.world.now))
            self._bot_does(self.core.lost(epoch, self.world.now, self.random.random()))

    def restart(self) -> None:
        """The broker dies and starts again."""
        epoch, self._link = self._epoch, 0
        self.world.restart()
        self.node.connect()
        self.admin = FakeAdmin(self.world)
        self._bot_does(self.core.lost(epoch, self.world.now, self.random.random()))

    def _open(self, epoch: int) -> None:
        if self._link:
            self.world.apply(self.world.core.link_gone(self._link, self.world.now))
        self._epoch, self._link = epoch, self.world.new_link()
        link = self._link
        self.world.wires[link] = lambda effect: self._from_broker(link, epoch, effect)
        self.later(LATENCY_S, lambda: self._bot_does(self.core.opened(epoch, self.world.now)))

    def _is_lost(self) -> bool:
        return self.random.random() < self.lost_share

    def _from_broker(self, link: int, epoch: int, effect: SendFrame | ShutLink) -> None:
        if isinstance(effect, ShutLink):
            self.later(LATENCY_S, lambda: self.cut() if link == self._link else None)
        elif link == self._link and not self._is_lost():
            self.later(LATENCY_S, lambda: self._to_bot(epoch, effect.header, effect.body))

    def _to_bot(self, epoch: int, header: bytes, body: bytes) -> None:
        if epoch == self._epoch and self._link:
            self._bot_does(self.core.frame(epoch, header, body, self.world.now, self.random.random()))

    def _to_broker(self, link: int, header: bytes, body: bytes) -> None:
        if link == self._link:
            self.world.apply(self.world.core.frame(link, "robot", header, body, self.world.now))

    # --- the bot ----------------------------------------------------------------------------------------------

    def _bot_does(self, effects: Sequence[CoreEffect]) -> None:
        for effect in effects:
            if isinstance(effect, OpenSocket):
                self._open(effect.epoch)
            elif isinstance(effect, SendToBroker):
                if effect.epoch == self._epoch and self._link and not self._is_lost():
                    self.later(LATENCY_S, partial(self._to_broker, self._link, effect.header, effect.body))
            elif isinstance(effect, Start):
                self.later(self.random.choice((0.01, 0.2, 3.0)), partial(self._end, effect))
            elif isinstance(effect, Cut):
                self._cut[effect.number] = effect.ended
            elif isinstance(effect, RunEnded):
                self.known_to_end.add(effect.run_id)
            elif isinstance(effect, RunsFollowed):
                assert not effect.problem
                self.known_to_end |= self.ended_runs
            else:
                assert not isinstance(effect, StopBot | Answered), effect

    def _end(self, start: Start) -> None:
        if start.work.cause is Cause.SAMPLE:
            self.sampled_s = self.world.mono_s
        cut, problem = self._cut.pop(start.number, None), ""
        if start.work.event is not None:
            position, is_last = start.work.event.position, start.work.attempt == TRIES
            if position % HOPELESS == 0 or (not is_last and self.random.random() < 0.1):
                problem = "by chance"
            if not problem:
                self.handled.append(position)
            elif is_last:
                self.given_up.append(position)
        ended = cut or Ended(problem=problem)
        self._bot_does(self.core.ended(start.number, ended, self.world.now, self.random.random()))

    # --- what happens -----------------------------------------------------------------------------------------

    def _beat(self) -> None:
        """Node and admin live on, and do their work."""
        self.node.heartbeat()
        for dispatch in list(self.node.held.values()):
            self.node.begin(dispatch)
            self.node.end(dispatch)
        self.node.flush()
        beat = Heartbeat(sample=sample())
        self.world.send(self.admin.link, "admin", Kind.HEARTBEAT, encode(beat))
        self.later(5.0, self._beat)

    def ask(self) -> None:
        """Somebody wants a run on a phone, or a task of the bot, as long as frames are lost."""
        if not self.lost_share:
            return
        if self.random.random() < 0.5:
            self.admin.run("d1")
        else:
            targets = c.Targets(kind=c.TargetKind.BOT, bot=KIND)
            self.admin.do(c.CREATE_RUN, c.CreateRun(workflow="", targets=targets), c.RunCreated)
        self.later(self.random.expovariate(1 / 4.0), self.ask)


@pytest.mark.parametrize("seed", range(12))
def test_every_event_is_handled_once_and_every_task_ends_whatever_frames_are_lost(seed: int) -> None:
    pair = Pair(seed, (0.02, 0.05, 0.1)[seed % 3])
    pair.later(1.0, pair.ask)
    if seed % 2:
        for _ in range(12):
            pair.later(pair.random.uniform(5.0, LOSSY_S), pair.cut)
    if seed % 4 == 2:
        for _ in range(4):
            pair.later(pair.random.uniform(5.0, LOSSY_S), pair.restart)
    pair.run(LOSSY_S)
    pair.lost_share = 0.0
    pair.run(CALM_S)
    assert pair.session.registered
    events = pair.world.tables.events
    wanted = [op.position for op in events if any(matches(topic, op.envelope.type) for topic in TOPICS)]
    assert len(wanted) > 40
    assert sorted(pair.handled + pair.given_up) == wanted, "each is handled to the end, and once"
    letters = pair.world.tables.dead_letters.values()
    assert sorted(row.seq for row in letters if row.kind is DeadLetterKind.EVENT) == sorted(pair.given_up)
    assert pair.known_to_end == pair.ended_runs
    assert pair.sampled_s > pair.world.mono_s - 20.0
    assert not pair.world.core.state.tasks
    assert pair.session.waiting == 0
