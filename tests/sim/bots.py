"""A bot in a world: processes that share its subscriptions, die, freeze, leave and come again; and what must hold.

No event is lost to a subscription, none leaves the broker again after its ack is on disk, and of a subject none is
handled before all that came before it were.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING, Any, Final

import msgspec

from doai.broker.core.effects import SendFrame
from doai.changes.bots import PutSubscription
from doai.changes.ops import AppendEvent, Op
from doai.codec import Header, Kind, decode, encode, kind_of, unpack_header
from doai.envelope import Envelope
from doai.messages import bots as b
from doai.messages.commands import Reply
from doai.messages.dead_letters import RETRY_DEAD_LETTERS, LetterFilter, RetryDeadLetters
from doai.messages.link import Role
from doai.topics import matches
from tests.sim.admin import BotProcess
from tests.sim.mix import BOTS, has
from tests.sim.world import Violation

if TYPE_CHECKING:
    from tests.sim.simulation import Simulation

NAME: Final = "helper"
TOPICS: Final = {"ends": ["task.*", "run.completed"], "all": ["**"], "rare": ["queue.paused", "secret.*"]}
HANDLER_S: Final = 3.0
TELL_AFTER_S: Final = 1.0
"""What it has done is gathered for so long."""
LOOK_EVERY_S: Final = 5.0


class _Subject:
    """Events of one subject that a process was given, the first of them being handled."""

    def __init__(self) -> None:
        self.waiting: deque[int] = deque()
        self.busy = False


class SimBot(BotProcess):
    """One process of the bot."""

    def __init__(self, bots: Bots) -> None:
        self._bots = bots
        self._random = bots.random
        self._life = 0
        self._forget()
        super().__init__(bots.simulation.world, bots.simulation.network, NAME, Role.BOT)
        self._tells = False
        self.world.after(LOOK_EVERY_S, self._look)

    def _forget(self) -> None:
        """What belongs to one connection, or to one life."""
        self._life += 1
        self._subjects: dict[tuple[str, str], _Subject] = {}
        self._done: dict[str, list[int]] = {name: [] for name in TOPICS}
        self._failed: dict[str, list[b.FailedEvent]] = {name: [] for name in TOPICS}
        self._given = dict.fromkeys(TOPICS, 0)
        self._told = dict.fromkeys(TOPICS, 0)
        self._waits_since: dict[str, float] = dict.fromkeys(TOPICS, -1.0)
        """Since when it waits for SUBSCRIBED of a channel; -1 = it does not."""
        self._channel_life = {name: getattr(self, "_channel_life", {}).get(name, 0) + 1 for name in TOPICS}

    def die(self) -> None:
        """SIGKILL in the middle of its handlers, and a new process."""
        self._forget()
        super().die()

    @property
    def window(self) -> int:
        """How many events it holds of a subscription at most."""
        return self._bots.window

    # --- inside -------------------------------------------------------------------------------------------

    def _heard(self, header: Header, body: bytes) -> None:
        if header.kind == Kind.WELCOME:
            self._forget()
            self._register()
        elif header.kind == Kind.SUBSCRIBED:
            answer = decode(body, b.Subscribed)
            if answer.again:
                self._subscribe(answer.subscription)
            elif answer.problem:
                self._register()
            else:
                self._waits_since[answer.subscription] = -1.0
        elif header.kind == Kind.EVENTS:
            name = list(TOPICS)[header.channel - 1]
            if self._waits_since[name] >= 0:
                return  # of before
            if header.credit_seq != self._given[name]:
                self.world.fault("events_lost")
                self._subscribe(name)
                return
            for event in decode(body, b.Events).events:
                self._accept(name, event)

    def _subscribe(self, name: str) -> None:
        """Begin a channel anew."""
        self._waits_since[name] = self.world.now_s
        self._channel_life[name] += 1
        for key in [key for key in self._subjects if key[0] == name]:
            del self._subjects[key]
        self._done[name], self._failed[name] = [], []
        self._given[name] = self._told[name] = 0
        channel = list(TOPICS).index(name) + 1
        wish = b.Subscribe(channel=channel, subscription=name, credit_events=self.window, credit_bytes=1 << 20)
        self.send_raw(Kind.SUBSCRIBE, encode(wish))

    def _register(self) -> None:
        wanted = [b.Subscription(name=name, topics=topics) for name, topics in TOPICS.items()]
        life = self._life

        def subscribe(payload: Any, reply: Reply) -> None:
            if life != self._life or reply.problem is not None:
                return
            for name in TOPICS:
                self._subscribe(name)

        self._pending.clear()
        self.command(b.REGISTER_BOT, b.RegisterBot(name=NAME, subscriptions=wanted), subscribe, key=None)

    def _accept(self, name: str, event: b.LoggedEvent) -> None:
        envelope = decode(event.envelope, Envelope)
        self._given[name] += 1
        key = name, envelope.subject
        subject = self._subjects.setdefault(key, _Subject())
        if event.position in subject.waiting:
            return  # a frame that the network delivered twice
        subject.waiting.append(event.position)
        self._begin(key, subject)

    def _begin(self, key: tuple[str, str], subject: _Subject) -> None:
        if subject.busy or not subject.waiting:
            return
        subject.busy = True
        delay_s = self._random.expovariate(1.0 / HANDLER_S) if self._random.random() < 0.05 else 0.01
        self.world.after(delay_s, self._end, (self._life, self._channel_life[key[0]]), key, subject)

    def _end(self, life: tuple[int, int], key: tuple[str, str], subject: _Subject) -> None:
        if life != (self._life, self._channel_life[key[0]]):
            return
        if self._frozen is not None:
            self.world.after(0.5, self._end, life, key, subject)
            return
        position, name = subject.waiting.popleft(), key[0]
        subject.busy = False
        if self._bots.gives_up():
            self._failed[name].append(b.FailedEvent(position, "failed", "by chance", 3))
            self._bots.given_up(name, position)
        else:
            self._done[name].append(position)
        self._bots.handled(name, key[1], position)
        self._begin(key, subject)
        if not self._tells:
            self._tells = True
            self.world.after(TELL_AFTER_S, self._tell)

    def _look(self) -> None:
        """Ask again for what has no answer; tell again how many events there were: a frame may be lost."""
        self.world.after(LOOK_EVERY_S, self._look)
        if self._frozen is not None or not self._alive:
            return
        for name in TOPICS:
            if 0 <= self._waits_since[name] < self.world.now_s - LOOK_EVERY_S:
                self._subscribe(name)
        self._tell_all(again=True)

    def _tell(self) -> None:
        if self._frozen is not None:
            self.world.after(TELL_AFTER_S, self._tell)
            return
        self._tells = False
        self._tell_all(again=False)

    def _tell_all(self, *, again: bool) -> None:
        if not self._alive:
            return
        for channel, name in enumerate(TOPICS, 1):
            done, failed = self._done[name], self._failed[name]
            if self._waits_since[name] >= 0 or not self._told[name] + len(done) + len(failed):
                continue
            if not done and not failed and not again:
                continue
            self._told[name] += len(done) + len(failed)
            credit = self._told[name] + self.window
            cursor = b.Cursor(
                channel=channel,
                done=done,
                failed=failed,
                credit_events=credit,
                credit_bytes=1 << 40,
                told=self._told[name],
            )
            self.send_raw(Kind.CURSOR, encode(cursor))
            if failed and self._random.random() < 0.3:  # what it has given up already is told once more
                self.send_raw(Kind.CURSOR, encode(cursor))
            self._done[name], self._failed[name] = [], []


class _Expected:
    """What one subscription must be given, from its beginning on."""

    def __init__(self) -> None:
        self.subjects: dict[str, deque[int]] = {}
        """Positions of events that nobody has handled yet, by subject."""
        self.place: tuple[int, dict[str, int], set[int]] = (0, {}, set())
        """Of the row on disk: position, open subjects, those given again."""
        self.begun = 0


class Bots:
    """The bot of a world, and its checker."""

    def __init__(self, simulation: Simulation, seed: int) -> None:
        self.simulation = simulation
        self.random = Random(seed)
        self.processes: list[SimBot] = []
        self.window = self.random.choice((4, 20, 200))
        self._calm = False
        self._expected: dict[str, _Expected] = {}
        self._log: dict[int, tuple[str, str]] = {}
        self.is_there = has(seed, BOTS)
        self._restored = False
        if not self.is_there:
            return
        simulation.broker.disk.observers.append(self._observe)
        self.processes = [SimBot(self) for _ in range(self.random.choice((1, 2, 3)))]
        simulation.world.after(self.random.expovariate(1.0 / 15.0), self._strike)

    def settle(self) -> None:
        """No more faults."""
        self._calm = True
        for process in self.processes:
            process.thaw()

    def forgotten(self) -> None:
        """A backup was put in place: acks were forgotten, and positions are given again to other events."""
        self._restored = True
        self._log.clear()
        self._expected.clear()

    def restart_fenced(self) -> None:
        """Whoever was refused is started anew."""
        for process in self.processes:
            if process.fenced:
                process.die()

    def gives_up(self) -> bool:
        """Whether a handler fails for good."""
        return not self._calm and self.random.random() < 0.002

    def _strike(self) -> None:
        if self._calm:
            return
        process = self.random.choice(self.processes)
        deed = self.random.choice(("bot_dies", "bot_dies", "bot_leaves", "bot_frozen", "bot_cut"))
        if deed == "bot_dies":
            process.die()
        elif deed == "bot_leaves":
            process.leave()
        elif deed == "bot_cut":
            self.simulation.network.break_links(NAME)
        else:
            process.freeze()
            self.simulation.world.after(self.random.choice((3.0, 30.0, 90.0)), process.thaw)
        self.simulation.world.fault(deed)
        self.simulation.world.after(self.random.expovariate(1.0 / 15.0), self._strike)

    # --- what must hold -----------------------------------------------------------------------------------

    def _observe(self, ops: Sequence[Op]) -> None:
        """Follow what has landed."""
        if self._restored:
            return
        for op in ops:
            if isinstance(op, AppendEvent):
                self._log[op.position] = op.envelope.type, op.envelope.subject
                for name, expected in self._expected.items():
                    if _wants(name, op.envelope.type):
                        expected.subjects.setdefault(op.envelope.subject, deque()).append(op.position)
            elif isinstance(op, PutSubscription) and op.row.bot == NAME:
                row = op.row
                expected = self._expected.get(row.name) or self._begin(row.name, row.position)
                opened = msgspec.json.decode(row.open_body, type=dict[str, int])
                expected.place = row.position, opened, set(msgspec.json.decode(row.again_body, type=list[int]))

    def _begin(self, name: str, position: int) -> _Expected:
        expected = self._expected[name] = _Expected()
        expected.begun = position
        for later, (event_type, subject) in self._log.items():
            if later > position and _wants(name, event_type):
                expected.subjects.setdefault(subject, deque()).append(later)
        return expected

    def sent(self, effect: SendFrame) -> None:
        """A frame leaves the broker: nothing in it was acknowledged before."""
        if kind_of(effect.header) != Kind.EVENTS or self._restored:
            return
        header = unpack_header(effect.header)
        events = decode(effect.body, b.Events).events
        if not events:
            return  # how far the log is; also another bot is told
        name = list(TOPICS)[header.channel - 1]
        position, opened, again = self._expected[name].place
        for event in events:
            subject = decode(event.envelope, Envelope).subject
            at = event.position
            if at not in self._log:
                raise Violation("shown_early", f"event {at} leaves before it is on disk", f"bot/{NAME}")
            if at <= position and at < opened.get(subject, position + 1) and at not in again:
                raise Violation("given_again", f"event {at} of {subject} was done, and {name} is given it again")

    def handled(self, name: str, subject: str, position: int) -> None:
        """A handler ended: all of its subject before it were handled before."""
        waiting = self._expected[name].subjects.get(subject) if not self._restored else None
        if waiting and position in waiting:
            if waiting[0] != position:
                raise Violation(
                    "order", f"{name} handled event {position} of {subject} before {waiting[0]}", f"bot/{NAME}"
                )
            waiting.popleft()
            if not waiting:
                del self._expected[name].subjects[subject]

    def given_up(self, name: str, position: int) -> None:
        """A dead letter follows, which somebody has given again."""
        self.simulation.world.fault("event_given_up")
        self.simulation.world.after(20.0, self._retry)

    def _retry(self) -> None:
        wish = RetryDeadLetters(which=LetterFilter(kind="event"))
        self.simulation.admin.command(RETRY_DEAD_LETTERS, wish, lambda payload, reply: None)

    def quiet(self) -> bool:
        """Whether everything was handled."""
        return not any(expected.subjects for expected in self._expected.values())

    def check_at_end(self) -> None:
        """No event is lost to a subscription."""
        for name, expected in self._expected.items():
            lost = [(subject, waiting[0]) for subject, waiting in expected.subjects.items() if waiting]
            if lost:
                raise Violation(
                    "event_lost",
                    f"{name} was never given event {lost[0][1]} of {lost[0][0]} ({len(lost)} subjects)",
                )


def _wants(name: str, event_type: str) -> bool:
    return any(matches(pattern, event_type) for pattern in TOPICS[name])
