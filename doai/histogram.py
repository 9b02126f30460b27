"""Durations counted by size, so that percentiles of hours can be made of those of minutes (step 12).

Values fall into classes that grow with them, 32 a doubling: any percentile is told within 1.6 %, from 1 ms to
months, in some dozens of numbers. Only the classes that have a value are kept.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import msgspec

_PER_DOUBLING: Final = 32
_DIFFERENT_MAX: Final = 4096
"""Values that a tally remembers by themselves; 0.4 MB."""
_decode: Final = msgspec.msgpack.Decoder(dict[int, int]).decode
_encode: Final = msgspec.msgpack.Encoder().encode


class Histogram:
    """How often values of each size came; seconds, 0 and up."""

    __slots__ = ("_counts", "count")

    def __init__(self, counts: Mapping[int, int] | None = None) -> None:
        self._counts: dict[int, int] = dict(counts or {})
        self.count = sum(self._counts.values())

    @classmethod
    def decoded(cls, body: bytes) -> Histogram:
        """Return what `encoded` gave; raises msgspec.DecodeError."""
        return cls(_decode(body))

    def encoded(self) -> bytes:
        """Return it as msgpack: a map of class to count."""
        return _encode(dict(sorted(self._counts.items())))

    def add(self, value_s: float, times: int = 1) -> None:
        """Count one value, or the same several times."""
        place = _class_of(value_s)
        self._counts[place] = self._counts.get(place, 0) + times
        self.count += times

    def merge(self, other: Histogram) -> None:
        """Count all values of another one too."""
        for place, count in other._counts.items():
            self._counts[place] = self._counts.get(place, 0) + count
        self.count += other.count

    def percentile_s(self, share: float) -> float | None:
        """Return the value that this share (0 to 1) of all values do not exceed; None when there are none."""
        wanted = max(1, math.ceil(share * self.count))
        for place in sorted(self._counts):
            wanted -= self._counts[place]
            if wanted <= 0:
                return _middle_s(place)
        return None


class Tally:
    """Whole milliseconds, counted one by one and classed later: thousands a second share some dozens of values."""

    __slots__ = ("_histogram", "_times")

    def __init__(self) -> None:
        self._histogram = Histogram()
        self._times: dict[int, int] = {}

    def add(self, value_ms: int) -> None:
        """Count one value; what is below nothing is nothing."""
        times = self._times
        if value_ms < 0:
            value_ms = 0
        times[value_ms] = times.get(value_ms, 0) + 1
        if len(times) > _DIFFERENT_MAX:
            self.histogram()

    def histogram(self) -> Histogram:
        """Return the histogram of all values so far."""
        for value_ms, times in self._times.items():
            self._histogram.add(value_ms / 1000, times)
        self._times.clear()
        return self._histogram


def _class_of(value_s: float) -> int:
    """Class 0 is below 1 ms; class n holds 2 ** ((n - 1) / 32) ms and up."""
    value_ms = value_s * 1000
    return 0 if value_ms < 1 else 1 + math.floor(math.log2(value_ms) * _PER_DOUBLING)


def _middle_s(place: int) -> float:
    return 0.0 if place == 0 else float(2.0 ** ((place - 0.5) / _PER_DOUBLING) / 1000)
