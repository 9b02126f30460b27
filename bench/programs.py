"""The real daemons as processes, for one measurement: broker, node, and phones when they are wanted (all steps)."""

from __future__ import annotations

import json
import os
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec
import trio

from bench.bare_node import LOOK_S, Site, frames_file
from bench.frames_floor import Frames
from bench.link_node import Settings
from bench.mesh_client import MeshClient, open_mesh_client
from bench.store_view import StoreView, open_store_view
from doai.cli.child import Child
from doai.messages.commands import ADD_KEY, STORE_WORKFLOW, AddKey, StoreWorkflow
from doai.phone.journal import FILE_NAME as JOURNAL_NAME
from doai.ports import free_port
from doai.wire.keys import load_or_make_keypair

NODE: Final = "node-1"
TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
CPUCLOCK_SCHED: Final = 2
"""Of the id of a process' clock: that of the scheduler, of all its threads (linux/posix-timers.h)."""
START_TIMEOUT_S: Final = 120.0
"""Until all devices are online: a hundred phones behind a new adb server take seconds, 20,000 on 200 nodes ten."""


class Fleet(msgspec.Struct, frozen=True, kw_only=True):
    """What the node has: fake devices, or simulated phones behind an adb server of its own."""

    devices: int = 100
    phones: bool = False
    slots: int = 20
    nodes: int = 1
    """The devices are spread over them."""
    bare: bool = False
    """Nodes of bench/bare_node.py, all in one process, instead of the real program."""
    task_s: float = 0.0
    """On bare nodes a task takes up to this."""
    in_slots: bool = False
    """On bare nodes a task takes just ``task_s``, and a node has no more of them under way than slots."""


class Programs:
    """Daemons that run, a client that is welcome, and a view of the store; `open_programs` makes it."""

    def __init__(
        self,
        folder: Path,
        children: Mapping[str, Child],
        client: MeshClient,
        store: StoreView,
        adb_port: int,
        bare: Sequence[str] = (),
    ) -> None:
        """``bare``: names of nodes of bench/bare_node.py."""
        self.folder = folder
        self.adb_port = adb_port
        """Of the node's adb server; there is none without phones."""
        self.children = children
        self.client = client
        self.store = store
        self.serials: list[str] = []
        """Of the devices, all of them online."""
        self._watching = trio.CancelScope()
        self._bare = bare

    async def watch(self) -> None:
        """Raise ChildFailed when a program ends before `kill` was called."""
        with self._watching:
            async with trio.open_nursery() as nursery:
                for child in self.children.values():
                    nursery.start_soon(child.watch)

    async def kill(self, name: str) -> None:
        """End a program by SIGKILL, in the middle of whatever it does; nothing is watched from here on."""
        self._watching.cancel()
        os.kill(self.children[name].pid, signal.SIGKILL)
        await self.children[name].wait()

    async def store_workflow(self, source: str) -> str:
        """Store a recipe and return its name."""
        stored = await self.client.command(STORE_WORKFLOW, StoreWorkflow(source=source))
        return f"{stored['name']}@{stored['version']}"

    @property
    def journal(self) -> Path:
        """Where the phones write what they were told."""
        return self.folder / "phones" / JOURNAL_NAME

    def cpu_s(self) -> dict[str, float]:
        """Return the CPU seconds of each program so far; ``adb`` is the node's server, ``client`` this process."""
        used: dict[str, float] = {}
        for name, child in self.children.items():
            kind = "node" if name.startswith("node-") else name
            used[kind] = used.get(kind, 0.0) + cpu_s(child.pid)
        if "phones" in used:
            used["adb"] = sum(cpu_s(pid) for pid in child_pids(self.children["node"].pid))
        return {**used, "client": cpu_s(os.getpid())}

    async def frames(self) -> Frames | None:
        """Return the frames between the broker and all others so far; None with real nodes, which count none."""
        files = [frames_file(self.folder / name) for name in self._bare]
        if not files:
            return None
        await trio.sleep(2 * LOOK_S)  # until what was last is told
        found = [msgspec.msgpack.decode(file.read_bytes(), type=Frames) for file in files]
        return sum(found, self.client.frames)

    def rss_mib(self) -> dict[str, float]:
        """Return the resident memory of each program, in MiB, without its own children."""
        return {name: rss_bytes(child.pid) / 2**20 for name, child in self.children.items()}


