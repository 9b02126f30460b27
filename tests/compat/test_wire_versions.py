"""Peers of other wire versions: what is agreed on is spoken, and who shares none is told what to upgrade."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import trio

from doai.codec import Kind, decode, encode, pack_header
from doai.messages import commands as c
from doai.messages.link import Fenced, Hello, Role, Welcome
from doai.states import PeerState, TaskState
from doai.wire.base import Incoming
from doai.wire.keys import KeyTable
from doai.wire_versions import REFUSED, SPOKEN, WireVersions
from tests.compat.site import ADMIN, ENDPOINT, NAP, NODE, PHONES, SHOT, RunningBroker, Site, Speaker

NEXT = SPOKEN.highest + 1
GREETING_KINDS = (Kind.HELLO, Kind.WELCOME, Kind.HELLO_REQUIRED, Kind.FENCED)


@pytest.fixture
async def limit() -> AsyncIterator[None]:
    with trio.fail_after(180):
        yield


def versions_of(broker: RunningBroker, peer: str) -> set[int]:
    """What the headers of a peer's frames said, of those that are not of the greeting."""
    frames = (frame for frame in broker.tap.frames if frame.peer == peer)
    return {frame.header[0] for frame in frames if frame.kind not in GREETING_KINDS}


@pytest.mark.parametrize(
    ("broker_speaks", "node_speaks", "agreed"),
    [
        (WireVersions(SPOKEN.lowest, NEXT), SPOKEN, SPOKEN.highest),
        (SPOKEN, WireVersions(SPOKEN.lowest, NEXT), SPOKEN.highest),
        (WireVersions(SPOKEN.lowest, NEXT), WireVersions(NEXT, NEXT + 1), NEXT),
    ],
    ids=["a newer broker", "a newer node", "both newer"],
)
async def test_a_task_goes_its_way_in_the_version_that_both_speak(
    tmp_path: Path, limit: None, broker_speaks: WireVersions, node_speaks: WireVersions, agreed: int
) -> None:
    site = Site(tmp_path)
    async with site.broker(broker_speaks) as broker, site.node(node_speaks), site.admin(broker_speaks) as admin:
        await admin.greet()
        await admin.ask(c.STORE_WORKFLOW, c.StoreWorkflow(source=SHOT))
        await broker.tap.wait(lambda: len(broker.phones()) == len(PHONES))
        await admin.run_on("shot", PHONES[0])
        (task,) = broker.core.state.tasks.values()
        await broker.tap.wait(lambda: task.state is TaskState.PASSED)
        assert versions_of(broker, NODE) == {agreed}
        assert versions_of(broker, ADMIN) == {broker_speaks.highest}


async def test_a_node_that_is_too_old_is_told_to_upgrade_and_shown_so(
    tmp_path: Path, limit: None, caplog: pytest.LogCaptureFixture
) -> None:
    site = Site(tmp_path)
    newer = WireVersions(NEXT, NEXT + 1)
    async with site.broker() as broker, site.node() as known:
        await broker.tap.wait(lambda: len(broker.phones()) == len(PHONES))
        known.shell.drain("it is upgraded")
        await known.stopped.wait()
    async with site.broker(newer) as broker, site.node() as node:
        with caplog.at_level(logging.ERROR, "doai.broker"):
            await node.stopped.wait()
        assert node.stop is not None
        assert node.stop.exit_code == 76
        assert "speaks wire version 1, the broker (doai" in node.stop.reason
        assert f"upgrade doai where node {NODE} runs, then start node {NODE} again" in node.stop.reason
        assert node.stop.reason.removeprefix("The broker refuses this node: ") in caplog.text
        row = broker.core.state.nodes[NODE].row
        assert row is not None
        assert (row.state, row.state_reason.startswith(REFUSED)) == ("offline", True)
    with site.store() as writer:
        (row,) = writer.load().nodes
        assert "upgrade doai where" in row.state_reason


async def test_a_node_that_is_too_new_is_told_to_upgrade_the_broker(tmp_path: Path, limit: None) -> None:
    site = Site(tmp_path)
    async with site.broker(), site.node(WireVersions(NEXT, NEXT)) as node:
        await node.stopped.wait()
    assert node.stop is not None
    assert "upgrade the broker first" in node.stop.reason
    assert node.stop.exit_code == 76


