"""A real broker and a real node in one process: both shells, both files, fake phones, the memory mesh."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import apsw
import pytest
import trio

from doai.broker.app import LiveKeys, read_clocks
from doai.broker.core.core import BrokerCore
from doai.broker.core.settings import CoreSettings
from doai.broker.shell import Shell as BrokerShell
from doai.changes.ops import PutKey
from doai.changes.rows import KeyRow
from doai.codec import Kind, decode, encode, pack_header, raw, unpack_header
from doai.drivers.fake.driver import FakeDriver
from doai.envelope import Envelope, Message
from doai.ids import RandomIds
from doai.messages import commands as c
from doai.messages.link import Hello, HostSample, Role
from doai.node.boot_clock import BootClock
from doai.node.core.core import NodeCore
from doai.node.core.effects import NodeSettings
from doai.node.plugins import Plugins
from doai.node.shell import Shell as NodeShell
from doai.node.spool import Spool
from doai.node.steps.table import STEPS
from doai.states import TERMINAL, TaskState
from doai.store.outbox import open_outbox
from doai.store.sqlite_writer import open_writer
from doai.wire.base import Dealer
from doai.wire.keys import make_keypair
from doai.wire.memory import MemoryMesh

RECIPE = """
workflow: shot
retry: {attempts: 3, backoff: 10ms, on: [device, infrastructure]}
steps:
  - {id: look, use: app.stop, with: {package: com.example.app}}
  - {id: nap, use: wait, with: {for: 50ms}}
  - {id: shot, use: screen.capture}
  - {id: keep, use: artifact.upload, with: {artifact: "${steps.shot.artifact}"}}
always:
  - {id: bye, use: app.stop, with: {package: com.example.app}}
