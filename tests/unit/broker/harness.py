"""A broker's core over the memory store, and scripted peers that speak to it in frames."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import msgspec

from doai import topics
from doai.broker.core.core import BrokerCore
from doai.broker.core.effects import (
    Changes,
    Effect,
    GoOn,
    KeysChanged,
    LoadAgain,
    LogLine,
    ReadLog,
    SendFrame,
    ShutLink,
)
from doai.broker.core.settings import CoreSettings
from doai.changes.dead_letters import DeadLetterKind
from doai.changes.ops import DIGEST_BYTES, PutKey
from doai.changes.rows import KeyRow
from doai.changes.statistics import Period
from doai.clock import Now
from doai.codec import Header, Kind, decode, encode, pack_header, raw, unpack_header
from doai.envelope import Envelope, Message
from doai.errors import ErrorClass, Failure
from doai.ids import RandomIds, Token
from doai.messages import bots as b
from doai.messages import commands as c
from doai.messages.catalogue import BODIES, EVENTS
from doai.messages.events import AttemptEnded, DeviceOffline, DeviceOnline, TaskStarted
from doai.messages.link import Bye, DeviceProof, Heartbeat, Hello, HostSample, Record, Records, Role, Welcome
from doai.messages.work import Dispatch, Holding, Holdings, HoldingState
from doai.states import GAVE_UP, TERMINAL, DeadLetterState, DeviceState, Outcome, TaskState
from doai.store.bots_in_memory import MemoryLogReader
from doai.store.memory import MemoryTables, MemoryWriter

RECIPE = """
workflow: {name}
retry: {{attempts: 3, backoff: 2s, jitter: none, on: [device, infrastructure, rate_limit]}}
steps:
  - {{id: look, use: screen.capture}}
"""
TAPPING = """
workflow: tapping
retry: {attempts: 3, backoff: 2s, jitter: none}
steps:
  - {id: tap, use: ui.tap, with: {text: OK}}
