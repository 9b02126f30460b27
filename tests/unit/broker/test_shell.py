"""The shell with a real store: over the wire's twin in memory, and over TCP with CURVE; how it fails."""

from __future__ import annotations

import gc
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from doai import topics
from doai.broker.app import LiveKeys, read_clocks, run_broker
from doai.broker.config import BrokerConfig, queues_of
from doai.broker.core.core import BrokerCore
from doai.broker.core.results import Results
from doai.broker.core.settings import CoreSettings
from doai.broker.shell import Shell
from doai.changes.dead_letters import DeadReason
from doai.changes.ops import DIGEST_BYTES, Op, PutKey
from doai.changes.rows import KeyRow
from doai.codec import Kind, decode, encode, pack_header, raw, unpack_header
from doai.envelope import Envelope, Message
from doai.errors import ConfigError, StoreError
from doai.ids import RandomIds
from doai.messages import commands as c
from doai.messages.dead_letters import DISCARD_DEAD_LETTERS, DiscardDeadLetters
from doai.messages.events import AttemptEnded, DeviceOnline
from doai.messages.link import Hello, Record, Records, Role, Welcome
from doai.messages.work import Dispatches, Holdings
from doai.states import Outcome
from doai.store.sqlite_writer import SqliteWriter, open_writer
from doai.wire.base import Dealer
from doai.wire.dealer import open_dealer
from doai.wire.keys import KeyPair, load_or_make_keypair, load_public_key, make_keypair
from doai.wire.memory import MemoryMesh
from tests.unit.broker.harness import RECIPE, sample


def _key(name: str, role: str, pair: KeyPair) -> PutKey:
    row = KeyRow(name=name, role=role, public_key=pair.public, secret_sha256="", created_at_ms=0, created_by="t")
    return PutKey(row)


class Mouth:
    """Speaks as a peer over a dealer."""

    def __init__(self, dealer: Dealer, name: str, role: Role) -> None:
        self.dealer = dealer
        self.name = name
        self.role = role
        self.heard: list[tuple[int, int, bytes]] = []
        self.seq = 0

    async def say(self, kind: Kind, body: Any) -> None:
        await self.dealer.send(pack_header(kind), encode(body))

    async def hear(self, kind: Kind) -> tuple[int, bytes]:
        """Return ack and body of the next frame of a kind."""
        while True:
            for index, (got, ack, body) in enumerate(self.heard):
                if got == kind:
                    del self.heard[index]
                    return ack, body
            for header, body in await self.dealer.receive():
                read = unpack_header(header)
                self.heard.append((read.kind, read.ack, body))

    async def greet(self, epoch: int = 1) -> Welcome:
        incarnation = "life" if self.role is Role.NODE else ""
        hello = Hello(
            name=self.name, instance="main", role=self.role, sample=sample(), incarnation=incarnation, epoch=epoch
        )
        await self.say(Kind.HELLO, hello)
        welcome: Welcome = decode((await self.hear(Kind.WELCOME))[1], Welcome)
        return welcome

    async def tell(self, event_type: str, subject: str, payload: Message) -> None:
        self.seq += 1
        envelope = Envelope(
            event_id=f"{self.name}-{self.seq}",
            type=event_type,
            subject=subject,
            source=f"{self.name}/main",
            trace_id="a" * 32,
            occurred_at_ms=1,
            payload=raw(payload),
        )
        await self.say(Kind.RECORDS, Records([Record(self.seq, raw(envelope))]))

    async def ask(self, command_type: str, payload: Message) -> c.Reply:
        command = Envelope(
            event_id="command",
            type=command_type,
            subject="broker",
            source=f"{self.name}/main",
            trace_id="b" * 32,
            occurred_at_ms=1,
            payload=raw(payload),
        )
        await self.say(Kind.COMMAND, command)
        reply: c.Reply = decode((await self.hear(Kind.REPLY))[1], c.Reply)
        assert reply.problem is None, reply.problem
        return reply


