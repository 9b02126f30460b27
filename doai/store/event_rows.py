"""Rows of the event log, as SQLite takes them (step 13)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

from doai.changes.ops import AppendEvent
from doai.codec import encode
from doai.errors import StoreError

EventRow = tuple[int, str, str, int, bytes]


def event_rows(ops: Sequence[AppendEvent], last_position: int) -> list[EventRow]:
    """Return the rows of events that follow ``last_position``. Raises StoreError when they do not, one by one."""
    for position, due in zip([op.position for op in ops], count(last_position + 1), strict=False):
        if position != due:
            raise StoreError(f"event at position {position}, the next one is {due}")
    return [
        (
            op.position,
            (envelope := op.envelope).subject,
            envelope.type,
            op.recorded_at_ms,
            op.body or encode(envelope),
        )
        for op in ops
    ]
