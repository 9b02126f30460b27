"""The broker's core and store alone in this process: nodes and admin are played, frames are bytes, no sockets.

Everything that a task costs the broker but the sockets and the event loop: decoding, deciding, the rows, the commit
(WAL, FULL) and the frames that follow. Only that is timed; what plays the nodes is not.
"""

from __future__ import annotations

import random
import time
from collections import deque
from pathlib import Path
from typing import Any, Final

import msgspec

from doai.broker.core.core import BrokerCore
from doai.broker.core.effects import Changes, Effect, SendFrame
from doai.broker.core.settings import CoreSettings, RateLimit
from doai.changes.ops import Op
from doai.clock import Now
from doai.codec import BodyDecoder, Kind, encode, pack_header, raw
from doai.envelope import Envelope, Message
from doai.errors import DoaiError
from doai.ids import RandomIds
from doai.messages import events
from doai.messages.commands import (
    ADD_KEY,
    CREATE_RUN,
    STORE_WORKFLOW,
    AddKey,
    CreateRun,
    Reply,
    StoreWorkflow,
    TargetKind,
    Targets,
)
from doai.messages.link import Hello, HostSample, Record, Records, Role
from doai.messages.work import Dispatch, Dispatches, Holdings
from doai.states import Outcome
from doai.store.pipeline import Pipeline
from doai.store.sqlite_writer import open_writer
from doai.topics import (
    ATTEMPT_ENDED,
    DEVICE_ONLINE,
    STEP_COMPLETED,
    STEP_STARTED,
    TASK_STARTED,
    device_subject,
    task_subject,
)

RECIPE: Final = "workflow: nothing\nsteps:\n  - {id: nothing, use: wait, with: {for: 0ms}}\n"
ADMIN_LINK: Final = 1
NO_LIMIT: Final = RateLimit(rate_per_s=1e12, burst=1e12)
_dispatches: Final = BodyDecoder(Dispatches)
_reply: Final = BodyDecoder(Reply)


class Refused(DoaiError):
    """The core refused a command of the measurement."""

    code = "refused"


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """CPU seconds of the thread, and what came of them."""

    tasks: int
    decide_s: float
    """Frames in: decoded, decided, frames out made."""
    commit_s: float
    """Rows bound and written, commits."""
    commits: int
    frames: int


class _Node:
    """Plays one node: answers each Dispatch with the four facts of a recipe of one step."""

    def __init__(self, alone: BrokerAlone, number: int, devices: int) -> None:
        self._alone = alone
        self.link = ADMIN_LINK + 1 + number
        self.name = f"node-{number + 1}"
        self.serials = [f"{self.name}-{device:03d}" for device in range(devices)]
        self._seq = 0

    def greet(self) -> list[tuple[Kind, bytes]]:
        """Return the first frames of the connection."""
        sample = HostSample(host="bench", pid=1, version="0", started_at_ms=0, slots=20)
        hello = Hello(name=self.name, instance="main", role=Role.NODE, sample=sample, incarnation="life", epoch=1)
        online = [
            self._record(
                DEVICE_ONLINE,
                device_subject(serial),
                events.DeviceOnline(serial=serial, node_id=self.name, driver="fake", connection=serial),
            )
            for serial in self.serials
        ]
        return [
            (Kind.HELLO, encode(hello)),
            (Kind.HOLDINGS, encode(Holdings(tasks=[], as_of_seq=0))),
            (Kind.RECORDS, encode(Records(online))),
        ]

    def answer(self, dispatches: list[Dispatch], per_frame: int) -> list[tuple[Kind, bytes]]:
        """Return frames with the facts of these tasks, of so many tasks a frame."""
        return [
            (
                Kind.RECORDS,
                encode(Records([r for task in dispatches[first : first + per_frame] for r in self._facts(task)])),
            )
            for first in range(0, len(dispatches), per_frame)
        ]

    def _facts(self, task: Dispatch) -> list[Record]:
        about = {
            "task_id": task.task_id,
            "run_id": task.run_id,
            "token": task.token,
            "device_serial": task.device_serial,
        }
        subject = task_subject(task.task_id)
        step = {"step_id": "nothing", "try_number": 1}
        payloads: list[tuple[str, Message]] = [
            (TASK_STARTED, events.TaskStarted(**about, attempt=task.attempt)),
            (STEP_STARTED, events.StepStarted(**about, **step, use="wait")),
            (STEP_COMPLETED, events.StepCompleted(**about, **step, duration_ms=0)),
            (
                ATTEMPT_ENDED,
                events.AttemptEnded(**about, attempt=task.attempt, outcome=Outcome.PASSED, duration_ms=1),
            ),
        ]
        return [self._record(event_type, subject, payload, task.trace_id) for event_type, payload in payloads]

    def _record(self, event_type: str, subject: str, payload: Message, trace_id: str = "ab" * 16) -> Record:
        self._seq += 1
        alone = self._alone
        envelope = Envelope(
            event_id=alone.ids.new_id(alone.now.utc_ms),
            type=event_type,
            subject=subject,
            source=f"{self.name}/main",
            trace_id=trace_id,
            occurred_at_ms=alone.now.utc_ms,
            payload=raw(payload),
        )
        return Record(self._seq, raw(envelope))