"""


class World:
    """Store, core and clock; every change is committed before its effects are seen."""

    def __init__(self, settings: CoreSettings | None = None) -> None:
        self.tables = MemoryTables("store-1")
        self.settings = settings or CoreSettings()
        self.mono_s = 1000.0
        self.utc_ms = 1_700_000_000_000
        self.logs: list[LogLine] = []
        self.keys_changed = 0
        self.inbox: dict[int, list[tuple[Header, Any]]] = {}
        self.shut: list[int] = []
        self.reads: list[ReadLog] = []
        """Parts of the log that the core asked for."""
        self.random = random.Random(7)
        self.writer = MemoryWriter(self.tables)
        for name, role in (("n1", "node"), ("n2", "node"), ("admin", "admin"), ("robot", "bot"), ("other", "bot")):
            row = KeyRow(
                name=name, role=role, public_key=f"{name:x<40}", secret_sha256="", created_at_ms=0, created_by="t"
            )
            self.writer.commit([PutKey(row)])
        self.core = self._new_core()
        self.links = 0

    def _new_core(self) -> BrokerCore:
        ids = RandomIds(self.random.getrandbits)
        return BrokerCore(self.writer.load(), ids, self.settings, self.now)

    @property
    def now(self) -> Now:
        return Now(self.mono_s, self.utc_ms)

    def restart(self) -> None:
        """The broker dies and starts again; connections are gone."""
        self.writer.close()
        self.writer = MemoryWriter(self.tables)
        self.core = self._new_core()
        self.inbox.clear()
        self.reads.clear()

    def apply(self, changes: Changes) -> None:
        if changes.ops:
            self.writer.commit(changes.ops)
        for effect in changes.effects:
            self._perform(effect)

    def _perform(self, effect: Effect) -> None:
        if isinstance(effect, SendFrame):
            header = unpack_header(effect.header)
            body_type = BODIES[Kind(header.kind)]
            body = decode(effect.body, body_type) if body_type is not None else None
            self.inbox.setdefault(effect.link, []).append((header, body))
        elif isinstance(effect, ShutLink):
            self.shut.append(effect.link)
        elif isinstance(effect, LogLine):
            self.logs.append(effect)
        elif isinstance(effect, KeysChanged):
            self.keys_changed += 1
        elif isinstance(effect, ReadLog):
            self.reads.append(effect)
        elif isinstance(effect, LoadAgain):
            self.core = self._new_core()
        elif isinstance(effect, GoOn):
            self.core.landed(self.now)

    def read(self) -> None:
        """Give the core what it asked for of the log, until it asks for nothing more."""
        log = MemoryLogReader(self.tables)
        while self.reads:
            read = self.reads.pop(0)
            self.apply(self.core.log_read(read, log.read(read.request), self.now))

    def send(self, link: int, name: str, kind: int, body: bytes = b"") -> None:
        self.apply(self.core.frame(link, name, pack_header(kind), body, self.now))

    def pass_time(self, seconds: float) -> None:
        """Let time pass, ticking whenever something is due."""
        end = self.mono_s + seconds
        while (due := self.core.next_due_s()) is not None and due <= end:
            self._go_to(max(due, self.mono_s))
            self.apply(self.core.tick(self.now))
            after = self.core.next_due_s()
            assert after is None or after > self.mono_s, "a tick leaves nothing that is due"
        self._go_to(end)

    def _go_to(self, mono_s: float) -> None:
        self.utc_ms += round((mono_s - self.mono_s) * 1000)
        self.mono_s = mono_s

    def new_link(self) -> int:
        self.links += 1
        return self.links

    def take(self, link: int, kind: Kind) -> list[Any]:
        """Return (and remove) the bodies of the frames of a kind that came over a link."""
        frames = self.inbox.get(link, [])
        self.inbox[link] = [frame for frame in frames if frame[0].kind != kind]
        return [body for header, body in frames if header.kind == kind]

    def kinds(self, link: int) -> list[Kind]:
        return [Kind(header.kind) for header, _ in self.inbox.get(link, [])]

    def events(self, event_type: str | None = None) -> list[Envelope]:
        return [op.envelope for op in self.tables.events if event_type in (None, op.envelope.type)]

    def story(self, task_id: str) -> list[str]:
        return [e.type for e in self.events() if e.subject == topics.task_subject(task_id)]

    def payload(self, envelope: Envelope) -> Any:
        return msgspec.msgpack.decode(envelope.payload)

    def task_state(self, task_id: str) -> TaskState:
        return self.tables.tasks[task_id].status.state

    def check(self) -> None:
        """What a new broker would load is what this one has in memory."""
        writer, self.writer = self.writer, None  # type: ignore[assignment]
        snapshot = writer.load()
        self.writer = writer
        state = self.core.state
        assert {row.task_id for row in snapshot.tasks} == set(state.tasks)
        for row in snapshot.tasks:
            assert row.status == state.tasks[row.task_id].status()
        assert {row.run_id: row.state for row in snapshot.runs} == {k: r.state for k, r in state.runs.items()}
        for run_id, run in state.runs.items():
            assert snapshot.ended_counts.get(run_id, {}) == run.counts
        assert snapshot.last_position == state.log.position
        assert snapshot.token_reserved >= state.token_last
        assert {row.serial: row for row in snapshot.devices} == {
            serial: device.row for serial, device in state.devices.items() if device.row is not None
        }
        assert {row.node_id: row for row in snapshot.nodes} == {
            name: peer.row for name, peer in state.nodes.items() if peer.row is not None
        }
        assert {row.idempotency_key: row for row in snapshot.commands} == state.commands
        assert {row.name: row for row in snapshot.keys} == state.keys
        assert {row.name: row for row in snapshot.enrolments} == state.enrolments
        assert {row.name: row for row in snapshot.secrets} == state.secrets
        assert {row.name: row for row in snapshot.users} == state.users
        assert {row.token_sha256: row for row in snapshot.sessions} == state.sessions
        assert {(row.type, row.subject): row for row in snapshot.incidents} == state.incidents
        assert {(row.serial, row.bot): row for row in snapshot.conditions} == state.conditions
        letters = {row.letter_id: row for row in snapshot.dead_letters if row.state is DeadLetterState.OPEN}
        kept = {name: msgspec.structs.replace(row, message="", data=b"") for name, row in letters.items()}
        assert kept == state.letters.rows
        nodes = [row.node_id for row in letters.values() if row.kind is DeadLetterKind.MESSAGE]
        assert {name: nodes.count(name) for name in nodes} == {
            name: count for name, count in state.letters._messages_of.items() if count
        }
        gave_up = {row.task_id for row in self.tables.tasks.values() if row.status.state in GAVE_UP}
        told = [row.task_id for row in self.tables.dead_letters.values() if row.task_id]
        assert sorted(gave_up) == sorted(told), "every task that gave up has one dead letter"
        assert {row.run_id for row in snapshot.dead_runs} == set(state.letters._runs)
        assert {row.name: row for row in snapshot.queues} == {
            name: queue.row for name, queue in state.queues.items() if queue.stored
        }
        self._check_held()
        if snapshot.statistics_begun:
            minutes = [row for row in self.tables.statistics.values() if row.period is Period.MINUTE]
            ended = [row for row in self.tables.tasks.values() if row.status.state in TERMINAL]
            counted = sum(row.ended for row in minutes)
            slices = [digests for (kind, _, _), (_, digests) in self.tables.removals.items() if kind == "task"]
            removed = sum(len(digests) // DIGEST_BYTES for digests in slices)
            assert counted + len(snapshot.ended_since) == len(ended) + removed, "each end of a task is counted once"

    def _check_held(self) -> None:
        state = self.core.state
        state_bots = self.core._scheduler.bots.held
        for task in state.tasks.values():
            key = (task.token.generation, task.token.n) if task.token is not None else None
            if task.target_kind is c.TargetKind.BOT:
                assert (key is not None) == (key in state_bots and state_bots[key] is task)
                continue
            holder = state.nodes.get(task.node or "")
            assert (key is not None) == (holder is not None and holder.held.get(key) is task)
            if key is not None:
                assert task.device is not None
                assert task.device.held[key] is task
        for device in state.devices.values():
            assert len(device.held) <= state.settings.held_per_device_max
        for node in state.nodes.values():
            assert all(task.task_id in state.tasks for task in node.held.values())
            assert not node.capacity or len(node.held) <= node.capacity


def sample(slots: int = 4) -> HostSample:
    return HostSample(host="h", pid=1, version="0", started_at_ms=1, slots=slots)


class FakeNode:
    """A node's end of the link, scripted: keeps its stream and what it holds."""

    def __init__(self, world: World, name: str = "n1", *, slots: int = 4) -> None:
        self.world = world
        self.name = name
        self.key_name = name
        """What its key proves."""
        self.slots = slots
        self.incarnation = f"life-{name}"
        self.epoch = 0
        self.seq = 0
        self.trimmed = 0
        self.store_id = ""
        self.link = 0
        self.held: dict[Token, Dispatch] = {}
        self.running: set[Token] = set()
        self.cancelled: list[Token] = []
        self.released: list[Token] = []
        self.recipes: set[str] = set()
        self.here: set[str] = set()
        self.unsent: list[Record] = []
        self.facts = 0

    def connect(self, *, holdings: bool = True) -> FakeNode:
        """Greet on a new connection, stream what is not acknowledged, list what is held."""
        self.link = self.world.new_link()
        self.epoch += 1
        self.recipes.clear()
        self.hello()
        (welcome,) = self.world.take(self.link, Kind.WELCOME)
        self.welcome: Welcome = welcome
        self.store_id = welcome.store_id
        self.unsent = [record for record in self.unsent if record.seq > welcome.last_seq]
        if self.unsent:
            self.send_records(self.unsent)
        if holdings:
            self.list_holdings()
        return self

    def hello(self, **changes: Any) -> None:
        hello = Hello(
            name=self.name,
            instance="main",
            role=Role.NODE,
            sample=sample(self.slots),
            incarnation=self.incarnation,
            epoch=self.epoch,
            highest_seq=self.seq,
            trimmed_seq=self.trimmed,
            store_id=self.store_id,
        )
        self.send(Kind.HELLO, msgspec.structs.replace(hello, **changes))

    def list_holdings(self) -> None:
        tasks = [
            Holding(d.task_id, token, HoldingState.RUNNING if token in self.running else HoldingState.WAITING)
            for token, d in self.held.items()
        ]
        self.send(Kind.HOLDINGS, Holdings(tasks=tasks, as_of_seq=self.seq))
        self.pump()

    def send(self, kind: Kind, body: Any = None) -> None:
        self.world.send(self.link, self.key_name, kind, encode(body) if body is not None else b"")

    def pump(self) -> list[Dispatch]:
        """Take what the broker sent; return new dispatches."""
        world, new = self.world, []
        for recipe in world.take(self.link, Kind.RECIPE):
            self.recipes.add(recipe.recipe_hash)
        for body in world.take(self.link, Kind.RELEASE):
            for ref in body.tasks:
                self.released.append(ref.token)
                self.held.pop(ref.token, None)
                self.running.discard(ref.token)
        for body in world.take(self.link, Kind.CANCEL):
            self.cancelled += [ref.token for ref in body.tasks]
        for body in world.take(self.link, Kind.DISPATCH):
            for dispatch in body.dispatches:
                assert dispatch.recipe_hash in self.recipes, "the recipe comes before the first dispatch"
                assert dispatch.token not in self.held
                self.held[dispatch.token] = dispatch
                new.append(dispatch)
        for header, _ in world.inbox.get(self.link, []):
            self.trimmed = max(self.trimmed, header.ack)
        self.unsent = [record for record in self.unsent if record.seq > self.trimmed]
        return new

    def fact(self, event_type: str, subject: str, payload: Message | bytes, source: str | None = None) -> Record:
        """Record a fact in the outbox."""
        self.seq += 1
        self.facts += 1
        envelope = Envelope(
            event_id=f"{self.name}-{self.facts}",
            type=event_type,
            subject=subject,
            source=source or f"{self.name}/main",
            trace_id="a" * 32,
            occurred_at_ms=self.world.utc_ms,
            payload=msgspec.Raw(payload) if isinstance(payload, bytes) else raw(payload),
        )
        record = Record(self.seq, msgspec.Raw(encode(envelope)))
        self.unsent.append(record)
        return record

    def send_records(self, records: list[Record]) -> None:
        self.send(Kind.RECORDS, Records(list(records)))

    def flush(self) -> list[Dispatch]:
        """Send every fact that is not acknowledged; return new dispatches."""
        if self.unsent:
            self.send_records(self.unsent)
        return self.pump()

    def device(self, serial: str, **about: Any) -> None:
        self.here.add(serial)
        told = DeviceOnline(serial=serial, node_id=self.name, driver="fake", connection=serial, **about)
        self.fact(topics.DEVICE_ONLINE, topics.device_subject(serial), told)

    def device_gone(self, serial: str) -> None:
        self.here.discard(serial)
        told = DeviceOffline(serial=serial, node_id=self.name, state=DeviceState.OFFLINE, reason="unplugged")
        self.fact(topics.DEVICE_OFFLINE, topics.device_subject(serial), told)

    def begin(self, dispatch: Dispatch) -> None:
        self.running.add(dispatch.token)
        told = TaskStarted(
            task_id=dispatch.task_id,
            run_id=dispatch.run_id,
            token=dispatch.token,
            attempt=dispatch.attempt,
            device_serial=dispatch.device_serial,
        )
        self.fact(topics.TASK_STARTED, topics.task_subject(dispatch.task_id), told)

    def end(self, dispatch: Dispatch, outcome: Outcome = Outcome.PASSED, **about: Any) -> None:
        self.held.pop(dispatch.token, None)
        self.running.discard(dispatch.token)
        told = AttemptEnded(
            task_id=dispatch.task_id,
            run_id=dispatch.run_id,
            token=dispatch.token,
            attempt=dispatch.attempt,
            device_serial=dispatch.device_serial,
            outcome=outcome,
            duration_ms=5,
            **about,
        )
        self.fact(topics.ATTEMPT_ENDED, topics.task_subject(dispatch.task_id), told)

    def heartbeat(self, tokens: list[Token] | None = None, **about: Any) -> None:
        listed = list(self.held) if tokens is None else tokens
        body = Heartbeat(
            sample=msgspec.structs.replace(sample(), **about),
            tokens=[(t.generation, t.n) for t in listed],
            as_of_seq=self.seq,
            devices=[DeviceProof(serial, 1.0, 1.0) for serial in sorted(self.here)],
        )
        self.send(Kind.HEARTBEAT, body)
        self.pump()

    def bye(self) -> None:
        self.send(Kind.BYE, Bye(reason="stopped"))


