"""A program that commands the broker: each command until it is answered, under one idempotency key (steps 1-3)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import msgspec

from doai.backoff import Backoff
from doai.changes.outbox import OutboxState
from doai.codec import Header, Kind, decode, encode, pack_header, raw, unpack_header
from doai.envelope import SCHEMA_VERSION, Envelope, Message
from doai.ids import RandomIds
from doai.link.actions import OpenSocket, OutgoingState, SendFrame
from doai.link.outgoing import Outgoing
from doai.messages.commands import Reply
from doai.messages.link import Bye, Heartbeat, HostSample, Role, Welcome
from tests.sim.network import Connection, Network
from tests.sim.world import ProcessClock, World

AGAIN_S = 4.0
"""A command without an answer for this long is sent again."""
_NOTHING = OutboxState(
    incarnation="", epoch=0, store_id="", highest_seq=0, trimmed_seq=0, records=0, held=[], recipes={}
)
Answered = Callable[[Message, Reply], None]


class _Pending(msgspec.Struct):
    command: bytes
    payload: Message
    answered: Answered
    sent_s: float = -1e9
    waits: bool = True


class AdminProcess:
    """One admin or bot: the production link without an outbox."""

    def __init__(self, world: World, network: Network, name: str, role: Role) -> None:
        self.world = world
        self.clock = ProcessClock(world)
        self.name = name
        self.role = role
        self.fenced = False
        self.capabilities: list[str] = []
        self.repeated = 0
        self._network = network
        self._ids = RandomIds(world.random.getrandbits)
        self._connection: Connection | None = None
        self._epoch = 0
        self._pending: dict[str, _Pending] = {}
        self._instance = f"i{world.random.getrandbits(32):08x}"
        self._beat_s = 0.0
        self._link = self._new_link()
        self._alive = True
        self.world.after(0.2, self._tick)

    def _new_link(self) -> Outgoing:
        return Outgoing(
            name=self.name,
            instance=self._instance,
            role=self.role,
            capabilities=self.capabilities,
            outbox=_NOTHING,
            new_incarnation=lambda: "",
            backoff=Backoff(first_s=0.2, longest_s=2.0),
        )

    @property
    def waiting(self) -> int:
        """Commands without an answer."""
        return len(self._pending)

    def restart(self) -> None:
        """The process dies and comes back; whoever asked asks again under the same keys."""
        if self._connection is not None:
            self._connection.close()
        self._instance = f"i{self.world.random.getrandbits(32):08x}"
        self._link = self._new_link()
        self._epoch = 0
        for pending in self._pending.values():
            pending.sent_s = -1e9
        self.fenced = False

    def command(
        self,
        command_type: str,
        payload: Message,
        answered: Answered,
        *,
        key: str | None = "new",
        actor: str = "user/sim",
        schema_version: int = SCHEMA_VERSION,
    ) -> None:
        """Send a command until it is answered."""
        now = self.clock.now()
        command_id = self._ids.new_id(now.utc_ms)
        envelope = Envelope(
            event_id=command_id,
            type=command_type,
            subject="broker/main",
            source=f"{self.name}/{self._instance}",
            trace_id=self._ids.new_trace_id(),
            occurred_at_ms=now.utc_ms,
            payload=raw(payload),
            idempotency_key=command_id if key == "new" else key,
            actor=actor,
            interface="cli",
            schema_version=schema_version,
        )
        self._pending[command_id] = _Pending(encode(envelope), payload, answered)
        self._push()

    def send_raw(self, kind: int, body: bytes, header: bytes | None = None) -> None:
        """Send anything."""
        if self._connection is not None:
            self._connection.send(header if header is not None else pack_header(kind), body)

    # --- inside -------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        if not self._alive:
            return
        now = self.clock.now()
        self._take(self._link.tick(now.mono_s, self.world.random.random()).effects)
        if self._link.state is OutgoingState.FENCED:
            self.fenced = True
        self._push()
        if self._link.state is OutgoingState.LIVE and now.mono_s - self._beat_s > 8.0:
            self._beat_s = now.mono_s
            self.send_raw(Kind.HEARTBEAT, encode(Heartbeat(sample=self._sample(), tokens=self._tokens())))
        idle = self._link.state is OutgoingState.LIVE and not self._pending
        self.world.after(4.0 if idle else 1.0, self._tick)

    def stop(self) -> None:
        """No more."""
        self._alive = False
        if self._connection is not None:
            self._connection.close()

    def _push(self) -> None:
        if self._link.state is not OutgoingState.LIVE:
            return
        now_s = self.world.now_s
        for pending in self._pending.values():
            if now_s - pending.sent_s >= AGAIN_S:
                if pending.sent_s > 0:
                    self.repeated += 1
                pending.sent_s = now_s
                self.send_raw(Kind.COMMAND, pending.command)

    def _sample(self) -> HostSample:
        return HostSample(host="desk", pid=1, version="sim", started_at_ms=0)

    def _tokens(self) -> list[tuple[int, int]]:
        """Of the tasks that it holds."""
        return []

    def _take(self, effects: Any) -> None:
        for effect in effects:
            if isinstance(effect, OpenSocket):
                if self._connection is not None:
                    self._connection.close()
                epoch, instance = effect.epoch, self._instance
                self._epoch = epoch
                deliver = functools.partial(self._frame, epoch, instance)
                self._connection = self._network.dial(self.name, deliver)
                self.world.after(0.001, self._opened, epoch, instance)
            elif isinstance(effect, SendFrame) and self._connection is not None and effect.epoch == self._epoch:
                self._connection.send(effect.header, effect.body)

    def _opened(self, epoch: int, instance: str) -> None:
        if instance == self._instance:
            self._take(self._link.opened(epoch, self._sample(), self.clock.now().mono_s).effects)

    def _frame(self, epoch: int, instance: str, header_bytes: bytes, body: bytes) -> None:
        now = self.clock.now()
        if instance != self._instance or not self._link.heard(epoch, now.mono_s):
            return
        header: Header = unpack_header(header_bytes)
        if header.kind == Kind.WELCOME:
            self._take(self._link.welcome(decode(body, Welcome), header, now.mono_s).effects)
            for pending in self._pending.values():
                pending.sent_s = min(pending.sent_s, self.world.now_s - AGAIN_S)
            self._push()
        elif header.kind == Kind.HELLO_REQUIRED:
            self._link.lost(now.mono_s, self.world.random.random())
        elif header.kind == Kind.FENCED:
            self._link.fenced("refused")
        elif header.kind == Kind.REPLY:
            reply = decode(body, Reply)
            pending = self._pending.pop(reply.command_id, None)
            if pending is not None:
                pending.answered(pending.payload, reply)


class BotProcess(AdminProcess):
    """One process of a bot: it can be killed and stopped as any, and says farewell when it goes by itself."""

    _frozen: list[tuple[int, str, bytes, bytes]] | None = None
    """Frames that came while it stands still; None = it does not."""

    def die(self) -> None:
        """SIGKILL, and a new process."""
        self._frozen = None
        self.restart()

    def leave(self) -> None:
        """It says so, and comes again."""
        self.send_raw(Kind.BYE, encode(Bye(reason="stopped")))
        self.die()

    def freeze(self) -> None:
        """SIGSTOP."""
        if self._frozen is None:
            self._frozen = []

    def thaw(self) -> None:
        """SIGCONT: everything that waited comes at once."""
        frames, self._frozen = self._frozen or [], None
        self._thawed()
        for frame in frames:
            self._frame(*frame)

    @property
    def is_frozen(self) -> bool:
        """Whether it stands still."""
        return self._frozen is not None

    # --- inside -------------------------------------------------------------------------------------------

    def _thawed(self) -> None:
        """It goes on; frames that waited come next."""

    def _heard(self, header: Header, body: bytes) -> None:
        """A frame of its connection came; the link knows of it."""

    def _tick(self) -> None:
        if self._frozen is not None:
            self.world.after(1.0, self._tick)
            return
        super()._tick()

    def _opened(self, epoch: int, instance: str) -> None:
        if self._frozen is None:
            super()._opened(epoch, instance)

    def _frame(self, epoch: int, instance: str, header_bytes: bytes, body: bytes) -> None:
        if self._frozen is not None:
            self._frozen.append((epoch, instance, header_bytes, body))
            return
        super()._frame(epoch, instance, header_bytes, body)
        if instance == self._instance and epoch == self._epoch:
            self._heard(unpack_header(header_bytes), body)
