"""Nodes without steps and drivers: the real link, outbox file and dealer, several nodes in one process.

A task is begun when the outbox has the facts of its start, and ends with the next commit. What a real node does
besides - its own queue, slots, steps, drivers - is left out, so that the broker is what is measured.

Its argument is the file of a JSON object of settings; it runs until it is ended.
"""

from __future__ import annotations

import random
import sys
import time
from collections import deque
from pathlib import Path
from typing import Final

import msgspec
import trio

from bench.link_node import Node, Settings
from doai.changes.outbox import AppendFact, OutboxOp
from doai.codec import BodyDecoder, Kind, encode, raw
from doai.envelope import Envelope, Message
from doai.ids import Token
from doai.limits import HEARTBEAT_S
from doai.link.actions import Effect, Established, SendFrame
from doai.messages import events
from doai.messages.link import DeviceProof, Heartbeat
from doai.messages.work import Dispatch, Dispatches, Holdings
from doai.node.core.core import INSTANCE
from doai.readiness import notify
from doai.states import Outcome
from doai.topics import (
    ATTEMPT_ENDED,
    DEVICE_ONLINE,
    STEP_COMPLETED,
    STEP_STARTED,
    TASK_STARTED,
    device_subject,
    task_subject,
)

LOOK_S: Final = 0.02
"""The link is looked at this often for what time alone brings: acks that did not come, facts that gathered."""
SLOTS: Final = 20
_dispatches: Final = BodyDecoder(Dispatches)


