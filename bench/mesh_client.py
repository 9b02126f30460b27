"""A peer that speaks as the admin, on trio, with as many commands in flight as wanted (step 1)."""

from __future__ import annotations

import os
import random
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import trio

from bench.frames_floor import Frames
from doai import __version__
from doai.codec import BodyDecoder, Kind, encode, pack_header, raw, unpack_header
from doai.envelope import Envelope, Message
from doai.errors import DoaiError
from doai.ids import RandomIds
from doai.limits import HEARTBEAT_S, WELCOME_TIMEOUT_S
from doai.messages.commands import Reply
from doai.messages.link import Bye, Fenced, Heartbeat, Hello, HostSample, Role, Welcome
from doai.wire.base import Dealer
from doai.wire.dealer import open_dealer
from doai.wire.keys import KeyPair

NAME: Final = "admin"
INSTANCE: Final = "bench"
REPLY_TIMEOUT_S: Final = 30.0
"""A broker with thousands of commands before this one replies within seconds."""
_COMMAND: Final = pack_header(Kind.COMMAND)
_reply: Final = BodyDecoder(Reply)
_fenced: Final = BodyDecoder(Fenced)


class CommandFailed(DoaiError):
    """A command was refused, or the connection can not be used; the sentence is the broker's."""

    code = "command_failed"


class Answer:
    """The reply to one command, when it is there."""

    __slots__ = ("_came", "_reply")

    def __init__(self) -> None:
        self._came = trio.Event()
        self._reply: Reply | None = None

    def put(self, reply: Reply) -> None:
        """Give it to who waits."""
        self._reply = reply
        self._came.set()

    async def result(self) -> Any:
        """Return the reply's result, a map; raises CommandFailed when the broker refused."""
        with trio.fail_after(REPLY_TIMEOUT_S):
            await self._came.wait()
        assert self._reply is not None
        if self._reply.problem is not None:
            raise CommandFailed(f"the broker refused a command: {self._reply.problem.message}")
        return self._reply.result


class MeshClient:
    """One connection; `open_mesh_client` makes it."""

    def __init__(self, dealer: Dealer) -> None:
        self._dealer = dealer
        self._ids = RandomIds(random.Random(os.urandom(16)).getrandbits)
        self._waiting: dict[str, Answer] = {}
        self._welcomed = trio.Event()
        self.frames = Frames()
        """That the broker took from this client, and sent it."""
        self._started_at_ms = time.time_ns() // 1_000_000

    async def submit(self, command: str, payload: Message) -> Answer:
        """Send a command as soon as the socket takes it; the reply comes later."""
        now_ms = time.time_ns() // 1_000_000
        envelope = Envelope(
            event_id=self._ids.new_id(now_ms),
            type=command,
            subject=f"peer/{NAME}",
            source=f"{NAME}/{INSTANCE}",
            trace_id=self._ids.new_trace_id(),
            occurred_at_ms=now_ms,
            payload=raw(payload),
            actor="user/bench",
            interface="cli",
        )
        answer = self._waiting[envelope.event_id] = Answer()
        body = encode(envelope)
        await self._dealer.send(_COMMAND, body)
        self.frames += Frames(taken=1, taken_bytes=len(body))
        return answer

    async def command(self, command: str, payload: Message) -> Any:
        """Send a command and return its result; raises CommandFailed when the broker refuses it."""
        return await (await self.submit(command, payload)).result()

    async def greet(self) -> None:
        """Say HELLO; returns at WELCOME. Raises CommandFailed when there is none in time."""
        hello = Hello(name=NAME, instance=INSTANCE, role=Role.ADMIN, sample=self._sample())
        with trio.move_on_after(WELCOME_TIMEOUT_S):
            await self._dealer.send(pack_header(Kind.HELLO), encode(hello))
            await self._welcomed.wait()
            return
        raise CommandFailed(f"the broker does not welcome us: {self._dealer.explain() or 'it says nothing'}")

    async def receive(self) -> None:
        """Take what comes, until cancelled; raises CommandFailed when the broker hears us no more."""
        while True:
            for header, body in await self._dealer.receive():
                kind = unpack_header(header).kind
                self.frames += Frames(sent=1, sent_bytes=len(body))
                if kind == Kind.REPLY:
                    reply = _reply(body)
                    self._waiting.pop(reply.command_id).put(reply)
                elif kind == Kind.WELCOME:
                    BodyDecoder(Welcome)(body)
                    self._welcomed.set()
                elif kind == Kind.FENCED:
                    raise CommandFailed(f"the broker fenced us: {_fenced(body).reason}")
                elif kind == Kind.HELLO_REQUIRED:
                    raise CommandFailed("the broker forgot this connection: was it restarted?")

    async def beat(self) -> None:
        """Send heartbeats until cancelled."""
        while True:
            await trio.sleep(HEARTBEAT_S)
            await self._dealer.send(pack_header(Kind.HEARTBEAT), encode(Heartbeat(sample=self._sample())))

    def say_goodbye(self) -> None:
        """Tell the broker that we leave."""
        self._dealer.send_last(pack_header(Kind.BYE), encode(Bye(reason="the benchmark has ended")))

    def _sample(self) -> HostSample:
        return HostSample(
            host=socket.gethostname(), pid=os.getpid(), version=__version__, started_at_ms=self._started_at_ms
        )


@asynccontextmanager
async def open_mesh_client(endpoint: str, keypair: KeyPair, server_key: str) -> AsyncIterator[MeshClient]:
    """Connect as the admin with its key and yield once the broker has welcomed us."""
    async with open_dealer(endpoint, keypair, server_key) as dealer, trio.open_nursery() as nursery:
        client = MeshClient(dealer)
        nursery.start_soon(client.receive)
        await client.greet()
        nursery.start_soon(client.beat)
        try:
            yield client
        finally:
            client.say_goodbye()
            nursery.cancel_scope.cancel()
