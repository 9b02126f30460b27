"""Whether the facts that the broker took are those of this outbox: their digests, one by one (steps 11, 12).

Two processes that use copies of one outbox tell different facts under the same numbers. WELCOME carries the digests
of the facts that the broker has and the peer has not seen acknowledged; the peer compares them with its own before
it drops anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

from doai.changes.ops import DIGEST_BYTES


def digest_of(envelope: bytes) -> bytes:
    """Return the 8 bytes by which a fact is known: BLAKE2b of its envelope as it was sent."""
    return blake2b(envelope, digest_size=DIGEST_BYTES).digest()


def digests_of(envelopes: Sequence[bytes]) -> list[bytes]:
    """Return the digest of each; a call of `digest_of` each costs a tenth more."""
    return [blake2b(envelope, digest_size=DIGEST_BYTES).digest() for envelope in envelopes]


class Past:
    """Facts ``trimmed_seq + 1`` .. ``end_seq`` of an outbox, beside what the broker took under these numbers.

    An envelope has an id of its own, so where one fact is the same all before it are.
    """

    def __init__(self, trimmed_seq: int, end_seq: int, digests: bytes) -> None:
        """``digests``: of the facts that end at ``end_seq``; those that the broker did not keep are missing."""
        known = min(len(digests) // DIGEST_BYTES, end_seq - trimmed_seq)
        self._digests = digests[len(digests) - known * DIGEST_BYTES :]
        self._first_seq = end_seq - known + 1
        self._trimmed_seq = trimmed_seq
        self._end_seq = end_seq
        self.common_seq = trimmed_seq
        """Up to here the broker has what this outbox has."""
        self.differs = known == 0 and end_seq > trimmed_seq
        """Whether a fact was met that is another there; so too when nothing is left there to compare."""
        self.own_digest = b""
        """Of the first fact that is another there; empty = there was none to compare."""

    @property
    def next_seq(self) -> int | None:
        """The fact that is to be compared next; None when all is known."""
        if self.differs or self.common_seq >= self._end_seq:
            return None
        return max(self.common_seq + 1, self._first_seq)

    def branch(self, incarnation: str) -> str:
        """Return the incarnation in which the own facts go on; every copy of this outbox has the same one.

        So the facts that several copies have and the broker has not are told once, by the first of them: the next
        one finds them in that stream. Empty when nothing was compared.
        """
        if not self.own_digest:
            return ""
        return blake2b(incarnation.encode() + self.own_digest, digest_size=16).hexdigest()

    def compare(self, facts: Sequence[tuple[int, bytes]]) -> None:
        """Look at facts of this outbox, in order from `next_seq` on; what lies beyond the end is not looked at."""
        for seq, envelope in facts:
            if seq != self.next_seq:
                return
            at = (seq - self._first_seq) * DIGEST_BYTES
            own = digest_of(envelope)
            if own != self._digests[at : at + DIGEST_BYTES]:
                self.differs, self.own_digest = True, own
            else:
                self.common_seq = seq
