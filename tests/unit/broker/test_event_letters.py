"""An event that a bot gives up is a dead letter of its subscription, and comes again when a person says so."""

from __future__ import annotations

import msgspec
import pytest

from doai import limits
from doai.codec import Kind, decode
from doai.envelope import Envelope
from doai.messages import bots as b
from doai.messages.bots import Subscription
from doai.messages.dead_letters import RETRY_DEAD_LETTERS as RETRY
from doai.messages.dead_letters import DeadLettersRetried, LetterFilter, RetryDeadLetters
from doai.messages.link import HostSample
from doai.messages.retention import PRUNE_STORE, PruneStore, StorePruned
from doai.states import DeadLetterState
from tests.unit.broker.harness import FakeAdmin, FakeBot, FakeNode, World, started_world

RUNS = Subscription(name="runs", topics=["run.created"])


def flush(world: World) -> None:
    world.pass_time(limits.EVENTS_FLUSH_MAX_S)
    world.read()


@pytest.fixture
def given_up() -> tuple[World, FakeAdmin, FakeBot, int]:
    """A bot that gave up the first of two events."""
    world, _, admin = started_world("d1")
    bot = FakeBot(world).connect(RUNS)
    admin.run("d1")
    admin.run("d1")
    flush(world)
    first, second = (position for position, _ in bot.take())
    failed = b.FailedEvent(first, "handler_failed", "KeyError: 'x'", 8)
    bot.send(Kind.CURSOR, b.Cursor(channel=1, done=[second], failed=[failed]))
    bot.held.clear()
    world.check()
    return world, admin, bot, first


def test_what_is_given_up_counts_as_done_and_is_kept_with_its_reason(
    given_up: tuple[World, FakeAdmin, FakeBot, int],
) -> None:
    world, _, _, first = given_up
    world.pass_time(limits.CURSOR_APART_S)
    row = world.tables.subscriptions["robot", "runs"]
    assert (row.open_body, row.again_body) == (b"{}", b"[]")
    assert row.position > first
    [letter] = world.tables.dead_letters.values()
    assert (letter.kind.value, letter.subscription, letter.seq, letter.attempts) == (
        "event",
        "robot/runs",
        first,
        8,
    )
    assert "KeyError: 'x'" in letter.message
    assert decode(letter.data, Envelope) == world.tables.events[first - 1].envelope
    [told] = world.events("deadletter.created")
    assert told.subject == "bot/robot"


def test_a_retry_gives_it_again_once(given_up: tuple[World, FakeAdmin, FakeBot, int]) -> None:
    world, admin, bot, first = given_up
    [letter_id] = world.tables.dead_letters
    retry = RetryDeadLetters(which=LetterFilter(ids=[letter_id]))
    assert admin.do(RETRY, retry, DeadLettersRetried).retried == 1
    assert world.tables.dead_letters[letter_id].state is DeadLetterState.RETRIED
    world.pass_time(limits.CURSOR_APART_S)
    assert world.tables.subscriptions["robot", "runs"].again_body == msgspec.json.encode([first])
    world.restart()
    bot.connect()
    assert [position for position, _ in bot.take()] == [first]
    bot.done()
    world.pass_time(limits.CURSOR_APART_S)
    assert world.tables.subscriptions["robot", "runs"].again_body == b"[]"
    world.restart()
    bot.connect()
    assert bot.take() == []


def test_it_comes_again_though_the_log_has_lost_it(given_up: tuple[World, FakeAdmin, FakeBot, int]) -> None:
    world, admin, bot, first = given_up
    event = world.tables.events[first - 1].envelope
    world.tables.events = [kept for kept in world.tables.events if kept.position != first]
    [letter_id] = world.tables.dead_letters
    admin.do(RETRY, RetryDeadLetters(which=LetterFilter(ids=[letter_id])), DeadLettersRetried)
    world.read()
    assert bot.take() == [(first, event)]


def test_a_subscription_that_is_gone_is_named(given_up: tuple[World, FakeAdmin, FakeBot, int]) -> None:
    world, admin, bot, _ = given_up
    bot.do(b.REGISTER_BOT, b.RegisterBot(name="robot"), b.BotSettings)
    [letter_id] = world.tables.dead_letters
    answer = admin.do(RETRY, RetryDeadLetters(which=LetterFilter(ids=[letter_id])), DeadLettersRetried)
    assert answer.retried == 0
    assert "has no subscription runs any more" in answer.refused[0]
    assert world.tables.dead_letters[letter_id].state is DeadLetterState.OPEN


def test_retention_waits_for_what_a_subscription_has_not_heard() -> None:
    world, _, admin = started_world("d1")
    bot = FakeBot(world).connect(Subscription(name="all", topics=["**"], from_beginning=True))
    flush(world)
    bot.take()
    held = [position for position, _ in bot.held]
    refused = admin.refused(PRUNE_STORE, PruneStore(events=held[:1]))
    assert refused.code == "not_heard"
    bot.done(*held[:1])
    admin.do(PRUNE_STORE, PruneStore(events=held[:1]), StorePruned)


class TestSamples:
    HEALTH = Subscription(name="hosts", samples=["node.*"])

    def beat(self, node: FakeNode, cpu: float) -> None:
        node.heartbeat(cpu_percent=cpu)

    def test_the_newest_of_a_subject_wins_and_one_frame_is_under_way(self) -> None:
        world, node, _ = started_world("d1")
        bot = FakeBot(world).connect(self.HEALTH)
        for cpu in (1.0, 2.0, 3.0):
            self.beat(node, cpu)
        [first] = bot.samples()
        assert (first.topic, first.subject) == ("node.host", "node/n1")
        assert decode(first.payload, HostSample).cpu_percent == 1.0
        bot.send(Kind.CURSOR, b.Cursor(channel=1, samples_taken=1))
        [newest] = bot.samples()
        assert decode(newest.payload, HostSample).cpu_percent == 3.0
        world.check()

    def test_nothing_of_it_is_stored_and_nobody_else_hears(self) -> None:
        world, node, _ = started_world("d1")
        bot = FakeBot(world).connect(RUNS)
        self.beat(node, 1.0)
        assert bot.samples() == []
