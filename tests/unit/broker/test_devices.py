"""Which node holds a device when words about it come late: what a node said is heard again once it shows itself."""

from __future__ import annotations

from doai.states import DeviceState
from tests.unit.broker.harness import FakeNode, World, started_world

LATE_S = 20.0
"""Later than a node is proven, sooner than it is offline."""


def late_words() -> tuple[World, FakeNode, FakeNode]:
    """d1 went from n1 to n2; n2 falls silent, and only then n1 can tell that it had d1 once more, and lost it."""
    world, node, _ = started_world("d1")
    node.bye()
    node.device("d1")
    node.device_gone("d1")
    other = FakeNode(world, "n2").connect()
    other.device("d1")
    other.flush()
    assert world.tables.devices["d1"].node_id == "n2"
    world.pass_time(LATE_S)
    node.connect()
    assert world.tables.devices["d1"].state is DeviceState.OFFLINE, "n1 was the last to speak of it"
    return world, node, other


def test_a_device_returns_to_who_has_it_after_late_words_of_who_had_it() -> None:
    world, node, other = late_words()
    other.heartbeat()
    assert world.tables.devices["d1"].node_id == "n2"
    assert world.tables.devices["d1"].state is DeviceState.ONLINE
    node.heartbeat()
    assert world.tables.devices["d1"].node_id == "n2"
    world.check()


def test_a_device_does_not_return_to_who_lists_it_no_longer() -> None:
    world, _, other = late_words()
    other.here.clear()
    other.heartbeat()
    other.here.add("d1")
    other.heartbeat()
    assert world.tables.devices["d1"].state is DeviceState.OFFLINE
    world.check()


def test_who_said_in_vain_that_it_sees_a_device_is_heard_when_it_is_proven_again() -> None:
    world, node, _ = started_world("d1")
    other = FakeNode(world, "n2").connect()
    other.device("d1")
    other.flush()
    world.pass_time(LATE_S)
    node.heartbeat()
    node.device_gone("d1")
    node.flush()
    assert world.tables.devices["d1"].state is DeviceState.OFFLINE, "n2 is late: nobody proves that it has it"
    other.heartbeat()
    assert world.tables.devices["d1"].node_id == "n2"
    assert world.tables.devices["d1"].state is DeviceState.ONLINE
    world.check()
