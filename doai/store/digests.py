"""Hashes of accepted records as one string of bytes, as both stores keep them (step 12)."""

from __future__ import annotations

from collections.abc import Sequence

from doai.changes.ops import DIGEST_BYTES
from doai.errors import StoreError


def split_digests(joined: bytes) -> list[bytes]:
    """Return digests that were joined, oldest first."""
    return [joined[i : i + DIGEST_BYTES] for i in range(0, len(joined), DIGEST_BYTES)]


def check_digests(digests: Sequence[bytes]) -> None:
    """Raise StoreError unless each has DIGEST_BYTES."""
    for digest in digests:
        if len(digest) != DIGEST_BYTES:
            raise StoreError(f"a digest of {len(digest)} bytes, it must have {DIGEST_BYTES}")