async def run_one_task(node: Mouth, admin: Mouth) -> str:
    """Store a workflow, run it on a device of the node, end it; return the run's id."""
    await node.greet()
    await node.say(Kind.HOLDINGS, Holdings(tasks=[], as_of_seq=0))
    await node.tell(
        topics.DEVICE_ONLINE, "device/d1", DeviceOnline(serial="d1", node_id="n1", driver="fake", connection="d1")
    )
    assert (await node.hear(Kind.ACK))[0] == 1
    await admin.greet()
    await admin.ask(c.STORE_WORKFLOW, c.StoreWorkflow(source=RECIPE.format(name="look")))
    targets = c.Targets(kind=c.TargetKind.DEVICES, serials=["d1"])
    reply = await admin.ask(c.CREATE_RUN, c.CreateRun(workflow="look", targets=targets))
    _, body = await node.hear(Kind.DISPATCH)
    (dispatch,) = decode(body, Dispatches).dispatches
    ended = AttemptEnded(
        task_id=dispatch.task_id,
        run_id=dispatch.run_id,
        token=dispatch.token,
        attempt=1,
        device_serial="d1",
        outcome=Outcome.PASSED,
        duration_ms=1,
    )
    await node.tell(topics.ATTEMPT_ENDED, topics.task_subject(dispatch.task_id), ended)
    while (await node.hear(Kind.ACK))[0] < 2:
        pass
    run_id: str = reply.result["runId"]
    return run_id


async def tell_poison(node: Mouth) -> None:
    """Tell one of each that nothing can be made of, then something sound; returns when that is taken."""
    node.seq += 1
    await node.say(Kind.RECORDS, Records([Record(node.seq, raw(b"no envelope"))]))
    sound = DeviceOnline(serial="d2", node_id="n1", driver="fake", connection="d2")
    await node.tell(topics.DEVICE_ONLINE, "device/d3", c.CancelRun(run_id="not what this type has"))
    await node.tell("new.kind", "node/n1", sound)
    await node.tell(topics.RUN_COMPLETED, "run/r1", sound)
    await node.tell(topics.DEVICE_ONLINE, "device/d2", sound)
    while (await node.hear(Kind.ACK))[0] < node.seq:
        pass


@asynccontextmanager
async def _served(tmp_path: Path, mesh: MemoryMesh) -> AsyncIterator[tuple[Mouth, Mouth, SqliteWriter]]:
    broker, node_pair, admin_pair = make_keypair(), make_keypair(), make_keypair()
    writer = open_writer(tmp_path / "broker.db", new_store_id="s1", now_ms=1)
    writer.commit([_key("n1", "node", node_pair), _key("admin", "admin", admin_pair)])

    def load() -> BrokerCore:
        return BrokerCore(writer.load(), RandomIds(random.Random(1).getrandbits), CoreSettings(), read_clocks())

    core = load()
    keys, stop = LiveKeys(core.live_keys()), trio.Event()
    try:
        async with mesh.open_router("mesh", broker, keys) as router, trio.open_nursery() as nursery:
            shell = Shell(core=core, router=router, writer=writer, keys=keys, now=read_clocks, load_again=load)
            nursery.start_soon(shell.run, stop)
            async with (
                mesh.open_dealer("mesh", node_pair, broker.public) as node,
                mesh.open_dealer("mesh", admin_pair, broker.public) as admin,
            ):
                yield Mouth(node, "n1", Role.NODE), Mouth(admin, "admin", Role.ADMIN), writer
            stop.set()
    finally:
        writer.close()


async def test_a_task_goes_its_way_over_the_memory_mesh(tmp_path: Path) -> None:
    with trio.fail_after(90):
        async with _served(tmp_path, MemoryMesh()) as (node, admin, _):
            await run_one_task(node, admin)
    writer = open_writer(tmp_path / "broker.db", new_store_id="other", now_ms=1)
    try:
        snapshot = writer.load()
        assert snapshot.store_id == "s1"
        assert snapshot.runs == []
        assert [len(stream.digests) for stream in snapshot.streams] == [2]
        assert {len(digest) for digest in snapshot.streams[0].digests} == {DIGEST_BYTES}
    finally:
        writer.close()


async def test_a_commit_that_fails_ends_the_shell_and_shows_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: SqliteWriter, ops: list[Op]) -> None:
        raise StoreError("the disk is full: make room and start again")

    with trio.fail_after(90), pytest.RaisesGroup(StoreError, flatten_subgroups=True):
        async with _served(tmp_path, MemoryMesh()) as (node, _, _):
            monkeypatch.setattr(SqliteWriter, "commit", fail)
            await node.say(
                Kind.HELLO,
                Hello(name="n1", instance="main", role=Role.NODE, sample=sample(), incarnation="x", epoch=1),
            )
            await node.hear(Kind.WELCOME)
            pytest.fail("WELCOME left ahead of its commit")


