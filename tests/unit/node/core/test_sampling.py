"""When devices are read: evenly spread, each once an interval, some at once, only while somebody wants to know."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from doai.codec import Kind, decode
from doai.messages.link import Beat
from doai.messages.samples import DeviceHealth, DeviceSamples, SampleOrder
from doai.node.core.effects import ReadHealth
from doai.states import DeviceState
from tests.unit.node.core.conftest import NodeWorld

ORDER = SampleOrder(every_s=30.0, at_once=5)


@pytest.fixture
def node() -> NodeWorld:
    world = NodeWorld()
    world.connect()
    return world


def asked(world: NodeWorld) -> list[str]:
    """Return and forget what was to be read."""
    found = [effect.serial for effect in world.effects if isinstance(effect, ReadHealth)]
    world.effects.clear()
    return found


def advance(world: NodeWorld, seconds: float) -> None:
    """Let time pass, with a broker that is heard."""
    while seconds > 0:
        world.advance(min(5.0, seconds))
        if world.core.live:
            world.frame(Kind.BEAT, Beat())
        seconds -= 5.0


def answer(world: NodeWorld, serial: str, **values: Any) -> None:
    world.take(world.core.health_read(DeviceHealth(serial=serial, **values), world.now))


def told(world: NodeWorld) -> list[DeviceHealth]:
    bodies = [body for kind, body in world.frames if kind == Kind.DEVICE_SAMPLES]
    return [health for body in bodies for health in decode(body, DeviceSamples).samples]


def test_each_device_is_read_once_an_interval_and_they_are_spread(node: NodeWorld) -> None:
    serials = [f"s{number:03}" for number in range(100)]
    for serial in serials:
        node.device(serial)
    node.frame(Kind.SAMPLE_ORDER, ORDER)
    times: dict[str, list[float]] = {}
    for _ in range(600):
        advance(node, 0.1)
        for serial in asked(node):
            times.setdefault(serial, []).append(round(node.mono_s, 1))
            answer(node, serial)
    assert sorted(times) == serials
    assert {len(at) for at in times.values()} == {2}
    assert {round(second - first) for first, second in times.values()} == {30}
    a_second = Counter(int(first - 1000.0) for first, _ in times.values())
    assert max(a_second.values()) <= 5, "a hundred over thirty seconds are three or four a second"
    assert [health.serial for health in told(node)] != [], "each is told"


def test_their_moments_are_the_same_after_a_restart_and_others_on_another_node() -> None:
    moments = []
    for name in ("node-1", "node-1"):
        world = NodeWorld()
        world.connect()
        for serial in ("a", "b", "c"):
            world.device(serial)
        world.frame(Kind.SAMPLE_ORDER, ORDER)
        first: dict[str, float] = {}
        for _ in range(300):
            advance(world, 0.1)
            for serial in asked(world):
                first[serial] = round(world.mono_s % 30.0, 1)
        moments.append((name, first))
    assert moments[0] == moments[1]
    a, b, c = (moments[0][1][serial] for serial in ("a", "b", "c"))
    assert {round((b - a) % 30), round((c - b) % 30)} == {10}


def test_some_at_once_and_the_next_when_one_has_answered(node: NodeWorld) -> None:
    for serial in ("a", "b", "c"):
        node.device(serial)
    node.frame(Kind.SAMPLE_ORDER, SampleOrder(every_s=30.0, at_once=2))
    advance(node, 60.0)
    first = asked(node)
    assert len(first) == 2, "the third waits, and none is asked again meanwhile"
    answer(node, first[0], problem="silent")
    [third] = asked(node)
    assert {*first, third} == {"a", "b", "c"}
    assert told(node)[0].problem == "silent"


def test_a_device_that_is_not_here_is_passed_over(node: NodeWorld) -> None:
    node.device("a")
    node.device("b")
    node.frame(Kind.SAMPLE_ORDER, ORDER)
    node.device("b", DeviceState.OFFLINE)
    node.device("a", DeviceState.UNRESPONSIVE)
    advance(node, 31.0)
    assert asked(node) == ["a"], "that it does not answer is told"


def test_nothing_is_read_without_an_order_or_somebody_to_hear(node: NodeWorld) -> None:
    node.device("a")
    advance(node, 100.0)
    assert asked(node) == []
    node.frame(Kind.SAMPLE_ORDER, ORDER)
    advance(node, 31.0)
    assert asked(node) == ["a"]
    node.take(node.core.socket_lost(node.epoch, node.now, 0.5))
    answer(node, "a")
    assert told(node) == [], "it is not kept for later"
    node.connect()
    node.effects.clear()
    advance(node, 100.0)
    assert asked(node) == [], "an order ends with its connection"
    node.frame(Kind.SAMPLE_ORDER, ORDER)
    advance(node, 31.0)
    assert asked(node) == ["a"]
    node.frame(Kind.SAMPLE_ORDER, SampleOrder(every_s=0.0))
    answer(node, "a")
    advance(node, 100.0)
    assert asked(node) == []


def test_a_node_that_stops_reads_nothing_more(node: NodeWorld) -> None:
    node.device("a")
    node.frame(Kind.SAMPLE_ORDER, ORDER)
    node.take(node.core.drain("stop", node.now))
    advance(node, 100.0)
    assert asked(node) == []
