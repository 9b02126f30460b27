"""A bot's conversation with the broker: greeting, registration, heartbeats, commands and their answers (step 14).

There is no outbox: a command is sent again under its idempotency key, over this connection and the next one, until
its answer comes or whoever gave it withdraws it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from doai.backoff import Backoff
from doai.changes.outbox import OutboxState
from doai.clock import Now
from doai.codec import KINDS, BodyDecoder, Header, Kind, encode, raw, unpack_header
from doai.envelope import Envelope
from doai.errors import DecodeError, Fault
from doai.ids import IdSource
from doai.link.actions import Established, OpenSocket, OutgoingState, SendFrame, Stop
from doai.link.outgoing import Outgoing
from doai.messages.bots import REGISTER_BOT, BotSettings, RegisterBot
from doai.messages.commands import Reply
from doai.messages.link import Bye, Fenced, Heartbeat, HostSample, Role, Welcome
from doai.wire_versions import SPOKEN, WireVersions, unknown_frame

RECONNECT: Final = Backoff(first_s=0.2, longest_s=5.0)
INTERFACE: Final = "bot"
ASKED_AGAIN_S: Final = 5.0
"""What the broker has not answered by then is asked again: a frame was lost."""

_OF_TASKS: Final = frozenset({Kind.TASKS, Kind.CANCEL, Kind.RELEASE})
"""What a process holds is told it again as soon as it is known, before it is answered."""

_welcome: Final = BodyDecoder(Welcome)
_fenced: Final = BodyDecoder(Fenced)
_reply: Final = BodyDecoder(Reply)
_settings: Final = BodyDecoder(BotSettings)


class Answered(msgspec.Struct, frozen=True):
    """The reply to a command that was given with `Session.command`."""

    reply: Reply


class Registered(msgspec.Struct, frozen=True):
    """The broker took the bot in: subscribe."""

    epoch: int
    settings: BotSettings


class Configured(msgspec.Struct, frozen=True):
    """An operator changed what is wanted of the bot."""

    settings: BotSettings


class Given(msgspec.Struct, frozen=True):
    """A frame that is about the bot's work: events, samples, tasks."""

    kind: int
    channel: int
    body: bytes
    before: int = 0
    """EVENTS: how many the broker gave on this channel before."""


class Refused(msgspec.Struct, frozen=True):
    """The broker will not have this bot: the process exits with the sentence."""

    reason: str
    fenced: bool
    """Its key or connection; else what it says of itself."""


class Unusable(msgspec.Struct, frozen=True):
    """A frame of the broker can not be understood, or the broker is not ready for bots: one sentence."""

    reason: str


SessionEffect = OpenSocket | SendFrame | Answered | Registered | Configured | Given | Refused | Unusable


class _Pending(msgspec.Struct):
    body: bytes
    epoch: int = 0
    """The connection that took it last; 0 = none yet."""
    again_s: float = 0.0
    """When it is sent again."""