async def test_a_handler_that_fails_stops_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    online = Results._device_online

    def failing(self: Results, decision: Any, peer: Any, envelope: Envelope, body: bytes | None) -> None:
        online(self, decision, peer, envelope, body)
        if b"poison" in bytes(envelope.payload):
            raise KeyError("a mistake of ours")

    monkeypatch.setattr(Results, "_device_online", failing)
    poison = DeviceOnline(serial="poison", node_id="n1", driver="fake", connection="x")
    with trio.fail_after(90):
        async with _served(tmp_path, MemoryMesh()) as (node, admin, writer):
            await run_one_task(node, admin)
            await node.tell(topics.DEVICE_ONLINE, "device/poison", poison)
            await node.hear(Kind.HELLO_REQUIRED)
            await admin.hear(Kind.HELLO_REQUIRED)
            assert (await node.greet(epoch=2)).last_seq == 2, "it was not taken"
            node.seq -= 1
            await node.tell(topics.DEVICE_ONLINE, "device/poison", poison)
            assert (await node.hear(Kind.ACK))[0] == 3, "now it is, without its handler"
            (letter,) = writer.load().dead_letters
            assert (letter.reason, letter.seq) == (DeadReason.HANDLER_FAILED, 3)
            await admin.greet(epoch=2)
            await admin.ask(c.STORE_WORKFLOW, c.StoreWorkflow(source=RECIPE.format(name="look")))


async def test_a_broker_over_tcp_and_curve_lets_keys_in_and_out(tmp_path: Path) -> None:
    config = BrokerConfig(data_dir=str(tmp_path / "data"), endpoint="tcp://127.0.0.1:0", log_level="error")
    node_pair = make_keypair()
    with trio.fail_after(90):
        async with trio.open_nursery() as nursery:
            router = await nursery.start(run_broker, config)
            assert gc.isenabled(), "only while it loads nothing is looked through"
            assert gc.get_freeze_count() > 0
            keys = tmp_path / "data" / "keys"
            server_key = load_public_key(keys / "broker.key.pub")
            admin_pair = load_or_make_keypair(keys / "admin.key")
            async with open_dealer(router.endpoint, admin_pair, server_key) as dealer:
                admin = Mouth(dealer, "admin", Role.ADMIN)
                await admin.greet()
                await admin.ask(c.ADD_KEY, c.AddKey(name="n1", role="node", public_key=node_pair.public))
                async with open_dealer(router.endpoint, node_pair, server_key) as node_dealer:
                    node = Mouth(node_dealer, "n1", Role.NODE)
                    await run_one_task(node, admin)
                    await tell_poison(node)
                    wish = DiscardDeadLetters(everything=True)
                    kept = await admin.ask(DISCARD_DEAD_LETTERS, wish)
                    assert kept.result["left"] == 4, "each of them waits for a person, and stopped nothing"
                    await admin.ask(c.REVOKE_KEY, c.RevokeKey(name="n1"))
                    assert b"revoked" in (await node.hear(Kind.FENCED))[1]
            nursery.cancel_scope.cancel()
    writer = open_writer(tmp_path / "data" / "broker.db", new_store_id="other", now_ms=1)
    try:
        snapshot = writer.load()
        assert [row.name for row in snapshot.keys if row.revoked_at_ms is None] == ["admin"]
        assert [row.reason for row in sorted(snapshot.dead_letters, key=lambda row: row.seq)] == [
            DeadReason.UNDECODABLE,
            DeadReason.UNDECODABLE,
            DeadReason.UNKNOWN_TYPE,
            DeadReason.FORBIDDEN_TYPE,
        ]
    finally:
        writer.close()


async def test_time_passes_in_the_shell(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    async with _served(tmp_path, MemoryMesh()) as (node, _, writer):
        await node.greet()
        await trio.sleep(31)
        assert [row.state for row in writer.load().nodes] == ["offline"]


def test_queues_are_read_strictly() -> None:
    assert queues_of(BrokerConfig(data_dir="x", queues=["urgent=10", "slow=-5"])) == {
        "default": 0,
        "urgent": 10,
        "slow": -5,
    }
    for bad in ("urgent", "Urgent=1", "urgent=fast", "=1"):
        with pytest.raises(ConfigError, match="NAME=PRIORITY"):
            queues_of(BrokerConfig(data_dir="x", queues=[bad]))
