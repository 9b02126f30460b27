"""Processes of bots at a real broker over the real wire and its file: events once, in order, after any end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest
import trio

from doai.broker.app import run_broker
from doai.broker.config import BrokerConfig
from doai.codec import Kind, decode, encode, pack_header, raw, unpack_header
from doai.envelope import Envelope, Message
from doai.messages import bots as b
from doai.messages import commands as c
from doai.messages.link import Bye, Hello, HostSample, Role
from doai.wire.dealer import ZmqDealer, open_dealer
from doai.wire.keys import KeyPair, load_or_make_keypair, load_public_key, make_keypair

WITHIN_S = 90.0
FILES = "file.*"


class Peer:
    """A peer over a real socket that keeps what it was sent."""

    def __init__(self, dealer: ZmqDealer, name: str, instance: str, role: Role) -> None:
        self.dealer = dealer
        self.name = name
        self.instance = instance
        self.role = role
        self.inbox: list[tuple[int, bytes]] = []
        self._commands = 0

    async def greet(self) -> None:
        sample = HostSample(host="h", pid=1, version="0", started_at_ms=1)
        hello = Hello(name=self.name, instance=self.instance, role=self.role, sample=sample, epoch=1)
        await self.dealer.wait_up()
        await self.send(Kind.HELLO, hello)
        await self.wait(Kind.WELCOME)

    async def send(self, kind: Kind, body: Any) -> None:
        await self.dealer.send(pack_header(kind), encode(body))

    async def wait(self, kind: Kind) -> bytes:
        """Return the body of the next frame of a kind; others are kept."""
        while True:
            for number, (found, body) in enumerate(self.inbox):
                if found == kind:
                    del self.inbox[number]
                    return body
            self.inbox += [(unpack_header(header).kind, body) for header, body in await self.dealer.receive()]

    async def ask(self, name: str, payload: Message) -> c.Reply:
        self._commands += 1
        command = Envelope(
            event_id=f"{self.instance}-{self._commands}",
            type=name,
            subject="broker",
            source=f"{self.name}/{self.instance}",
            trace_id="a" * 32,
            occurred_at_ms=1,
            payload=raw(payload),
        )
        await self.send(Kind.COMMAND, command)
        return decode(await self.wait(Kind.REPLY), c.Reply)

    async def do(self, name: str, payload: Message, answer: type[Any]) -> Any:
        reply = await self.ask(name, payload)
        assert reply.problem is None, reply.problem
        return msgspec.convert(reply.result, answer)


class Site:
    """A broker in this process, which can be ended and started again on its file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.keys = {name: make_keypair() for name in ("guard", "watch")}
        self.admin: Peer
        self.endpoint = ""
        self._files = 0

    @asynccontextmanager
    async def broker(self) -> AsyncIterator[None]:
        with trio.fail_after(WITHIN_S):
            async with self._broker():
                yield

    @asynccontextmanager
    async def _broker(self) -> AsyncIterator[None]:
        config = BrokerConfig(data_dir=str(self.folder), endpoint=self.endpoint or "tcp://127.0.0.1:0")
        async with trio.open_nursery() as nursery:
            router = await nursery.start(run_broker, config)
            self.endpoint = router.endpoint
            own = load_or_make_keypair(self.folder / "keys" / "admin.key")
            async with self._connect("admin", "x1", Role.ADMIN, own) as self.admin:
                for name, key in self.keys.items():
                    add = c.AddKey(name=name, role="bot", public_key=key.public)
                    await self.admin.do(c.ADD_KEY, add, c.KeyAdded)
                yield
            nursery.cancel_scope.cancel()

    @asynccontextmanager
    async def _connect(self, name: str, instance: str, role: Role, key: KeyPair) -> AsyncIterator[Peer]:
        server_key = load_public_key(self.folder / "keys" / "broker.key.pub")
        async with open_dealer(self.endpoint, key, server_key) as dealer:
            peer = Peer(dealer, name, instance, role)
            await peer.greet()
            yield peer

    @asynccontextmanager
    async def bot(
        self, instance: str = "x1", *, name: str = "guard", credit: int = 1000, **about: Any
    ) -> AsyncIterator[Bot]:
        async with self._connect(name, instance, Role.BOT, self.keys[name]) as peer:
            bot = Bot(peer)
            about.setdefault("subscriptions", [b.Subscription(name="s", topics=[FILES])])
            await peer.do(b.REGISTER_BOT, b.RegisterBot(name=name, **about), b.BotSettings)
            wish = b.Subscribe(channel=1, subscription="s", credit_events=credit, credit_bytes=1 << 30)
            await peer.send(Kind.SUBSCRIBE, wish)
            answer = decode(await peer.wait(Kind.SUBSCRIBED), b.Subscribed)
            assert not answer.problem, answer.problem
            yield bot

    async def event(self, name: str = "app") -> int:
        """Let something happen; return its position."""
        self._files += 1
        store = c.StoreFile(name=name, version=str(self._files), sha256=f"{self._files:064x}", size_bytes=1)
        reply = await self.admin.ask(c.STORE_FILE, store)
        assert reply.problem is None, reply.problem
        return reply.position