"""
IDS = RandomIds(random.Random(3).getrandbits)


class Plant:
    """Broker and node that can each be killed and started again on their files."""

    def __init__(self, folder: Path, phones: int, plugins: Path | None = None) -> None:
        self.folder = folder
        self.plugins = plugins
        self.driver = FakeDriver(count=phones)
        self.mesh = MemoryMesh()
        self.keys = {name: make_keypair() for name in ("broker", "admin", "node-1")}

    @asynccontextmanager
    async def broker(self) -> AsyncIterator[None]:
        now = read_clocks()
        writer = open_writer(self.folder / "broker.db", new_store_id=IDS.new_id(now.utc_ms), now_ms=now.utc_ms)
        try:
            for name, role in (("admin", "admin"), ("node-1", "node")):
                row = KeyRow(
                    name=name,
                    role=role,
                    public_key=self.keys[name].public,
                    secret_sha256="",
                    created_at_ms=0,
                    created_by="test",
                )
                if self.keys[name].public not in {key.public_key for key in writer.load().keys}:
                    writer.commit([PutKey(row)])

            def load() -> BrokerCore:
                return BrokerCore(writer.load(), IDS, CoreSettings(), read_clocks())

            core = load()
            keys, stop = LiveKeys(core.live_keys()), trio.Event()
            async with self.mesh.open_router("b", self.keys["broker"], keys) as router:
                shell = BrokerShell(
                    core=core, router=router, writer=writer, keys=keys, now=read_clocks, load_again=load
                )
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(shell.run, stop)
                    yield
                    nursery.cancel_scope.cancel()
        finally:
            writer.close()

    @asynccontextmanager
    async def node(self) -> AsyncIterator[tuple[NodeShell, trio.Event]]:
        clock = BootClock()
        outbox = open_outbox(self.folder / "node.db", new_incarnation=IDS.new_id(1))
        settings = NodeSettings(node_id="node-1", host="h", pid=1, version="0", started_at_ms=0, slots=4)
        shell = NodeShell(
            node_id="node-1",
            core=NodeCore(outbox.load(), settings, IDS, clock.now()),
            outbox=outbox,
            spool=Spool(self.folder, "node-1"),
            drivers=[self.driver],
            open_dealer=lambda: self.mesh.open_dealer("b", self.keys["node-1"], self.keys["broker"].public),
            steps=STEPS,
            clock=clock,
            plugins=self._plugins(),
        )
        try:
            async with trio.open_nursery() as nursery:
                stopped = trio.Event()
                nursery.start_soon(self._run_node, shell, stopped)
                yield shell, stopped
                nursery.cancel_scope.cancel()
        finally:
            outbox.close()

    def _plugins(self) -> Plugins | None:
        if self.plugins is None:
            return None
        return Plugins([self.plugins], self.folder / "copies", STEPS, memory_bytes=2**40, look_s=0.05)

    async def _run_node(self, shell: NodeShell, stopped: trio.Event) -> None:
        await shell.run()
        stopped.set()

    @asynccontextmanager
    async def admin(self) -> AsyncIterator[Admin]:
        async with self.mesh.open_dealer("b", self.keys["admin"], self.keys["broker"].public) as dealer:
            hello = Hello(
                name="admin",
                instance="t",
                role=Role.ADMIN,
                sample=HostSample(host="h", pid=1, version="0", started_at_ms=0),
            )
            dealer.send_nowait(pack_header(Kind.HELLO), encode(hello))
            yield Admin(dealer)

    def states(self) -> dict[str, TaskState]:
        """Read the tasks from the broker's file."""
        return {task_id: state for task_id, state, _ in self._rows()}

    def attempts(self) -> set[int]:
        """Read how many attempts the tasks needed."""
        return {attempt for _, _, attempt in self._rows()}

    def _rows(self) -> list[tuple[str, TaskState, int]]:
        connection = apsw.Connection(str(self.folder / "broker.db"), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            rows = list(connection.execute("SELECT task_id, state, attempt FROM tasks"))
        finally:
            connection.close()
        return [(task_id, TaskState(state), attempt) for task_id, state, attempt in rows]


class Admin:
    """Sends commands and waits for their answers."""

    def __init__(self, dealer: Dealer) -> None:
        self._dealer = dealer

    async def ask(self, command: str, payload: Message) -> c.Reply:
        command_id = IDS.new_id(1)
        envelope = Envelope(
            event_id=command_id,
            type=command,
            subject="x/y",
            source="admin/t",
            trace_id=IDS.new_trace_id(),
            occurred_at_ms=1,
            payload=raw(payload),
            idempotency_key=command_id,
            actor="user/t",
            interface="cli",
        )
        self._dealer.send_nowait(pack_header(Kind.COMMAND), encode(envelope))
        while True:
            for header, body in await self._dealer.receive():
                if unpack_header(header).kind == Kind.REPLY:
                    reply = decode(body, c.Reply)
                    if reply.command_id == command_id:
                        return reply

    async def run_on_all(self, count: int) -> list[str]:
        """Store the recipe and run it on all devices, as soon as there are so many."""
        assert (await self.ask(c.STORE_WORKFLOW, c.StoreWorkflow(source=RECIPE))).problem is None
        serials = [f"FAKE{number:04d}" for number in range(1, count + 1)]
        targets = c.Targets(kind=c.TargetKind.DEVICES, serials=serials)
        while True:
            reply = await self.ask(c.CREATE_RUN, c.CreateRun(workflow="shot", targets=targets))
            if reply.problem is None:
                return list(reply.result["taskIds"])
            await trio.sleep(0.05)


async def wait_spooled(folder: Path, count: int) -> None:
    while len(list((folder / "spool").glob("*.json"))) < count:  # noqa: ASYNC110 - the spool is a folder
        await trio.sleep(0.02)


@pytest.fixture
async def limit() -> AsyncIterator[None]:
    with trio.fail_after(50):
        yield


def begun(driver: FakeDriver) -> list[tuple[str, str]]:
    """Tries in the phones' journals, each with the commands in it."""
    return [(entry.tag, entry.command) for entry in driver.journal if entry.tag]


async def wait_ended(plant: Plant, tasks: list[str]) -> set[TaskState]:
    """Wait until all tasks are terminal in the broker's file; return their states."""
    while True:
        states = plant.states()
        if all(states[task] in TERMINAL for task in tasks):
            return {states[task] for task in tasks}
        await trio.sleep(0.05)


async def test_a_run_on_all_phones(tmp_path: Path, limit: None) -> None:
    plant = Plant(tmp_path, 8)
    async with plant.broker(), plant.node(), plant.admin() as admin:
        tasks = await admin.run_on_all(8)
        assert await wait_ended(plant, tasks) == {TaskState.PASSED}
    assert len(list((tmp_path / "spool").glob("*.json"))) == 8


async def test_a_node_that_is_killed_amid_a_run(tmp_path: Path, limit: None) -> None:
    plant = Plant(tmp_path, 8)
    async with plant.broker(), plant.admin() as admin:
        async with plant.node():
            tasks = await admin.run_on_all(8)
            await wait_spooled(tmp_path, 2)
        async with plant.node():
            assert await wait_ended(plant, tasks) == {TaskState.PASSED}
    commands = begun(plant.driver)
    assert len(commands) == len(set(commands)), "no (task, token, step, try) twice"


async def test_a_broker_that_is_killed_amid_a_run(tmp_path: Path, limit: None) -> None:
    plant = Plant(tmp_path, 8)
    async with plant.node():
        async with plant.broker(), plant.admin() as admin:
            tasks = await admin.run_on_all(8)
            await wait_spooled(tmp_path, 2)
        async with plant.broker():
            assert await wait_ended(plant, tasks) == {TaskState.PASSED}
    commands = begun(plant.driver)
    assert len(commands) == len(set(commands)), "no (task, token, step, try) twice"
    assert len(list((tmp_path / "spool").glob("*.json"))) == 8


async def test_a_node_that_is_stopped_amid_a_run_burns_no_attempt(tmp_path: Path, limit: None) -> None:
    plant = Plant(tmp_path, 8)
    async with plant.broker(), plant.admin() as admin:
        async with plant.node() as (node, stopped):
            tasks = await admin.run_on_all(8)
            await wait_spooled(tmp_path, 2)
            node.drain("the test stops it")
            await stopped.wait()
        async with plant.node():
            assert await wait_ended(plant, tasks) == {TaskState.PASSED}
    assert plant.attempts() == {1}
