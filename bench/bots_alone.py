"""Bots at the broker's core alone: node and bots are played, time is counted, no sockets and no store (step 14).

What another load of the machine changes least: CPU of the core an event, at 1,000 events a second of a time that is
only counted. Bots tell what is done when the SDK's `Channel` says, so long after they got it as is asked for.
"""

from __future__ import annotations

import random
import time
from collections import deque
from typing import Final

from bench.bot_load import SUBSCRIPTION
from bench.broker_alone import NO_LIMIT
from doai.bots.core.channels import Channel
from doai.broker.core.core import BrokerCore
from doai.broker.core.effects import Changes, ReadLog, SendFrame
from doai.broker.core.settings import CoreSettings
from doai.changes.log import LogSlice
from doai.changes.ops import PutKey
from doai.changes.rows import KeyRow
from doai.clock import Now
from doai.codec import BodyDecoder, Kind, encode, pack_header, raw
from doai.envelope import Envelope
from doai.errors import LocalProtocolError
from doai.ids import RandomIds, Token
from doai.messages.bots import REGISTER_BOT, Events, RegisterBot, Subscription
from doai.messages.events import StepCompleted
from doai.messages.link import Hello, HostSample, Record, Records, Role
from doai.messages.work import Holdings
from doai.store.memory import MemoryTables, MemoryWriter
from doai.topics import STEP_COMPLETED, task_subject

EVENT_S: Final = 0.001
SUBJECTS: Final = 40
NODE: Final = "node-1"
_SAMPLE: Final = HostSample(host="bench", pid=1, version="0", started_at_ms=0)
_events: Final = BodyDecoder(Events)


class _Bot:
    """One bot: what it was given, and when it is done with it."""

    def __init__(self, name: str, link: int) -> None:
        self.name = name
        self.link = link
        self.channel = Channel(1, SUBSCRIPTION, None, None)
        self.given: deque[tuple[float, list[int]]] = deque()
        self.count = 0


class CoreAlone:
    """A core with a node and some bots; `run` measures."""

    def __init__(self, bots: int, lag_s: float) -> None:
        self._ids = RandomIds(random.Random(1).getrandbits)
        self._now_s = 1000.0
        self._lag_s = lag_s
        self._cpu_s = 0.0
        self._seq = 0
        self._bodies: dict[bytes, list[int]] = {}
        self._bots = {link: _Bot(f"bot-{link:02d}", link) for link in range(2, bots + 2)}
        writer = MemoryWriter(MemoryTables("bench"))
        for name, role in [(NODE, "node"), *((bot.name, "bot") for bot in self._bots.values())]:
            key = KeyRow(
                name=name,
                role=role,
                public_key=name.ljust(40, "k"),
                secret_sha256="",
                created_at_ms=0,
                created_by="bench",
            )
            writer.commit([PutKey(key)])
        settings = CoreSettings(frames=NO_LIMIT, hellos=NO_LIMIT)
        self._core = BrokerCore(writer.load(), self._ids, settings, self._now)
        hello = Hello(name=NODE, instance="main", role=Role.NODE, sample=_SAMPLE, incarnation="life", epoch=1)
        self._frame(1, NODE, Kind.HELLO, hello)
        self._frame(1, NODE, Kind.HOLDINGS, Holdings(tasks=[], as_of_seq=0))
        for bot in self._bots.values():
            self._join(bot)

    @property
    def _now(self) -> Now:
        return Now(self._now_s, int(self._now_s * 1000))

    def _join(self, bot: _Bot) -> None:
        self._frame(
            bot.link,
            bot.name,
            Kind.HELLO,
            Hello(name=bot.name, instance="main", role=Role.BOT, sample=_SAMPLE, epoch=1),
        )
        wanted = Subscription(name=SUBSCRIPTION, topics=["**"])
        register = RegisterBot(name=bot.name, subscriptions=[wanted])
        self._frame(bot.link, bot.name, Kind.COMMAND, self._envelope(REGISTER_BOT, f"bot/{bot.name}", register))
        self._frame(bot.link, bot.name, Kind.SUBSCRIBE, bot.channel.subscribe(self._now_s))

    def run(self, events: int, warm: int) -> float:
        """Return CPU seconds of the core an event; raises LocalProtocolError unless every bot got every one."""
        for number in range(warm + events):
            if number == warm:
                self._cpu_s = 0.0
            self._now_s += EVENT_S
            self._pass_time()
            self._tell_fact(number)
            self._work()
        used_s = self._cpu_s
        for _ in range(int((self._lag_s + 1.0) / EVENT_S)):  # what is under way arrives
            self._now_s += EVENT_S
            self._pass_time()
            self._work()
        position = self._core.state.log.position
        counts = {bot.count for bot in self._bots.values()}
        if min(counts) < warm + events:
            raise LocalProtocolError(f"bots were given {min(counts)} of {warm + events} events up to {position}")
        return used_s / events

    def _tell_fact(self, number: int) -> None:
        self._seq += 1
        told = StepCompleted(
            task_id=f"task-{number % SUBJECTS}",
            run_id="run",
            token=Token(1, number + 1),
            device_serial="R58",
            step_id="open_app",
            try_number=1,
            duration_ms=1234,
            outputs={"stdout": "Starting: Intent { act=android.intent.action.MAIN }", "exit_code": 0},
        )
        fact = self._envelope(STEP_COMPLETED, task_subject(told.task_id), told)
        self._frame(1, NODE, Kind.RECORDS, Records([Record(self._seq, raw(fact))]))

    def _envelope(self, event_type: str, subject: str, payload: object) -> Envelope:
        now_ms = self._now.utc_ms
        return Envelope(
            event_id=self._ids.new_id(now_ms),
            type=event_type,
            subject=subject,
            source="bench/main",
            trace_id="ab" * 16,
            occurred_at_ms=now_ms,
            payload=raw(payload),
        )

    def _work(self) -> None:
        for bot in self._bots.values():
            channel = bot.channel
            while bot.given and bot.given[0][0] <= self._now_s:
                for position in bot.given.popleft()[1]:
                    channel.done(position, None, self._now_s)
            if channel.tell_by_s is not None and channel.tell_by_s <= self._now_s:
                self._frame(bot.link, bot.name, Kind.CURSOR, channel.cursor())

    def _pass_time(self) -> None:
        while (due_s := self._core.next_due_s()) is not None and due_s <= self._now_s:
            began_s = time.thread_time()
            changes = self._core.tick(self._now)
            self._cpu_s += time.thread_time() - began_s
            self._perform(changes)

    def _frame(self, link: int, name: str, kind: Kind, body: object) -> None:
        data = encode(body)
        began_s = time.thread_time()
        changes = self._core.frame(link, name, pack_header(kind), data, self._now)
        self._cpu_s += time.thread_time() - began_s
        self._perform(changes)

    def _perform(self, changes: Changes) -> None:
        for effect in changes.effects:
            if isinstance(effect, ReadLog):
                # Of what was before it subscribed: nothing that counts.
                nothing = LogSlice(rows=[], through=effect.request.up_to)
                self._perform(self._core.log_read(effect, nothing, self._now))
            if not isinstance(effect, SendFrame) or effect.header[1] != Kind.EVENTS:
                continue
            positions = self._bodies.get(effect.body)
            if positions is None:
                if len(self._bodies) > 100:
                    self._bodies.clear()
                found = [event.position for event in _events(effect.body).events]
                positions = self._bodies[effect.body] = found
            bot = self._bots[effect.link]
            bot.count += len(positions)
            for position in positions:
                bot.channel.given(position, 300)
            bot.given.append((self._now_s + self._lag_s, positions))
