"""Bots as a load: one subscription each to everything, many sockets in one process, each with CURVE (step 14).

Reads one JSON object of settings from standard input and says "ready". Then a line a word, answered by a line:
``join`` connects and subscribes all bots, ``leave POSITION`` waits until each has every event up to that position,
checks their number, and disconnects. An event is done as soon as it is here; what is told the broker when, is the
business of the SDK's own `Channel`. Events are not decoded: that is another process's CPU, not the broker's.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
import trio

from doai.bots.core.channels import Channel
from doai.codec import BodyDecoder, Kind, encode, pack_header, raw, unpack_header
from doai.envelope import Envelope
from doai.errors import LocalProtocolError
from doai.ids import RandomIds
from doai.limits import HEARTBEAT_S
from doai.messages.bots import REGISTER_BOT, Events, RegisterBot, Subscribed, Subscription
from doai.messages.link import Bye, Heartbeat, Hello, HostSample, Role
from doai.wire.base import Dealer
from doai.wire.dealer import open_dealer
from doai.wire.keys import load_or_make_keypair

SUBSCRIPTION: Final = "all"
_events: Final = BodyDecoder(Events)
_subscribed: Final = BodyDecoder(Subscribed)
_SAMPLE: Final = HostSample(host="bench", pid=os.getpid(), version="0", started_at_ms=0)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the process is to do."""

    folder: str
    """Each bot's key is in a folder of its name."""
    endpoint: str
    server_key: str
    names: list[str]


class LoadBot:
    """One bot over one connection."""

    def __init__(self, name: str, dealer: Dealer) -> None:
        self._name = name
        self._dealer = dealer
        self._channel = Channel(1, SUBSCRIPTION, None, None)
        self._subscribed = trio.Event()
        self._due = trio.Event()
        self._telling = trio.CancelScope()
        self._leaves = False
        self._after = 0
        self.through = 0
        """It has all events up to here."""
        self._received: list[int] = []
        self.came = trio.Event()
        """Set, and another one in its place, when events came."""

    async def join(self) -> None:
        """Greet, register, subscribe; returns once the broker will give events."""
        await self._dealer.wait_up()
        await self._send(
            Kind.HELLO, Hello(name=self._name, instance="load", role=Role.BOT, sample=_SAMPLE, epoch=1)
        )
        now_ms = time.time_ns() // 1_000_000
        ids = RandomIds(random.Random(os.urandom(16)).getrandbits)
        wanted = Subscription(name=SUBSCRIPTION, topics=["**"])
        command = Envelope(
            event_id=ids.new_id(now_ms),
            type=REGISTER_BOT,
            subject=f"bot/{self._name}",
            source=f"{self._name}/load",
            trace_id=ids.new_trace_id(),
            occurred_at_ms=now_ms,
            payload=raw(RegisterBot(name=self._name, subscriptions=[wanted])),
        )
        await self._send(Kind.COMMAND, command)
        await self._send(Kind.SUBSCRIBE, self._channel.subscribe(trio.current_time()))
        await self._subscribed.wait()

    async def run(self) -> None:
        """Take what comes, tell what is done, beat; until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._tell)
            nursery.start_soon(self._beat)
            while True:
                for header, body in await self._dealer.receive():
                    self._heard(header, body)

    async def level(self, position: int) -> None:
        """Return once it has all events up to a position; raises LocalProtocolError when it has not each once."""
        while self.through < position:
            await self.came.wait()
        received = [each for each in self._received if each <= position]
        if received != list(range(self._after + 1, position + 1)):
            wanted = position - self._after
            raise LocalProtocolError(f"{self._name} was given {len(received)} events instead of {wanted} in order")

    async def leave(self) -> None:
        """Say BYE: nothing is heard or told after it."""
        self._leaves = True
        self._telling.cancel()
        await self._send(Kind.BYE, Bye(reason="the window has ended"))

    def _heard(self, header_bytes: bytes, body: bytes) -> None:
        header = unpack_header(header_bytes)
        if self._leaves:
            return
        if header.kind == Kind.EVENTS:
            if header.credit_seq != self._channel.received:
                raise LocalProtocolError(f"frames of events did not come to {self._name}")
            events, now_s = _events(body), trio.current_time()
            for event in events.events:
                self._channel.given(event.position, len(event.envelope))
                self._received.append(event.position)
            for event in events.events:
                self._channel.done(event.position, None, now_s)
            self.through = events.position
            self._due.set()
            self.came.set()
            self.came = trio.Event()
        elif header.kind == Kind.SUBSCRIBED:
            told = _subscribed(body)
            if told.problem:
                raise LocalProtocolError(f"{self._name} is given nothing: {told.problem}")
            self._after = told.position
            self._subscribed.set()
        elif header.kind in (Kind.FENCED, Kind.HELLO_REQUIRED):
            raise LocalProtocolError(f"the broker answered {self._name} with {Kind(header.kind).name}")

    async def _tell(self) -> None:
        with self._telling:
            while True:
                due_s = self._channel.tell_by_s
                if due_s is None:
                    self._due = trio.Event()
                    await self._due.wait()
                    continue
                await trio.sleep_until(due_s)
                await self._send(Kind.CURSOR, self._channel.cursor())

    async def _beat(self) -> None:
        while True:
            await trio.sleep(HEARTBEAT_S)
            await self._send(Kind.HEARTBEAT, Heartbeat(sample=_SAMPLE))

    async def _send(self, kind: Kind, body: object) -> None:
        await self._dealer.send(pack_header(kind), encode(body))


@asynccontextmanager
async def joined(settings: Settings) -> AsyncIterator[list[LoadBot]]:
    """Yield the bots once all are subscribed; they are gone at the end of the block."""
    async with AsyncExitStack() as stack, trio.open_nursery() as nursery:
        bots: list[LoadBot] = []
        for name in settings.names:
            keys = load_or_make_keypair(Path(settings.folder) / name / "keys" / "bot.key")
            dealer = await stack.enter_async_context(open_dealer(settings.endpoint, keys, settings.server_key))
            bots.append(LoadBot(name, dealer))
            nursery.start_soon(bots[-1].run)
        async with trio.open_nursery() as joining:
            for bot in bots:
                joining.start_soon(bot.join)
        yield bots
        for bot in bots:
            await bot.leave()
        nursery.cancel_scope.cancel()


def _say(word: str) -> None:
    sys.stdout.write(f"{word}\n")  # in one piece
    sys.stdout.flush()


async def main() -> None:
    """Do what standard input says, until it ends."""
    read = partial(trio.to_thread.run_sync, sys.stdin.readline)
    settings = msgspec.json.decode(await read(), type=Settings)
    _say("ready")
    while await read():
        async with joined(settings) as bots:
            _say("joined")
            position = int((await read()).split()[1])
            for bot in bots:
                await bot.level(position)
        _say("left")


if __name__ == "__main__":
    trio.run(main)
