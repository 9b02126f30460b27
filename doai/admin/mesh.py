"""The admin's connection to the broker: commands out, replies in (steps 1 and 14).

It keeps no outbox. A command whose reply did not come before the connection ended is sent again after the next
WELCOME under its idempotency key, until its caller's time is over.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from typing import Final

import msgspec

from doai import limits
from doai.agreement import Agreement
from doai.backoff import Backoff
from doai.codec import KINDS, BodyDecoder, Kind, encode, pack_header, unpack_header
from doai.envelope import Envelope
from doai.errors import ConfigError, DecodeError, DoaiError, Fault, UserError
from doai.messages.commands import Reply
from doai.messages.link import Bye, Fenced, Heartbeat, Hello, HostSample, Role, Welcome
from doai.messages.logs import HEARS_LOG, RelayedLines
from doai.wire.aio import AsyncioDealer, open_dealer
from doai.wire.base import Connection, WouldBlock
from doai.wire.keys import KeyPair
from doai.wire_versions import SPOKEN, WireVersions, unknown_frame

NAME: Final = "admin"
COMMAND_TIMEOUT_S: Final = 10.0
"""For a reply; a command line waits 30 s for us, a node's upload 60 s."""
UNREACHABLE_S: Final = 3.0
"""A command that no connection took after this long is given up: a broker that starts again is back by then."""
PENDING_MAX: Final = 1000
"""Commands that wait for a reply at once: more means that the broker does not keep up."""
RECONNECT: Final = Backoff(first_s=0.2, longest_s=2.0)

_log: Final = logging.getLogger(__name__)
_welcome: Final = BodyDecoder(Welcome)
_fenced: Final = BodyDecoder(Fenced)
_reply: Final = BodyDecoder(Reply)
_relayed: Final = BodyDecoder(RelayedLines)

LoadKeys = Callable[[], tuple[KeyPair, str]]
"""Reads our key pair and the broker's public key; raises ConfigError while there is none."""


class FencedError(DoaiError):
    """The broker will not hear this process again: it must exit with the sentence."""

    code = "fenced"


class BrokerUnavailable(DoaiError):
    """No reply in time. Whether the command was executed is not known unless it was never sent."""

    fault = Fault.OURS
    code = "broker_unavailable"


class _Pending(msgspec.Struct):
    envelope: Envelope
    reply: asyncio.Future[Reply]
    sent: bool = False
    """At least once, so that it may have been executed."""
    sent_on: AsyncioDealer | None = None
    """The connection that took it last."""


