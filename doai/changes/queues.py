"""Queues as the broker's store keeps them (steps 3 and 4)."""

from __future__ import annotations

import msgspec

from doai.changes.store_op import StoreOp
from doai.limits import QUEUE_DEGRADED_ABOVE
from doai.states import QueueState


class QueueRow(msgspec.Struct, frozen=True, kw_only=True):
    """A queue: how an operator wants it, and how it stood when it was last looked at (once a second at most)."""

    name: str
    priority: int = 0
    """Larger goes first."""
    state: QueueState = QueueState.RUNNING
    reason: str = ""
    """Why its state was changed."""
    degraded_above: int = QUEUE_DEGRADED_ABOVE
    """With more tasks waiting it is shown as degraded."""
    changed_at_ms: int = 0
    changed_by: str = ""
    """Who last changed one of the above; empty = it is as the broker's configuration made it."""
    degraded: bool = False
    waiting: int = 0
    delayed: int = 0
    held: int = 0
    """By nodes."""
    rate_per_min: int = 0
    """Tasks given out a minute at most; 0 = as many as can be."""
    discard_to: int = 0
    """What waits and was queued up to this position of the log is being discarded; 0 = nothing is."""
    discard_reason: str = ""


class PutQueue(StoreOp, frozen=True):
    """A queue, new or known by its name."""

    row: QueueRow
