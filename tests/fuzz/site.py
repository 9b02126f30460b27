"""A broker as a process of its own, and the peers that behave: their answers are counted and timed."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import apsw
import msgspec
import trio

from doai.cli.child import Child
from doai.codec import Kind, decode, encode, pack_header, raw, unpack_header
from doai.envelope import Envelope, Message
from doai.ids import RandomIds
from doai.messages import commands as c
from doai.messages.link import Heartbeat, Hello, HostSample, Role, Welcome
from doai.wire.base import Dealer
from doai.wire.dealer import open_dealer
from doai.wire.keys import load_or_make_keypair, make_keypair

ids = RandomIds(random.Random(os.urandom(16)).getrandbits)
RECIPE = "workflow: look\nsteps:\n  - {id: look, use: screen.capture}\n"
# Devices are not among these: any registered node may tell that it has one.
TABLES = ("workflows", "runs", "tasks", "attempts", "keys", "tokens", "artifacts", "commands")
EVIL_KEYS = 40
PACE_S = 0.005


class Site:
    """One running broker, with keys for peers that behave and for peers that do not."""

    def __init__(self, endpoint: str, server_key: str, data_dir: Path, pid: int = 0) -> None:
        self.endpoint = endpoint
        self.server_key = server_key
        self.pid = pid
        self.port = int(self.endpoint.rpartition(":")[2])
        self.data_dir = data_dir
        self.admin = load_or_make_keypair(data_dir / "keys" / "admin.key")
        self.polite_node = make_keypair()
        self.evil = {role: [(f"evil-{role.value}-{n}", make_keypair()) for n in range(EVIL_KEYS)] for role in Role}
        """Registered keys of hostile peers, each used once: what one does must not use up what another may."""

    def rows(self) -> dict[str, int]:
        """Count the rows of the tables that no hostile peer may change."""
        return {table: self._ask(f"SELECT count(*) FROM {table}")[0][0] for table in TABLES}

    def last_position(self) -> int:
        """Return the place of the newest event."""
        return int(self._ask("SELECT coalesce(max(position), 0) FROM events")[0][0])

    def events_after(self, position: int) -> list[tuple[str, str]]:
        """Return type and source of the events after a position."""
        rows = self._ask(f"SELECT envelope FROM events WHERE position > {position}")
        return [(envelope.type, envelope.source) for (body,) in rows for envelope in [decode(body, Envelope)]]

    def incidents(self) -> set[tuple[str, str]]:
        """Return type and subject of the incidents that were opened so far."""
        return set(self._ask("SELECT type, subject FROM incidents"))

    def rss_bytes(self) -> int:
        """Return the resident memory of the broker."""
        pages = Path(f"/proc/{self.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def _ask(self, sql: str) -> list[tuple]:  # type: ignore[type-arg]
        connection = apsw.Connection(str(self.data_dir / "broker.db"), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            connection.set_busy_timeout(5000)
            return list(connection.execute(sql))
        finally:
            connection.close()


def hello(name: str, role: Role, **fields: object) -> bytes:
    """Return the body of a HELLO; a node has a stream, the others have none."""
    stream = {"incarnation": ids.new_id(1), "epoch": 1} if role is Role.NODE else {}
    sample = HostSample(host="test", pid=1, version="0", started_at_ms=0, slots=1)
    instance = "main" if role is Role.NODE else ids.new_id(1)[-8:].lower()
    return encode(Hello(name=name, instance=instance, role=role, sample=sample, **(stream | fields)))  # type: ignore[arg-type]


def command(source: str, command_type: str, payload: Message | msgspec.Raw) -> bytes:
    """Return the body of a COMMAND."""
    envelope = Envelope(
        event_id=ids.new_id(1),
        type=command_type,
        subject="test/fuzz",
        source=source,
        trace_id=ids.new_trace_id(),
        occurred_at_ms=1,
        payload=payload if isinstance(payload, msgspec.Raw) else raw(payload),
        actor="user/test",
        interface="cli",
    )
    return encode(envelope)


async def next_frame(dealer: Dealer, kind: Kind) -> bytes:
    """Return the body of the next frame of a kind."""
    while True:
        for header, body in await dealer.receive():
            if unpack_header(header).kind == kind:
                return body


class Served:
    """What the peers that behave got: seconds from each question to its answer."""

    def __init__(self) -> None:
        self.answers_s: list[float] = []
        self.beats = 0


async def ask_on_and_on(site: Site, served: Served) -> None:
    """An admin that asks one thing after the other over one connection; a refusal is a failed test."""
    async with open_dealer(site.endpoint, site.admin, site.server_key) as dealer:
        await dealer.send(pack_header(Kind.HELLO), hello("admin", Role.ADMIN))
        await next_frame(dealer, Kind.WELCOME)
        body = command("admin/test", c.STORE_WORKFLOW, c.StoreWorkflow(source=RECIPE))  # known: nothing is written
        while True:
            asked_s = trio.current_time()
            await dealer.send(pack_header(Kind.COMMAND), body)
            reply = decode(await next_frame(dealer, Kind.REPLY), c.Reply)
            assert reply.problem is None, reply.problem
            served.answers_s.append(trio.current_time() - asked_s)
            await trio.sleep(PACE_S)


async def beat_on_and_on(site: Site, served: Served) -> None:
    """A node whose heartbeats are answered."""
    async with open_dealer(site.endpoint, site.polite_node, site.server_key) as dealer:
        await dealer.send(pack_header(Kind.HELLO), hello("polite", Role.NODE))
        welcome = decode(await next_frame(dealer, Kind.WELCOME), Welcome)
        assert welcome.last_seq == 0
        beat = encode(Heartbeat(sample=HostSample(host="test", pid=1, version="0", started_at_ms=0)))
        while True:
            await dealer.send(pack_header(Kind.HEARTBEAT), beat)
            await next_frame(dealer, Kind.BEAT)
            served.beats += 1
            await trio.sleep(0.05)


@asynccontextmanager
async def open_site(folder: Path) -> AsyncIterator[Site]:
    """Start a broker with a workflow and all keys; it is stopped at the end, and must then end well."""
    data_dir = folder / "data"
    words = ["--data-dir", str(data_dir), "--endpoint", "tcp://127.0.0.1:0", "--log-form", "json"]
    child = Child("broker", "doai.cli.broker", words, folder)
    await child.start()
    try:
        site = Site(child.ready["X_DOAI_ENDPOINT"], child.ready["X_DOAI_PUBLIC_KEY"], data_dir, child.pid)
        with trio.fail_after(90):
            await _prepare(site)
        yield site
        await child.stop()
        assert await child.wait() == 0, child.log_path.read_text()[-2000:]
    finally:
        await child.stop()


async def _prepare(site: Site) -> None:
    named = {"polite": (Role.NODE, site.polite_node)}
    named |= {name: (role, pair) for role, keys in site.evil.items() for name, pair in keys}
    secret = hashlib.sha256(b"s").hexdigest()
    async with open_dealer(site.endpoint, site.admin, site.server_key) as dealer:
        await dealer.send(pack_header(Kind.HELLO), hello("admin", Role.ADMIN))
        asked: list[tuple[str, Message]] = [(c.STORE_WORKFLOW, c.StoreWorkflow(source=RECIPE))]
        asked += [
            (c.ADD_KEY, c.AddKey(name=name, role=role.value, public_key=pair.public, secret_sha256=secret))
            for name, (role, pair) in named.items()
        ]
        for command_type, payload in asked:
            await dealer.send(pack_header(Kind.COMMAND), command("admin/test", command_type, payload))
            reply = decode(await next_frame(dealer, Kind.REPLY), c.Reply)
            assert reply.problem is None, reply.problem
