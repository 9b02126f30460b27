"""Rows of queues as columns and back, in the order of sql/broker/columns.sql (steps 3, 4 and 14)."""

from __future__ import annotations

from typing import Any

import msgspec

from doai.changes.queues import QueueRow
from doai.states import QueueState

Columns = tuple[Any, ...]


def queue_columns(row: QueueRow) -> Columns:
    fields = msgspec.structs.asdict(row)
    return tuple((fields | {"state": row.state.value, "degraded": int(row.degraded)}).values())


def queue_row(c: Columns) -> QueueRow:
    fields = dict(zip(QueueRow.__struct_fields__, c, strict=True))
    return QueueRow(**fields | {"state": QueueState(fields["state"]), "degraded": bool(fields["degraded"])})
