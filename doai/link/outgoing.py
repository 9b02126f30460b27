"""A peer's end of the link: greeting, sending facts within credit, acks, new connections (step 11).

A pure machine. Whoever drives it persists what `Actions.ops` say before anything in `Actions.effects` is
performed; later effects are performed after all earlier ops, so a fact never leaves ahead of its commit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from doai.agreement import Agreement
from doai.backoff import Backoff
from doai.changes.outbox import OutboxOp, OutboxState, PutEpoch, PutStoreId, RenewIncarnation, TrimFacts
from doai.codec import Header, Kind, encode, pack_header
from doai.errors import LocalProtocolError
from doai.limits import (
    CONNECT_AGAIN_S,
    CREDIT_BYTES,
    CREDIT_RECORDS,
    FRAME_BYTES_MAX,
    HASHES_KEPT,
    RECORDS_PER_FRAME_MAX,
    SILENCE_S,
    WELCOME_TIMEOUT_S,
)
from doai.link.ack_watch import AckWatch
from doai.link.actions import (
    Actions,
    Effect,
    Established,
    OpenSocket,
    OutgoingState,
    ReadFacts,
    Renewing,
    SendFrame,
    Stop,
)
from doai.link.filling import fill
from doai.link.gathering import Gathering
from doai.link.past import Past
from doai.messages.link import Hello, HostSample, Records, Role, Welcome
from doai.wire_versions import SPOKEN, WireVersions

_LIVE: Final = OutgoingState.LIVE
"""By this name, because Python 3.11 finds a member of an enum by a call, and this is looked at with every fact."""
_CONNECTED: Final = frozenset({OutgoingState.GREETING, OutgoingState.COMPARING, _LIVE})
TRIM_EVERY = 2048
"""Acknowledged facts after which the file is told so even when nothing else is written: one at a time costs a node
that has much to tell a third more than these together."""
assert TRIM_EVERY + CREDIT_RECORDS <= HASHES_KEPT, "what the file does not know of is compared at the next greeting"


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
        wire: WireVersions = SPOKEN,
    ) -> None:
        self._name = name
        self._instance = instance
        self._role = role
        self._capabilities = capabilities
        self._new_incarnation = new_incarnation
        self._backoff = backoff
        self.agreement = Agreement(name, wire)
        self.state = OutgoingState.CLOSED
        self.incarnation = outbox.incarnation
        self.epoch = outbox.epoch
        self.store_id = outbox.store_id
        self.highest_seq = outbox.highest_seq
        self.trimmed_seq = outbox.trimmed_seq
        self._failures = 0
        self._due_s = 0.0
        self._trimmed_in_file = outbox.trimmed_seq
        self._said_highest_seq = 0
        self._welcomed: tuple[Welcome, Header, Past] | None = None
        self._reset_stream(outbox.trimmed_seq)

    def _reset_stream(self, acked: int) -> None:
        self._buffer: deque[tuple[int, bytes]] = deque()
        self._buffer_bytes = 0
        self._sent_seq = acked
        self._counted_seq = acked
        """Facts up to here are in `_sent_bytes`; one that is sent again is not counted again."""
        self._sent_bytes = 0
        self._credit_seq = self._credit_bytes = 0
        self._reading = False
        self._gathering = Gathering()
        self._ack_watch = AckWatch(acked)

    @property
    def unacknowledged(self) -> int:
        """Facts that the broker has not confirmed."""
        return self.highest_seq - self.trimmed_seq

    def due_s(self) -> float | None:
        """Return the monotonic time at which `tick` has something to do; None when fenced."""
        if self.state is OutgoingState.FENCED:
            return None
        if self._awaits_ack:
            return min(self._due_s, self._ack_watch.due_s)
        gathers = self.state is _LIVE and self._buffer and self._affordable()
        return min(self._due_s, self._gathering.due_s) if gathers else self._due_s

    @property
    def _awaits_ack(self) -> bool:
        return self.state is _LIVE and self._sent_seq > self.trimmed_seq and not self._reading

    def tick(self, mono_s: float, random01: float) -> Actions:
        """Let time pass: connect when it is time, give a silent connection up, send again what got no ack."""
        if self.state is OutgoingState.FENCED:
            return Actions()
        if mono_s < self._due_s:
            return Actions([], self._send_again(mono_s) if self._awaits_ack else self.pump(mono_s))
        if self.state in _CONNECTED:
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
        self._leave(OutgoingState.CLOSED)
        self._due_s = mono_s + self._backoff.delay_s(self._failures, random01)
        return Actions()

    def opened(self, epoch: int, sample: HostSample, mono_s: float) -> Actions:
        """The socket of this epoch is connected: greet."""
        if epoch != self.epoch or self.state is not OutgoingState.OPENING:
            return Actions()
        self.state = OutgoingState.GREETING
        self._due_s = mono_s + WELCOME_TIMEOUT_S
        self._said_highest_seq = self.highest_seq
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
            wire_lowest=self.agreement.offered.lowest,
            wire_highest=self.agreement.offered.highest,
        )
        return Actions([], [SendFrame(epoch, pack_header(Kind.HELLO), encode(hello))])

    def heard(self, epoch: int, mono_s: float) -> bool:
        """A frame came on this epoch's socket; returns whether it is to be looked at.

        Not when the connection's silence was too long: of a process that stood still frames may be as old as that
        took, and a task in one of them may be somebody else's by now. `tick` gives the connection up.
        """
        if epoch != self.epoch or self.state not in _CONNECTED or mono_s >= self._due_s:
            return False
        if self.state is _LIVE:
            self._due_s = mono_s + SILENCE_S
        return True

    def welcome(self, welcome: Welcome, header: Header, mono_s: float) -> Actions:
        """WELCOME: compare what the broker has with the file, then go on as `_go_on` says."""
        if self.state is not OutgoingState.GREETING:
            return Actions()
        foreign = self.agreement.take(welcome.wire_version)
        if foreign:
            return self.fenced(foreign, refused=False)
        if not self.incarnation:
            return self._go_on(welcome, header, mono_s)
        if (self.store_id and welcome.store_id != self.store_id) or welcome.last_seq < self.trimmed_seq:
            reason = "the broker lost its past: what it may have forgotten is told again"
            renew = RenewIncarnation(self._new_incarnation(), 0, with_results=True)
            return self._renew(renew, welcome, mono_s, Renewing(reason, cloned=False))
        past = Past(self.trimmed_seq, min(self._said_highest_seq, welcome.last_seq), welcome.digests)
        self._welcomed = (welcome, header, past)
        self.state = OutgoingState.COMPARING
        self._due_s = mono_s + WELCOME_TIMEOUT_S
        return self._compared(mono_s)

    def _compared(self, mono_s: float) -> Actions:
        assert self._welcomed is not None
        welcome, header, past = self._welcomed
        if past.next_seq is not None:
            self._reading = True
            return Actions([], [ReadFacts(self.epoch, past.next_seq - 1)])
        self._welcomed = None
        old_disk = welcome.last_seq > self._said_highest_seq
        if not past.differs and not old_disk and not welcome.new_incarnation:
            return self._go_on(welcome, header, mono_s)
        first = past.common_seq + 1
        reason = "this disk is an old one: the broker has later facts of it"
        if past.differs:
            reason = (
                f"the broker took other facts than these from number {first} on: another process used a copy of "
                "this node's data; stop one of the two. What the broker does not have is told again"
            )
        branch = past.branch(self.incarnation)
        renew = RenewIncarnation(branch or self._new_incarnation(), past.common_seq, with_results=False)
        actions = self._renew(renew, welcome, mono_s, Renewing(reason, cloned=past.differs))
        if branch:  # which may be there already: its epochs go on
            actions.ops.append(PutEpoch(self.epoch))
        return actions

    def _go_on(self, welcome: Welcome, header: Header, mono_s: float) -> Actions:
        """The link is live: the stream goes on where the broker stands."""
        self._failures = 0
        self.state = _LIVE
        self._due_s = mono_s + SILENCE_S
        ops: list[OutboxOp] = []
        if welcome.store_id != self.store_id:
            self.store_id = welcome.store_id
            ops.append(PutStoreId(welcome.store_id))
        self.trimmed_seq = max(self.trimmed_seq, welcome.last_seq)
        ops += self.trim()
        self._reset_stream(welcome.last_seq)
        effects: list[Effect] = [Established(welcome)]
        acked = self.acked(header, mono_s)
        return Actions(ops + acked.ops, effects + acked.effects)

    def _renew(self, renew: RenewIncarnation, welcome: Welcome, mono_s: float, why: Renewing) -> Actions:
        # The seqs of the new stream are known only to the file: the caller loads it again and calls `renewed`.
        self.state = OutgoingState.CLOSED
        self._due_s = mono_s
        self.store_id = welcome.store_id
        self.incarnation = renew.incarnation
        return Actions([*self.trim(), renew, PutStoreId(welcome.store_id)], [why])

    def renewed(self, outbox: OutboxState) -> None:
        """The outbox file as it is after a RenewIncarnation."""
        self.incarnation = outbox.incarnation
        self.epoch = outbox.epoch
        self.highest_seq = outbox.highest_seq
        self.trimmed_seq = self._trimmed_in_file = outbox.trimmed_seq
        self._reset_stream(outbox.trimmed_seq)

    def fenced(self, reason: str, *, refused: bool = True) -> Actions:
        """The broker refuses this process for good, or this process the broker."""
        self._leave(OutgoingState.FENCED)
        return Actions([], [Stop(reason, refused)])

    def _leave(self, state: OutgoingState) -> None:
        self.state = state
        self._welcomed = None
        self._reading = False

    def acked(self, header: Header, mono_s: float) -> Actions:
        """Take ack and credit from the header of any frame; what they allow is sent."""
        if self.state is not _LIVE:
            return Actions()
        ops: list[OutboxOp] = []
        if header.ack > self.highest_seq:
            raise LocalProtocolError(
                f"the broker acknowledged fact {header.ack}, the newest is {self.highest_seq}: stop and look"
            )
        if header.ack > self.trimmed_seq:
            self.trimmed_seq = header.ack
            self._skip_acked()
            if header.ack - self._trimmed_in_file >= TRIM_EVERY:
                ops = self.trim()
        self._credit_seq = max(self._credit_seq, header.credit_seq)
        self._credit_bytes = max(self._credit_bytes, header.credit_bytes)
        return Actions(ops, self.pump(mono_s))

    def _skip_acked(self) -> None:
        """What was to be sent again and has its ack now, late, is not: the file may have let go of it."""
        while self._buffer and self._buffer[0][0] <= self.trimmed_seq:
            self._buffer_bytes -= len(self._buffer.popleft()[1])
        self._sent_seq = max(self._sent_seq, self.trimmed_seq)

    def trim(self) -> list[OutboxOp]:
        """Return what the file is still to be told of acks.

        Nothing waits for it, and a commit of its own for each ack would double the commits of a quiet node: it
        goes with whatever is written next, and by itself only when much of it has gathered.
        """
        if self.trimmed_seq <= self._trimmed_in_file:
            return []
        self._trimmed_in_file = self.trimmed_seq
        return [TrimFacts(self.trimmed_seq)]

    def append(self, envelope: bytes, *, may_wait: bool = False, is_result: bool = False) -> int:
        """Give a new fact its place in the stream and return it; `pump` sends it when credit allows.

        One that may wait gathers with those that come soon after the last frame, of results only a few.
        """
        seq = self.highest_seq + 1
        if not may_wait:
            self._gathering.at_once(seq)
        elif is_result:
            self._gathering.result(seq)
        # Kept in memory only while it follows what is there; the rest is read from the file when its turn comes.
        follows = (
            self._sent_seq == self.highest_seq if not self._buffer else self._buffer[-1][0] == self.highest_seq
        )
        self.highest_seq = seq
        if follows and not self._reading and self._buffer_bytes < CREDIT_BYTES:
            self._buffer.append((seq, envelope))
            self._buffer_bytes += len(envelope)
        return seq

    def facts_read(self, epoch: int, facts: list[tuple[int, bytes]], mono_s: float) -> Actions:
        """Facts that were asked for with ReadFacts."""
        if epoch != self.epoch or not self._reading:
            return Actions()
        self._reading = False
        if self._welcomed is not None:
            _, _, past = self._welcomed
            if not facts or facts[0][0] != past.next_seq:
                raise LocalProtocolError(
                    f"the outbox does not give fact {past.next_seq}, which it has: the file is damaged"
                )
            past.compare(facts)
            return self._compared(mono_s)
        buffer = self._buffer
        expected = buffer[-1][0] + 1 if buffer else self._sent_seq + 1
        for fact in facts:
            seq, envelope = fact
            if seq <= self.trimmed_seq:
                continue
            if seq != expected:
                raise LocalProtocolError(
                    f"the outbox gave fact {seq} where {expected} is next: the file is damaged"
                )
            expected += 1
            buffer.append(fact)
            self._buffer_bytes += len(envelope)
        self._gathering.at_once(expected - 1)
        return Actions([], self.pump(mono_s))

    def pump(self, mono_s: float) -> list[Effect]:
        """Return the frames that credit allows now, and the read that more of them need."""
        if self.state is not _LIVE:
            return []
        effects: list[Effect] = []
        while self._buffer and self._affordable() and self._may_leave(mono_s):
            effects.append(self._next_frame())
            self._gathering.left(mono_s)
        more = self._sent_seq < self.highest_seq and not self._buffer
        if more and not self._reading and self._sent_seq < self._credit_seq:
            self._reading = True
            effects.append(ReadFacts(self.epoch, self._sent_seq))
        return effects

    def _send_again(self, mono_s: float) -> list[Effect]:
        """Go back to the first fact without an ack, when no ack came since the last look and some was due."""
        if not self._ack_watch.overdue(self.trimmed_seq, self._sent_seq, mono_s):
            return []
        self._buffer.clear()
        self._buffer_bytes = 0
        self._sent_seq = self.trimmed_seq
        return self.pump(mono_s)

    def _may_leave(self, mono_s: float) -> bool:
        """While a frame has no ack, facts gather for the next."""
        if len(self._buffer) >= RECORDS_PER_FRAME_MAX or self._buffer_bytes >= FRAME_BYTES_MAX:
            return True
        return self._sent_seq == self.trimmed_seq and self._gathering.is_over(self._sent_seq, mono_s)

    def _affordable(self) -> bool:
        seq, envelope = self._buffer[0]
        # One record always fits: with nothing on the way the byte credit never stops the stream.
        nothing_on_the_way = self._sent_seq == self.trimmed_seq
        again = seq <= self._counted_seq
        fits = nothing_on_the_way or again or self._sent_bytes + len(envelope) <= self._credit_bytes
        return fits and seq <= self._credit_seq

    def _next_frame(self) -> SendFrame:
        """Take what fits one frame off the buffer; its first fact is affordable."""
        filling = fill(
            self._buffer,
            counted_seq=self._counted_seq,
            credit_seq=self._credit_seq,
            left_bytes=self._credit_bytes - self._sent_bytes,
            records_max=RECORDS_PER_FRAME_MAX,
            frame_bytes_max=FRAME_BYTES_MAX,
        )
        self._buffer_bytes -= filling.taken_bytes
        self._sent_bytes += filling.new_bytes
        self._sent_seq = filling.records[-1].seq
        self._counted_seq = max(self._counted_seq, self._sent_seq)
        return SendFrame(self.epoch, self.agreement.header(Kind.RECORDS), encode(Records(filling.records)))
