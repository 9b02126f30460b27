"""A node's core over a memory file, with a broker that only says what a test tells it to."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from doai.changes.outbox import OutboxOp
from doai.clock import Now
from doai.codec import Kind, decode, encode, pack_header, unpack_header
from doai.drivers.base import DeviceChange, DeviceInfo
from doai.envelope import Envelope
from doai.errors import ErrorClass, Failure
from doai.ids import RandomIds, Token
from doai.link.actions import OpenSocket, ReadFacts, SendFrame
from doai.link.past import digest_of
from doai.messages import work
from doai.messages.catalogue import EVENTS
from doai.messages.link import Beat, Heartbeat, Records, Welcome
from doai.node.core.core import NodeCore
from doai.node.core.effects import (
    CancelStep,
    Changes,
    NodeSettings,
    ReloadOutbox,
    StartStep,
    StepEnded,
    StopNode,
)
from doai.states import DeviceState
from doai.store.memory_outbox import MemoryOutbox, MemoryOutboxFile
from doai.workflow.model import content_hash, parse_workflow, to_stored

CREDIT = 1 << 40


class NodeWorld:
    """Commits what the core wants, then keeps its effects; plays the broker's half of the link."""

    def __init__(self, *, slots: int = 2, file: MemoryOutboxFile | None = None, seed: int = 1) -> None:
        self.file = MemoryOutboxFile("I1") if file is None else file
        self.slots = slots
        self.mono_s = 1000.0
        self.random = random.Random(seed)
        self.numbers = itertools.count(1)
        self.starts: list[StartStep] = []
        """Tries that the core wanted performed, in all lives."""
        self.open: dict[str, StartStep] = {}
        """Tries performed now, by "task/step"."""
        self.frames: list[tuple[int, Any]] = []
        self.received: list[tuple[int, Envelope]] = []
        self.epoch = 0
        self.stopped: StopNode | None = None
        self.effects: list[Any] = []
        self.before_commit: Callable[[Sequence[OutboxOp]], None] = lambda ops: None
        self.boot()

    def boot(self) -> None:
        """Begin a new life on the same file."""
        self.file.held_by = None
        self.outbox = MemoryOutbox(self.file)
        self.open.clear()
        settings = NodeSettings(
            node_id="node-1", host="h", pid=1, version="0", started_at_ms=0, slots=self.slots, tags=["lab"]
        )
        self.core = NodeCore(self.outbox.load(), settings, RandomIds(self.random.getrandbits), self.now)
        self.take(self.core.start(self.now, [fact.envelope for fact in self.file.facts.values()]))

    @property
    def now(self) -> Now:
        return Now(self.mono_s, int(self.mono_s * 1000) + 1_700_000_000_000)

    # --- the shell's part -------------------------------------------------------------------------------------

    def take(self, changes: Changes) -> None:
        self.before_commit(changes.ops)
        if changes.ops:
            self.outbox.commit(changes.ops)
        for effect in changes.effects:
            self.perform(effect)

    def perform(self, effect: Any) -> None:
        self.effects.append(effect)
        if isinstance(effect, StartStep):
            self.starts.append(effect)
            self.open[f"{effect.key.task_id}/{effect.key.step_id}"] = effect
        elif isinstance(effect, CancelStep):
            name = f"{effect.key.task_id}/{effect.key.step_id}"
            if name in self.open and self.auto_cancel:
                self.fail(name, ErrorClass.CANCELLED, "step_cancelled")
        elif isinstance(effect, OpenSocket):
            self.epoch = effect.epoch
            self.take(self.core.socket_opened(effect.epoch, self.now))
        elif isinstance(effect, ReadFacts):
            facts = self.outbox.read_facts(effect.after_seq, 100, 1 << 20)
            self.take(self.core.facts_read(effect.epoch, facts, self.now))
        elif isinstance(effect, SendFrame):
            self.sent(effect)
        elif isinstance(effect, ReloadOutbox):
            self.take(self.core.renewed(self.outbox.load(), self.now))
        elif isinstance(effect, StopNode):
            self.stopped = effect

    auto_cancel = True

    def sent(self, frame: SendFrame) -> None:
        kind = unpack_header(frame.header).kind
        if kind == Kind.RECORDS:
            for record in decode(frame.body, Records).records:
                self.received.append((record.seq, decode(record.envelope, Envelope)))
        self.frames.append((kind, frame.body))

    def advance(self, seconds: float) -> None:
        """Let time pass, ticking whenever the core asks for it."""
        until = self.mono_s + seconds
        while True:
            due = self.core.due_s()
            if due is None or due > until:
                break
            self.mono_s = max(self.mono_s, due)
            self.take(self.core.tick(self.now, 0.5))
        self.mono_s = until
        self.take(self.core.tick(self.now, 0.5))

    # --- the broker's part ------------------------------------------------------------------------------------

    def connect(
        self,
        *,
        last_seq: int | None = None,
        store_id: str = "S1",
        credit: int = CREDIT,
        digests: bytes | None = None,
    ) -> None:
        """Connect and welcome the node; by default everything it was acknowledged is known, as it told it."""
        self.frames.clear()
        while not any(kind == Kind.HELLO for kind, _ in self.frames):
            self.mono_s = max(self.mono_s, self.core.due_s() or 0.0)
            self.take(self.core.tick(self.now, 0.0))
        seq = self.file.trimmed_seq if last_seq is None else last_seq
        if digests is None:
            facts = self.file.facts.values()
            digests = b"".join(digest_of(fact.envelope) for fact in facts if fact.seq <= seq)
        welcome = Welcome(
            store_id=store_id, last_seq=seq, digests=digests, capacity=100, heartbeat_s=10.0, handle=1
        )
        self.frames.clear()
        self.frame(Kind.WELCOME, welcome, ack=seq, credit=credit)

    def frame(self, kind: Kind, body: object = None, *, ack: int = 0, credit: int = CREDIT) -> None:
        header = pack_header(kind, ack=ack, credit_seq=credit, credit_bytes=credit)
        data = b"" if body is None else encode(body)
        self.take(self.core.frame(self.epoch, header, data, self.now, 0.0))

    def acknowledge(self) -> None:
        acked = -1
        while acked < self.received[-1][0]:  # what gathered meanwhile comes with the next frame
            acked = self.received[-1][0]
            self.frame(Kind.ACK, ack=acked)

    def beat(self) -> None:
        """Answer the newest heartbeat of this connection."""
        said = [decode(body, Heartbeat).said_s for kind, body in self.frames if kind == Kind.HEARTBEAT]
        self.frame(Kind.BEAT, Beat(said_s=said[-1]))

    def recipe(self, text: str) -> str:
        stored = to_stored(parse_workflow(text))
        self.frame(Kind.RECIPE, work.Recipe(recipe_hash=content_hash(stored), body=stored))
        return content_hash(stored)

    def dispatch(self, task: str, recipe: str, *, serial: str = "A", n: int | None = None, **fields: Any) -> Token:
        token = Token(1, next(self.numbers) if n is None else n)
        d = work.Dispatch(
            task_id=task,
            run_id="R1",
            token=token,
            attempt=1,
            device_serial=serial,
            workflow="w@1",
            recipe_hash=recipe,
            params=fields.pop("params", {}),
            trace_id="0" * 31 + "1",
            timeout_s=fields.pop("timeout_s", 600.0),
            **fields,
        )
        self.frame(Kind.DISPATCH, work.Dispatches([d]))
        return token

    # --- the devices' part ------------------------------------------------------------------------------------

    def device(self, serial: str = "A", state: DeviceState = DeviceState.ONLINE) -> None:
        info = DeviceInfo(serial=serial, connection=serial) if state is DeviceState.ONLINE else None
        change = DeviceChange(serial=serial, state=state, reason="" if info else "gone", info=info)
        self.take(self.core.device_changed(change, "fake", self.now))

    def end(self, name: str, **outputs: Any) -> None:
        """The try that is performed under "task/step" passes."""
        key = self.open.pop(name).key
        self.take(self.core.step_ended(StepEnded(key=key, outputs=outputs), self.now, 0.5))

    def fail(
        self, name: str, error_class: ErrorClass, code: str = "it_failed", *, unobserved: bool = False
    ) -> None:
        key = self.open.pop(name).key
        failure = Failure(error_class=error_class, code=code, message="It failed.")
        ended = StepEnded(key=key, failure=failure, unobserved=unobserved)
        self.take(self.core.step_ended(ended, self.now, 0.5))

    # --- what was told ----------------------------------------------------------------------------------------

    def facts(self) -> list[tuple[str, Any]]:
        """Everything the file ever had: type and payload, in order of seq (acknowledged results first)."""
        rows = [*self.file.kept, *self.file.facts.values()]
        envelopes = [decode(row.envelope, Envelope) for row in rows]
        return [(e.type, decode(e.payload, EVENTS[e.type])) for e in envelopes]

    def all_ends(self) -> list[Any]:
        return [p for t, p in self.facts() if t == "attempt.ended"]

    def ends(self, task: str = "T1") -> list[Any]:
        return [p for t, p in self.facts() if t == "attempt.ended" and p.task_id == task]


@pytest.fixture
def make_world() -> type[NodeWorld]:
    return NodeWorld


@pytest.fixture
def world() -> NodeWorld:
    """A connected node with device A."""
    made = NodeWorld()
    made.connect()
    made.device("A")
    return made
