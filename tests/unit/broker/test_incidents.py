"""Incidents: each type is opened and closed by its real cause, and people answer them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from doai import limits, topics
from doai.broker.core.settings import CoreSettings
from doai.changes.incidents import IncidentRow
from doai.codec import Kind, decode, encode
from doai.errors import ErrorClass, Failure
from doai.incidents import RULES, IncidentType
from doai.messages import bots as b
from doai.messages import commands as c
from doai.messages import incidents as i
from doai.messages.dead_letters import (
    DISCARD_DEAD_LETTERS,
    DeadLettersDiscarded,
    DiscardDeadLetters,
    LetterFilter,
)
from doai.messages.link import Heartbeat
from doai.states import IncidentState, Outcome
from tests.unit.broker.harness import FakeAdmin, FakeBot, FakeNode, World, sample, started_world

WRONG = Failure(error_class=ErrorClass.USER, code="wrong", message="no such button")
GB = 1024**3


def found(world: World, incident_type: IncidentType) -> list[IncidentRow]:
    """Return all of a type, also those that are over, oldest first; everything is in the store."""
    world.check()
    rows = sorted(world.tables.incidents.values(), key=lambda row: row.incident_id)
    return [row for row in rows if row.type is incident_type]


def is_open(world: World, incident_type: IncidentType) -> bool:
    return any(row.state is not IncidentState.RESOLVED for row in found(world, incident_type))


def live(world: World, seconds: float, *peers: FakeNode | FakeAdmin, **about: object) -> None:
    """Let time pass while these peers are heard from, and nodes say so of their hosts."""
    for _ in range(round(seconds / 10)):
        world.pass_time(10)
        for peer in peers:
            if isinstance(peer, FakeAdmin):
                world.send(peer.link, peer.name, Kind.HEARTBEAT, encode(Heartbeat(sample=sample())))
            else:
                said = {"utc_ms": world.utc_ms, **about}
                peer.heartbeat(**said)


def perform(world: World, node: FakeNode, admin: FakeAdmin, *, failed: bool = False, took_s: float = 10) -> None:
    admin.run("d1")
    (dispatch,) = node.flush()
    node.begin(dispatch)
    node.flush()
    live(world, took_s, node, admin)
    node.end(dispatch, Outcome.FAILED if failed else Outcome.PASSED, failure=WRONG if failed else None)
    node.flush()


def only(world: World, incident_type: IncidentType) -> IncidentRow:
    [row] = found(world, incident_type)
    assert row.severity is RULES[incident_type].severity
    return row


def over(world: World, incident_type: IncidentType) -> None:
    row = only(world, incident_type)
    assert (row.state, row.resolved_by) == (IncidentState.RESOLVED, "broker/main")
    changes = [event for event in world.events() if event.type.startswith("incident.")]
    mine = [event for event in changes if decode(event.payload, i.IncidentChanged).incident_id == row.incident_id]
    told = [event.type for event in mine]
    assert told == [topics.INCIDENT_OPENED, topics.INCIDENT_RESOLVED]


def test_every_type_has_a_rule_and_an_order() -> None:
    assert list(RULES) == list(IncidentType)
    assert all(rule.closes_at <= rule.opens_at for rule in RULES.values())


def test_a_backlog_opens_above_200_waiting_tasks_and_closes_well_below() -> None:
    world, node, admin = started_world("d1", "d2")
    node.device_gone("d2")
    node.flush()
    for _ in range(limits.BACKLOG_TASKS + 1):
        admin.run("d2")
    live(world, 100, node)
    row = only(world, IncidentType.QUEUE_BACKLOG)
    assert (row.subject, row.affected) == ("queue/default", limits.BACKLOG_TASKS + 1)
    node.device("d2")
    node.flush()
    while node.held:
        for dispatch in list(node.held.values()):
            node.begin(dispatch)
            node.end(dispatch)
        node.flush()
    live(world, 150, node)
    over(world, IncidentType.QUEUE_BACKLOG)


def test_nothing_given_out_is_no_progress_after_five_minutes() -> None:
    world, node, admin = started_world("d1", "d2")
    node.device_gone("d2")
    node.flush()
    admin.run("d2")
    live(world, limits.NO_PROGRESS_S - 30, node)
    assert not is_open(world, IncidentType.NO_PROGRESS)
    live(world, 60, node)
    assert only(world, IncidentType.NO_PROGRESS).affected == 1
    node.device("d2")
    node.flush()
    live(world, 120, node)
    over(world, IncidentType.NO_PROGRESS)


def test_a_task_that_waits_for_an_hour_is_late() -> None:
    world, node, admin = started_world("d1", "d2")
    node.device_gone("d2")
    node.flush()
    admin.run("d2")
    live(world, limits.TASK_LATE_S - 60, node)
    assert not is_open(world, IncidentType.TASK_LATE)
    live(world, 240, node)
    assert "wait for more than an hour" in only(world, IncidentType.TASK_LATE).message
    node.device("d2")
    node.flush()
    live(world, 120, node)
    over(world, IncidentType.TASK_LATE)


def test_many_failures_are_an_incident_until_most_pass_again() -> None:
    world, node, admin = started_world("d1", settings=CoreSettings(quarantine_after=0))
    live(world, 60, node, admin)
    for number in range(30):
        perform(world, node, admin, failed=number % 2 == 0)
    live(world, 90, node, admin)
    assert only(world, IncidentType.HIGH_FAILURE_RATE).affected == 15
    for _ in range(70):
        perform(world, node, admin)
    live(world, 180, node)
    over(world, IncidentType.HIGH_FAILURE_RATE)


def test_more_than_ten_dead_letters_until_a_person_has_decided() -> None:
    world, node, admin = started_world("d1", settings=CoreSettings(quarantine_after=0))
    for _ in range(limits.DEAD_LETTERS_ALERT):
        perform(world, node, admin, failed=True)
    live(world, 90, node, admin)
    assert not is_open(world, IncidentType.DEAD_LETTERS)
    perform(world, node, admin, failed=True)
    live(world, 90, node, admin)
    assert only(world, IncidentType.DEAD_LETTERS).affected == limits.DEAD_LETTERS_ALERT + 1
    wish = DiscardDeadLetters(which=LetterFilter(kind="task"))
    confirm = admin.do(DISCARD_DEAD_LETTERS, wish, DeadLettersDiscarded).confirm
    sure = DiscardDeadLetters(which=LetterFilter(kind="task"), confirm=confirm)
    admin.do(DISCARD_DEAD_LETTERS, sure, DeadLettersDiscarded)
    live(world, 150, node)
    over(world, IncidentType.DEAD_LETTERS)


def test_tasks_that_take_twice_as_long_are_slow() -> None:
    world, node, admin = started_world("d1")
    live(world, 60, node, admin)
    for _ in range(25):
        perform(world, node, admin, took_s=10)
    live(world, limits.FAILURE_RATE_WITHIN_MIN * 60, node, admin)
    for _ in range(25):
        perform(world, node, admin, took_s=30)
    live(world, 90, node)
    assert "up to 30 s" in only(world, IncidentType.SLOW_PROCESSING).message
    live(world, 20 * 60, node)
    over(world, IncidentType.SLOW_PROCESSING)


def test_a_node_that_is_not_heard_for_five_minutes_is_down() -> None:
    world, node, _ = started_world("d1", "d2")
    world.pass_time(limits.OFFLINE_AFTER_S + limits.NODE_DOWN_S - 30)
    assert not is_open(world, IncidentType.NODE_DOWN)
    world.pass_time(60)
    row = only(world, IncidentType.NODE_DOWN)
    assert (row.subject, row.affected) == ("node/n1", 2)
    assert not is_open(world, IncidentType.DEVICE_OFFLINE), "its devices are no incidents of their own"
    world.restart()
    world.pass_time(40)
    assert is_open(world, IncidentType.NODE_DOWN), "a broker that starts again keeps it"
    node.connect()
    live(world, 120, node)
    over(world, IncidentType.NODE_DOWN)


def test_a_device_that_is_gone_for_five_minutes() -> None:
    world, node, _ = started_world("d1")
    node.device_gone("d1")
    node.flush()
    live(world, limits.DEVICE_DOWN_S + 30, node)
    assert "unplugged" in only(world, IncidentType.DEVICE_OFFLINE).message
    node.device("d1")
    node.flush()
    live(world, 120, node)
    over(world, IncidentType.DEVICE_OFFLINE)


def test_a_device_that_comes_and_goes() -> None:
    world, node, _ = started_world("d1")
    for _ in range(limits.FLAPS):
        node.device_gone("d1")
        node.device("d1")
        node.flush()
        live(world, 10, node)
    live(world, 20, node)
    assert only(world, IncidentType.DEVICE_FLAPPING).affected == limits.FLAPS
    live(world, limits.FLAPS_WITHIN_S + 120, node)
    over(world, IncidentType.DEVICE_FLAPPING)


def test_a_device_on_two_nodes() -> None:
    world, node, _ = started_world("d1")
    other = FakeNode(world, "n2").connect()
    other.device("d1")
    other.flush()
    live(world, 20, node, other)
    assert "by n2" in only(world, IncidentType.DUPLICATE_DEVICE).message
    other.device_gone("d1")
    other.flush()
    live(world, 120, node, other)
    over(world, IncidentType.DUPLICATE_DEVICE)


def test_a_full_disk_of_the_broker_and_of_a_node() -> None:
    world, node, _ = started_world("d1")
    world.apply(world.core.disk_room(0, world.now))
    live(world, 20, node, disk_low=True)
    assert {row.subject for row in found(world, IncidentType.LOW_DISK)} == {"broker/main", "node/n1"}
    world.apply(world.core.disk_room(9_999 * GB, world.now))
    live(world, 120, node)
    assert not is_open(world, IncidentType.LOW_DISK)


@pytest.mark.parametrize(
    ("incident_type", "about"),
    [
        (IncidentType.OUTBOX_FULL, lambda world: {"outbox_facts": limits.OUTBOX_RECORDS_MAX}),
        (IncidentType.CLOCK_SKEW, lambda world: {"utc_ms": 1}),
    ],
)
def test_what_a_heartbeat_says_of_its_host(
    incident_type: IncidentType, about: Callable[[World], dict[str, object]]
) -> None:
    world, node, _ = started_world("d1")
    live(world, 120, node, **about(world))
    assert only(world, incident_type).subject == "node/n1"
    live(world, 120, node)
    over(world, incident_type)


def test_a_clone_is_counted_and_over_when_none_was_seen_for_an_hour() -> None:
    world = World()
    node = FakeNode(world).connect().connect()
    for _ in range(2):
        link, node.link = node.link, world.new_link()
        node.hello(epoch=1)
        node.link = link
    assert only(world, IncidentType.CLONED_OUTBOX).affected == 2
    live(world, limits.INCIDENT_QUIET_S - 60, node)
    assert is_open(world, IncidentType.CLONED_OUTBOX)
    live(world, 120, node)
    over(world, IncidentType.CLONED_OUTBOX)


def test_a_broker_that_lost_its_past() -> None:
    world = World()
    node = FakeNode(world)
    node.store_id, node.seq, node.trimmed, node.link, node.epoch = "older-store", 40, 40, world.new_link(), 9
    node.hello()
    assert "another store" in only(world, IncidentType.STORE_ROLLED_BACK).message


def test_people_acknowledge_and_resolve_and_one_that_is_still_so_comes_back() -> None:
    world, node, admin = started_world("d1")
    node.device_gone("d1")
    node.flush()
    live(world, limits.DEVICE_DOWN_S + 30, node)
    first = only(world, IncidentType.DEVICE_OFFLINE)
    admin = FakeAdmin(world)
    wish = i.AcknowledgeIncident(incident_id=first.incident_id, note="  its cable\n is changed ")
    answer = admin.do(i.ACKNOWLEDGE_INCIDENT, wish, i.Incident)
    assert answer.state is IncidentState.ACKNOWLEDGED
    row = only(world, IncidentType.DEVICE_OFFLINE)
    assert row.acknowledged_by
    assert row.note == f"{row.acknowledged_by}: its cable is changed"
    admin.do(i.RESOLVE_INCIDENT, i.ResolveIncident(incident_id=first.incident_id, note="done"), i.Incident)
    assert only(world, IncidentType.DEVICE_OFFLINE).resolved_by == row.acknowledged_by
    live(world, limits.INCIDENT_REOPENS_S - 60, node)
    assert not is_open(world, IncidentType.DEVICE_OFFLINE)
    live(world, 120, node)
    assert [row.state for row in found(world, IncidentType.DEVICE_OFFLINE)] == [
        IncidentState.RESOLVED,
        IncidentState.OPEN,
    ]
    again = i.ResolveIncident(incident_id=first.incident_id)
    assert FakeAdmin(world).refused(i.RESOLVE_INCIDENT, again).code == "incident_not_found"


def test_one_that_sways_opens_once() -> None:
    world, node, _ = started_world("d1")
    for number in range(20):
        node.heartbeat(utc_ms=world.utc_ms + (40_000 if number % 2 else 20_000))
        world.pass_time(10)
        world.send(node.link, node.name, Kind.HEARTBEAT, encode(Heartbeat(sample=sample())))
    assert len(found(world, IncidentType.CLOCK_SKEW)) <= 1


def test_a_bot_that_is_down() -> None:
    world, node, admin = started_world("d1")
    bot = FakeBot(world).connect(title="x")
    bot.bye()
    live(world, limits.BOT_DOWN_S + 30, node, admin)
    assert is_open(world, IncidentType.BOT_DOWN)
    bot.connect()
    for _ in range(10):
        live(world, 10, node, admin)
        bot.heartbeat()
    over(world, IncidentType.BOT_DOWN)


def test_a_bot_that_is_not_wanted_is_no_incident() -> None:
    world, node, admin = started_world("d1")
    FakeBot(world).connect(title="x").bye()
    admin.do(b.SET_BOT_STATUS, b.SetBotStatus(name="robot", status=b.BotStatus.INACTIVE), b.BotSettings)
    live(world, limits.BOT_DOWN_S + 30, node, admin)
    assert not found(world, IncidentType.BOT_DOWN)


def test_a_cursor_that_is_far_behind() -> None:
    world, node, admin = started_world("d1", settings=CoreSettings(cursor_lag_max=20))
    bot = FakeBot(world).connect(b.Subscription(name="all", topics=["**"]), credit=0)
    for _ in range(10):
        admin.run("d1")
    for _ in range(3):
        live(world, 10, node, admin)
        bot.heartbeat()
    assert only(world, IncidentType.CURSOR_LAG).subject == "subscription/robot/all"
    assert is_open(world, IncidentType.CURSOR_LAG)
    reset = b.ResetSubscription(name="robot", subscription="all", to_end=True)
    admin.do(b.RESET_SUBSCRIPTION, reset, b.SubscriptionReset)
    for _ in range(10):
        live(world, 10, node, admin)
        bot.heartbeat()
    over(world, IncidentType.CURSOR_LAG)


def test_a_kind_that_nobody_takes() -> None:
    world, node, admin = started_world("d1")
    targets = c.Targets(kind=c.TargetKind.BOT, bot="report.build")
    admin.do(c.CREATE_RUN, c.CreateRun(workflow="", targets=targets), c.RunCreated)
    live(world, 90, node, admin)
    assert only(world, IncidentType.UNKNOWN_KIND).subject == "kind/report.build"
    bot = FakeBot(world).connect(task_kinds=["report.build"])
    assert len(bot.tasks()) == 1
    for _ in range(10):
        live(world, 10, node, admin)
        bot.heartbeat()
    over(world, IncidentType.UNKNOWN_KIND)
