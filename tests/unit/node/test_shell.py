"""A whole node over the fake driver, the memory mesh and a real outbox file."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from doai.codec import Kind, decode, encode, pack_header, unpack_header
from doai.drivers.base import Driver
from doai.drivers.fake.driver import FakeDriver
from doai.envelope import Envelope
from doai.errors import StoreError
from doai.ids import RandomIds, Token
from doai.link.incoming import digest
from doai.messages.catalogue import EVENTS
from doai.messages.link import Bye, Fenced, Hello, Records, Welcome
from doai.messages.work import Cancels, Dispatch, Dispatches, Holdings, Recipe, TaskRef
from doai.node.boot_clock import BootClock
from doai.node.core.core import NodeCore
from doai.node.core.effects import NodeSettings, StopNode
from doai.node.shell import Shell
from doai.node.spool import Spool
from doai.node.steps.table import STEPS
from doai.states import Outcome
from doai.store.outbox import open_outbox
from doai.wire.base import Incoming
from doai.wire.keys import KeyTable, make_keypair
from doai.wire.memory import MemoryMesh, MemoryRouter
from doai.workflow.model import content_hash, parse_workflow, to_stored

SHOT = """
workflow: shot
steps:
  - {id: hello, use: device.shell, with: {command: "echo hello"}}
  - {id: shot, use: screen.capture}
  - {id: keep, use: artifact.upload, with: {artifact: "${steps.shot.artifact}"}}
always:
  - {id: bye, use: device.shell, with: {command: "echo bye"}}
outputs: {said: "${steps.hello.stdout}"}
"""
SLEEP = """
workflow: sleep
steps:
  - {id: nap, use: wait, with: {for: 1m}}
always:
  - {id: bye, use: device.shell, with: {command: "echo bye"}}