class Mesh:
    """Keeps a connection to the broker and passes commands; `run` must be running."""

    def __init__(
        self,
        endpoint: str,
        load_keys: LoadKeys,
        *,
        instance: str,
        sample: Callable[[], HostSample],
        random01: Callable[[], float] = random.random,
        wire: WireVersions = SPOKEN,
        on_log: Callable[[RelayedLines], None] | None = None,
    ) -> None:
        """``on_log`` is given what other processes logged; None = it is not asked for."""
        self._endpoint = endpoint
        self._load_keys = load_keys
        self._instance = instance
        self._sample = sample
        self._random01 = random01
        self._agreement = Agreement(NAME, wire)
        self._on_log = on_log
        self._unknown_frames = 0
        self.broker_version = ""
        """Release of the broker; empty = it does not answer."""
        self._pending: dict[str, _Pending] = {}
        self._dealer: AsyncioDealer | None = None
        self._live = asyncio.Event()
        self._why_not = f"no answer from {endpoint} yet"
        self.source = f"{NAME}/{instance}"
        """Our address, for envelopes."""

    @property
    def why_not_live(self) -> str:
        """One sentence on why there is no connection; empty when there is one."""
        return "" if self._live.is_set() else self._why_not

    async def wait_live(self) -> None:
        """Return when the broker has welcomed us."""
        await self._live.wait()

    async def command(self, envelope: Envelope, timeout_s: float = COMMAND_TIMEOUT_S) -> Reply:
        """Return the reply, a refusal too. Raises BrokerUnavailable, and UserError for one that is too large."""
        if len(encode(envelope)) > limits.FRAME_BYTES_MAX:
            raise UserError(
                f"the request is larger than the {limits.FRAME_BYTES_MAX // 1024} KiB that a command may have: "
                "name devices by a selector, or make several",
                code="too_large",
            )
        if len(self._pending) >= PENDING_MAX:
            raise BrokerUnavailable("too many requests wait for the broker: try again in a moment", code="busy")
        pending = _Pending(envelope, asyncio.get_running_loop().create_future())
        self._pending[envelope.event_id] = pending
        try:
            if self._live.is_set() and self._dealer is not None:
                self._send(self._dealer, pending)
            soon_s = min(UNREACHABLE_S, timeout_s)
            await asyncio.wait({pending.reply}, timeout=soon_s)
            if pending.sent and not pending.reply.done():
                await asyncio.wait({pending.reply}, timeout=timeout_s - soon_s)
            if not pending.reply.done():
                raise BrokerUnavailable(self._no_reply(pending, timeout_s))
            return pending.reply.result()
        finally:
            del self._pending[envelope.event_id]

    def _no_reply(self, pending: _Pending, timeout_s: float) -> str:
        if not pending.sent:
            return f"{self.why_not_live or 'the broker takes no commands now'}; nothing was changed, try again"
        return (
            f"the broker did not reply within {timeout_s:g} s and it is not known whether it did what was asked: "
            f"send the same again with Idempotency-Key {pending.envelope.idempotency_key}"
        )

    def _send(self, dealer: AsyncioDealer, pending: _Pending) -> None:
        try:
            dealer.send_nowait(self._agreement.header(Kind.COMMAND), encode(pending.envelope))
        except WouldBlock:
            return  # it stays pending: the next WELCOME tries again
        pending.sent, pending.sent_on = True, dealer

    async def run(self) -> None:
        """Connect, again and again, until cancelled; raises FencedError."""
        failures = 0
        while True:
            try:
                keypair, server_key = self._load_keys()
                async with open_dealer(self._endpoint, keypair, server_key) as dealer:
                    welcomed = await self._converse(dealer)
            except ConfigError as error:
                self._lost(str(error))
                welcomed = False
            failures = 1 if welcomed else failures + 1
            await asyncio.sleep(RECONNECT.delay_s(failures, self._random01()))

    async def _converse(self, dealer: AsyncioDealer) -> bool:
        """Talk over one connection until it is lost; return whether the broker had welcomed us."""
        session = _Session(dealer, self._hello(), self._beat, self._agreement)
        ending = asyncio.create_task(dealer.wait_ended())
        ending.add_done_callback(session.connection_ended)
        try:
            async with asyncio.timeout(limits.WELCOME_TIMEOUT_S):
                await dealer.send(pack_header(Kind.HELLO), encode(session.hello))
            while True:
                frames = await session.receive()
                if frames is None:
                    self._lost(dealer.explain() or f"the broker at {self._endpoint} fell silent")
                    break
                if not all(self._take(session, header, body) for header, body in frames):
                    self._lost(f"the broker at {self._endpoint} asked for a new greeting")
                    break
                for pending in list(self._pending.values()) if session.welcomed else []:
                    # What an earlier connection took may be lost: its key makes sending it again harmless.
                    if pending.sent_on is not dealer:
                        self._send(dealer, pending)
        except TimeoutError:
            self._lost(dealer.explain() or f"no answer from {self._endpoint}")
        finally:
            ending.cancel()
            if session.welcomed:
                bye = Bye(reason="the admin ends or connects again")
                dealer.send_last(self._agreement.header(Kind.BYE), encode(bye))
            self._dealer = None
            self._live.clear()
            self.broker_version = ""
        return session.welcomed

    def _take(self, session: _Session, header: bytes, body: bytes) -> bool:
        """Take one frame; False = this connection is of no more use."""
        try:
            kind = unpack_header(header, self._agreement.version).kind
            if kind == Kind.HELLO_REQUIRED:
                return False
            if kind == Kind.FENCED:
                raise FencedError(f"the broker refuses this admin: {_fenced(body).reason}")
            if kind == Kind.WELCOME:
                self._welcomed(session, _welcome(body))
            elif kind == Kind.REPLY:
                reply: Reply = _reply(body)
                pending = self._pending.get(reply.command_id)
                if pending is not None and not pending.reply.done():
                    pending.reply.set_result(reply)
            elif kind == Kind.RELAYED_LINES and self._on_log is not None:
                self._on_log(_relayed(body))
            elif kind not in KINDS:
                self._unknown_frames += 1
                if text := unknown_frame(kind, "the broker", self._unknown_frames):
                    _log.warning("%s", text)
        except DecodeError as error:
            _log.error("a frame of the broker can not be understood: %s", error)
        return True

    def _welcomed(self, session: _Session, welcome: Welcome) -> None:
        foreign = self._agreement.take(welcome.wire_version)
        if foreign:
            raise FencedError(f"this admin can not go on: {foreign}")
        self.broker_version = welcome.doai_version
        session.welcomed = True
        session.heartbeat_s = welcome.heartbeat_s
        self._dealer = session.dealer
        self._live.set()
        self._why_not = ""
        _log.info("connected to the broker at %s", self._endpoint)

    def _lost(self, why: str) -> None:
        if why != self._why_not:
            _log.warning("no connection to the broker: %s", why)
        self._why_not = why

    def _hello(self) -> Hello:
        offered = self._agreement.offered
        return Hello(
            name=NAME,
            instance=self._instance,
            role=Role.ADMIN,
            sample=self._sample(),
            capabilities=[] if self._on_log is None else [HEARS_LOG],
            wire_lowest=offered.lowest,
            wire_highest=offered.highest,
        )

    def _beat(self) -> Heartbeat:
        return Heartbeat(sample=self._sample())


