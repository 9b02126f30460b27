"""Log lines go to the admins that listen, unread; too many of them, and an admin that has left, cost nothing."""

from __future__ import annotations

from doai.broker.core.log_relay import OF_A_PEER
from doai.codec import Kind, encode
from doai.limits import FRAME_BYTES_MAX
from doai.messages.link import Bye, Hello, Role
from doai.messages.logs import HEARS_LOG, LoggedLine, LogLines
from tests.unit.broker.harness import FakeAdmin, World, sample, started_world

LINES = LogLines(program="node", life="l", first_n=1, lines=[LoggedLine(1, 20, "doai.x", "said")])


def listen(world: World, admin: FakeAdmin) -> None:
    """Connect again, as one that wants to hear."""
    admin.link = world.new_link()
    hello = Hello(
        name=admin.name, instance="x1", role=Role.ADMIN, sample=sample(), epoch=2, capabilities=[HEARS_LOG]
    )
    world.send(admin.link, admin.name, Kind.HELLO, encode(hello))


def heard(world: World, admin: FakeAdmin) -> list[tuple[str, bytes]]:
    return [(each.source, bytes(each.lines)) for each in world.take(admin.link, Kind.RELAYED_LINES)]


def test_lines_reach_who_listens_as_they_were() -> None:
    world, node, admin = started_world("d1")
    assert node.welcome.takes_log_lines
    node.send(Kind.LOG_LINES, LINES)
    assert heard(world, admin) == []
    assert not world.core.log_is_wanted
    listen(world, admin)
    node.send(Kind.LOG_LINES, LINES)
    world.apply(world.core.logged(LINES, world.now))
    assert heard(world, admin) == [("n1/main", encode(LINES)), ("broker/main", encode(LINES))]
    world.check()


def test_what_can_not_be_read_is_the_admins_to_find_out() -> None:
    world, node, admin = started_world("d1")
    listen(world, admin)
    world.send(node.link, "n1", Kind.LOG_LINES, encode("no lines at all"))
    assert heard(world, admin) == [("n1/main", encode("no lines at all"))]
    world.send(node.link, "n1", Kind.LOG_LINES, b"\xc1")
    assert heard(world, admin) == []
    assert [event.type for event in world.events("system.error")] == ["system.error"]


def test_a_flood_is_cut_to_the_rate_of_a_peer_and_too_large_a_frame_is_dropped() -> None:
    world, node, admin = started_world("d1")
    listen(world, admin)
    for _ in range(100):
        node.send(Kind.LOG_LINES, LINES)
    assert len(heard(world, admin)) == OF_A_PEER.burst
    world.pass_time(1.0)
    for _ in range(100):
        node.send(Kind.LOG_LINES, LINES)
    assert len(heard(world, admin)) == OF_A_PEER.rate_per_s
    world.pass_time(10.0)
    world.send(node.link, "n1", Kind.LOG_LINES, encode("x" * (FRAME_BYTES_MAX - 8)))
    assert heard(world, admin) == []


def test_an_admin_that_has_left_is_not_sent_to_and_only_admins_hear() -> None:
    world, node, admin = started_world("d1")
    listen(world, admin)
    world.send(admin.link, admin.name, Kind.BYE, encode(Bye(reason="stopped")))
    node.send(Kind.LOG_LINES, LINES)
    assert heard(world, admin) == []
    assert not world.core.log_is_wanted
    node.epoch += 1
    node.hello(capabilities=[HEARS_LOG])
    world.apply(world.core.logged(LINES, world.now))
    assert world.take(node.link, Kind.RELAYED_LINES) == []