class Session:
    """The link of one process of a bot."""

    def __init__(
        self,
        registration: RegisterBot,
        *,
        instance: str,
        ids: IdSource,
        sample: HostSample,
        wire: WireVersions = SPOKEN,
    ) -> None:
        self._registration = registration
        self._ids = ids
        self.sample = sample
        """Of host and process, as heartbeats tell it."""
        self.tokens: Callable[[], list[tuple[int, int]]] = list
        """Returns the tokens of the tasks that are held."""
        self.intake_closed = ""
        """Why no task is taken, one sentence; empty = they are."""
        self._takes_log_lines = False
        self.source = f"{registration.name}/{instance}"
        self._link = Outgoing(
            name=registration.name,
            instance=instance,
            role=Role.BOT,
            capabilities=registration.capabilities,
            outbox=OutboxState(
                incarnation="",
                epoch=0,
                store_id="",
                highest_seq=0,
                trimmed_seq=0,
                records=0,
                held=[],
                recipes={},
            ),
            new_incarnation=str,
            backoff=RECONNECT,
            wire=wire,
        )
        self._unknown_frames = 0
        self._heartbeat_s = 0.0
        self._beat_due_s = 0.0
        self._registering = ""
        """event_id of the registration that waits for its answer."""
        self._registration_sent = _Pending(b"")
        self.registered = False
        self._pending: dict[str, _Pending] = {}
        """Commands without an answer; of those that were sent over this connection the longest ago first."""

    @property
    def epoch(self) -> int:
        """Of the connection there is, or the last one."""
        return self._link.epoch

    def due_s(self) -> float | None:
        """Return when `tick` has something to do."""
        due_s = self._link.due_s()
        if due_s is None or not self._is_live:
            return due_s
        unanswered = self._unanswered
        return min(due_s, self._beat_due_s, unanswered.again_s if unanswered is not None else due_s)

    @property
    def _unanswered(self) -> _Pending | None:
        """What was sent the longest ago of all that has no answer."""
        if self._registering:
            return self._registration_sent
        return next(iter(self._pending.values()), None) if self.registered else None

    @property
    def _is_live(self) -> bool:
        return self._link.state is OutgoingState.LIVE

    def tick(self, now: Now, random01: float) -> list[SessionEffect]:
        """Connect, beat, give a silent connection up."""
        effects = self._of_link(self._link.tick(now.mono_s, random01).effects, now)
        if self._is_live and now.mono_s >= self._beat_due_s:
            self._beat_due_s = now.mono_s + self._heartbeat_s
            effects.append(self._beat(now))
        if not self._is_live:
            self._forget()
        while (unanswered := self._unanswered) is not None and now.mono_s >= unanswered.again_s:
            effects.append(self._send(unanswered, now))
            if self.registered:
                event_id = next(iter(self._pending))
                self._pending[event_id] = self._pending.pop(event_id)
        return effects

    def _beat(self, now: Now) -> SendFrame:
        beat = Heartbeat(
            sample=self.sample, tokens=self.tokens(), intake_closed=self.intake_closed, said_s=now.mono_s
        )
        return self.frame_of(Kind.HEARTBEAT, beat)

    def close_intake(self, why: str, now: Now) -> list[SessionEffect]:
        """Take no more tasks."""
        self.intake_closed = why
        return [self._beat(now)] if self._is_live else []

    def opened(self, epoch: int, now: Now) -> list[SessionEffect]:
        """The socket is connected: greet."""
        return self._of_link(self._link.opened(epoch, self.sample, now.mono_s).effects, now)

    def lost(self, epoch: int, now: Now, random01: float) -> None:
        """The connection ended."""
        if epoch == self._link.epoch:
            self._link.lost(now.mono_s, random01)
            self._forget()

    def _forget(self) -> None:
        self.registered = False
        self._registering = ""

    def frame(self, epoch: int, header: bytes, body: bytes, now: Now, random01: float) -> list[SessionEffect]:
        """Hear one frame."""
        if not self._link.heard(epoch, now.mono_s):
            return []
        try:
            read = unpack_header(header, self._link.agreement.version)
            return self._heard(read, body, now, random01)
        except DecodeError as error:
            return [Unusable(f"a frame of the broker can not be understood: {error}")]

    def _heard(self, header: Header, body: bytes, now: Now, random01: float) -> list[SessionEffect]:
        kind = header.kind
        if kind == Kind.WELCOME:
            welcome = _welcome(body)
            self._heartbeat_s = welcome.heartbeat_s
            self._takes_log_lines = welcome.takes_log_lines
            return self._of_link(self._link.welcome(welcome, header, now.mono_s).effects, now)
        if kind == Kind.FENCED:
            return self._of_link(self._link.fenced(_fenced(body).reason).effects, now)
        if kind == Kind.HELLO_REQUIRED:
            self.lost(self._link.epoch, now, random01)
        elif kind == Kind.REPLY:
            return self._replied(_reply(body), now, random01)
        elif kind == Kind.SETTINGS:
            return [Configured(_settings(body))] if self.registered else []
        elif kind not in KINDS:
            self._unknown_frames += 1
            text = unknown_frame(kind, "the broker", self._unknown_frames)
            return [Unusable(text)] if text else []
        elif kind != Kind.BEAT and (self.registered or kind in _OF_TASKS):
            return [Given(kind, header.channel, body, header.credit_seq)]
        return []

    def _of_link(self, effects: Sequence[object], now: Now) -> list[SessionEffect]:
        found: list[SessionEffect] = []
        for effect in effects:
            if isinstance(effect, Established):
                self._beat_due_s = now.mono_s + self._heartbeat_s
                found.append(self._register(now))
            elif isinstance(effect, Stop):
                self._forget()
                said = "the broker refuses this bot" if effect.refused else "this bot can not go on"
                found.append(Refused(f"{said}: {effect.reason}", fenced=True))
            elif isinstance(effect, OpenSocket | SendFrame):
                found.append(effect)
        return found

    def _register(self, now: Now) -> SendFrame:
        envelope = self.envelope(REGISTER_BOT, f"bot/{self._registration.name}", self._registration, now)
        self._registering = envelope.event_id
        self._registration_sent = _Pending(encode(envelope))
        return self._send(self._registration_sent, now)

    def _replied(self, reply: Reply, now: Now, random01: float) -> list[SessionEffect]:
        if reply.command_id != self._registering:
            known = self._pending.pop(reply.command_id, None)
            return [Answered(reply)] if known is not None else []
        self._registering = ""
        if reply.problem is not None:
            reason = "; ".join([reply.problem.message, *reply.problem.details])
            if reply.problem.fault is Fault.USER:
                return [Refused(f"the broker does not take this bot in: {reason}", fenced=False)]
            self.lost(self._link.epoch, now, random01)
            return [Unusable(f"the broker can not take this bot in now: {reason}")]
        try:
            settings = msgspec.convert(reply.result, BotSettings)
        except msgspec.ValidationError as error:
            return [Refused(f"the broker's answer to bot.register can not be read: {error}", fenced=False)]
        self.registered = True
        again: list[SessionEffect] = [Registered(self._link.epoch, settings)]
        # What an earlier connection took may be lost: its key makes sending it again harmless.
        return again + [self._send(pending, now) for pending in self._pending.values()]

    def envelope(
        self,
        command: str,
        subject: str,
        payload: object,
        now: Now,
        *,
        trace_id: str = "",
        causation_id: str | None = None,
        idempotency_key: str | None = None,
    ) -> Envelope:
        """Return a command of this bot."""
        return Envelope(
            event_id=self._ids.new_id(now.utc_ms),
            type=command,
            subject=subject,
            source=self.source,
            trace_id=trace_id or self._ids.new_trace_id(),
            occurred_at_ms=now.utc_ms,
            payload=raw(payload),
            causation_id=causation_id,
            idempotency_key=idempotency_key,
            actor=self.source,
            interface=INTERFACE,
        )

    def command(self, event_id: str, body: bytes, now: Now) -> list[SessionEffect]:
        """Send a command (an encoded envelope with an idempotency key) until it is answered or withdrawn."""
        pending = self._pending[event_id] = _Pending(body)
        return [self._send(pending, now)] if self.registered else []

    def withdraw(self, event_id: str) -> bool:
        """Nobody waits for the answer any more; returns whether it was ever sent."""
        pending = self._pending.pop(event_id, None)
        return pending is not None and pending.epoch > 0

    @property
    def waiting(self) -> int:
        """Commands without an answer."""
        return len(self._pending)

    def _send(self, pending: _Pending, now: Now) -> SendFrame:
        pending.epoch, pending.again_s = self._link.epoch, now.mono_s + ASKED_AGAIN_S
        return SendFrame(self._link.epoch, self._link.agreement.header(Kind.COMMAND), pending.body)

    @property
    def takes_log_lines(self) -> bool:
        """Whether the broker takes what the process logged, now."""
        return self._is_live and self._takes_log_lines

    def frame_of(self, kind: Kind, body: object) -> SendFrame:
        """Return a frame over the connection there is."""
        return SendFrame(self._link.epoch, self._link.agreement.header(kind), encode(body))

    def bye(self, reason: str) -> list[SessionEffect]:
        """Leave on purpose."""
        return [self.frame_of(Kind.BYE, Bye(reason=reason))] if self._is_live else []
