"""What bounds the tasks of a run, as its row keeps it (steps 2 and 4)."""

from __future__ import annotations

from typing import Final

import msgspec

from doai.changes.store_op import StoreOp


class Bounds(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How many of a run's tasks go at once, how many go first, and when the rest does not go at all."""

    max_parallel: int | None = None
    """Tasks that nodes hold at once, at most."""
    canary: int = 0
    """So many tasks must have ended before the others go; 0 = all may go."""
    stop_rate: float | None = None
    """The run stops when a larger share of the ended tasks failed."""
    stop_after: int | None = None
    """The run stops when so many tasks failed."""


read_bounds: Final = msgspec.json.Decoder(Bounds).decode


class StopRun(StoreOp, frozen=True):
    """Writes why a run goes no further; the run must exist."""

    run_id: str
    why: str
