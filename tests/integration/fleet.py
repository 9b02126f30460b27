"""The real daemons as processes of their own, each of which can be killed, frozen and started again.

Broker, admin and node with simulated phones behind a real adb server, all on loopback. Commands go over the mesh
under the admin's key, so that a test of a dead admin can still ask for a run; what came of it is read in the store.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import apsw
import trio

from doai import topics
from doai.cli.child import Child
from doai.codec import Kind, decode, encode, pack_header, raw, unpack_header
from doai.drivers.adb.server import orphans
from doai.envelope import Envelope, Message
from doai.ids import RandomIds
from doai.messages import commands as c
from doai.messages.link import Hello, HostSample, Role
from doai.ports import free_port
from doai.wire.dealer import open_dealer
from doai.wire.keys import load_or_make_keypair
from tests.integration.reconcile import Store, reconcile

NODE: Final = "node-1"
WITHIN_S: Final = 90.0
"""For one thing to happen; a loaded machine is no failure."""
LOOK_S: Final = 0.02
_ids: Final = RandomIds(random.Random(os.urandom(16)).getrandbits)
Route = Callable[[str, str], Awaitable[str]]
"""Given a node's program and the broker's endpoint, the endpoint that this node is told: of a proxy, perhaps."""


async def straight(_: str, endpoint: str) -> str:
    """Nothing stands between a node and its broker."""
    return endpoint


class Fleet:
    """One installation; `kills_ms` has the times at which each node was killed, by its id.

    Programs are named ``broker``, ``admin``, ``phones``, ``node``, and ``node-2`` and so on where there are more;
    the phones are dealt out to the nodes in turn. With ``vendor`` the one node has all of them through a
    stand-in for the vendor's program, by its driver xiaowei.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        phones: int,
        slots: int,
        writer: str = "adaptive",
        nodes: int = 1,
        route: Route = straight,
        disk_reserve_mb: int | None = None,
        host_scripts: Path | None = None,
        admin_words: Sequence[str] = (),
        bot: Path | None = None,
        vendor: bool = False,
    ) -> None:
        self.data_dir = data_dir
        self.store = Store(data_dir)
        self.kills_ms: dict[str, list[int]] = defaultdict(list)
        self.nodes = ["node", *(f"node-{number}" for number in range(2, nodes + 1))]
        self.children: dict[str, Child] = {}
        self._phones = phones
        self._slots = slots
        self._writer = writer
        self._secret = os.urandom(16).hex()
        self._route = route
        self._reserve = disk_reserve_mb
        self._host_scripts = host_scripts
        self._admin_words = admin_words
        self._bot = bot
        self._vendor = vendor
        self._adb_ports = {node: free_port() for node in self.nodes}
        self._words: dict[str, list[str]] = {}
        self._broker: Mapping[str, str] = {}
        self._frozen: set[str] = set()
        for name in ("broker", "log", *map(node_id, self.nodes)):
            (data_dir / name).mkdir(parents=True, exist_ok=True)

    # --- life -----------------------------------------------------------------------------------------------

    async def start_all(self) -> None:
        """Start everything; return when all phones are online."""
        folder = str(self.data_dir / "broker")
        endpoint = f"tcp://127.0.0.1:{free_port()}"  # The same after every start.
        words = ("--data-dir", folder, "--endpoint", endpoint, "--store-writer", self._writer)
        reserve = () if self._reserve is None else ("--disk-reserve-mb", str(self._reserve))
        await self._first("broker", *words, *reserve)
        self._broker = self.children["broker"].ready
        await self._first(
            "admin", "--data-dir", folder, "--endpoint", endpoint, "--port", str(free_port()),
            "--first-token-file", str(self.data_dir / "token"), *reserve, *self._admin_words,
        )  # fmt: skip
        shelf = ("--count", str(self._phones), "--journal", str(self.data_dir / "phones"))
        await self._first("phones", *shelf, *(("--vendor", str(free_port())) if self._vendor else ()))
        for node in self.nodes:
            await self._add_node_key(node)
            config = self._write_node_config(node, await self._route(node, endpoint))
            await self._first(node, "--config", str(config))
        if self._bot is not None:
            await self._start_bot(self._bot, endpoint)
        await self.wait_online()

    async def _start_bot(self, program: Path, endpoint: str) -> None:
        """Let a bot in, named after its file, which is copied into its folder."""
        self.bot_dir.mkdir()
        file = Path(shutil.copy(program, self.bot_dir))
        public = load_or_make_keypair(self.bot_dir / "keys" / "bot.key").public
        await self.command(c.ADD_KEY, c.AddKey(name=program.stem, role="bot", public_key=public))
        await self._first(
            "bot", str(file), "--bot-dir", str(self.bot_dir), "--endpoint", endpoint,
            "--broker-public-key", self._broker["X_DOAI_PUBLIC_KEY"],
        )  # fmt: skip

    @property
    def bot_dir(self) -> Path:
        """The folder of the bot's file, key and state."""
        return self.data_dir / "bot"

    @property
    def vendor_url(self) -> str:
        """Where the stand-in for the vendor's program listens."""
        return self.children["phones"].ready["X_DOAI_VENDOR_URL"]

    async def _first(self, name: str, *words: str) -> None:
        self._words[name] = list(words)
        await self.start(name)

    async def start(self, name: str) -> None:
        """Start a program again, with what it was told the first time and the ports it got."""
        self.children[name] = child = self.make_child(name)
        await child.start()

    def make_child(self, name: str, *, log: str = "") -> Child:
        """Return a program that is not started yet; it may have a log of its own."""
        program = name.partition("-")[0]
        return Child(log or name, f"doai.cli.{program}", self._words[name], self.data_dir / "log")

    async def kill(self, name: str) -> None:
        """SIGKILL, and wait until it is gone."""
        os.kill(self.children[name].pid, signal.SIGKILL)
        with trio.fail_after(WITHIN_S):
            await self.children[name].wait()
        if name in self.nodes:
            self.kills_ms[node_id(name)].append(time.time_ns() // 1_000_000)
        self._frozen.discard(name)

    async def kill_and_start(self, name: str) -> None:
        """SIGKILL and start it again at once."""
        await self.kill(name)
        await self.start(name)

    @asynccontextmanager
    async def frozen(self, name: str) -> AsyncIterator[None]:
        """SIGSTOP it for the length of the block."""
        pid = self.children[name].pid
        os.kill(pid, signal.SIGSTOP)
        self._frozen.add(name)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)
            self._frozen.discard(name)

    async def stop_all(self) -> None:
        """End everything, as it was started, backwards."""
        for name in self._frozen:
            os.kill(self.children[name].pid, signal.SIGCONT)
        for name in reversed(self.children):
            await self.children[name].stop()
        # Of a node that was killed and not started again.
        for port in self._adb_ports.values():
            for pid in orphans(port):
                os.kill(pid, signal.SIGKILL)

    def adb_server_pid(self, node: str = "node") -> int:
        """Return the pid of the adb server that a node started."""
        [pid] = self.adb_server_pids(node)
        return pid

    def adb_port(self, node: str) -> int:
        """Return the port of the adb server that a node starts."""
        return self._adb_ports[node]

    def adb_server_pids(self, node: str) -> list[int]:
        """Return the pids of the adb servers that a node started and that are there: one, or none for a moment."""
        words = f"-P {self._adb_ports[node]}"
        return [pid for pid in children_of(self.children[node].pid) if words in command_of(pid)]

    def _write_node_config(self, node: str, endpoint: str) -> Path:
        ports = self.children["phones"].ready["X_DOAI_PHONES"].split(",")
        folder = self.data_dir / node_id(node)
        settings = {
            "name": node_id(node),
            "endpoint": endpoint,
            "broker_public_key": self.children["broker"].ready["X_DOAI_PUBLIC_KEY"],
            "admin_url": self.children["admin"].ready["X_DOAI_URL"],
            "data_dir": str(folder),
            "slots": self._slots,
            "adb_port": self._adb_ports[node],
            "adb_usb": False,
            "adb_home": str(folder),
            "adb_connect": [f"127.0.0.1:{p}" for p in ports[self.nodes.index(node) :: len(self.nodes)]],
            "secret": self._secret,
        }
        if self._vendor:
            settings["drivers"] = ["xiaowei"]
            settings["driver_settings"] = [f"xiaowei.url={self.vendor_url}", "xiaowei.list_every_s=0.1"]
        if self._reserve is not None:
            settings["disk_reserve_mb"] = self._reserve
        if self._host_scripts is not None:
            settings["host_scripts"] = [str(self._host_scripts)]
        path = folder / "node.toml"
        path.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items()))
        path.chmod(0o600)
        return path

    # --- commands -------------------------------------------------------------------------------------------

    async def command(self, name: str, payload: Message) -> dict[str, Any]:
        """Ask the broker for something and return its answer; a refusal is a failed test."""
        reply = await self.ask(name, payload, self.new_command_id())
        assert reply.problem is None, reply.problem
        result: dict[str, Any] = reply.result
        return result

    def new_command_id(self) -> str:
        """Return the id of a command, which is its idempotency key too."""
        return _ids.new_id(time.time_ns() // 1_000_000)

    async def ask(self, name: str, payload: Message, command_id: str, *, within_s: float = WITHIN_S) -> c.Reply:
        """Ask the broker for something and return its answer; raises trio.TooSlowError when there is none."""
        ready = self._broker
        keys = load_or_make_keypair(self.data_dir / "broker" / "keys" / "admin.key")
        hello = Hello(
            name="admin",
            instance=_ids.new_id(1)[-8:].lower(),
            role=Role.ADMIN,
            sample=HostSample(host="test", pid=os.getpid(), version="0", started_at_ms=0),
        )
        envelope = Envelope(
            event_id=command_id,
            type=name,
            subject="test/fleet",
            source=f"{hello.name}/{hello.instance}",
            trace_id=_ids.new_trace_id(),
            occurred_at_ms=time.time_ns() // 1_000_000,
            payload=raw(payload),
            idempotency_key=command_id,
            actor="user/test",
            interface="cli",
        )
        with trio.fail_after(within_s):
            async with open_dealer(ready["X_DOAI_ENDPOINT"], keys, ready["X_DOAI_PUBLIC_KEY"]) as dealer:
                await dealer.send(pack_header(Kind.HELLO), encode(hello))
                await dealer.send(pack_header(Kind.COMMAND), encode(envelope))
                while True:
                    for header, body in await dealer.receive():
                        if unpack_header(header).kind == Kind.REPLY:
                            reply = decode(body, c.Reply)
                            assert reply.command_id == command_id
                            return reply

    async def _add_node_key(self, node: str) -> None:
        pair = load_or_make_keypair(self.data_dir / node_id(node) / "keys" / "node.key")
        sha256 = hashlib.sha256(self._secret.encode()).hexdigest()
        await self.command(
            c.ADD_KEY, c.AddKey(name=node_id(node), role="node", public_key=pair.public, secret_sha256=sha256)
        )

    async def run_on_all(self, source: str) -> str:
        """Store a workflow and run it on every phone; returns the run's id."""
        stored = await self.command(c.STORE_WORKFLOW, c.StoreWorkflow(source=source))
        workflow = f"{stored['name']}@{stored['version']}"
        targets = c.Targets(kind=c.TargetKind.ALL)
        created = await self.command(c.CREATE_RUN, c.CreateRun(workflow=workflow, targets=targets))
        assert len(created["taskIds"]) == self._phones
        return str(created["runId"])

    # --- waiting --------------------------------------------------------------------------------------------

    async def wait(self, what: str, condition: Callable[[], bool]) -> None:
        """Return when it holds; a failure says what was waited for, and the programs' last words."""
        with trio.move_on_after(WITHIN_S):
            while not condition():  # noqa: ASYNC110 - other processes
                await trio.sleep(LOOK_S)
            return
        raise AssertionError(f"not within {WITHIN_S:.0f} s: {what}\n{self.last_words()}")

    async def wait_online(self) -> None:
        """Return when every phone is online."""
        sql = "SELECT count(*) FROM devices WHERE state = 'online'"
        await self.wait("all phones online", lambda: self.store.ask(sql) == [(self._phones,)])

    async def wait_more(self, kind: str, count: int, run_id: str) -> None:
        """Return when the log has so many more events of a type than now, or all that a run has to tell.

        The run may have ended while nobody looked, with the broker away or at the first look after it came back.
        """
        sql = "SELECT count(*) FROM events WHERE type = ?"
        wanted = self.store.ask(sql, kind)[0][0] + count

        def is_so() -> bool:
            if self.store.ask(sql, kind)[0][0] >= wanted:
                return True
            return self.store.ended(run_id) and self.store.promised().items() <= self.store.stored().items()

        await self.wait(f"{count} more {kind}", is_so)

    def begun(self) -> list[str]:
        """Return the ids of the steps that began, as the log tells."""
        return [event.payload["stepId"] for event in self.store.events(pattern=topics.STEP_STARTED)]

    async def wait_outbox(self, count: int) -> None:
        """Return when the node has recorded so many more facts than now, while nobody takes them.

        Facts from before may still be acknowledged: the answer was on its way.
        """
        wanted = self.recorded() + count
        await self.wait(f"{count} facts in the outbox", lambda: self.recorded() >= wanted)

    async def wait_ended(self, run_id: str) -> None:
        """Return when the run is complete."""
        await self.wait(f"the end of run {run_id}", lambda: self.store.ended(run_id))

    async def wait_artifacts(self) -> None:
        """Return when everything that was promised is stored."""
        await self.wait("all artifacts", lambda: self.store.promised().items() <= self.store.stored().items())

    def recorded(self, node: str = "node") -> int:
        """Return the sequence number of a node's newest fact."""
        return self._ask_node(node, "SELECT max(trimmed_seq, coalesce((SELECT max(seq) FROM facts), 0)) FROM meta")

    def taken(self, node: str = "node") -> int:
        """Return the sequence number of a node's newest fact that the broker has."""
        return int(self.store.ask("SELECT max(last_seq) FROM streams WHERE name = ?", node_id(node))[0][0])

    def unacknowledged(self, node: str = "node") -> int:
        """Count the facts that wait in a node's file."""
        return self._ask_node(node, "SELECT count(*) FROM facts, meta WHERE seq > trimmed_seq")

    def _ask_node(self, node: str, sql: str) -> int:
        path = self.data_dir / node_id(node) / "node.db"
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            connection.set_busy_timeout(5000)
            return int(next(iter(connection.execute(sql)))[0] or 0)
        finally:
            connection.close()

    def wrong(self, *, one_command: Collection[str] = (), artifacts: bool = True) -> list[str]:
        """Return everything that is wrong in the store; the journal counts tries of steps of one command.

        ``artifacts``: whether all promised ones must be stored.
        """
        return reconcile(self.data_dir, kills_ms=self.kills_ms, one_command=one_command, artifacts=artifacts)

    def last_words(self) -> str:
        """The end of each program's log."""
        logs = sorted((self.data_dir / "log").glob("*.log"))
        return "\n".join(f"--- {log.name}\n" + "\n".join(log.read_text().splitlines()[-15:]) for log in logs)


@asynccontextmanager
async def open_fleet(
    data_dir: Path,
    *,
    phones: int = 6,
    slots: int = 4,
    writer: str = "adaptive",
    nodes: int = 1,
    route: Route = straight,
    disk_reserve_mb: int | None = None,
    host_scripts: Path | None = None,
    admin_words: Sequence[str] = (),
    bot: Path | None = None,
    vendor: bool = False,
) -> AsyncIterator[Fleet]:
    """Start everything, and leave nothing behind."""
    fleet = Fleet(
        data_dir,
        phones=phones,
        slots=slots,
        writer=writer,
        nodes=nodes,
        route=route,
        disk_reserve_mb=disk_reserve_mb,
        host_scripts=host_scripts,
        admin_words=admin_words,
        bot=bot,
        vendor=vendor,
    )
    try:
        await fleet.start_all()
        yield fleet
    finally:
        with trio.CancelScope(shield=True):
            await fleet.stop_all()
    await gone(str(data_dir))


def node_id(name: str) -> str:
    """Return the id under which the mesh knows a node's program."""
    return NODE if name == "node" else name


async def gone(word: str) -> None:
    """Return when no process has this word in its command line."""
    with trio.move_on_after(WITHIN_S):
        while processes_with(word):  # noqa: ASYNC110 - other processes' lives
            await trio.sleep(LOOK_S)
    assert not processes_with(word)


def processes_with(word: str) -> dict[int, str]:
    """Return the command lines, by pid, of other processes that have a word in them."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        command = command_of(int(folder.name))
        if word in command and int(folder.name) != os.getpid():
            found[int(folder.name)] = command
    return found


def command_of(pid: int) -> str:
    """Return a process's command line; empty once it is gone (or a zombie)."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def children_of(pid: int) -> list[int]:
    """Return the pids of all descendants of a process."""
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        parents.setdefault(parent, []).append(int(folder.name))
    found, todo = [], [pid]
    while todo:
        children = parents.get(todo.pop(), [])
        found += children
        todo += children
    return found