class BrokerAlone:
    """A core, its pipeline and its store; `close` it."""

    def __init__(self, path: Path, *, nodes: int = 1, devices: int = 100) -> None:
        self.ids = RandomIds(random.Random(1).getrandbits)
        self._began_s = time.perf_counter()
        self._writer = open_writer(path, new_store_id="bench", now_ms=time.time_ns() // 1_000_000)
        self._pipeline: Pipeline[Op, Effect] = Pipeline()
        self._core = BrokerCore(self._writer.load(), self.ids, CoreSettings(frames=NO_LIMIT), self.now)
        self._incoming: deque[tuple[int, str, Kind, bytes]] = deque()
        self._replies: list[Reply] = []
        self._records_of_tasks = 1
        self._spent = [0.0, 0.0, 0, 0]
        self._take(self._core.register_admin("admin", "key-of-admin", self.now))
        sample = HostSample(host="bench", pid=1, version="0", started_at_ms=0)
        hello = Hello(name="admin", instance="bench", role=Role.ADMIN, sample=sample)
        self._incoming.append((ADMIN_LINK, "admin", Kind.HELLO, encode(hello)))
        self._nodes = {node.link: node for node in (_Node(self, n, devices // nodes) for n in range(nodes))}
        for node in self._nodes.values():
            self.command(ADD_KEY, AddKey(name=node.name, role="node", public_key=node.name.ljust(40, "k")))
            for kind, body in node.greet():
                self._incoming.append((node.link, node.name, kind, body))
            self._turn()
        self.serials = [serial for node in self._nodes.values() for serial in node.serials]
        stored = self.command(STORE_WORKFLOW, StoreWorkflow(source=RECIPE))
        self._workflow = f"{stored['name']}@{stored['version']}"

    @property
    def now(self) -> Now:
        """The time, as the shell would tell it."""
        return Now(time.perf_counter() - self._began_s, time.time_ns() // 1_000_000)

    @property
    def last_position(self) -> int:
        """Of the event log."""
        return self._core.state.log.position

    @property
    def open_tasks(self) -> int:
        """Tasks that have not ended."""
        return len(self._core.state.tasks)

    def close(self) -> None:
        """Close the store."""
        self._writer.close()

    def run(self, tasks: int, per_run: int, per_frame: int) -> Spent:
        """Submit tasks in runs of ``per_run``, and end them by frames with the facts of ``per_frame`` tasks."""
        self._spent = [0.0, 0.0, 0, 0]
        self._records_of_tasks = per_frame
        serials = self.serials
        for first in range(0, tasks, per_run):
            chosen = [serials[number % len(serials)] for number in range(first, min(first + per_run, tasks))]
            targets = Targets(kind=TargetKind.DEVICES, serials=chosen)
            self._say(CREATE_RUN, CreateRun(workflow=self._workflow, targets=targets))
        self._turn()
        if self.open_tasks:
            raise Refused(f"{self.open_tasks} of {tasks} tasks did not end: the broker gave them to nobody")
        for reply in self._replies:
            _result(reply)
        decide_s, commit_s, commits, frames = self._spent
        return Spent(
            tasks=tasks, decide_s=decide_s, commit_s=commit_s, commits=round(commits), frames=round(frames)
        )

    def command(self, command: str, payload: Message) -> Any:
        """Execute one command and return its result; raises Refused."""
        self._replies.clear()
        self._say(command, payload)
        self._turn()
        return _result(self._replies[-1])

    def _say(self, command: str, payload: Message) -> None:
        now_ms = self.now.utc_ms
        envelope = Envelope(
            event_id=self.ids.new_id(now_ms),
            type=command,
            subject="peer/admin",
            source="admin/bench",
            trace_id=self.ids.new_trace_id(),
            occurred_at_ms=now_ms,
            payload=raw(payload),
            actor="user/bench",
            interface="cli",
        )
        self._incoming.append((ADMIN_LINK, "admin", Kind.COMMAND, encode(envelope)))

    def _turn(self) -> None:
        """Hear all frames, commit whenever a batch is full or nothing else is to do, until all is quiet."""
        spent, core, pipeline = self._spent, self._core, self._pipeline
        while True:
            while self._incoming and not pipeline.has_batch:
                link, name, kind, body = self._incoming.popleft()
                header, now = pack_header(kind), self.now
                began = time.thread_time()
                changes = core.frame(link, name, header, body, now)
                if changes.ops or changes.effects:
                    left = pipeline.add(changes.ops, changes.effects)
                spent[0] += time.thread_time() - began
                spent[3] += 1
                self._perform(left)
            began = time.thread_time()
            batch = pipeline.begin()
            if batch is None:
                return
            self._writer.commit(batch.ops)
            effects = pipeline.committed(batch.n)
            spent[1] += time.thread_time() - began
            spent[2] += 1
            self._perform(effects)

    def _take(self, changes: Changes) -> None:
        self._perform(self._pipeline.add(changes.ops, changes.effects))

    def _perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            if not isinstance(effect, SendFrame):
                continue
            kind = effect.header[1]
            if kind == Kind.REPLY:
                self._replies.append(_reply(effect.body))
            elif kind == Kind.DISPATCH:
                node = self._nodes[effect.link]
                dispatches = _dispatches(effect.body).dispatches
                self._incoming.extend(
                    (node.link, node.name, *frame) for frame in node.answer(dispatches, self._records_of_tasks)
                )


def _result(reply: Reply) -> Any:
    if reply.problem is not None:
        raise Refused(f"the core refused a command of the measurement: {reply.problem.message}")
    return reply.result
