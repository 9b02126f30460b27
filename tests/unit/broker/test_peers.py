"""Who is heard: greeting, fencing, clones, roles, floods, liveness, bytes that are no frame."""

from __future__ import annotations

import pytest

from doai import topics
from doai.broker.core.settings import CoreSettings, RateLimit
from doai.codec import Kind, encode, pack_header
from doai.limits import LATE_AFTER_S, OFFLINE_AFTER_S
from doai.messages.link import Beat, Bye, Heartbeat, Hello, Records, Role
from doai.states import PeerState, TaskState
from tests.unit.broker.harness import FakeAdmin, FakeNode, World, sample, started_world


def _fenced(world: World, link: int) -> str:
    (body,) = world.take(link, Kind.FENCED)
    assert link in world.shut
    reason: str = body.reason
    return reason


def test_a_node_is_registered_once_and_welcomed() -> None:
    world = World()
    node = FakeNode(world, slots=4).connect()
    assert node.welcome.last_seq == 0
    assert node.welcome.store_id == "store-1"
    assert node.welcome.capacity == 104
    assert [event.type for event in world.events()] == [topics.NODE_REGISTERED, topics.NODE_ONLINE]
    node.connect()
    assert len(world.events()) == 2
    assert world.tables.nodes["n1"].state == "online"
    world.check()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "n2"}, "proves the name n1"),
        ({"role": Role.ADMIN}, "role node"),
        ({"instance": "../x"}, "no address"),
        ({"incarnation": ""}, "outbox"),
    ],
)
def test_a_greeting_that_is_not_its_own_is_fenced(changes: dict[str, object], words: str) -> None:
    world = World()
    node = FakeNode(world)
    node.link = world.new_link()
    node.hello(**changes)
    assert words in _fenced(world, node.link)
    assert not world.core.state.links


def test_a_key_without_a_row_is_fenced() -> None:
    world = World()
    hello = Hello(name="ghost", instance="x", role=Role.NODE, sample=sample(), incarnation="i", epoch=1)
    world.send(5, "ghost", Kind.HELLO, encode(hello))
    assert "not accepted" in _fenced(world, 5)


def test_a_second_instance_of_a_connected_node_is_fenced() -> None:
    world = World()
    FakeNode(world).connect()
    other = FakeNode(world)
    other.link = world.new_link()
    other.hello(instance="other", incarnation="other-life", epoch=1)
    assert "connected already" in _fenced(world, other.link)


def test_another_wire_version_is_fenced_with_a_sentence() -> None:
    world = World()
    header = bytes([9]) + pack_header(Kind.HELLO)[1:]
    world.apply(world.core.frame(3, "n1", header, b"", world.now))
    assert "wire version 9 where 1 is agreed on" in _fenced(world, 3)


def test_a_newer_connection_displaces_the_older_one() -> None:
    world = World()
    node = FakeNode(world).connect()
    old = node.link
    node.connect()
    assert "newer connection" in _fenced(world, old)
    world.send(old, "n1", Kind.BYE, encode(Bye(reason="x")))
    assert world.kinds(old) == [Kind.HELLO_REQUIRED]
    assert world.core.state.nodes["n1"].liveness.state is PeerState.ONLINE


def test_a_lower_epoch_is_a_clone() -> None:
    world = World()
    node = FakeNode(world).connect().connect()
    node.link = world.new_link()
    node.hello(epoch=1)
    assert "copy of its data" in _fenced(world, node.link)
    assert [event.type for event in world.events()[-2:]] == [topics.SYSTEM_ALERT, topics.INCIDENT_OPENED]


def test_other_facts_under_known_numbers_are_a_clone() -> None:
    world = World()
    node = FakeNode(world).connect()
    node.fact("coffee.brewed", "node/n1", b"\x80")
    node.flush()
    clone = FakeNode(world)
    clone.fact("coffee.spilled", "node/n1", b"\x80")
    clone.link, clone.epoch = world.new_link(), 2
    clone.hello()
    clone.send_records(clone.unsent)
    assert "differs from the one" in _fenced(world, clone.link)
    assert [event.type for event in world.events()[-2:]] == [topics.SYSTEM_ALERT, topics.INCIDENT_OPENED]
    assert [event.type for event in world.events()].count("coffee.spilled") == 0


def test_a_restored_broker_asks_for_a_new_life_of_the_outbox() -> None:
    world = World()
    node = FakeNode(world)
    node.store_id, node.seq, node.trimmed, node.link, node.epoch = "older-store", 40, 40, world.new_link(), 9
    node.hello()
    (welcome,) = world.take(node.link, Kind.WELCOME)
    assert welcome.new_incarnation
    assert welcome.last_seq == 0
    assert [event.type for event in world.events()[-2:]] == [topics.SYSTEM_ALERT, topics.INCIDENT_OPENED]
    node.incarnation, node.store_id, node.seq, node.trimmed = "second-life", "store-1", 0, 0
    node.connect()
    assert not node.welcome.new_incarnation


def test_an_earlier_life_of_an_outbox_breaks_nothing() -> None:
    world = World()
    node = FakeNode(world).connect()
    node.fact("coffee.brewed", "node/n1", b"\x80")
    node.flush()
    node.incarnation, node.seq, node.trimmed = "second-life", 0, 0
    node.connect()
    node.incarnation, node.seq, node.trimmed, node.epoch = "life-n1", 1, 1, 9
    node.connect()
    node.fact("coffee.drunk", "node/n1", b"\x80")
    node.flush()
    assert node.unsent == []
    world.restart()
    node.connect()
    assert node.welcome.last_seq == 2