class BareNode(Node):
    """One node; `run` returns when it is cancelled."""

    def __init__(
        self, name: str, settings: Settings, devices: int, task_s: float = 0.0, *, in_slots: bool = False
    ) -> None:
        super().__init__(name, settings, slots=SLOTS)
        self._name = name
        self._task_s = task_s
        self._in_slots = in_slots
        self._waiting: deque[Dispatch] = deque()
        self._running = 0
        self._tasks: trio.Nursery
        self._serials = [f"{name}-{number:03d}" for number in range(devices)]
        self._tokens: dict[Token, None] = {}
        self._next_beat_s = trio.current_time() + random.random() * HEARTBEAT_S
        self._serials_told = False
        self._home = Path(settings.folder) / name
        self._frames_told = self.frames

    async def receive(self) -> None:
        """Hear the broker until cancelled."""
        async with trio.open_nursery() as nursery:
            self._tasks = nursery
            nursery.start_soon(self._keep_time)
            while True:
                for header, body in await self.dealer.receive():
                    kind = self.heard(header, body)
                    if kind == Kind.DISPATCH:
                        self._take(_dispatches(body).dispatches)

    def released(self, effect: Effect) -> None:
        """WELCOME came, and its commit is done: say what is held, which is nothing, and which devices there are."""
        if isinstance(effect, Established):
            self._serials_told = True
            body = encode(Holdings(tasks=[], as_of_seq=self.link.highest_seq))
            self.decided([], [SendFrame(self.link.epoch, self.link.agreement.header(Kind.HOLDINGS), body)])
            self._tell(
                [
                    (
                        DEVICE_ONLINE,
                        device_subject(serial),
                        "ab" * 16,
                        events.DeviceOnline(serial=serial, node_id=self._name, driver="fake", connection=serial),
                    )
                    for serial in self._serials
                ]
            )

    async def _keep_time(self) -> None:
        while True:
            await trio.sleep(LOOK_S)
            now_s = trio.current_time()
            if self.frames != self._frames_told:
                self._frames_told = self.frames
                replace_file(frames_file(self._home), encode(self.frames))
            if self._serials_told and now_s >= self._next_beat_s:
                self._next_beat_s = now_s + HEARTBEAT_S
                self._beat()
            due_s = self.link.due_s()
            if due_s is not None and due_s <= now_s:
                actions = self.link.tick(now_s, 0.0)
                self.decided(actions.ops, actions.effects)

    def _beat(self) -> None:
        heartbeat = Heartbeat(
            sample=self.sample,
            tokens=[(token.generation, token.n) for token in self._tokens],
            as_of_seq=self.link.highest_seq,
            devices=[DeviceProof(serial, 1.0, 2.0) for serial in self._serials],
        )
        frame = SendFrame(self.link.epoch, self.link.agreement.header(Kind.HEARTBEAT), encode(heartbeat))
        self.decided([], [frame])

    def _take(self, tasks: list[Dispatch]) -> None:
        if not self._in_slots:
            self._begin(tasks)
            return
        self._tokens.update(dict.fromkeys(task.token for task in tasks))  # heartbeats list what waits
        self._waiting.extend(tasks)
        self._fill_slots()

    def _fill_slots(self) -> None:
        tasks = [self._waiting.popleft() for _ in range(min(SLOTS - self._running, len(self._waiting)))]
        if tasks:
            self._running += len(tasks)
            self._begin(tasks)

    def _begin(self, tasks: list[Dispatch]) -> None:
        self._tokens.update(dict.fromkeys(task.token for task in tasks))
        self._tell(
            [
                (event_type, task_subject(task.task_id), task.trace_id, payload)
                for task in tasks
                for event_type, payload in (
                    (TASK_STARTED, events.TaskStarted(**_about(task), attempt=task.attempt)),
                    (
                        STEP_STARTED,
                        events.StepStarted(**_about(task), step_id="nothing", try_number=1, use="wait"),
                    ),
                )
            ],
            may_wait=True,
        )
        self.after_commit(lambda: self._begun(tasks))

    def _begun(self, tasks: list[Dispatch]) -> None:
        if not self._task_s:
            self._end(tasks)
            return
        for task in tasks:
            self._tasks.start_soon(self._end_later, task)

    async def _end_later(self, task: Dispatch) -> None:
        await trio.sleep(self._task_s if self._in_slots else random.random() * self._task_s)
        self._end([task])
        if self._in_slots:
            self._running -= 1
            self._fill_slots()

    def _end(self, tasks: list[Dispatch]) -> None:
        for task in tasks:
            del self._tokens[task.token]
        self._tell(
            [
                (event_type, task_subject(task.task_id), task.trace_id, payload)
                for task in tasks
                for event_type, payload in (
                    (
                        STEP_COMPLETED,
                        events.StepCompleted(**_about(task), step_id="nothing", try_number=1, duration_ms=0),
                    ),
                    (
                        ATTEMPT_ENDED,
                        events.AttemptEnded(
                            **_about(task), attempt=task.attempt, outcome=Outcome.PASSED, duration_ms=1
                        ),
                    ),
                )
            ]
        )

    def _tell(self, facts: list[tuple[str, str, str, Message]], *, may_wait: bool = False) -> None:
        ops: list[OutboxOp] = []
        now_ms = time.time_ns() // 1_000_000
        for event_type, subject, trace_id, payload in facts:
            envelope = encode(
                Envelope(
                    event_id=self.ids.new_id(now_ms),
                    type=event_type,
                    subject=subject,
                    source=f"{self._name}/{INSTANCE}",
                    trace_id=trace_id,
                    occurred_at_ms=now_ms,
                    payload=raw(payload),
                )
            )
            seq = self.link.append(envelope, may_wait=may_wait)
            ops.append(AppendFact(seq, envelope, event_type == ATTEMPT_ENDED))
        self.decided(ops, self.link.pump(trio.current_time()))


def frames_file(home: Path) -> Path:
    """Return where a node tells how many frames went to and fro; at most `LOOK_S` old."""
    return home / "frames"


def replace_file(path: Path, content: bytes) -> None:
    """Whoever reads it finds the old content or the new."""
    new = path.with_suffix(".new")
    new.write_bytes(content)
    new.replace(path)


def _about(task: Dispatch) -> dict[str, object]:
    return {
        "task_id": task.task_id,
        "run_id": task.run_id,
        "token": task.token,
        "device_serial": task.device_serial,
    }


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """What one process is to do."""

    settings: Settings
    devices: int
    """Of each node."""
    task_s: float = 0.0
    """Each task takes a time of its own up to this; 0 = none, and all of a frame end at once."""
    in_slots: bool = False
    """Each task takes just that time, and a node has no more of them under way than it has slots."""


async def main(site: Site) -> None:
    """Run the nodes of the settings until ended."""
    async with trio.open_nursery() as nursery:
        for name in site.settings.names:
            node = BareNode(name, site.settings, site.devices, site.task_s, in_slots=site.in_slots)
            nursery.start_soon(node.run)
        notify(READY="1")


if __name__ == "__main__":
    trio.run(main, msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Site))
