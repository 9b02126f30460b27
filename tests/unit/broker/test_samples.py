"""Samples of devices: ordered while a bot wants them, given to it, stored once a minute in commits of their own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from doai import limits
from doai.broker.core.effects import Changes
from doai.changes.samples import MINUTE_MS, PutDeviceSample, health_of
from doai.codec import Kind
from doai.messages import bots as b
from doai.messages import commands as c
from doai.messages.bots import BotStatus, Subscription
from doai.messages.retention import PRUNE_STORE, PruneStore, StorePruned
from doai.messages.samples import SAMPLES_DEVICES, DeviceHealth, DeviceSamples, SampleOrder
from tests.unit.broker.harness import FakeAdmin, FakeBot, FakeNode, World, started_world

HEALTH = Subscription(name="cool", samples=["device.health"], every_s=20.0, every_setting="interval", at_once=3)
SCHEMA = {"properties": {"interval": {"type": "string"}, "max_concurrent": {"type": "integer"}}}


@pytest.fixture
def place() -> Iterator[tuple[World, FakeNode, FakeAdmin]]:
    world, node, admin = started_world("d1", "d2")
    greet(node)
    yield world, node, admin
    world.check()


def greet(node: FakeNode, *capabilities: str) -> None:
    """Connect as a node of this release."""
    node.link = node.world.new_link()
    node.epoch += 1
    node.hello(capabilities=list(capabilities) or [SAMPLES_DEVICES])
    node.list_holdings()


def orders(world: World, node: FakeNode) -> list[SampleOrder]:
    return world.take(node.link, Kind.SAMPLE_ORDER)


def tell(node: FakeNode, serial: str = "d1", **values: Any) -> None:
    node.send(Kind.DEVICE_SAMPLES, DeviceSamples(samples=[DeviceHealth(serial=serial, **values)]))


def test_nodes_are_asked_as_long_as_a_process_of_a_bot_wants_samples(
    place: tuple[World, FakeNode, FakeAdmin],
) -> None:
    world, node, _ = place
    assert orders(world, node) == [], "nobody wants any"
    bot = FakeBot(world).connect(HEALTH)
    assert orders(world, node) == [SampleOrder(every_s=20.0, at_once=3)]
    greet(node)
    assert orders(world, node) == [SampleOrder(every_s=20.0, at_once=3)], "a new connection begins without"
    other = FakeBot(world, name="other").connect(Subscription(name="all", samples=["**"], at_once=9))
    assert orders(world, node) == [SampleOrder(every_s=20.0, at_once=9)], "the most often, the most at once"
    world.apply(world.core.link_gone(bot.link, world.now))
    assert orders(world, node) == [SampleOrder(every_s=limits.SAMPLE_EVERY_S, at_once=9)]
    world.apply(world.core.link_gone(other.link, world.now))
    assert orders(world, node) == [SampleOrder(every_s=0.0)], "nobody is left"


def test_a_process_that_went_before_it_subscribed_again_wants_none(
    place: tuple[World, FakeNode, FakeAdmin],
) -> None:
    world, node, _ = place
    bot = FakeBot(world).connect(HEALTH)
    bot.send(Kind.CURSOR, b.Cursor(channel=1, told=1))
    [lost] = world.take(bot.link, Kind.SUBSCRIBED)
    assert lost.again
    world.apply(world.core.link_gone(bot.link, world.now))
    assert orders(world, node)[-1] == SampleOrder(every_s=0.0), "nobody is left"


def test_an_order_that_was_lost_is_told_again(place: tuple[World, FakeNode, FakeAdmin]) -> None:
    world, node, _ = place
    bot = FakeBot(world).connect(HEALTH)
    orders(world, node)
    told: list[SampleOrder] = []
    for _ in range(20):
        node.heartbeat()
        bot.heartbeat()
        world.pass_time(10.0)
        told += orders(world, node)
    assert told == [SampleOrder(every_s=20.0, at_once=3)] * 2, "after three silent intervals each"
    world.apply(world.core.link_gone(bot.link, world.now))
    orders(world, node)
    tell(node)
    assert orders(world, node) == [SampleOrder(every_s=0.0)], "nobody wants what it goes on to read"


def test_what_an_operator_sets_of_the_bot_holds_at_once(place: tuple[World, FakeNode, FakeAdmin]) -> None:
    world, node, admin = place
    FakeBot(world).connect(HEALTH, config_schema=SCHEMA)
    orders(world, node)

    def configure(**config: Any) -> None:
        admin.do(b.CONFIGURE_BOT, b.ConfigureBot(name="robot", config=config), b.BotSettings)

    configure(interval="2m", max_concurrent=7)
    assert orders(world, node) == [SampleOrder(every_s=120.0, at_once=7)]
    configure(interval="1ms", max_concurrent=5000)
    assert orders(world, node) == [
        SampleOrder(every_s=limits.SAMPLE_EVERY_MIN_S, at_once=limits.SAMPLE_AT_ONCE_MAX)
    ]
    configure(interval="soon")
    assert orders(world, node) == [SampleOrder(every_s=20.0, at_once=3)], "what it declared"
    wish = b.SetBotStatus(name="robot", status=BotStatus.INACTIVE, reason="why not")
    admin.do(b.SET_BOT_STATUS, wish, b.BotSettings)
    assert orders(world, node) == [SampleOrder(every_s=0.0)]


def test_a_node_of_an_older_release_is_not_asked(place: tuple[World, FakeNode, FakeAdmin]) -> None:
    world, node, _ = place
    greet(node, "step:device.health")
    FakeBot(world).connect(HEALTH)
    assert orders(world, node) == []


def test_the_newest_sample_of_each_device_reaches_the_bot(place: tuple[World, FakeNode, FakeAdmin]) -> None:
    world, node, _ = place
    bot = FakeBot(world).connect(HEALTH)
    tell(node, battery_temp_c=41.0)
    [first] = world.take(bot.link, Kind.SAMPLES)
    assert [(s.topic, s.subject) for s in first.samples] == [("device.health", "device/d1")]
    for celsius in (42.0, 43.0):
        tell(node, battery_temp_c=celsius)
    tell(node, "d2", problem="silent")
    tell(node, "nobody")
    bot.send(Kind.CURSOR, b.Cursor(channel=1, credit_events=10, credit_bytes=10**6, samples_taken=1))
    [second] = world.take(bot.link, Kind.SAMPLES)
    told = [msgspec.msgpack.decode(s.payload, type=DeviceHealth) for s in second.samples]
    assert told == [DeviceHealth(serial="d1", battery_temp_c=43.0), DeviceHealth(serial="d2", problem="silent")]


def test_one_sample_a_minute_is_stored_and_commits_are_few(place: tuple[World, FakeNode, FakeAdmin]) -> None:
    world, node, _ = place
    FakeBot(world).connect(HEALTH)
    world.utc_ms += MINUTE_MS - world.utc_ms % MINUTE_MS
    commits: list[int] = []
    apply = world.apply

    def counted(changes: Changes) -> None:
        commits.append(sum(isinstance(op, PutDeviceSample) for op in changes.ops))
        apply(changes)

    world.apply = counted  # type: ignore[method-assign]
    for seconds in range(0, 120, 10):
        for serial in ("d1", "d2"):
            tell(node, serial, battery_percent=100 - seconds)
        world.pass_time(10.0)
    assert sorted(serial for serial, _ in world.tables.device_samples) == ["d1", "d1", "d2", "d2"]
    first = min(minute for _, minute in world.tables.device_samples)
    assert health_of(world.tables.device_samples["d1", first]).battery_percent == 100, "the first of its minute"
    assert [count for count in commits if count] == [2, 2], "those of several devices share a commit"


def test_a_flood_of_samples_is_written_in_small_commits() -> None:
    serials = [f"d{number}" for number in range(limits.SAMPLE_ROWS_MAX + 10)]
    world, node, _ = started_world(*serials)
    greet(node)
    node.send(Kind.DEVICE_SAMPLES, DeviceSamples(samples=[DeviceHealth(serial=serial) for serial in serials]))
    assert world.tables.device_samples == {}, "they are gathered first"
    world.pass_time(limits.SAMPLE_WRITE_S)
    assert len(world.tables.device_samples) == limits.SAMPLE_ROWS_MAX
    world.pass_time(limits.SAMPLE_WRITE_S)
    assert {serial for serial, _ in world.tables.device_samples} == set(serials)


def test_what_is_too_large_or_of_a_stranger_is_dropped(place: tuple[World, FakeNode, FakeAdmin]) -> None:
    world, node, _ = place
    other = FakeNode(world, "n2")
    greet(other)
    tell(other, "d1", battery_percent=1)
    tell(node, "d2", foreground_app="x" * limits.SAMPLE_BYTES_MAX)
    world.pass_time(limits.SAMPLE_WRITE_S)
    assert world.tables.device_samples == {}
    assert "a sample of d2 is larger than 2048 bytes" in world.logs[-1].message


def test_retention_removes_what_is_too_old_of_a_few_devices(place: tuple[World, FakeNode, FakeAdmin]) -> None:
    world, node, _ = place
    for _ in range(3):
        tell(node)
        tell(node, "d2")
        world.pass_time(60.0)
    minutes = sorted(minute for serial, minute in world.tables.device_samples if serial == "d1")
    admin = FakeAdmin(world)
    prune = PruneStore(samples=["d1"], sample_minute_before=minutes[-1], sample_hour_before=0)
    admin.do(PRUNE_STORE, prune, StorePruned)
    assert sorted(m for serial, m in world.tables.device_samples if serial == "d1") == minutes[-1:]
    assert len([1 for serial, _ in world.tables.device_samples if serial == "d2"]) == 3
    many = PruneStore(samples=[f"d{n}" for n in range(limits.SAMPLE_SERIALS_PRUNED_MAX + 1)])
    reply: c.Reply = admin.ask(PRUNE_STORE, many)
    assert reply.problem is not None
    assert reply.problem.code == "bad_slice"
