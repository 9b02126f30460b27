"""What a durable write costs on this disk at this time: one page appended and synced (step 6).

Wall times of whatever waits for the disk mean little without it: a sync takes 0.05 ms on one machine and 4 ms on
another, and more beside others. So latencies are told as multiples of it, too.
"""

from __future__ import annotations

import os
import statistics
import time
from pathlib import Path
from typing import Final

import msgspec

WRITES: Final = 100
PAGE: Final = bytes(4096)


class DurableWrite(msgspec.Struct, frozen=True):
    """What some writes took, in ms."""

    p50_ms: float
    p99_ms: float


def durable_writes(folder: Path, count: int = WRITES) -> list[float]:
    """Append and sync a page so many times; return the ms of each."""
    taken: list[float] = []
    path = folder / "durable"
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    try:
        for _ in range(count):
            began = time.perf_counter()
            os.write(descriptor, PAGE)
            os.fdatasync(descriptor)
            taken.append((time.perf_counter() - began) * 1e3)
    finally:
        os.close(descriptor)
        path.unlink()
    return taken


def durable_write(taken_ms: list[float]) -> DurableWrite:
    """Return median and 99th percentile of writes."""
    cuts = statistics.quantiles(taken_ms, n=100, method="inclusive")
    return DurableWrite(cuts[49], cuts[98])