def failure(error_class: ErrorClass, code: str = "broken") -> Failure:
    return Failure(error_class=error_class, code=code, message="it did not work: look at it")


class FakeAdmin:
    """An admin that sends commands."""

    def __init__(self, world: World, name: str = "admin", role: Role = Role.ADMIN) -> None:
        self.world = world
        self.name = name
        self.link = world.new_link()
        self.commands = 0
        self.actor = "user/ann"
        hello = Hello(name=name, instance="x1", role=role, sample=sample(), epoch=1)
        world.send(self.link, name, Kind.HELLO, encode(hello))
        world.take(self.link, Kind.WELCOME)

    def ask(self, command_type: str, payload: Message | bytes, key: str | None = None, **header: Any) -> c.Reply:
        self.commands += 1
        command = Envelope(
            event_id=f"command-{self.commands}",
            type=command_type,
            subject="broker",
            source=f"{self.name}/x1",
            trace_id="b" * 32,
            occurred_at_ms=self.world.utc_ms,
            payload=msgspec.Raw(payload) if isinstance(payload, bytes) else raw(payload),
            idempotency_key=key,
            actor=self.actor,
            interface="cli",
            **header,
        )
        self.world.send(self.link, self.name, Kind.COMMAND, encode(command))
        (reply,) = self.world.take(self.link, Kind.REPLY)
        assert reply.command_id == command.event_id
        return reply

    def do(self, command_type: str, payload: Message, answer: type[Any], key: str | None = None) -> Any:
        reply = self.ask(command_type, payload, key)
        assert reply.problem is None, reply.problem
        assert reply.result is not None
        return msgspec.convert(reply.result, answer)

    def refused(self, command_type: str, payload: Message, key: str | None = None) -> c.Problem:
        reply = self.ask(command_type, payload, key)
        assert reply.problem is not None
        return reply.problem

    def store(self, source: str = RECIPE.format(name="look")) -> c.WorkflowStored:
        return self.do(c.STORE_WORKFLOW, c.StoreWorkflow(source=source), c.WorkflowStored)

    def run(self, *serials: str, workflow: str = "look", key: str | None = None, **about: Any) -> c.RunCreated:
        targets = c.Targets(kind=c.TargetKind.DEVICES, serials=list(serials))
        create = c.CreateRun(workflow=workflow, targets=targets, **about)
        return self.do(c.CREATE_RUN, create, c.RunCreated, key)


