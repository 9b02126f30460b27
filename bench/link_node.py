"""Nodes that only have facts to tell: the real link, outbox file and dealer, several nodes in one process.

Reads one JSON object of settings from standard input, fills the outboxes, says "ready", waits for a line, and sends
until the broker has acknowledged everything; then it says "done".
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
import trio

from bench.frames_floor import Frames
from doai.changes.outbox import AppendFact, OutboxOp
from doai.codec import BodyDecoder, Kind, encode, raw, unpack_header
from doai.envelope import Envelope
from doai.errors import LocalProtocolError
from doai.ids import RandomIds, Token
from doai.limits import CREDIT_BYTES, RECORDS_PER_FRAME_MAX
from doai.link.actions import Actions, Effect, OpenSocket, ReadFacts, SendFrame
from doai.link.outgoing import Outgoing
from doai.messages.events import StepCompleted
from doai.messages.link import HostSample, Role, Welcome
from doai.node.core.core import INSTANCE, RECONNECT
from doai.store.committer import Committer
from doai.store.outbox import SqliteOutbox, open_outbox
from doai.store.pipeline import Pipeline
from doai.topics import STEP_COMPLETED, task_subject
from doai.wire.base import Dealer
from doai.wire.dealer import open_dealer
from doai.wire.keys import load_or_make_keypair
from doai.wire.sending import Sending

_welcome: Final = BodyDecoder(Welcome)


Later = Callable[[], None]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What one process is to do."""

    folder: str
    """Each node's key and outbox are in a folder of its name."""
    endpoint: str
    server_key: str
    names: list[str]
    facts: int
    """Of each node."""


class Node:
    """One node's link; `run` returns when all is acknowledged."""

    def __init__(self, name: str, settings: Settings, *, slots: int = 0) -> None:
        self.sample = HostSample(host="bench", pid=os.getpid(), version="0", started_at_ms=0, slots=slots)
        self._settings = settings
        self._keys = load_or_make_keypair(Path(settings.folder) / name / "keys" / "node.key")
        self.ids = ids = RandomIds(random.Random(os.urandom(16)).getrandbits)
        incarnation = ids.new_id(time.time_ns() // 1_000_000)
        self._outbox: SqliteOutbox = open_outbox(
            Path(settings.folder) / name / "node.db", new_incarnation=incarnation
        )
        facts = [AppendFact(seq, encode(_fact(ids, name, seq)), False) for seq in range(1, settings.facts + 1)]
        for first in range(0, len(facts), RECORDS_PER_FRAME_MAX):
            self._outbox.commit(facts[first : first + RECORDS_PER_FRAME_MAX])
        self.link = Outgoing(
            name=name,
            instance=INSTANCE,
            role=Role.NODE,
            capabilities=[],
            outbox=self._outbox.load(),
            new_incarnation=lambda: incarnation,
            backoff=RECONNECT,
        )
        self._committer: Committer[OutboxOp, Effect | Later] = Committer(Pipeline(), self._outbox, self._release)
        self._opened = trio.Event()
        self._connection: Sending | None = None
        self._nursery: trio.Nursery
        self.dealer: Dealer
        self.frames = Frames()
        """That the broker took from this node, and sent it."""

    async def run(self) -> None:
        """Connect, send, and close when nothing is left."""
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                nursery.start_soon(self._committer.run)
                self._decided(self.link.tick(trio.current_time(), 0.0))
                await self._opened.wait()
                settings = self._settings
                async with open_dealer(settings.endpoint, self._keys, settings.server_key) as dealer:
                    self._connection = Sending(self.link.epoch, dealer)
                    nursery.start_soon(self._connection.run_sending)
                    await dealer.wait_up()
                    self._decided(self.link.opened(self.link.epoch, self.sample, trio.current_time()))
                    self.dealer = dealer
                    await self.receive()
                    await self._committer.wait_idle()
                    nursery.cancel_scope.cancel()
        finally:
            self._outbox.close()

    async def receive(self) -> None:
        """Hear the broker until all is acknowledged."""
        while self.link.unacknowledged:
            for header, body in await self.dealer.receive():
                self.heard(header, body)

    def heard(self, header_bytes: bytes, body: bytes) -> int | None:
        """Take what a frame says of the stream; return its kind, None when it is not to be looked at."""
        now_s, header = trio.current_time(), unpack_header(header_bytes)
        self.frames += Frames(sent=1, sent_bytes=len(body))
        if not self.link.heard(self.link.epoch, now_s):
            return None
        if header.kind == Kind.WELCOME:
            self._decided(self.link.welcome(_welcome(body), header, now_s))
        elif header.kind in (Kind.FENCED, Kind.HELLO_REQUIRED):
            raise LocalProtocolError(f"the broker answered {Kind(header.kind).name} in the middle of a stream")
        else:
            self._decided(self.link.acked(header, now_s))
        return header.kind

    def decided(self, ops: list[OutboxOp], effects: list[Effect]) -> None:
        """Commit, then let the effects leave."""
        self._committer.submit(ops, effects)

    def after_commit(self, work: Later) -> None:
        """Call it once all that was decided before is on disk."""
        self._committer.submit([], [work])

    def released(self, effect: Effect) -> None:
        """An effect that is not the link's own leaves."""

    def _decided(self, actions: Actions) -> None:
        self._committer.submit(actions.ops, actions.effects)

    def _release(self, effect: Effect | Later) -> None:
        if callable(effect):
            effect()
        elif isinstance(effect, SendFrame) and self._connection is not None:
            self._connection.send(effect.header, effect.body)
            self.frames += Frames(taken=1, taken_bytes=len(effect.body))
        elif isinstance(effect, ReadFacts):
            self._nursery.start_soon(self._read, effect)
        elif isinstance(effect, OpenSocket):
            self._opened.set()
        else:
            self.released(effect)

    async def _read(self, effect: ReadFacts) -> None:
        facts = await self._committer.with_writer(
            lambda: self._outbox.read_facts(effect.after_seq, RECORDS_PER_FRAME_MAX, CREDIT_BYTES // 4), brief=True
        )
        self._decided(self.link.facts_read(effect.epoch, facts, trio.current_time()))


def _fact(ids: RandomIds, name: str, number: int) -> Envelope:
    now_ms = time.time_ns() // 1_000_000
    task_id = ids.new_id(now_ms)
    step = StepCompleted(
        task_id=task_id,
        run_id=ids.new_id(now_ms),
        token=Token(1, number),
        device_serial=f"R58M{number % 100:06d}",
        step_id="open_app",
        try_number=1,
        duration_ms=1234,
        outputs={"stdout": "Starting: Intent { act=android.intent.action.MAIN }", "exit_code": 0},
    )
    return Envelope(
        event_id=ids.new_id(now_ms),
        type=STEP_COMPLETED,
        subject=task_subject(task_id),
        source=f"{name}/{INSTANCE}",
        trace_id=ids.new_trace_id(),
        occurred_at_ms=now_ms,
        payload=raw(step),
    )


def _say(word: str) -> None:
    sys.stdout.write(f"{word}\n")  # in one piece
    sys.stdout.flush()


async def main() -> None:
    """Do what standard input says."""
    settings = msgspec.json.decode(sys.stdin.readline(), type=Settings)
    nodes = [Node(name, settings) for name in settings.names]
    _say("ready")
    sys.stdin.readline()
    async with trio.open_nursery() as nursery:
        for node in nodes:
            nursery.start_soon(node.run)
    _say("done")
    sys.stdin.readline()


if __name__ == "__main__":
    trio.run(main)
