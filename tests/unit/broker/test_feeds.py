"""Subscriptions: what is committed reaches one process of the bot, once, in order, until it is done with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from doai import limits
from doai.broker.core import event_tail
from doai.broker.core.effects import ReadLog, SendFrame
from doai.codec import Kind, unpack_header
from doai.messages import bots as b
from doai.messages import commands as c
from doai.messages.bots import Subscription
from tests.unit.broker.harness import FakeAdmin, FakeBot, FakeNode, World, started_world

RUNS = Subscription(name="runs", topics=["run.*"])
ALL = Subscription(name="all", topics=["**"])


@pytest.fixture
def place() -> Iterator[tuple[World, FakeNode, FakeAdmin]]:
    world, node, admin = started_world("d1", "d2", "d3")
    yield world, node, admin
    world.check()


def flush(world: World) -> None:
    world.pass_time(limits.EVENTS_FLUSH_MAX_S)
    world.read()


def row(world: World, name: str = "runs", bot: str = "robot") -> Any:
    return world.tables.subscriptions[bot, name]


def types(bot: FakeBot) -> list[str]:
    return [envelope.type for _, envelope in bot.held]


def test_an_event_that_matches_comes_after_its_commit(place: tuple[World, FakeNode, FakeAdmin]) -> None:
    world, _, admin = place
    bot = FakeBot(world).connect(RUNS)
    made = admin.run("d1")
    flush(world)
    [(position, envelope)] = bot.take()
    assert envelope.type == "run.created"
    assert envelope.subject == f"run/{made.run_id}"
    assert world.tables.events[position - 1].envelope == envelope, "as it is in the log"
    assert bot.looked_to >= position


def test_a_new_subscription_begins_with_the_next_event_or_the_first(
    place: tuple[World, FakeNode, FakeAdmin],
) -> None:
    world, _, admin = place
    admin.run("d1")
    now = FakeBot(world, "x1").connect(RUNS, Subscription(name="old", topics=["run.*"], from_beginning=True))
    flush(world)
    assert len(now.take()) == 1, "only the one that begins with the oldest event"


def test_what_is_done_is_never_given_again_and_what_is_not_is(place: tuple[World, FakeNode, FakeAdmin]) -> None:
    world, _, admin = place
    bot = FakeBot(world).connect(RUNS)
    for serial in ("d1", "d2", "d3"):
        admin.run(serial)
    flush(world)
    first, second, third = (position for position, _ in bot.take())
    bot.done(first, third)
    world.pass_time(limits.CURSOR_APART_S)
    world.restart()
    bot.connect()
    world.read()
    flush(world)
    assert [position for position, _ in bot.take()] == [second]
    bot.done()
    world.pass_time(limits.CURSOR_IDLE_S)
    world.restart()
    bot.connect()
    flush(world)
    assert bot.take() == []


def test_a_cursor_moves_where_nothing_matches(place: tuple[World, FakeNode, FakeAdmin]) -> None:
    world, _, admin = place
    FakeBot(world).connect(Subscription(name="runs", topics=["secret.stored"]))
    before = row(world).position
    admin.run("d1")
    world.pass_time(limits.CURSOR_IDLE_S)
    assert row(world).position > before


def test_without_credit_nothing_comes_and_others_go_on(place: tuple[World, FakeNode, FakeAdmin]) -> None:
    world, _, admin = place
    hung = FakeBot(world, name="robot").connect(RUNS, credit=1)
    well = FakeBot(world, "y", name="other").connect(RUNS)
    for serial in ("d1", "d2", "d3"):
        admin.run(serial)
    flush(world)
    assert (len(hung.take()), len(well.take())) == (1, 3)
    hung.done(credit=3)
    flush(world)
    assert len(hung.take()) == 2


def test_bytes_are_credit_too_but_one_event_always_goes(place: tuple[World, FakeNode, FakeAdmin]) -> None:
    world, _, admin = place
    bot = FakeBot(world)
    bot.connect(RUNS)
    bot.send(Kind.SUBSCRIBE, b.Subscribe(channel=1, subscription="runs", credit_events=100, credit_bytes=10))
    for serial in ("d1", "d2"):
        admin.run(serial)
    flush(world)
    assert len(bot.take()) == 1
    bot.done()
    flush(world)
    assert len(bot.take()) == 1


def test_a_subject_stays_with_the_process_that_holds_an_event_of_it(
    place: tuple[World, FakeNode, FakeAdmin],
) -> None:
    world, node, admin = place
    tasks = Subscription(name="tasks", topics=["task.*"])
    one, two = FakeBot(world, "x1").connect(tasks), FakeBot(world, "x2").connect(tasks)
    for serial in ("d1", "d2", "d3"):
        admin.run(serial)
    dispatches = node.pump()
    for dispatch in dispatches:
        node.begin(dispatch)
        node.end(dispatch)
    node.flush()
    flush(world)
    one.take()
    two.take()
    subjects = [{envelope.subject for _, envelope in bot.held} for bot in (one, two)]
    assert all(subjects), "both have work"
    assert not subjects[0] & subjects[1]
    for bot in (one, two):
        assert bot.seen == sorted(bot.seen)


def test_what_a_process_held_goes_to_another_in_order(place: tuple[World, FakeNode, FakeAdmin]) -> None:
    world, node, admin = place
    tasks = Subscription(name="tasks", topics=["task.*"])
    one = FakeBot(world, "x1").connect(tasks)
    admin.run("d1")
    node.pump()
    flush(world)
    held = [position for position, _ in one.take()]
    assert len(held) >= 2
    one.done(held[0])
    two = FakeBot(world, "x2").connect(tasks)
    one.bye()
    flush(world)
    assert [position for position, _ in two.take()] == held[1:]
    admin.run("d1")
    flush(world)
    new = [position for position, _ in two.take()]
    assert new == sorted(new)
    two.done()
    flush(world)
    assert two.take() == []


def test_a_subject_that_is_not_done_holds_up_no_other(place: tuple[World, FakeNode, FakeAdmin]) -> None:
    world, _, admin = place
    bot = FakeBot(world).connect(Subscription(name="devices", topics=["device.*", "run.created"]), credit=10_000)
    for n in range(limits.SUBJECT_IN_FLIGHT_MAX * 20):
        tie = c.DeviceDescription(serial="d1", label=str(n))
        admin.do(c.DESCRIBE_DEVICES, c.DescribeDevices(devices=[tie]), c.DevicesDescribed)
        bot.take()
    flush(world)
    bot.take()
    assert len(bot.held) <= limits.EVENTS_IN_FLIGHT_MAX
    admin.run("d2")
    flush(world)
    bot.take()
    assert "run.created" in types(bot)
    done = 0
    while bot.held:
        done += len(bot.held)
        bot.done()
        flush(world)
        bot.take()
    assert len(bot.seen) == len(set(bot.seen))
    of_device = [p for p in bot.seen if world.tables.events[p - 1].envelope.subject == "device/d1"]
    assert of_device == sorted(of_device)
    assert len(of_device) == limits.SUBJECT_IN_FLIGHT_MAX * 20
    world.pass_time(limits.CURSOR_IDLE_S)
    assert row(world, "devices").open_body == b"{}"


def test_a_subject_that_fills_what_one_process_may_hold_waits_behind(
    place: tuple[World, FakeNode, FakeAdmin],
) -> None:
    world, _, admin = place
    credit = limits.SUBJECT_IN_FLIGHT_MAX * 3
    bot = FakeBot(world).connect(Subscription(name="devices", topics=["device.*", "run.created"]), credit=credit)
    for n in range(credit * 2):
        tie = c.DeviceDescription(serial="d1", label=str(n))
        admin.do(c.DESCRIBE_DEVICES, c.DescribeDevices(devices=[tie]), c.DevicesDescribed)
        flush(world)
    bot.take()
    assert len(bot.held) < credit, "there is room for other subjects"
    admin.run("d2")
    flush(world)
    assert [envelope.type for _, envelope in bot.take()] == ["run.created"]


def test_who_is_behind_in_the_ring_is_given_the_rest_in_one_frame(place: tuple[World, FakeNode, FakeAdmin]) -> None:
    world, _, admin = place
    bot = FakeBot(world).connect(RUNS, credit=2)
    for _ in range(10):
        admin.run("d1")
        flush(world)
    assert len(bot.take()) == 2
    world.inbox[bot.link].clear()
    bot.done(credit=100)
    [(_, body)] = [frame for frame in world.inbox[bot.link] if frame[0].kind == Kind.EVENTS]
    assert len(body.events) == 8
    assert not world.reads, "nothing was read from the store"
    bot.take()
    assert bot.seen == sorted(set(bot.seen))


def test_who_is_far_behind_is_read_from_the_store(place: tuple[World, FakeNode, FakeAdmin]) -> None:
    world, _, admin = place
    bot = FakeBot(world).connect(ALL)
    bot.bye()
    for n in range(limits.LOG_READ_ROWS + 100):
        tie = c.DeviceDescription(serial="d1", label=str(n))
        admin.do(c.DESCRIBE_DEVICES, c.DescribeDevices(devices=[tie]), c.DevicesDescribed)
    before = world.tables.subscriptions["robot", "all"].position
    bot = FakeBot(world).connect(ALL, read=False)
    assert any(isinstance(read, ReadLog) for read in world.reads)
    for _ in range(1000):
        world.read()
        bot.take()
        if not bot.held:
            break
        bot.done(credit=100_000)
    flush(world)
    bot.take()
    assert sorted(bot.seen) == list(range(before + 1, world.tables.last_position + 1))
    of_device = [p for p in bot.seen if world.tables.events[p - 1].envelope.subject == "device/d1"]
    assert of_device == sorted(of_device)


def test_the_same_bytes_go_to_all_with_one_filter(place: tuple[World, FakeNode, FakeAdmin]) -> None:
    world, _, admin = place
    bots = [FakeBot(world, name=name).connect(RUNS) for name in ("robot", "other")]
    bodies: list[bytes] = []
    perform = world._perform

    def watch(effect: Any) -> None:
        if isinstance(effect, SendFrame) and unpack_header(effect.header).kind == Kind.EVENTS:
            bodies.append(effect.body)
        perform(effect)

    world._perform = watch  # type: ignore[method-assign]
    admin.run("d1")
    flush(world)
    assert len(bodies) == 2
    assert bodies[0] is bodies[1]
    assert all(bot.take() for bot in bots)


def test_replay_from_a_position_and_from_a_time(place: tuple[World, FakeNode, FakeAdmin]) -> None:
    world, _, admin = place
    bot = FakeBot(world).connect(RUNS)
    admin.run("d1")
    world.pass_time(10.0)
    late_ms = world.utc_ms
    admin.run("d2")
    flush(world)
    bot.take()
    bot.done()
    first, second = bot.seen
    for wish, expected in (
        (b.ResetSubscription(name="robot", subscription="runs", position=0), [first, second]),
        (b.ResetSubscription(name="robot", subscription="runs", position=first), [second]),
        (b.ResetSubscription(name="robot", subscription="runs", time_ms=late_ms), [second]),
        (b.ResetSubscription(name="robot", subscription="runs", to_end=True), []),
    ):
        admin.do(b.RESET_SUBSCRIPTION, wish, b.SubscriptionReset)
        flush(world)
        assert [position for position, _ in bot.take()] == expected
        bot.done()


def test_an_inactive_bot_is_given_nothing_and_loses_nothing(place: tuple[World, FakeNode, FakeAdmin]) -> None:
    world, _, admin = place
    bot = FakeBot(world).connect(RUNS)
    admin.do(b.SET_BOT_STATUS, b.SetBotStatus(name="robot", status=b.BotStatus.INACTIVE), b.BotSettings)
    admin.run("d1")
    flush(world)
    assert bot.take() == []
    admin.do(b.SET_BOT_STATUS, b.SetBotStatus(name="robot", status=b.BotStatus.ACTIVE), b.BotSettings)
    flush(world)
    assert len(bot.take()) == 1


def test_without_subscriptions_nothing_is_gathered(place: tuple[World, FakeNode, FakeAdmin]) -> None:
    world, _, admin = place
    bot = FakeBot(world).connect(RUNS)
    assert world.core.state.log.tail is not None
    bot.bye()
    assert world.core.state.log.tail is None
    admin.run("d1")
    assert not world.reads


def test_a_frame_says_how_many_events_came_before_it(place: tuple[World, FakeNode, FakeAdmin]) -> None:
    world, _, admin = place
    bot = FakeBot(world).connect(RUNS)
    given = 0
    for count in (1, 2):
        for _ in range(count):
            admin.run("d1")
        flush(world)
        frames = [frame for frame in world.inbox[bot.link] if frame[0].kind == Kind.EVENTS]
        for header, body in frames:
            assert header.credit_seq == given
            given += len(body.events)
        bot.take()
    assert given == 3


def test_acks_that_were_lost_begin_the_channel_anew(place: tuple[World, FakeNode, FakeAdmin]) -> None:
    world, _, admin = place
    bot = FakeBot(world).connect(RUNS)
    for _ in range(3):
        admin.run("d1")
    flush(world)
    first, second, third = (position for position, _ in bot.take())
    bot.send(Kind.CURSOR, b.Cursor(channel=1, done=[second], told=2))
    [answer] = world.take(bot.link, Kind.SUBSCRIBED)
    assert "was lost" in answer.problem
    assert answer.again
    world.pass_time(limits.CURSOR_IDLE_S)
    assert world.take(bot.link, Kind.SUBSCRIBED) == [answer], "that frame may be lost, too: it is told again"
    bot.held.clear()
    bot.subscribe("runs")
    assert [position for position, _ in bot.take()] == [first, second, third]
    world.take(bot.link, Kind.SUBSCRIBED)
    world.pass_time(limits.CURSOR_IDLE_S)
    assert world.take(bot.link, Kind.SUBSCRIBED) == [], "it has subscribed again"


def test_who_is_refused_is_not_told_to_subscribe_again(place: tuple[World, FakeNode, FakeAdmin]) -> None:
    world, _, admin = place
    bot = FakeBot(world).connect(RUNS)
    admin.run("d1")
    flush(world)
    bot.take()
    bot.send(Kind.CURSOR, b.Cursor(channel=1, told=1))
    world.take(bot.link, Kind.SUBSCRIBED)
    bot.do(b.REGISTER_BOT, b.RegisterBot(name=bot.name), b.BotSettings)
    assert "registered no subscription" in bot.subscribe("runs").problem
    world.pass_time(limits.CURSOR_IDLE_S)
    assert world.take(bot.link, Kind.SUBSCRIBED) == []


def follow(bot: FakeBot, *follows: str, channel: int = 9) -> b.Subscribed:
    wish = b.Subscribe(
        channel=channel, subscription="runs", credit_events=1000, credit_bytes=10**9, follows=list(follows)
    )
    bot.send(Kind.SUBSCRIBE, wish)
    [answer] = bot.world.take(bot.link, Kind.SUBSCRIBED)
    assert isinstance(answer, b.Subscribed)
    return answer


def test_every_process_follows_what_happens_and_keeps_no_cursor(place: tuple[World, FakeNode, FakeAdmin]) -> None:
    world, _, admin = place
    bots = [FakeBot(world, name).connect(Subscription(name="other", topics=["secret.*"])) for name in ("x1", "x2")]
    admin.run("d1")
    assert [follow(bot, "run.*").problem for bot in bots] == ["", ""]
    rows = dict(world.tables.subscriptions)
    made = admin.run("d2")
    flush(world)
    for bot in bots:
        [(_, envelope)] = bot.take()
        assert (envelope.type, envelope.subject) == ("run.created", f"run/{made.run_id}")
        bot.done(channel=9)
    world.pass_time(limits.CURSOR_IDLE_S)
    assert set(world.tables.subscriptions) == set(rows)
    bots[0].bye()
    again = FakeBot(world, "x1").connect(Subscription(name="other", topics=["secret.*"]))
    assert not follow(again, "run.*").problem
    flush(world)
    assert again.take() == [], "what happened before is not given"
    followed = [key for key in world.core._feeds.by_key if "#" in key[1]]
    assert len(followed) == 2, "the one that left is forgotten"


def test_a_connection_follows_a_few_things_and_patterns_only(place: tuple[World, FakeNode, FakeAdmin]) -> None:
    world, _, _ = place
    bot = FakeBot(world).connect(RUNS)
    assert "is no pattern" in follow(bot, "Run.*").problem
    for channel in range(100, 100 + limits.SUBSCRIPTIONS_PER_BOT_MAX):
        assert not follow(bot, "run.*", channel=channel).problem
    assert "at once" in follow(bot, "run.*").problem


def test_what_nobody_follows_any_more_is_let_go(place: tuple[World, FakeNode, FakeAdmin]) -> None:
    world, _, _ = place
    bot = FakeBot(world).connect(RUNS)
    for number in range(50):
        assert not follow(bot, f"run.part{number}").problem
    remembered = [patterns for patterns, _ in world.core._feeds._filters.items()]
    assert remembered == [("run.*",), ("run.part49",)]


def test_more_at_once_than_the_ring_holds_is_given_all_the_same(
    place: tuple[World, FakeNode, FakeAdmin], monkeypatch: pytest.MonkeyPatch
) -> None:
    world, _, admin = place
    bot = FakeBot(world).connect(RUNS, credit=100)
    monkeypatch.setattr(event_tail, "TAIL_EVENTS_MAX", 1)
    made = [admin.run("d1").run_id for _ in range(2)]
    for _ in range(3):
        flush(world)
    assert [envelope.subject for _, envelope in bot.take()] == [f"run/{run_id}" for run_id in made]
