"""A peer's end of the link: greeting, sending facts within credit, acks, new connections (step 11).

A pure machine. Whoever drives it persists what `Actions.ops` say before anything in `Actions.effects` is
performed; later effects are performed after all earlier ops, so a fact never leaves ahead of its commit.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable

import msgspec

from doai.backoff import Backoff
from doai.changes.outbox import OutboxOp, OutboxState, PutEpoch, PutStoreId, RenewIncarnation, TrimFacts
from doai.codec import Header, Kind, encode, pack_header
from doai.errors import LocalProtocolError
from doai.limits import (
    CONNECT_AGAIN_S,
    CREDIT_BYTES,
    FRAME_BYTES_MAX,
    RECORDS_PER_FRAME_MAX,
    SILENCE_S,
    WELCOME_TIMEOUT_S,
)
from doai.messages.link import Hello, HostSample, Record, Records, Role, Welcome


class OutgoingState(enum.Enum):
    """Where the link stands."""

    CLOSED = "closed"
    """Waits for the time of the next connection."""
    OPENING = "opening"
    """The socket looks for the broker, again and again by itself."""
    GREETING = "greeting"
    LIVE = "live"
    FENCED = "fenced"
    """The broker will not hear this process again."""


class OpenSocket(msgspec.Struct, frozen=True):
    """Close the socket of an earlier epoch, open a new one, and call `opened(epoch)` when it is connected."""

    epoch: int


class SendFrame(msgspec.Struct, frozen=True):
    """Send on the socket of this epoch; if that is gone, drop it."""

    epoch: int
    header: bytes
    body: bytes


class ReadFacts(msgspec.Struct, frozen=True):
    """Read facts after this seq from the outbox file, then call `facts_read(epoch, facts)`."""

    epoch: int
    after_seq: int


class Established(msgspec.Struct, frozen=True):
    """WELCOME came: the link is live; say what is held."""

    welcome: Welcome


class Stop(msgspec.Struct, frozen=True):
    """Fenced: the process exits with this sentence."""

    reason: str


Effect = OpenSocket | SendFrame | ReadFacts | Established | Stop


class Actions(msgspec.Struct, frozen=True):
    """What follows from one event: first the ops, durably, then the effects, in order."""

    ops: list[OutboxOp] = []
    effects: list[Effect] = []


TRIM_EVERY = 256
"""Acknowledged facts after which the file is told so even when nothing else is written."""
_RECORD_OVERHEAD = 16
"""Bytes of array headers and seq around an envelope in a frame; 12 at most."""


class Outgoing:
    """The link of one peer with an outbox; bots and admins have an empty one (incarnation "")."""

    def __init__(
        self,
        *,
        name: str,
        instance: str,
        role: Role,
        capabilities: list[str],
        outbox: OutboxState,
        new_incarnation: Callable[[], str],
        backoff: Backoff,
    ) -> None:
        self._name = name
        self._instance = instance
        self._role = role
        self._capabilities = capabilities
        self._new_incarnation = new_incarnation
        self._backoff = backoff
        self.state = OutgoingState.CLOSED
        self.incarnation = outbox.incarnation
        self.epoch = outbox.epoch
        self.store_id = outbox.store_id
        self.highest_seq = outbox.highest_seq
        self.trimmed_seq = outbox.trimmed_seq
        self._failures = 0
        self._due_s = 0.0
        self._trimmed_in_file = outbox.trimmed_seq
        self._reset_stream(outbox.trimmed_seq)

    def _reset_stream(self, acked: int) -> None:
        self._buffer: deque[tuple[int, bytes]] = deque()
        self._buffer_bytes = 0
        self._sent_seq = acked
        self._sent_bytes = 0
        self._credit_seq = 0
        self._credit_bytes = 0
        self._reading = False

    @property
    def unacknowledged(self) -> int:
        """Facts that the broker has not confirmed."""
        return self.highest_seq - self.trimmed_seq

    def due_s(self) -> float | None:
        """Return the monotonic time at which `tick` has something to do; None when fenced."""
        return None if self.state is OutgoingState.FENCED else self._due_s

    def tick(self, mono_s: float, random01: float) -> Actions:
        """Let time pass: connect when it is time, give a silent connection up."""
        if self.state is OutgoingState.FENCED or mono_s < self._due_s:
            return Actions()
        if self.state in (OutgoingState.GREETING, OutgoingState.LIVE):
            return self.lost(mono_s, random01)
        self.epoch += 1
        self.state = OutgoingState.OPENING
        # While nobody is there, nobody is burdened: no failure is counted, or the broker would be found late.
        self._due_s = mono_s + CONNECT_AGAIN_S
        return Actions([PutEpoch(self.epoch)], [OpenSocket(self.epoch)])

    def lost(self, mono_s: float, random01: float) -> Actions:
        """The connection is of no use: wait (full jitter), then a new socket with the next epoch."""
        if self.state in (OutgoingState.FENCED, OutgoingState.CLOSED):
            return Actions()
        self._failures += 1
        self.state = OutgoingState.CLOSED
        self._due_s = mono_s + self._backoff.delay_s(self._failures, random01)
        return Actions()

    def opened(self, epoch: int, sample: HostSample, mono_s: float) -> Actions:
        """The socket of this epoch is connected: greet."""
        if epoch != self.epoch or self.state is not OutgoingState.OPENING:
            return Actions()
        self.state = OutgoingState.GREETING
        self._due_s = mono_s + WELCOME_TIMEOUT_S
        hello = Hello(
            name=self._name,
            instance=self._instance,
            role=self._role,
            sample=sample,
            incarnation=self.incarnation,
            epoch=self.epoch,
            highest_seq=self.highest_seq,
            trimmed_seq=self.trimmed_seq,
            store_id=self.store_id,
            capabilities=self._capabilities,
        )
        return Actions([], [SendFrame(epoch, pack_header(Kind.HELLO), encode(hello))])

    def heard(self, epoch: int, mono_s: float) -> bool:
        """A frame came on this epoch's socket; returns whether it is to be looked at."""
        if epoch != self.epoch or self.state not in (OutgoingState.GREETING, OutgoingState.LIVE):
            return False
        if self.state is OutgoingState.LIVE:
            self._due_s = mono_s + SILENCE_S
        return True

    def welcome(self, welcome: Welcome, header: Header, mono_s: float) -> Actions:
        """WELCOME: start the stream where the broker stands, or a new incarnation after a rollback."""
        if self.state is not OutgoingState.GREETING:
            return Actions()
        renew = self._renewal(welcome)
        if renew is not None:
            return self._renew(renew, welcome, mono_s)
        self._failures = 0
        self.state = OutgoingState.LIVE
        self._due_s = mono_s + SILENCE_S
        ops: list[OutboxOp] = []
        if welcome.store_id != self.store_id:
            self.store_id = welcome.store_id
            ops.append(PutStoreId(welcome.store_id))
        self.trimmed_seq = max(self.trimmed_seq, welcome.last_seq)
        ops += self.trim()
        self._reset_stream(welcome.last_seq)
        effects: list[Effect] = [Established(welcome)]
        acked = self.acked(header)
        return Actions(ops + acked.ops, effects + acked.effects)

    def _renewal(self, welcome: Welcome) -> RenewIncarnation | None:
        if not self.incarnation:
            return None
        other_store = bool(self.store_id) and welcome.store_id != self.store_id
        if other_store or welcome.last_seq < self.trimmed_seq:
            return RenewIncarnation(self._new_incarnation(), 0, with_results=True)
        if welcome.last_seq > self.highest_seq or welcome.new_incarnation:
            return RenewIncarnation(self._new_incarnation(), welcome.last_seq, with_results=False)
        return None

    def _renew(self, renew: RenewIncarnation, welcome: Welcome, mono_s: float) -> Actions:
        # The seqs of the new stream are known only to the file: the caller loads it again and calls `renewed`.
        self.state = OutgoingState.CLOSED
        self._due_s = mono_s
        self.store_id = welcome.store_id
        self.incarnation = renew.incarnation
        return Actions([*self.trim(), renew, PutStoreId(welcome.store_id)], [])

    def renewed(self, outbox: OutboxState) -> None:
        """The outbox file as it is after a RenewIncarnation."""
        self.incarnation = outbox.incarnation
        self.epoch = outbox.epoch
        self.highest_seq = outbox.highest_seq
        self.trimmed_seq = self._trimmed_in_file = outbox.trimmed_seq
        self._reset_stream(outbox.trimmed_seq)

    def fenced(self, reason: str) -> Actions:
        """The broker refuses this process for good."""
        self.state = OutgoingState.FENCED
        return Actions([], [Stop(reason)])

    def acked(self, header: Header) -> Actions:
        """Take ack and credit from the header of any frame; what they allow is sent."""
        if self.state is not OutgoingState.LIVE:
            return Actions()
        ops: list[OutboxOp] = []
        if header.ack > self.highest_seq:
            raise LocalProtocolError(
                f"the broker acknowledged fact {header.ack}, the newest is {self.highest_seq}: stop and look"
            )
        if header.ack > self.trimmed_seq:
            self.trimmed_seq = header.ack
            if header.ack - self._trimmed_in_file >= TRIM_EVERY:
                ops = self.trim()
        self._credit_seq = max(self._credit_seq, header.credit_seq)
        self._credit_bytes = max(self._credit_bytes, header.credit_bytes)
        return Actions(ops, self.pump())

    def trim(self) -> list[OutboxOp]:
        """Return what the file is still to be told of acks.

        Nothing waits for it, and a commit of its own for each ack would double the commits of a quiet node: it
        goes with whatever is written next, and by itself only when much of it has gathered.
        """
        if self.trimmed_seq <= self._trimmed_in_file:
            return []
        self._trimmed_in_file = self.trimmed_seq
        return [TrimFacts(self.trimmed_seq)]

    def append(self, envelope: bytes) -> int:
        """Give a new fact its place in the stream and return it; `pump` sends it when credit allows."""
        seq = self.highest_seq + 1
        # Kept in memory only while it follows what is there; the rest is read from the file when its turn comes.
        follows = (
            self._sent_seq == self.highest_seq if not self._buffer else self._buffer[-1][0] == self.highest_seq
        )
        self.highest_seq = seq
        if follows and not self._reading and self._buffer_bytes < CREDIT_BYTES:
            self._buffer.append((seq, envelope))
            self._buffer_bytes += len(envelope)
        return seq

    def facts_read(self, epoch: int, facts: list[tuple[int, bytes]]) -> Actions:
        """Facts that were asked for with ReadFacts."""
        if epoch != self.epoch or not self._reading:
            return Actions()
        self._reading = False
        for seq, envelope in facts:
            expected = self._buffer[-1][0] + 1 if self._buffer else self._sent_seq + 1
            if seq != expected:
                raise LocalProtocolError(
                    f"the outbox gave fact {seq} where {expected} is next: the file is damaged"
                )
            self._buffer.append((seq, envelope))
            self._buffer_bytes += len(envelope)
        return Actions([], self.pump())

    def pump(self) -> list[Effect]:
        """Return the frames that credit allows now, and the read that more of them need."""
        if self.state is not OutgoingState.LIVE:
            return []
        effects: list[Effect] = []
        while self._buffer and self._affordable():
            effects.append(self._next_frame())
        more = self._sent_seq < self.highest_seq and not self._buffer
        if more and not self._reading and self._sent_seq < self._credit_seq:
            self._reading = True
            effects.append(ReadFacts(self.epoch, self._sent_seq))
        return effects

    def _affordable(self) -> bool:
        seq, envelope = self._buffer[0]
        if seq > self._credit_seq:
            return False
        # One record always fits: with nothing on the way the byte credit never stops the stream.
        nothing_on_the_way = self._sent_seq == self.trimmed_seq
        return nothing_on_the_way or self._sent_bytes + len(envelope) <= self._credit_bytes

    def _next_frame(self) -> SendFrame:
        records: list[Record] = []
        size = 0
        while self._buffer and len(records) < RECORDS_PER_FRAME_MAX and self._affordable():
            seq, envelope = self._buffer[0]
            if records and size + len(envelope) + _RECORD_OVERHEAD > FRAME_BYTES_MAX:
                break
            self._buffer.popleft()
            self._buffer_bytes -= len(envelope)
            size += len(envelope) + _RECORD_OVERHEAD
            records.append(Record(seq, msgspec.Raw(envelope)))
            self._sent_seq = seq
            self._sent_bytes += len(envelope)
        return SendFrame(self.epoch, pack_header(Kind.RECORDS), encode(Records(records)))