async def test_a_refused_copy_takes_nothing_from_the_node_that_is_connected(tmp_path: Path, limit: None) -> None:
    site = Site(tmp_path)
    async with site.broker() as broker, site.node():
        await broker.tap.wait(lambda: len(broker.phones()) == len(PHONES))
        async with site.mesh.open_dealer(ENDPOINT, site.node_keys, site.broker_keys.public) as dealer:
            copy = Speaker(dealer, NODE, Role.NODE, WireVersions(NEXT, NEXT))
            hello = msgspec.structs.replace(copy.hello(), incarnation="other")
            await copy.say(Kind.HELLO, hello)
            assert "upgrade the broker first" in decode(await copy.hear(Kind.FENCED), Fenced).reason
        peer = broker.core.state.nodes[NODE]
        assert peer.liveness.state is PeerState.ONLINE
        assert peer.row is not None
        assert not peer.row.state_reason.startswith(REFUSED)


async def test_a_broker_that_never_heard_of_versions_is_one_of_the_first(tmp_path: Path, limit: None) -> None:
    """Its WELCOME tells none: that is the first version, and a node that does not speak it any more says so."""
    site = Site(tmp_path)
    ring = KeyTable({site.node_keys.public: NODE})
    async with (
        site.mesh.open_router(ENDPOINT, site.broker_keys, ring) as router,
        site.node(WireVersions(NEXT, NEXT)) as node,
    ):
        (hello,) = await router.receive()
        assert isinstance(hello, Incoming)
        assert decode(hello.body, Hello).wire_lowest == NEXT
        welcome = Welcome(store_id="S", last_seq=0, capacity=9, heartbeat_s=10.0, handle=1)
        fields = msgspec.msgpack.decode(encode(welcome))
        fields.pop("wireVersion", None)
        router.send_nowait(hello.link, pack_header(Kind.WELCOME), encode(fields))
        await node.stopped.wait()
    assert node.stop is not None
    assert "the broker chose wire version 1, n1 speaks 2: upgrade the broker first" in node.stop.reason


async def test_frames_of_unknown_kinds_are_counted_and_do_nothing(
    tmp_path: Path, limit: None, caplog: pytest.LogCaptureFixture
) -> None:
    site = Site(tmp_path)
    later = 99
    with caplog.at_level(logging.WARNING):
        async with site.broker() as broker, site.node(), site.admin() as admin:
            await admin.greet()
            for _ in range(3):
                await admin.say(later, {"of": "a newer admin"})
            await admin.ask(c.STORE_WORKFLOW, c.StoreWorkflow(source=NAP))
            await broker.tap.wait(lambda: len(broker.phones()) == len(PHONES))
            (peer,) = [peer for peer in broker.core.state.peers.values() if peer.name == ADMIN]
            assert peer.unknown_frames == 3
            link = broker.core.state.nodes[NODE].link
            assert link is not None
            for _ in range(2):
                broker.tap.send_nowait(link, pack_header(later), encode({"of": "a newer broker"}))
            await admin.run_on("nap", PHONES[0])
            (task,) = broker.core.state.tasks.values()
            await broker.tap.wait(lambda: task.state is TaskState.RUNNING)
            broker.tap.shut(link)
            await broker.tap.wait(lambda: len(broker.frames(NODE, Kind.HELLO, to_broker=True)) == 2)
            again = decode(broker.frames(NODE, Kind.HELLO, to_broker=True)[1].body, Hello)
            assert again.sample.unknown_frames == 2
    assert "admin/main sends frames of kind 99, which this doai does not know and ignores (1 so far)" in caplog.text
    assert "the broker sends frames of kind 99" in caplog.text
    assert caplog.text.count("kind 99") == 2, "one line each, not one a frame"


def test_versions_are_agreed_on_by_their_ranges() -> None:
    for lowest in range(1, 4):
        for highest in range(lowest, 4):
            ours = WireVersions(lowest, highest)
            assert ours.agreed(ours) == highest
            assert (ours.agreed(WireVersions(2, 2)) == 2) == (2 in ours)
            assert ours.agreed(WireVersions(4, 5)) is None
