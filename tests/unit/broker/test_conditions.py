"""What bots find wrong with devices: events once, an incident while it is so, and quarantine that is theirs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest

from doai import limits
from doai.broker.core.incidents import LOOKS_APART_S
from doai.incidents import IncidentType
from doai.messages import bots as b
from doai.messages import commands as c
from doai.messages.bots import BotStatus
from doai.messages.health import REPORT_HEALTH, Condition, HealthReported, HealthRule, ReportHealth
from doai.states import IncidentState
from tests.unit.broker.harness import FakeAdmin, FakeBot, World, started_world

HOT = Condition(rule=HealthRule.BATTERY_HOT, value=46.0, limit=45.0)
NOT_MEASURED = Condition(rule=HealthRule.BATTERY_HOT, value=math.nan, limit=45.0)
BOUNDLESS = Condition(rule=HealthRule.BATTERY_HOT, value=46.0, limit=math.inf)
FULL = Condition(rule=HealthRule.STORAGE_LOW, value=99.0, limit=1024.0)


@pytest.fixture
def place() -> Iterator[tuple[World, FakeBot, FakeAdmin]]:
    world, _, admin = started_world("d1", "d2")
    yield world, FakeBot(world).connect(title="t"), admin
    world.check()


def report(bot: FakeBot, *conditions: Condition, serial: str = "d1") -> HealthReported:
    return bot.do(REPORT_HEALTH, ReportHealth(serial=serial, conditions=list(conditions)), HealthReported)


def told(world: World) -> list[tuple[str, Any]]:
    types = ("device.error", "health.check.completed")
    return [(e.type, world.payload(e)) for e in world.events() if e.type in types]


def incidents(world: World) -> list[tuple[IncidentType, str]]:
    rows = world.tables.incidents.values()
    return [(row.type, row.subject) for row in rows if row.state is IncidentState.OPEN]


def look(world: World, bot: FakeBot) -> None:
    bot.heartbeat()
    world.pass_time(LOOKS_APART_S)


def test_what_begins_and_ends_is_told_once(place: tuple[World, FakeBot, FakeAdmin]) -> None:
    world, bot, _ = place
    assert report(bot).began == []
    assert report(bot, HOT).began == [HealthRule.BATTERY_HOT]
    warmer = Condition(rule=HealthRule.BATTERY_HOT, value=47.0, limit=45.0)
    assert report(bot, warmer) == HealthReported(began=[], ended=[])
    assert report(bot, FULL) == HealthReported(began=[HealthRule.STORAGE_LOW], ended=[HealthRule.BATTERY_HOT])
    assert [event for event, _ in told(world)] == [
        "health.check.completed",
        "device.error",
        "health.check.completed",
        "device.error",
        "health.check.completed",
    ]
    well, wrong, checked = (payload for _, payload in told(world)[:3])
    assert (well["healthy"], well["bot"]) == (True, "robot")
    assert wrong["failure"]["code"] == "battery_hot"
    assert wrong["failure"]["message"] == "the battery of device d1 has 46.0 C, 45 C is too hot"
    assert (checked["healthy"], checked["values"]) == (False, {"battery_hot": 46.0})
    assert checked["began"] == ["battery_hot"]
    world.restart()
    bot.connect()
    assert report(bot, FULL) == HealthReported(began=[], ended=[])


def test_an_incident_is_open_while_it_is_so(place: tuple[World, FakeBot, FakeAdmin]) -> None:
    world, bot, admin = place
    report(bot, HOT, FULL)
    look(world, bot)
    assert incidents(world) == [(IncidentType.BATTERY_HOT, "device/d1"), (IncidentType.STORAGE_LOW, "device/d1")]
    [hot, _] = world.tables.incidents.values()
    assert hot.message == "the battery of device d1 has 46.0 C, 45 C is too hot"
    report(bot, FULL)
    look(world, bot)
    assert incidents(world) == [(IncidentType.STORAGE_LOW, "device/d1")]
    wish = b.SetBotStatus(name="robot", status=BotStatus.INACTIVE, reason="why not")
    admin.do(b.SET_BOT_STATUS, wish, b.BotSettings)
    world.pass_time(limits.INCIDENT_LOOK_S)
    assert incidents(world) == [], "what a bot that does not work once found counts for nothing"


@pytest.mark.parametrize("rule", HealthRule)
def test_every_rule_is_an_incident_with_a_sentence(
    place: tuple[World, FakeBot, FakeAdmin], rule: HealthRule
) -> None:
    world, bot, _ = place
    report(bot, Condition(rule=rule, value=3.0, limit=5.0))
    look(world, bot)
    [row] = world.tables.incidents.values()
    assert "device d1" in row.message


def test_wrong_reports_are_refused(place: tuple[World, FakeBot, FakeAdmin]) -> None:
    world, bot, admin = place
    asked: list[tuple[Any, ReportHealth, str]] = [
        (bot, ReportHealth(serial="d1", conditions=[HOT, HOT]), "bad_report"),
        (bot, ReportHealth(serial="d1", conditions=[NOT_MEASURED]), "bad_report"),
        (bot, ReportHealth(serial="d1", conditions=[BOUNDLESS]), "bad_report"),
        (bot, ReportHealth(serial="nobody", conditions=[HOT]), "device_not_found"),
        (admin, ReportHealth(serial="d1", conditions=[HOT]), "not_a_bot"),
    ]
    for asker, wish, code in asked:
        reply = asker.ask(REPORT_HEALTH, wish)
        assert reply.problem is not None
        assert reply.problem.code == code
    assert world.tables.conditions == {}


def test_a_bot_leaves_the_quarantine_of_others_alone(place: tuple[World, FakeBot, FakeAdmin]) -> None:
    world, bot, admin = place

    def code(reply: c.Reply) -> str:
        return "" if reply.problem is None else reply.problem.code

    gently = c.QuarantineDevice(serial="d1", reason="hot", unless_other=True)
    own = c.ReleaseDevice(serial="d1", only_own=True)
    admin.do(c.QUARANTINE_DEVICE, c.QuarantineDevice(serial="d1", reason="cable"), c.Service)
    assert code(bot.ask(c.QUARANTINE_DEVICE, gently)) == "not_own"
    assert code(bot.ask(c.RELEASE_DEVICE, own)) == "not_own"
    admin.do(c.RELEASE_DEVICE, c.ReleaseDevice(serial="d1"), c.Service)
    assert code(bot.ask(c.QUARANTINE_DEVICE, gently)) == ""
    other = FakeBot(world, "x2").connect(title="t")
    assert code(other.ask(c.QUARANTINE_DEVICE, gently)) == "", "another process of the same bot"
    admin.actor = "robot/x9"
    assert code(admin.ask(c.RELEASE_DEVICE, own)) == "not_own", "who only calls itself so is no process of it"
    stranger = FakeBot(world, name="other").connect(title="t")
    assert code(stranger.ask(c.RELEASE_DEVICE, own)) == "not_own"
    assert code(other.ask(c.RELEASE_DEVICE, own)) == ""
    assert code(other.ask(c.RELEASE_DEVICE, own)) == "not_quarantined"
