"""Hashes of accepted records as one string of bytes, as both stores keep them (step 12)."""

from __future__ import annotations

from collections.abc import Sequence

from doai.changes.ops import DIGEST_BYTES, AdvanceStream
from doai.errors import StoreError

StreamKey = tuple[str, str, str]
"""Name, instance and incarnation."""


def split_digests(joined: bytes) -> list[bytes]:
    """Return digests that were joined, oldest first."""
    return [joined[i : i + DIGEST_BYTES] for i in range(0, len(joined), DIGEST_BYTES)]


def check_digests(digests: Sequence[bytes]) -> None:
    """Raise StoreError unless each has DIGEST_BYTES."""
    for digest in digests:
        if len(digest) != DIGEST_BYTES:
            raise StoreError(f"a digest of {len(digest)} bytes, it must have {DIGEST_BYTES}")


def joined_steps(ops: list[AdvanceStream]) -> list[tuple[StreamKey, int, list[bytes]]]:
    """Return key, first seq and digests of each step, those that follow each other in one stream as one step.

    Three statements a commit and stream instead of three a frame of facts: a node with much to tell sends a
    frame a task. A step without digests stays alone, for its mistake to be found.
    """
    joined: list[tuple[StreamKey, int, list[bytes]]] = []
    newest: dict[StreamKey, tuple[int, list[bytes]]] = {}
    for op in ops:
        check_digests(op.digests)
        key = (op.name, op.instance, op.incarnation)
        first_seq, digests = newest.get(key, (0, []))
        if digests and op.digests and op.first_seq == first_seq + len(digests):
            digests += op.digests
        else:
            newest[key] = op.first_seq, list(op.digests)
            joined.append((key, *newest[key]))
    return joined
