"""Slots in turn: bounded, fair, and never two tasks on one device."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from doai.node.core.slots import Slots

ONE = """
workflow: one
steps:
  - {id: a, use: device.bootstrap}
"""
SERIALS = [f"D{n}" for n in range(6)]


class Turns(RuleBasedStateMachine):
    """Any order of offers, withdrawals, takes and frees, beside a list that is plainly right."""

    def __init__(self) -> None:
        super().__init__()
        self.slots = Slots(3)
        self.line: list[str] = []
        self.busy: set[str] = set()

    @rule(serial=st.sampled_from(SERIALS))
    def offer(self, serial: str) -> None:
        self.slots.offer(serial)
        if serial not in self.busy and serial not in self.line:
            self.line.append(serial)

    @rule(serial=st.sampled_from(SERIALS))
    def withdraw(self, serial: str) -> None:
        self.slots.withdraw(serial)
        if serial in self.line:
            self.line.remove(serial)

    @rule()
    def take(self) -> None:
        expected = self.line.pop(0) if self.line and len(self.busy) < 3 else None
        assert self.slots.take() == expected
        if expected is not None:
            self.busy.add(expected)

    @rule(serial=st.sampled_from(SERIALS))
    def free(self, serial: str) -> None:
        self.slots.free(serial)
        self.busy.discard(serial)

    @invariant()
    def counts(self) -> None:
        assert self.slots.running == len(self.busy) <= 3


TestTurns = Turns.TestCase


def test_every_device_gets_its_turn_before_any_gets_a_second(make_world: Any) -> None:
    world = make_world(slots=2)
    world.connect()
    recipe = world.recipe(ONE)
    for serial in SERIALS:
        world.device(serial)
        world.dispatch(f"{serial}-1", recipe, serial=serial)
        world.dispatch(f"{serial}-2", recipe, serial=serial)
    order: list[str] = []
    while world.open:
        assert len(world.open) <= 2
        name = next(iter(world.open))
        order.append(name.partition("/")[0])
        world.end(name)
    assert sorted(order[:6]) == [f"{serial}-1" for serial in SERIALS]
    assert sorted(order[6:]) == [f"{serial}-2" for serial in SERIALS]


def test_a_free_slot_is_filled_in_the_same_decision(make_world: Any) -> None:
    world = make_world(slots=1)
    world.connect()
    recipe = world.recipe(ONE)
    for serial in "AB":
        world.device(serial)
        world.dispatch(serial, recipe, serial=serial)
    assert set(world.open) == {"A/a"}
    world.before_commit = lambda ops: None
    changes: list[Any] = []
    take = world.take
    world.take = lambda made: (changes.append(made), take(made))
    world.end("A/a")
    assert set(world.open) == {"B/a"}
    assert len(changes) == 1


def test_an_upload_frees_slot_and_device_for_the_next(make_world: Any) -> None:
    world = make_world(slots=1)
    world.connect()
    world.device("A")
    recipe = world.recipe(
        """
workflow: up
steps:
  - {id: shot, use: screen.capture}
  - {id: keep, use: artifact.upload, with: {artifact: "${steps.shot.artifact}"}}
"""
    )
    world.dispatch("T1", recipe)
    world.dispatch("T2", recipe)
    world.end("T1/shot", artifact="shot-1.png", width=1, height=1, sha256="", size_bytes=1)
    assert set(world.open) == {"T1/keep", "T2/shot"}
    assert world.ends("T1") == []
    world.end("T1/keep", path="p", sha256="")
    assert len(world.ends("T1")) == 1