class _Session:
    """One connection: its clock of heartbeats and silence."""

    def __init__(
        self, dealer: AsyncioDealer, hello: Hello, beat: Callable[[], Heartbeat], agreement: Agreement
    ) -> None:
        self.dealer = dealer
        self.hello = hello
        self.welcomed = False
        self.heartbeat_s = limits.HEARTBEAT_S
        self._beat = beat
        self._agreement = agreement
        self._heard_s = self._beat_s = time.monotonic()
        self._waiting: asyncio.Timeout | None = None
        self._ended = False

    def connection_ended(self, ending: asyncio.Task[None]) -> None:
        """The connection is over: whoever waits for frames waits no longer."""
        self._ended = True
        if self._waiting is not None and not ending.cancelled():
            self._waiting.reschedule(asyncio.get_running_loop().time())

    async def receive(self) -> list[tuple[bytes, bytes]] | None:
        """Wait for frames, beating meanwhile; empty after a while, None when the connection is of no more use."""
        now_s = time.monotonic()
        silence_s = limits.SILENCE_S if self.welcomed else limits.WELCOME_TIMEOUT_S
        due_s = self._heard_s + silence_s
        if self.welcomed:
            due_s = min(due_s, self._beat_s + self.heartbeat_s)
        try:
            async with asyncio.timeout(0.0 if self._ended else max(0.0, due_s - now_s)) as self._waiting:
                frames = await self.dealer.receive()
        except TimeoutError:
            now_s = time.monotonic()
            if self._ended or now_s >= self._heard_s + silence_s or self.dealer.connection() is not Connection.UP:
                return None
            if now_s < self._beat_s + self.heartbeat_s:
                return []
            self._beat_s = now_s
            try:
                self.dealer.send_nowait(self._agreement.header(Kind.HEARTBEAT), encode(self._beat()))
            except WouldBlock:
                return None
            return []
        self._heard_s = time.monotonic()
        return frames