def test_an_unknown_connection_is_asked_for_a_greeting_now_and_then() -> None:
    world = World(CoreSettings(hellos=RateLimit(rate_per_s=1.0, burst=2.0)))
    for _ in range(5):
        world.send(77, "n1", Kind.RECORDS, encode(Records([])))
    assert world.kinds(77) == [Kind.HELLO_REQUIRED] * 2
    assert not world.tables.events


def test_roles_say_only_what_is_theirs() -> None:
    world = World()
    admin = FakeAdmin(world)
    world.send(admin.link, "admin", Kind.RECORDS, encode(Records([])))
    assert "may not send RECORDS" in _fenced(world, admin.link)
    node = FakeNode(world).connect()
    world.send(node.link, "n1", Kind.COMMAND, b"")
    assert "may not send COMMAND" in _fenced(world, node.link)


def test_a_flood_is_dropped_before_it_is_read_and_its_connection_cut() -> None:
    world = World(CoreSettings(frames=RateLimit(rate_per_s=10.0, burst=20.0)))
    node = FakeNode(world).connect()
    for _ in range(50):
        world.send(node.link, "n1", Kind.HEARTBEAT, b"not msgpack")
    assert world.shut.count(node.link) >= 1
    assert len(world.events(topics.SYSTEM_ERROR)) <= 5
    world.pass_time(10)
    node.connect()
    assert node.welcome.last_seq == 0


def test_what_is_no_frame_is_reported_now_and_then_and_answered() -> None:
    world = World()
    node = FakeNode(world).connect()
    for _ in range(30):
        world.send(node.link, "n1", Kind.HOLDINGS, b"\xc1")
        world.apply(world.core.malformed(node.link, "n1", "it has 3 parts instead of 2", b"xyz", world.now))
    notices = world.events(topics.SYSTEM_ERROR)
    assert 1 <= len(notices) <= 5
    assert world.payload(notices[1])["data"] == b"xyz"
    assert Kind.HELLO_REQUIRED in world.kinds(node.link)


def test_frames_that_nobody_knows_yet_are_ignored() -> None:
    world = World()
    node = FakeNode(world).connect()
    before = len(world.tables.events)
    world.send(node.link, "n1", 99, b"?")
    world.send(node.link, "n1", Kind.FORWARD, b"?")
    assert len(world.tables.events) == before


def test_silence_makes_late_then_offline_and_a_word_makes_online() -> None:
    world, node, _ = started_world("d1")
    world.pass_time(LATE_AFTER_S - 0.1)
    assert world.tables.nodes["n1"].state == "online"
    world.pass_time(0.2)
    assert world.tables.nodes["n1"].state == "late"
    world.pass_time(OFFLINE_AFTER_S - LATE_AFTER_S)
    assert world.tables.nodes["n1"].state == "offline"
    node.heartbeat()
    assert world.tables.nodes["n1"].state == "online"
    types = [event.type for event in world.events() if event.subject == "node/n1"]
    assert types[-3:] == [topics.NODE_LATE, topics.NODE_OFFLINE, topics.NODE_ONLINE]
    world.check()


def test_a_farewell_is_offline_at_once() -> None:
    world, node, admin = started_world("d1")
    node.bye()
    assert world.tables.nodes["n1"].state == "offline"
    task_id = admin.run("d1").task_ids[0]
    assert world.task_state(task_id) is TaskState.QUEUED
    assert "takes no tasks" in world.tables.tasks[task_id].status.reason
    node.connect()
    assert [d.task_id for d in node.held.values()] == [task_id]
    world.check()


def test_admins_come_and_go_without_a_trace() -> None:
    world = World()
    FakeAdmin(world)
    assert world.core.state.peers
    world.pass_time(61)
    assert not world.core.state.peers
    assert not world.core.state.links
    assert not world.tables.streams
    assert not world.tables.events


def test_a_connection_that_is_gone_gets_no_tasks() -> None:
    world, node, admin = started_world("d1")
    world.apply(world.core.link_gone(node.link, world.now))
    task_id = admin.run("d1").task_ids[0]
    assert world.task_state(task_id) is TaskState.QUEUED
    node.connect()
    assert [d.task_id for d in node.held.values()] == [task_id]


def test_a_beat_answers_a_heartbeat_with_ack_and_credit() -> None:
    world, node, _ = started_world("d1")
    node.heartbeat()
    header = world.inbox[node.link][-1][0]
    assert header.kind == Kind.BEAT
    assert header.ack == node.seq
    assert header.credit_seq > node.seq
    assert world.tables.samples[("n1", "main")].received_at_ms == world.utc_ms


def test_a_beat_vouches_for_nothing_while_a_listed_task_is_not_the_nodes() -> None:
    world, node, admin = started_world("d1")
    admin.run("d1")
    node.pump()
    (token,) = node.held
    beats: list[Beat] = []
    for tokens in ([(token.generation, token.n)], [(token.generation, token.n + 7)]):
        node.send(Kind.HEARTBEAT, Heartbeat(sample=sample(), tokens=tokens, as_of_seq=node.seq + 1, said_s=9.0))
        beats += world.take(node.link, Kind.BEAT)
    assert [beat.said_s for beat in beats] == [9.0, 0.0]


def test_a_node_with_closed_intake_gets_no_tasks() -> None:
    world, node, admin = started_world("d1")
    node.send(Kind.HEARTBEAT, Heartbeat(sample=sample(), as_of_seq=node.seq, intake_closed="its outbox is full"))
    task_id = admin.run("d1").task_ids[0]
    assert "its outbox is full" in world.tables.tasks[task_id].status.reason
    node.heartbeat()
    assert [d.task_id for d in node.held.values()] == [task_id]