class Bot:
    """A process of a bot, by hand."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.given: list[int] = []
        """Positions, as they came."""
        self.subjects: dict[int, str] = {}

    async def take(self, count: int) -> list[int]:
        """Wait until it was given so many events in all."""
        while len(self.given) < count:
            events = decode(await self.peer.wait(Kind.EVENTS), b.Events)
            for event in events.events:
                self.given.append(event.position)
                self.subjects[event.position] = decode(event.envelope, Envelope).subject
        return self.given

    async def done(self, *positions: int, credit: int = 0) -> None:
        await self.peer.send(Kind.CURSOR, b.Cursor(channel=1, done=list(positions), credit_events=credit))

    async def leave(self) -> None:
        await self.peer.send(Kind.BYE, Bye(reason="stopped"))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


async def wait_position(site: Site, position: int) -> None:
    """Wait until the disk has that all is done up to a position."""
    connection = apsw.Connection(str(site.folder / "broker.db"), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        while True:
            [row] = connection.execute(
                "SELECT position, open_body FROM subscriptions WHERE bot = 'guard'"
            ).fetchall()
            if row[0] >= position and all(at > position for at in msgspec.json.decode(row[1]).values()):
                return
            await trio.sleep(0.02)
    finally:
        connection.close()


async def test_what_is_done_is_not_given_again_and_the_rest_is_after_any_end(site: Site) -> None:
    async with site.broker():
        async with site.bot() as bot:
            positions = [await site.event() for _ in range(5)]
            assert await bot.take(5) == positions
            await bot.done(*positions[:3])
            await wait_position(site, positions[2])
        async with site.bot("x2") as bot:
            assert await bot.take(2) == positions[3:], "of a process that is gone without a word"
            await bot.done(positions[3])
            await wait_position(site, positions[3])
    async with site.broker(), site.bot("x3") as bot:
        missed = await site.event()
        assert await bot.take(2) == [positions[4], missed]


async def test_processes_share_and_one_that_hangs_holds_nobody_up(site: Site) -> None:
    async with site.broker(), site.bot("x1", credit=1) as hung, site.bot("x2") as well:
        positions = [await site.event(f"app-{n}") for n in range(4)]
        async with site.bot("y1", name="watch") as other:
            positions.append(await site.event("last"))
            assert await other.take(1) == positions[-1:]
        assert await hung.take(1)
        assert sorted(hung.given + await well.take(4)) == positions
        await hung.leave()
        assert sorted(await well.take(5)) == positions


async def test_who_is_behind_is_read_from_the_file_and_then_lives(site: Site) -> None:
    async with site.broker():
        async with site.bot() as bot:
            await bot.leave()
        positions = [await site.event(f"app-{n % 3}") for n in range(700)]
        async with site.bot("x2", credit=100) as bot:
            while len(bot.given) < 700:
                before = len(bot.given)
                await bot.take(before + 1)
                await bot.done(*bot.given[before:], credit=len(bot.given) + 100)
            assert sorted(bot.given) == positions
            for subject in set(bot.subjects.values()):
                of_subject = [position for position in bot.given if bot.subjects[position] == subject]
                assert of_subject == sorted(of_subject)
            live = await site.event("app-1")
            assert (await bot.take(701))[-1] == live


async def test_an_operator_configures_a_bot_that_runs(site: Site) -> None:
    schema = {"type": "object", "properties": {"limit": {"type": "integer", "minimum": 1}}}
    async with site.broker(), site.bot(config_schema=schema) as bot:
        wrong = await site.admin.ask(b.CONFIGURE_BOT, b.ConfigureBot(name="guard", config={"limit": 0}))
        assert wrong.problem is not None
        assert wrong.problem.message == "bot guard does not take this: limit is 0, it must be at least 1"
        await site.admin.do(b.CONFIGURE_BOT, b.ConfigureBot(name="guard", config={"limit": 7}), b.BotSettings)
        settings = decode(await bot.peer.wait(Kind.SETTINGS), b.BotSettings)
        assert (settings.config, settings.status, settings.revision) == ({"limit": 7}, b.BotStatus.ACTIVE, 1)
        stolen = await bot.peer.ask(b.REGISTER_BOT, b.RegisterBot(name="watch"))
        assert stolen.problem is not None
        assert stolen.problem.code == "not_its_name"
