"""Anything in any order: the promises of a node hold on random walks over all its events."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from doai.codec import Kind, decode
from doai.envelope import Envelope
from doai.errors import ErrorClass
from doai.ids import Token
from doai.messages.events import AttemptEnded
from doai.messages.work import Cancels, Releases, TaskRef
from doai.states import DeviceState

RECIPE = """
workflow: walk
steps:
  - {id: a, use: device.bootstrap, retry: {attempts: 2, backoff: 1s}}
  - {id: up, use: wait, with: {for: 1s}, needs: [a]}
  - {id: b, use: device.shell, with: {command: "echo hi"}, needs: [a]}
  - {id: c, use: device.bootstrap, optional: true, needs: [b, up]}
on_failure: [{id: f, use: device.bootstrap}]
always: [{id: z, use: device.bootstrap}]
"""
SERIALS = ["A", "B", "C", "D"]
ON_DEVICE = {"a", "b", "c", "f", "z"}


class Walk:
    """One node, and a chance that decides what happens next."""

    def __init__(self, make_world: Any, seed: int) -> None:
        self.chance = random.Random(seed)
        self.world = make_world(slots=2, seed=seed)
        self.world.connect()
        for serial in SERIALS:
            self.world.device(serial)
        self.recipe = self.world.recipe(RECIPE)
        self.sent: list[tuple[str, Token, str]] = []
        self.world.auto_cancel = False

    def live(self) -> bool:
        return self.world.core.live

    def step(self) -> None:
        what = self.chance.choices(
            [
                self.dispatch,
                self.end,
                self.time,
                self.cancel,
                self.release,
                self.device,
                self.lose,
                self.ack,
                self.die,
            ],
            [6, 14, 2, 1, 1, 2, 0.5, 2, 0.3],
        )[0]
        what()
        self.check()

    def dispatch(self) -> None:
        if not self.live():
            return
        task, n = f"T{self.chance.randint(1, 30)}", len(self.sent) + 1
        serial = SERIALS[int(task[1:]) % len(SERIALS)]
        self.sent.append((task, Token(1, n), serial))
        self.world.dispatch(task, self.recipe, serial=serial, n=n, begin_within_s=self.chance.choice([None, 30.0]))
        if self.chance.random() < 0.3:
            task, token, serial = self.chance.choice(self.sent)
            if (task, token) not in self.confirmed():
                self.world.dispatch(task, self.recipe, serial=serial, n=token.n)

    def confirmed(self) -> set[tuple[str, Token]]:
        """Attempts whose end the broker has on its disk: it never sends those again."""
        envelopes = [decode(row.envelope, Envelope) for row in self.world.file.kept]
        ended = [decode(envelope.payload, AttemptEnded) for envelope in envelopes]
        return {(end.task_id, end.token) for end in ended}

    def end(self) -> None:
        if not self.world.open:
            return
        name = self.chance.choice(sorted(self.world.open))
        if self.chance.random() < 0.3:
            error = self.chance.choice([ErrorClass.DEVICE, ErrorClass.APP, ErrorClass.CANCELLED])
            self.world.fail(name, error, unobserved=self.chance.random() < 0.5)
        else:
            self.world.end(name, stdout="", stderr="", exit_code=0)

    def time(self) -> None:
        self.world.advance(self.chance.choice([0.5, 3.0, 15.0]))
        if not self.live():
            self.world.connect()
            self.recipe = self.world.recipe(RECIPE)
        self.world.beat()

    def cancel(self) -> None:
        if self.sent and self.live():
            task, token, _ = self.chance.choice(self.sent[-10:])
            self.world.frame(Kind.CANCEL, Cancels([TaskRef(task, token)]))

    def release(self) -> None:
        if self.sent and self.live():
            task, token, _ = self.chance.choice(self.sent[-10:])
            self.world.frame(Kind.RELEASE, Releases([TaskRef(task, token)]))

    def device(self) -> None:
        self.world.device(self.chance.choice(SERIALS), self.chance.choice([*DeviceState, DeviceState.ONLINE]))

    def lose(self) -> None:
        self.world.take(self.world.core.socket_lost(self.world.epoch, self.world.now, 0.0))
        self.world.connect()
        self.recipe = self.world.recipe(RECIPE)

    def ack(self) -> None:
        if self.live() and self.world.received:
            self.world.acknowledge()

    def die(self) -> None:
        self.world.boot()
        self.world.connect()
        self.recipe = self.world.recipe(RECIPE)
        for serial in SERIALS:
            self.world.device(serial)

    def check(self) -> None:
        world = self.world
        busy = Counter(s.device_serial for s in world.open.values() if s.key.step_id in ON_DEVICE)
        assert all(count == 1 for count in busy.values()), "one device step at a time on a device"
        assert len(busy) <= 2, "no more than there are slots"
        assert world.core.running <= 2
        keys = [str(start.key) for start in world.starts]
        assert len(keys) == len(set(keys)), "each try begins once, ever"


@pytest.mark.parametrize("seed", range(40))
def test_a_walk(make_world: Any, seed: int) -> None:
    walk = Walk(make_world, seed)
    for _ in range(150):
        walk.step()
    world = walk.world
    if not walk.live():
        world.connect()
    for serial in SERIALS:
        world.device(serial)
    for _ in range(2000):
        if not world.file.held:
            break
        if world.open:
            world.end(sorted(world.open)[0], stdout="", stderr="", exit_code=0)
        else:
            walk.time()
        walk.check()
    assert not world.file.held, "everything ends"
    ends = Counter((p.task_id, p.token) for name, p in world.facts() if name == "attempt.ended")
    accepted = {(s.key.task_id, s.key.token) for s in world.starts}
    assert accepted <= set(ends), "everything that began has an end"
    assert set(ends.values()) <= {1}, "one end an attempt"
    assert {(task, token) for task, token, _ in walk.sent} >= set(ends)
