"""The broker's end of a stream: greets, takes each fact exactly once, tells a resend from a clone (step 12).

One `Incoming` per (name, instance) lives as long as the broker. It decides only about order and identity;
what a fact means is the application's, which writes its decision in the same transaction.
"""

from __future__ import annotations

from collections import deque
from itertools import islice

import msgspec

from doai.changes.ops import AdvanceStream, PutStream
from doai.changes.rows import StreamRow
from doai.limits import CREDIT_BYTES, CREDIT_RECORDS, HASHES_KEPT
from doai.link.past import digest_of, digests_of
from doai.messages.link import Hello, Record


class Greeted(msgspec.Struct, frozen=True, kw_only=True):
    """The HELLO is accepted: write the ops, answer WELCOME, fence the link that was displaced."""

    ops: list[PutStream]
    last_seq: int
    digests: bytes = b""
    """Of the facts that the peer has and has not seen acknowledged, as they were taken here; the newest that are
    kept, ending at the smaller of `last_seq` and the peer's newest."""
    displaced: int | None
    """The link that spoke for this address until now."""
    rolled_back: str | None = None
    """One sentence when a side lost its past; the peer begins a new incarnation by itself."""


class Refused(msgspec.Struct, frozen=True):
    """Another process uses a copy of the peer's data: answer FENCED with this sentence, and raise an alert."""

    reason: str


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """Records to apply, in order, in one transaction with `ops`; empty when all were there before."""

    records: list[Record]
    envelopes: list[bytes]
    """As they came, one a record."""
    ops: list[AdvanceStream]


class Gap(msgspec.Struct, frozen=True):
    """Records are missing: answer HELLO_REQUIRED, the stream starts again from WELCOME."""

    expected: int
    got: int


def digest(record: Record) -> bytes:
    """Return the bytes by which a resend is known."""
    return digest_of(bytes(record.envelope))


class Incoming:
    """Where the stream of one address stands."""

    def __init__(self, name: str, instance: str) -> None:
        self.name = name
        self.instance = instance
        self.incarnation = ""
        self.epoch = 0
        self.last_seq = 0
        self.link: int | None = None
        """The connection that speaks for this address now."""
        self._digests: deque[bytes] = deque(maxlen=HASHES_KEPT)
        self._taken_bytes = 0
        """Record bytes taken since WELCOME, for the absolute byte credit."""

    def load(self, row: StreamRow, digests: list[bytes]) -> None:
        """Take over what the store kept."""
        self.incarnation = row.incarnation
        self.epoch = row.epoch
        self.last_seq = row.last_seq
        self._digests.extend(digests)

    def hello(self, hello: Hello, link: int, store_id: str) -> Greeted | Refused:
        """Decide about a HELLO; the store is written only when its epoch rises or its incarnation is new."""
        if hello.incarnation == self.incarnation:
            if hello.epoch < self.epoch:
                return Refused(
                    f"{self.name}/{self.instance} said HELLO with epoch {hello.epoch} after epoch {self.epoch}: "
                    "another process uses a copy of its data; stop one of the two",
                )
            if hello.epoch == self.epoch and self.link is not None and link != self.link:
                return Refused(
                    f"two connections of {self.name}/{self.instance} say epoch {hello.epoch}: "
                    "another process uses a copy of its data; stop one of the two",
                )
        displaced = self.link if self.link != link else None
        self.link = link
        self._taken_bytes = 0
        known = hello.incarnation == self.incarnation
        rolled_back = self._rollback(hello, store_id, known=known)
        ops: list[PutStream] = []
        if not known:
            self.incarnation = hello.incarnation
            self.last_seq = 0
            self._digests.clear()
        if not known or hello.epoch > self.epoch:
            self.epoch = hello.epoch
            ops.append(PutStream(self.row()))
        return Greeted(
            ops=ops,
            last_seq=self.last_seq,
            digests=self._digests_between(hello.trimmed_seq, min(hello.highest_seq, self.last_seq)),
            displaced=displaced,
            rolled_back=rolled_back,
        )

    def _digests_between(self, after_seq: int, end_seq: int) -> bytes:
        oldest_seq = self.last_seq - len(self._digests) + 1
        first_seq = max(after_seq + 1, oldest_seq)
        if first_seq > end_seq:
            return b""
        return b"".join(islice(self._digests, first_seq - oldest_seq, end_seq - oldest_seq + 1))

    def _rollback(self, hello: Hello, store_id: str, *, known: bool) -> str | None:
        last_seq = self.last_seq if known else 0
        if hello.store_id and hello.store_id != store_id:
            return f"{self.name} last spoke to another store: this one was restored or made anew"
        if last_seq < hello.trimmed_seq:
            return f"{self.name} was acknowledged up to {hello.trimmed_seq}, this store has only {last_seq}"
        if known and last_seq > hello.highest_seq:
            return f"{self.name} has facts up to {hello.highest_seq}, this store has {last_seq}: its disk is old"
        return None

    def records(self, records: list[Record]) -> Taken | Gap | Refused:
        """Decide about one frame of records of the current link; a Taken has moved `last_seq`."""
        fresh: list[Record] = []
        last = self.last_seq
        if [record.seq for record in records] == list(range(last + 1, last + 1 + len(records))):
            fresh, records, last = records, [], last + len(records)  # as nearly all are
        for record in records:
            if record.seq == last + 1:
                last += 1
                fresh.append(record)
            elif record.seq > last:
                return Gap(expected=last + 1, got=record.seq)
            elif fresh or not self._is_resend(record):
                return Refused(
                    f"fact {record.seq} of {self.name}/{self.instance} differs from the one taken before: "
                    "another process uses a copy of its data; stop one of the two",
                )
        if not fresh:
            return Taken(records=[], envelopes=[], ops=[])
        first = self.last_seq + 1
        self.last_seq = last
        envelopes = [bytes(record.envelope) for record in fresh]
        digests = digests_of(envelopes)
        self._digests.extend(digests)
        self._taken_bytes += sum(map(len, envelopes))
        op = AdvanceStream(self.name, self.instance, self.incarnation, first, digests)
        return Taken(records=fresh, envelopes=envelopes, ops=[op])

    def _is_resend(self, record: Record) -> bool:
        # A seq older than every digest kept can not be an honest resend: credit is smaller than what is kept.
        index = len(self._digests) - 1 - (self.last_seq - record.seq)
        return index >= 0 and self._digests[index] == digest(record)

    def credit(self) -> tuple[int, int]:
        """Return the absolute limits (seq, bytes since WELCOME) that the next ack grants."""
        return self.last_seq + CREDIT_RECORDS, self._taken_bytes + CREDIT_BYTES

    def row(self) -> StreamRow:
        """Return what the store keeps of it."""
        return StreamRow(
            name=self.name,
            instance=self.instance,
            incarnation=self.incarnation,
            epoch=self.epoch,
            last_seq=self.last_seq,
        )