"""


class ScriptedBroker:
    """Welcomes, acknowledges and remembers; dispatches what a test says."""

    def __init__(self, router: MemoryRouter) -> None:
        self.router = router
        self.link = 0
        self.last_seq = 0
        self.facts: list[tuple[str, Any]] = []
        self.bodies: list[tuple[int, bytes]] = []
        self.digests: list[bytes] = []
        self.news = trio.Condition()
        self.acknowledges = True

    async def run(self) -> None:
        while True:
            for incoming in await self.router.receive():
                assert isinstance(incoming, Incoming)
                self.take(incoming)
            async with self.news:
                self.news.notify_all()

    def take(self, incoming: Incoming) -> None:
        kind = unpack_header(incoming.header).kind
        self.bodies.append((kind, incoming.body))
        if kind == Kind.HELLO:
            hello = decode(incoming.body, Hello)
            self.link = incoming.link
            welcome = Welcome(
                store_id="S",
                last_seq=self.last_seq,
                digests=b"".join(self.digests[hello.trimmed_seq : hello.highest_seq]),
                capacity=9,
                heartbeat_s=10.0,
                handle=1,
            )
            self.send(Kind.WELCOME, welcome)
        elif kind == Kind.RECORDS and incoming.link == self.link:
            for record in decode(incoming.body, Records).records:
                if record.seq <= self.last_seq:
                    continue
                assert record.seq == self.last_seq + 1
                self.last_seq = record.seq
                self.digests.append(digest(record))
                envelope = decode(record.envelope, Envelope)
                self.facts.append((envelope.type, decode(envelope.payload, EVENTS[envelope.type])))
            if self.acknowledges:
                self.send(Kind.ACK)

    def send(self, kind: Kind, body: object = None) -> None:
        header = pack_header(kind, ack=self.last_seq, credit_seq=self.last_seq + 4096, credit_bytes=1 << 40)
        self.router.send_nowait(self.link, header, b"" if body is None else encode(body))

    async def wait(self, condition: Callable[[], bool]) -> None:
        async with self.news:
            while not condition():
                await self.news.wait()

    def ends(self) -> list[Any]:
        return [payload for name, payload in self.facts if name == "attempt.ended"]

    def online(self) -> list[str]:
        return [payload.serial for name, payload in self.facts if name == "device.online"]

    def run_on(self, text: str, task: str, serial: str, n: int) -> None:
        stored = to_stored(parse_workflow(text))
        self.send(Kind.RECIPE, Recipe(recipe_hash=content_hash(stored), body=stored))
        dispatch = Dispatch(
            task_id=task,
            run_id="R1",
            token=Token(1, n),
            attempt=1,
            device_serial=serial,
            workflow="w@1",
            recipe_hash=content_hash(stored),
            params={},
            trace_id="0" * 31 + "1",
            timeout_s=60.0,
        )
        self.send(Kind.DISPATCH, Dispatches([dispatch]))


class Host:
    """A host with fake phones on which a node can be started again and again."""

    def __init__(self, folder: Path, count: int) -> None:
        self.folder = folder
        self.driver = FakeDriver(count=count)
        self.mesh = MemoryMesh()
        self.broker_keys, self.node_keys = make_keypair(), make_keypair()
        self.stop: StopNode | None = None
        self.stopped = trio.Event()
        self._last_broker: ScriptedBroker | None = None

    @asynccontextmanager
    async def broker(self) -> AsyncIterator[ScriptedBroker]:
        ring = KeyTable({self.node_keys.public: "node-1"})
        async with self.mesh.open_router("b", self.broker_keys, ring) as router, trio.open_nursery() as nursery:
            broker = ScriptedBroker(router)
            if self._last_broker is not None:  # it comes back with all that it took
                broker.last_seq, broker.digests = self._last_broker.last_seq, self._last_broker.digests
            self._last_broker = broker
            nursery.start_soon(broker.run)
            yield broker
            nursery.cancel_scope.cancel()

    @asynccontextmanager
    async def node(self, *others: Driver) -> AsyncIterator[Shell]:
        clock = BootClock()
        outbox = open_outbox(self.folder / "node.db", new_incarnation="I1")
        settings = NodeSettings(node_id="node-1", host="h", pid=1, version="0", started_at_ms=0, slots=4)
        bits = iter(range(1, 1 << 30))
        ids = RandomIds(lambda _: next(bits))
        shell = Shell(
            node_id="node-1",
            core=NodeCore(outbox.load(), settings, ids, clock.now()),
            outbox=outbox,
            spool=Spool(self.folder, "node-1"),
            drivers=[self.driver, *others],
            open_dealer=lambda: self.mesh.open_dealer("b", self.node_keys, self.broker_keys.public),
            steps=STEPS,
            clock=clock,
        )
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._run, shell)
                yield shell
                nursery.cancel_scope.cancel()
        finally:
            outbox.close()

    async def _run(self, shell: Shell) -> None:
        self.stop = await shell.run()
        self.stopped.set()


@pytest.fixture
async def limit() -> AsyncIterator[None]:
    with trio.fail_after(90):
        yield


async def test_tasks_pass_on_all_phones(tmp_path: Path, limit: None) -> None:
    host = Host(tmp_path, 6)
    async with host.broker() as broker, host.node():
        await broker.wait(lambda: len(broker.online()) == 6)
        for number, serial in enumerate(broker.online(), 1):
            broker.run_on(SHOT, f"T{number}", serial, number)
        await broker.wait(lambda: len(broker.ends()) == 6)
        while any((tmp_path / "tasks").iterdir()):  # noqa: ASYNC110 - they go together, a moment later
            await trio.sleep(0.01)
    assert {end.outcome for end in broker.ends()} == {Outcome.PASSED}
    assert {end.outputs["said"] for end in broker.ends()} == {"hello"}
    for end in broker.ends():
        tags = [entry.tag for entry in host.driver.journal if entry.serial == end.device_serial and entry.tag]
        assert tags[0] == f"{end.task_id}/{end.token}/hello/1"
        assert tags[-1] == f"{end.task_id}/{end.token}/bye/1"
    assert len(list((tmp_path / "spool").glob("*.json"))) == 6


async def test_a_broker_that_comes_back_is_greeted_again_without_waiting_for_silence(
    tmp_path: Path, limit: None
) -> None:
    host = Host(tmp_path, 1)
    epochs: list[int] = []
    async with host.node():
        for _ in range(3):
            async with host.broker() as broker:
                await broker.wait(lambda: any(kind == Kind.HOLDINGS for kind, _ in broker.bodies))
                [hello] = [decode(body, Hello) for kind, body in broker.bodies if kind == Kind.HELLO]
                epochs.append(hello.epoch)
    assert epochs == sorted(set(epochs)), "each connection has an epoch of its own"


async def test_a_killed_node_says_what_became_of_its_task(tmp_path: Path, limit: None) -> None:
    host = Host(tmp_path, 1)
    async with host.broker() as broker:
        async with host.node():
            await broker.wait(lambda: broker.online() != [])
            broker.run_on(SLEEP, "T1", "FAKE0001", 1)
            await broker.wait(lambda: any(name == "step.started" for name, _ in broker.facts))
        broker.acknowledges = True
        async with host.node():
            await broker.wait(lambda: broker.ends() != [])
            [end] = broker.ends()
            assert (end.outcome, end.failure.code) == (Outcome.FAILED, "node_restarted")
            await broker.wait(lambda: sum(kind == Kind.HOLDINGS for kind, _ in broker.bodies) == 2)
    holdings = [decode(body, Holdings) for kind, body in broker.bodies if kind == Kind.HOLDINGS]
    assert holdings[-1].tasks == []
    assert [entry for entry in host.driver.journal if "T1" in entry.tag] == []


async def test_cancel_reaches_a_running_step(tmp_path: Path, limit: None) -> None:
    host = Host(tmp_path, 1)
    async with host.broker() as broker, host.node():
        await broker.wait(lambda: broker.online() != [])
        broker.run_on(SLEEP, "T1", "FAKE0001", 1)
        await broker.wait(lambda: any(name == "step.started" for name, _ in broker.facts))
        broker.send(Kind.CANCEL, Cancels([TaskRef("T1", Token(1, 1))]))
        await broker.wait(lambda: broker.ends() != [])
    assert broker.ends()[0].outcome is Outcome.CANCELLED
    assert [entry.command for entry in host.driver.journal if entry.tag.endswith("bye/1")] == ["echo bye"]


async def test_drain_gives_everything_back_and_says_bye(tmp_path: Path, limit: None) -> None:
    host = Host(tmp_path, 1)
    async with host.broker() as broker, host.node() as shell:
        await broker.wait(lambda: broker.online() != [])
        broker.run_on(SLEEP, "T1", "FAKE0001", 1)
        broker.run_on(SLEEP, "T2", "FAKE0001", 2)
        await broker.wait(lambda: any(name == "step.started" for name, _ in broker.facts))
        shell.drain("the node was stopped by a test")
        await broker.wait(lambda: any(kind == Kind.BYE for kind, _ in broker.bodies))
        await host.stopped.wait()
    assert host.stop == StopNode("the node was stopped by a test", 0)
    assert {(end.task_id, end.released) for end in broker.ends()} == {("T1", True), ("T2", True)}
    [bye] = [decode(body, Bye) for kind, body in broker.bodies if kind == Kind.BYE]
    assert bye.reason == "the node was stopped by a test"
    assert [entry.command for entry in host.driver.journal if entry.tag.endswith("bye/1")] == ["echo bye"]


async def test_fenced_stops_the_process(tmp_path: Path, limit: None) -> None:
    host = Host(tmp_path, 1)
    async with host.broker() as broker, host.node():
        await broker.wait(lambda: broker.online() != [])
        broker.send(Kind.FENCED, Fenced(reason="another process uses a copy of its data"))
        await host.stopped.wait()
    assert host.stop is not None
    assert host.stop.exit_code == 76
    assert "copy of its data" in host.stop.reason


async def test_a_node_finds_a_broker_that_starts_later(tmp_path: Path, limit: None) -> None:
    host = Host(tmp_path, 3)
    async with host.node(), host.broker() as broker:
        await broker.wait(lambda: len(broker.online()) == 3)
    assert broker.last_seq >= 3


async def test_a_commit_that_fails_ends_the_process_before_anything_is_shown(tmp_path: Path, limit: None) -> None:
    def fail(ops: object) -> None:
        raise StoreError("the disk said no")

    async def serve(host: Host) -> None:
        async with host.broker() as broker, host.node() as shell:
            await broker.wait(lambda: broker.online() != [])
            shell._outbox.commit = fail  # type: ignore[method-assign]
            broker.run_on(SLEEP, "T1", "FAKE0001", 1)
            await trio.sleep_forever()

    host = Host(tmp_path, 1)
    with pytest.raises(BaseExceptionGroup) as caught:
        await serve(host)
    assert caught.value.subgroup(StoreError) is not None
    assert not host.driver.journal
