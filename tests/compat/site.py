"""A broker, a node with fake phones and an admin, whole but for sockets: the mesh is the one in memory."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import trio

from doai import __version__
from doai.broker.app import LiveKeys, read_clocks
from doai.broker.core.core import BrokerCore
from doai.broker.core.settings import CoreSettings
from doai.broker.shell import Shell as BrokerShell
from doai.changes.ops import PutKey
from doai.changes.rows import KeyRow
from doai.codec import KINDS, Kind, decode, encode, pack_header, raw, unpack_header
from doai.drivers.fake.driver import FakeDriver
from doai.envelope import Envelope, Message
from doai.ids import RandomIds
from doai.messages import commands as c
from doai.messages.link import Hello, HostSample, Role, Welcome
from doai.node.boot_clock import BootClock
from doai.node.core.core import NodeCore
from doai.node.core.effects import NodeSettings, StopNode
from doai.node.shell import Shell as NodeShell
from doai.node.spool import Spool
from doai.node.steps.table import STEPS
from doai.states import DeviceState
from doai.store.outbox import open_outbox
from doai.store.sqlite_writer import SqliteWriter, open_writer
from doai.wire.base import Dealer, Router
from doai.wire.keys import KeyPair, make_keypair
from doai.wire.memory import MemoryMesh
from doai.wire_versions import SPOKEN, WireVersions

NODE = "n1"
ADMIN = "admin"
PHONES = ("FAKE0001", "FAKE0002")
ENDPOINT = "mesh"
SHOT = """
workflow: shot
steps:
  - {id: hello, use: device.shell, with: {command: "echo hello"}}
  - {id: shot, use: screen.capture}
  - {id: keep, use: artifact.upload, with: {artifact: "${steps.shot.artifact}"}}
outputs: {said: "${steps.hello.stdout}"}
"""
NAP = """
workflow: nap
steps:
  - {id: nap, use: wait, with: {for: 1m}}
always:
  - {id: bye, use: device.shell, with: {command: "echo bye"}}
"""


class Heard(msgspec.Struct, frozen=True):
    """A frame as it passed the broker's router."""

    peer: str
    to_broker: bool
    header: bytes
    body: bytes

    @property
    def kind(self) -> int:
        return self.header[1]


class Tap:
    """The broker's router, which also keeps every frame that passes, and lets others wait for what they bring."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self.frames: list[Heard] = []
        self._news = trio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._router, name)

    async def receive(self) -> list[Any]:
        frames = await self._router.receive()
        for frame in frames:
            self._keep(Heard(frame.key_name, True, frame.header, frame.body))
        return frames

    def send_nowait(self, link: int, header: bytes, body: bytes) -> None:
        peer = self._router.key_name(link)
        self._router.send_nowait(link, header, body)
        self._keep(Heard(peer, False, header, body))

    def _keep(self, frame: Heard) -> None:
        self.frames.append(frame)
        self._news.set()

    async def wait(self, is_so: Callable[[], bool]) -> None:
        """Return once something is so; it is looked at whenever a frame passed."""
        while not is_so():
            self._news = trio.Event()
            await self._news.wait()


class RunningBroker:
    """A broker that runs, for looking at."""

    def __init__(self, core: BrokerCore, tap: Tap) -> None:
        self.core = core
        self.tap = tap

    def frames(self, peer: str, kind: int, *, to_broker: bool = False) -> list[Heard]:
        """The frames of a kind that passed, of one peer and direction."""
        return [f for f in self.tap.frames if (f.peer, f.kind, f.to_broker) == (peer, kind, to_broker)]

    def phones(self) -> list[str]:
        """The phones that can be given tasks."""
        state = self.core.state
        return [s for s, device in state.devices.items() if device.state is DeviceState.ONLINE]


class Site:
    """One mesh; keys, store and the node's files outlive the processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mesh = MemoryMesh()
        self.broker_keys, self.node_keys, self.admin_keys = make_keypair(), make_keypair(), make_keypair()

    @contextmanager
    def store(self) -> Iterator[SqliteWriter]:
        """The broker's store, while no broker has it."""
        writer = open_writer(self.folder / "broker.db", new_store_id="s1", now_ms=1)
        try:
            yield writer
        finally:
            writer.close()

    @asynccontextmanager
    async def broker(self, wire: WireVersions = SPOKEN, seed: int = 1) -> AsyncIterator[RunningBroker]:
        """A broker that knows the keys of node and admin."""
        settings = CoreSettings(wire=wire)
        with self.store() as writer:
            writer.commit([_key(NODE, "node", self.node_keys), _key(ADMIN, "admin", self.admin_keys)])

            def load() -> BrokerCore:
                ids = RandomIds(random.Random(seed).getrandbits)
                return BrokerCore(writer.load(), ids, settings, read_clocks())

            core, stop = load(), trio.Event()
            keys = LiveKeys(core.live_keys())
            async with (
                self.mesh.open_router(ENDPOINT, self.broker_keys, keys) as router,
                trio.open_nursery() as nursery,
            ):
                tap: Any = Tap(router)
                shell = BrokerShell(
                    core=core, router=tap, writer=writer, keys=keys, now=read_clocks, load_again=load
                )
                nursery.start_soon(shell.run, stop)
                yield RunningBroker(core, tap)
                stop.set()

    @asynccontextmanager
    async def node(self, wire: WireVersions = SPOKEN) -> AsyncIterator[RunningNode]:
        """A node with two fake phones."""
        clock = BootClock()
        outbox = open_outbox(self.folder / "node.db", new_incarnation="I1")
        settings = NodeSettings(
            node_id=NODE,
            host="shelf-1",
            pid=1,
            version=__version__,
            started_at_ms=1,
            slots=4,
            capabilities=[f"step:{name}" for name in STEPS] + ["driver:fake"],
            wire=wire,
        )
        shell = NodeShell(
            node_id=NODE,
            core=NodeCore(outbox.load(), settings, RandomIds(random.Random(2).getrandbits), clock.now()),
            outbox=outbox,
            spool=Spool(self.folder, NODE),
            drivers=[FakeDriver(count=len(PHONES))],
            open_dealer=lambda: self.mesh.open_dealer(ENDPOINT, self.node_keys, self.broker_keys.public),
            steps=STEPS,
            clock=clock,
        )
        running = RunningNode(shell)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(running.run)
                yield running
                nursery.cancel_scope.cancel()
        finally:
            outbox.close()

    @asynccontextmanager
    async def admin(self, wire: WireVersions = SPOKEN) -> AsyncIterator[Speaker]:
        """A connection of the admin that has not greeted."""
        async with self.mesh.open_dealer(ENDPOINT, self.admin_keys, self.broker_keys.public) as dealer:
            yield Speaker(dealer, ADMIN, Role.ADMIN, wire)