@asynccontextmanager
async def open_programs(fleet: Fleet) -> AsyncIterator[Programs]:
    """Start broker and nodes (and phones) in a folder of their own; everything is gone when the block has ended.

    Raises ChildFailed when a program does not start or ends before its time, alone or in groups.
    """
    children: dict[str, Child] = {}
    with tempfile.TemporaryDirectory(prefix="doai-bench-") as name:
        folder = Path(name)
        try:
            broker = await start_program(children, folder, "broker", broker_settings(folder))
            endpoint, server_key = broker.ready["X_DOAI_ENDPOINT"], broker.ready["X_DOAI_PUBLIC_KEY"]
            admin = load_or_make_keypair(folder / "broker" / "keys" / "admin.key")
            with open_store_view(folder / "broker" / "broker.db") as store:
                async with open_mesh_client(endpoint, admin, server_key) as client, trio.open_nursery() as nursery:
                    adb_port = free_port()
                    await _start_nodes(children, folder, fleet, client, adb_port, broker)
                    bare = node_names(fleet) if fleet.bare else []
                    programs = Programs(folder, children, client, store, adb_port, bare)
                    nursery.start_soon(programs.watch)
                    with trio.fail_after(START_TIMEOUT_S):
                        programs.serials = await store.wait_devices(fleet.devices)
                    yield programs
                    nursery.cancel_scope.cancel()
        finally:
            with trio.CancelScope(shield=True):
                for child in reversed(children.values()):
                    await child.stop()


async def _start_nodes(
    children: dict[str, Child], folder: Path, fleet: Fleet, client: MeshClient, adb_port: int, broker: Child
) -> None:
    """Start the nodes, one after the other; a hundred devices are their devices together."""
    names = node_names(fleet)
    endpoint, server_key = broker.ready["X_DOAI_ENDPOINT"], broker.ready["X_DOAI_PUBLIC_KEY"]
    for name in names:
        home = folder / name if fleet.bare else node_folder(folder, name)
        public = load_or_make_keypair(home / "keys" / "node.key").public
        await client.command(ADD_KEY, AddKey(name=name, role="node", public_key=public))
    each = fleet.devices // fleet.nodes
    if fleet.bare:
        path = folder / "nodes.json"
        settings = Settings(folder=str(folder), endpoint=endpoint, server_key=server_key, names=names, facts=0)
        site = Site(settings=settings, devices=each, task_s=fleet.task_s, in_slots=fleet.in_slots)
        path.write_bytes(msgspec.json.encode(site))
        child = children["node"] = Child("nodes", "bench.bare_node", [str(path)], folder)
        await child.start()
        return
    for name in names:
        await start_program(
            children,
            folder,
            "node",
            node_settings(folder, fleet, name)
            | await device_settings(children, folder, fleet, adb_port, each)
            | {"endpoint": endpoint, "broker_public_key": server_key}
            | ({"fake_prefix": f"{name.upper()}-"} if fleet.nodes > 1 else {}),
            name if fleet.nodes > 1 else "node",
        )


def node_names(fleet: Fleet) -> list[str]:
    return [f"node-{number}" for number in range(1, fleet.nodes + 1)]


async def start_program(
    children: dict[str, Child], folder: Path, program: str, settings: Mapping[str, object], name: str = ""
) -> Child:
    """Start a program of the installation; ``name`` tells several of one kind apart."""
    name = name or program
    path = folder / f"{name}.toml"
    # JSON's strings, numbers, booleans and lists are TOML's too.
    path.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items()), encoding="utf-8")
    child = children[name] = Child(name, f"doai.cli.{program}", ["--config", str(path)], folder)
    await child.start()
    return child


def broker_settings(folder: Path) -> dict[str, object]:
    return {"data_dir": str(folder / "broker"), "endpoint": "tcp://127.0.0.1:0"}


def node_settings(folder: Path, fleet: Fleet, name: str = NODE) -> dict[str, object]:
    return {"name": name, "data_dir": str(node_folder(folder, name)), "slots": fleet.slots}


def node_folder(folder: Path, name: str) -> Path:
    """Return the data folder of a node; that of the first has the program's name."""
    return folder / ("node" if name == NODE else name)


async def device_settings(
    children: dict[str, Child], folder: Path, fleet: Fleet, adb_port: int, devices: int | None = None
) -> dict[str, object]:
    if not fleet.phones:
        return {"drivers": ["fake"], "fake_count": fleet.devices if devices is None else devices}
    phones = Child(
        "phones", "doai.cli.phones", ["--count", str(fleet.devices), "--journal", str(folder / "phones")], folder
    )
    children["phones"] = phones
    await phones.start()
    home = folder / "home"
    home.mkdir()
    return {
        "drivers": ["adb"],
        "adb_port": adb_port,
        "adb_usb": False,
        "adb_home": str(home),
        "adb_connect": [f"127.0.0.1:{port}" for port in phones.ready["X_DOAI_PHONES"].split(",")],
    }


def cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process with all its threads, and of its children that ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    children_s = sum(int(field) for field in fields[13:15]) / TICKS_PER_S
    # Its own from the clock of the process, in ns: clock_getcpuclockid(3), which Python has for threads only.
    return time.clock_gettime((~pid << 3) | CPUCLOCK_SCHED) + children_s


def child_pids(pid: int) -> list[int]:
    """Return the processes that a process started and that run now."""
    return [
        int(child)
        for thread in Path(f"/proc/{pid}/task").iterdir()
        for child in (thread / "children").read_text().split()
    ]


def rss_bytes(pid: int) -> int:
    """Return the resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
