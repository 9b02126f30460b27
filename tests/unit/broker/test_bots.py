"""The registry of bots: who registers, what an operator wants, who is heard."""

from __future__ import annotations

import math

import msgspec
import pytest

from doai import limits
from doai.codec import Kind, encode
from doai.messages import bots as b
from doai.states import PeerState
from tests.unit.broker.harness import FakeBot, World, started_world

SCHEMA = {"type": "object", "properties": {"interval": {"type": "string"}}, "additionalProperties": False}


def processes(world: World) -> list[str]:
    return [row["instance"] for row in msgspec.json.decode(world.tables.bots["robot"].processes_body)]


def test_a_bot_registers_under_its_own_name_only() -> None:
    world, _, admin = started_world("d1")
    bot = FakeBot(world).connect(title="Guard", version="1.2", config_schema=SCHEMA)
    assert world.tables.bots["robot"].state is PeerState.ONLINE
    refused = bot.ask(b.REGISTER_BOT, b.RegisterBot(name="other")).problem
    assert refused is not None
    assert refused.code == "not_its_name"
    assert admin.refused(b.REGISTER_BOT, b.RegisterBot(name="admin")).code == "not_a_bot"
    assert [world.payload(event)["instance"] for event in world.events("bot.registered")] == ["x1"]


@pytest.mark.parametrize(
    ("wish", "code"),
    [
        (b.RegisterBot(name="robot", config_schema={"type": "strin"}), "bad_schema"),
        (b.RegisterBot(name="robot", task_kinds=["No Kind"]), "bad_kind"),
        (b.RegisterBot(name="robot", subscriptions=[b.Subscription(name="a", topics=["a b"])]), "bad_subscription"),
        (b.RegisterBot(name="robot", subscriptions=[b.Subscription(name="a")] * 2), "bad_subscription"),
        *(
            (b.RegisterBot(name="robot", subscriptions=[b.Subscription(name="a", every_s=s)]), "bad_subscription")
            for s in (-1.0, math.nan, math.inf)
        ),
        (b.RegisterBot(name="robot", title="x" * limits.BOT_DECLARED_BYTES_MAX), "too_large"),
    ],
)
def test_a_wrong_registration_is_refused_with_a_sentence(wish: b.RegisterBot, code: str) -> None:
    world, _, _ = started_world("d1")
    bot = FakeBot(world).connect(title="Guard")
    problem = bot.ask(b.REGISTER_BOT, wish).problem
    assert problem is not None
    assert problem.code == code
    assert b'"title":"Guard"' in world.tables.bots["robot"].declared_body
    world.check()


def test_a_configuration_is_checked_and_reaches_every_process() -> None:
    world, _, admin = started_world("d1")
    one, two = (FakeBot(world, name).connect(config_schema=SCHEMA) for name in ("x1", "x2"))
    wrong = admin.refused(b.CONFIGURE_BOT, b.ConfigureBot(name="robot", config={"intervall": "30s"}))
    assert "intervall is not known: interval can be set" in wrong.message
    admin.do(b.CONFIGURE_BOT, b.ConfigureBot(name="robot", config={"interval": "30s"}), b.BotSettings)
    for bot in (one, two):
        bot.take()
        [settings] = bot.settings
        assert (settings.config, settings.revision) == ({"interval": "30s"}, 1)
    world.restart()
    again = FakeBot(world, "x3")
    again.wish = one.wish
    again.connect()
    assert msgspec.json.decode(world.tables.bots["robot"].config_body) == {"interval": "30s"}


def test_a_subscription_that_is_not_declared_any_more_ends() -> None:
    world, _, _ = started_world("d1")
    FakeBot(world).connect(b.Subscription(name="a", topics=["run.*"]), b.Subscription(name="b", topics=["run.*"]))
    FakeBot(world, "x2").connect(b.Subscription(name="b", topics=["task.*"]))
    assert list(world.tables.subscriptions) == [("robot", "b")]
    assert world.tables.subscriptions["robot", "b"].topics_body == b'["task.*"]'


def test_who_is_silent_is_late_then_gone_and_heard_again() -> None:
    world, _, _ = started_world("d1")
    bot = FakeBot(world).connect(b.Subscription(name="a", topics=["run.*"]))
    world.pass_time(limits.LATE_AFTER_S + 1)
    assert world.tables.bots["robot"].state is PeerState.LATE
    bot.heartbeat()
    assert world.tables.bots["robot"].state is PeerState.ONLINE
    world.pass_time(limits.BOT_OFFLINE_AFTER_S + 1)
    row = world.tables.bots["robot"]
    assert row.state is PeerState.OFFLINE
    assert world.utc_ms - row.proven_at_ms > limits.BOT_OFFLINE_AFTER_S * 1000
    assert processes(world) == []
    bot.connect()
    assert world.tables.bots["robot"].state is PeerState.ONLINE


def test_uptime_counts_what_was_heard() -> None:
    world, _, _ = started_world("d1")
    bot = FakeBot(world).connect(title="x")
    for _ in range(30):
        world.pass_time(10.0)
        bot.heartbeat()
    world.pass_time(limits.BOT_OFFLINE_AFTER_S + limits.BOT_LOOK_S)
    heard_s = sum(world.tables.bot_uptime.values())
    assert heard_s == pytest.approx(300.0, abs=1.0)


def test_after_a_restart_a_bot_that_does_not_come_back_is_offline() -> None:
    world, _, _ = started_world("d1")
    FakeBot(world).connect(title="x")
    world.restart()
    assert world.tables.bots["robot"].state is PeerState.ONLINE
    world.pass_time(limits.BOT_OFFLINE_AFTER_S + 1)
    assert world.tables.bots["robot"].state is PeerState.OFFLINE


def test_an_operator_says_what_is_wanted_and_it_is_told_and_audited() -> None:
    world, _, admin = started_world("d1")
    bot = FakeBot(world).connect(title="x")
    wish = b.SetBotStatus(name="robot", status=b.BotStatus.DEPRECATED, reason="use other")
    admin.do(b.SET_BOT_STATUS, wish, b.BotSettings)
    bot.take()
    assert [settings.status for settings in bot.settings] == [b.BotStatus.DEPRECATED]
    [told] = [world.payload(event) for event in world.events("bot.status.changed")]
    assert (told["status"], told["reason"]) == ("deprecated", "use other")
    row = world.tables.audit[world.tables.meta["audit_n"]]
    assert (row.subject, row.before) == ("bot/robot", '{"status":"active","reason":""}')
    assert admin.refused(b.SET_BOT_STATUS, b.SetBotStatus(name="robo", status=b.BotStatus.ACTIVE)).code == (
        "bot_not_found"
    )


def test_subscribing_needs_a_registration() -> None:
    world, _, _ = started_world("d1")
    bot = FakeBot(world)
    bot.link = world.new_link()
    bot.hello()
    assert "has not registered" in bot.subscribe("a").problem
    bot.connect(b.Subscription(name="runs", topics=["run.*"]))
    assert "did you mean 'runs'" in bot.subscribe("run").problem
    assert "number them from 1" in bot.subscribe("runs", channel=0).problem


def test_an_admin_may_not_subscribe() -> None:
    world, _, other = started_world("d1")
    wish = b.Subscribe(channel=1, subscription="a", credit_events=1, credit_bytes=1)
    world.send(other.link, "admin", Kind.SUBSCRIBE, encode(wish))
    [fenced] = world.take(other.link, Kind.FENCED)
    assert "may not send SUBSCRIBE" in fenced.reason