class RunningNode:
    """A node that runs, and how it stopped."""

    def __init__(self, shell: NodeShell) -> None:
        self.shell = shell
        self.stop: StopNode | None = None
        self.stopped = trio.Event()

    async def run(self) -> None:
        self.stop = await self.shell.run()
        self.stopped.set()


class Speaker:
    """Speaks for a peer over a dealer."""

    def __init__(self, dealer: Dealer, name: str, role: Role, wire: WireVersions = SPOKEN) -> None:
        self.dealer = dealer
        self.name = name
        self.role = role
        self.wire = wire
        self.version = 1
        self._heard: list[tuple[int, bytes]] = []
        self._asked = 0

    async def say(self, kind: int, body: object = None) -> None:
        """Send a frame in the version that was agreed on."""
        header = pack_header(kind, version=self.version)
        await self.dealer.send(header, b"" if body is None else encode(body))

    async def hear(self, kind: Kind) -> bytes:
        """Return the body of the next frame of a kind; what else comes is kept."""
        while True:
            for index, (got, body) in enumerate(self._heard):
                if got == kind:
                    del self._heard[index]
                    return body
            for header, body in await self.dealer.receive():
                read = unpack_header(header, self.version)
                assert read.kind in KINDS
                self._heard.append((read.kind, body))

    def hello(self) -> Hello:
        """What it says of itself."""
        sample = HostSample(host="h", pid=1, version=__version__, started_at_ms=1)
        return Hello(
            name=self.name,
            instance="main",
            role=self.role,
            sample=sample,
            wire_lowest=self.wire.lowest,
            wire_highest=self.wire.highest,
        )

    async def greet(self) -> Welcome:
        """Say HELLO and be welcomed."""
        await self.say(Kind.HELLO, self.hello())
        welcome = decode(await self.hear(Kind.WELCOME), Welcome)
        self.version = welcome.wire_version
        return welcome

    async def ask(self, command_type: str, payload: Message) -> c.Reply:
        """Give a command and wait for its reply."""
        self._asked += 1
        command = Envelope(
            event_id=f"command-{self._asked}",
            type=command_type,
            subject="broker",
            source=f"{self.name}/main",
            trace_id="b" * 32,
            occurred_at_ms=1,
            payload=raw(payload),
            idempotency_key=f"key-{self._asked}",
        )
        await self.say(Kind.COMMAND, command)
        reply = decode(await self.hear(Kind.REPLY), c.Reply)
        assert reply.problem is None, reply.problem
        return reply

    async def run_on(self, workflow: str, serial: str) -> str:
        """Make a run on one phone; return its id."""
        targets = c.Targets(kind=c.TargetKind.DEVICES, serials=[serial])
        reply = await self.ask(c.CREATE_RUN, c.CreateRun(workflow=workflow, targets=targets))
        run_id: str = reply.result["runId"]
        return run_id


def _key(name: str, role: str, pair: KeyPair) -> PutKey:
    row = KeyRow(name=name, role=role, public_key=pair.public, secret_sha256="", created_at_ms=0, created_by="t")
    return PutKey(row)