class FakeBot:
    """A process of a bot, scripted: greets, registers, subscribes, holds events until it is told to be done."""

    def __init__(self, world: World, instance: str = "x1", name: str = "robot") -> None:
        self.world = world
        self.name = name
        self.instance = instance
        self.commands = 0
        self.link = 0
        self.epoch = 0
        self.credit = 0
        self.held: list[tuple[int, Envelope]] = []
        """Events that it was given and has not told done: position and envelope."""
        self.seen: list[int] = []
        """Positions of all that it was ever given."""
        self.looked_to = 0
        self.settings: list[b.BotSettings] = []

    def connect(
        self, *subscriptions: b.Subscription, credit: int = 1000, read: bool = True, **about: Any
    ) -> FakeBot:
        """Greet on a new connection, register and subscribe to everything."""
        self.link = self.world.new_link()
        self.held.clear()
        self.hello()
        if subscriptions or about:
            self.wish = b.RegisterBot(name=self.name, subscriptions=list(subscriptions), **about)
        self.do(b.REGISTER_BOT, self.wish, b.BotSettings)
        for channel, subscription in enumerate(self.wish.subscriptions, 1):
            self.subscribe(subscription.name, channel, credit)
        if read:
            self.world.read()
        return self

    def hello(self) -> None:
        self.epoch += 1
        hello = Hello(name=self.name, instance=self.instance, role=Role.BOT, sample=sample(4), epoch=self.epoch)
        self.send(Kind.HELLO, hello)
        self.world.take(self.link, Kind.WELCOME)

    def subscribe(self, subscription: str, channel: int = 1, credit: int = 1000) -> b.Subscribed:
        self.credit = credit
        wish = b.Subscribe(channel=channel, subscription=subscription, credit_events=credit, credit_bytes=10**9)
        self.send(Kind.SUBSCRIBE, wish)
        [answer] = self.world.take(self.link, Kind.SUBSCRIBED)
        return answer  # type: ignore[no-any-return]

    def ask(self, command_type: str, payload: Message, key: str | None = None) -> c.Reply:
        self.commands += 1
        command = Envelope(
            event_id=f"{self.name}-{self.instance}-{self.commands}",
            type=command_type,
            subject="broker",
            source=f"{self.name}/{self.instance}",
            trace_id="c" * 32,
            occurred_at_ms=self.world.utc_ms,
            payload=raw(payload),
            idempotency_key=key,
        )
        self.send(Kind.COMMAND, command)
        (reply,) = self.world.take(self.link, Kind.REPLY)
        return reply  # type: ignore[no-any-return]

    def do(self, command_type: str, payload: Message, answer: type[Any], key: str | None = None) -> Any:
        reply = self.ask(command_type, payload, key)
        assert reply.problem is None, reply.problem
        assert reply.result is not None
        return msgspec.convert(reply.result, answer)

    def send(self, kind: Kind, body: Any = None) -> None:
        self.world.send(self.link, self.name, kind, encode(body) if body is not None else b"")

    def take(self) -> list[tuple[int, Envelope]]:
        """Take what came; return new events."""
        self.world.read()
        new: list[tuple[int, Envelope]] = []
        for body in self.world.take(self.link, Kind.EVENTS):
            new += [(event.position, decode(event.envelope, Envelope)) for event in body.events]
            self.looked_to = body.position
        self.settings += self.world.take(self.link, Kind.SETTINGS)
        self.held += new
        self.seen += [position for position, _ in new]
        return new

    def done(self, *positions: int, credit: int = 0, channel: int = 1, **about: Any) -> None:
        """Say that these (or all that it holds) are done."""
        done = list(positions) or [position for position, _ in self.held]
        self.held = [event for event in self.held if event[0] not in done]
        self.send(Kind.CURSOR, b.Cursor(channel=channel, done=done, credit_events=credit, **about))

    def samples(self, channel: int = 1) -> list[b.Sample]:
        """Take the samples that came, without saying so."""
        return [sample for body in self.world.take(self.link, Kind.SAMPLES) for sample in body.samples]

    def tasks(self) -> list[b.BotTask]:
        """Take the tasks that it was given."""
        return [task for body in self.world.take(self.link, Kind.TASKS) for task in body.tasks]

    def end(self, task: b.BotTask, outcome: Outcome = Outcome.PASSED, **about: Any) -> b.BotTaskEnded:
        wish = b.EndBotTask(task_id=task.task_id, token=task.token, outcome=outcome, **about)
        ended: b.BotTaskEnded = self.do(b.END_BOT_TASK, wish, b.BotTaskEnded, key=f"{task.task_id}-{task.attempt}")
        return ended

    def heartbeat(self, tokens: list[Token] | None = None, **about: Any) -> None:
        listed = [(t.generation, t.n) for t in tokens or []]
        self.send(Kind.HEARTBEAT, Heartbeat(sample=sample(), tokens=listed, **about))

    def bye(self) -> None:
        self.send(Kind.BYE, Bye(reason="stopped"))


def started_world(*serials: str, settings: CoreSettings | None = None) -> tuple[World, FakeNode, FakeAdmin]:
    """A broker with workflow `look`, one node with these devices, and an admin."""
    world = World(settings)
    node = FakeNode(world).connect()
    for serial in serials:
        node.device(serial)
    node.flush()
    admin = FakeAdmin(world)
    admin.store()
    return world, node, admin


def known_types(world: World) -> Iterator[str]:
    """Event types in the log that the catalogue has."""
    return (envelope.type for envelope in world.events() if envelope.type in EVENTS)
