"""How often one may try to sign in: whoever guesses is slowed, and locks nobody else out (step 1).

A name from one address, an address as a whole: each has a bucket of tries that fills again by time. There is none
of a name alone, so nobody can close somebody else's door; a try that succeeds gives its tokens back.
"""

from __future__ import annotations

from typing import Final

import msgspec

NAME_TRIES: Final = 5.0
NAME_TRY_S: Final = 15.0
"""For one name from one address: five at once, then one in fifteen seconds, some 6,000 a day."""
ADDRESS_TRIES: Final = 30.0
ADDRESS_TRY_S: Final = 2.0
"""For one address, which may be that of a whole office."""
BUCKETS_MAX: Final = 20_000
"""Some 4 MB; those that are full again are forgotten first."""


class _Bucket(msgspec.Struct):
    tries: float
    at_s: float


class LoginLimit:
    """Counts tries; time is given to it."""

    def __init__(self) -> None:
        self._buckets: dict[tuple[str, str], _Bucket] = {}

    def take(self, address: str, name: str, now_s: float) -> float:
        """Count a try; return 0.0 when it may be made, else after how many seconds the next one may."""
        wanted = (
            ((address, name), NAME_TRIES, NAME_TRY_S),
            ((address, ""), ADDRESS_TRIES, ADDRESS_TRY_S),
        )
        if len(self._buckets) >= BUCKETS_MAX:
            self._forget(now_s)
        buckets = [(self._bucket(key, most, every_s, now_s), every_s) for key, most, every_s in wanted]
        wait_s = max((1.0 - bucket.tries) * every_s for bucket, every_s in buckets)
        if wait_s > 0:
            return wait_s
        for bucket, _ in buckets:
            bucket.tries -= 1.0
        return 0.0

    def give_back(self, address: str, name: str) -> None:
        """A try was right: it counts for nothing."""
        self._buckets.pop((address, name), None)
        bucket = self._buckets.get((address, ""))
        if bucket is not None:
            bucket.tries = min(ADDRESS_TRIES, bucket.tries + 1.0)

    def _bucket(self, key: tuple[str, str], most: float, every_s: float, now_s: float) -> _Bucket:
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = _Bucket(most, now_s)
        bucket.tries = min(most, bucket.tries + (now_s - bucket.at_s) / every_s)
        bucket.at_s = now_s
        return bucket

    def _forget(self, now_s: float) -> None:
        full_s = max(NAME_TRIES * NAME_TRY_S, ADDRESS_TRIES * ADDRESS_TRY_S)
        old = [key for key, bucket in self._buckets.items() if now_s - bucket.at_s >= full_s]
        # When all of them are young, the oldest half goes: the address buckets of those who go on fill late.
        for key in old or list(self._buckets)[: BUCKETS_MAX // 2]:
            del self._buckets[key]
