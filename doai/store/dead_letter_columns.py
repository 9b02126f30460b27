"""Rows of dead letters as tuples of columns and back, in the order of sql/broker/columns.sql (steps 13, 14)."""

from __future__ import annotations

import enum

import msgspec

from doai.changes.dead_letters import DeadLetterKind, DeadLetterRow, DeadReason, SettleDeadLetter
from doai.states import DeadLetterState
from doai.store.columns import Columns


def dead_letter_columns(row: DeadLetterRow) -> Columns:
    values = msgspec.structs.astuple(row)
    return tuple(value.value if isinstance(value, enum.Enum) else value for value in values)


def dead_letter_row(c: Columns) -> DeadLetterRow:
    fields = dict(zip(DeadLetterRow.__struct_fields__, c, strict=True))
    fields |= {"kind": DeadLetterKind(c[1]), "reason": DeadReason(c[2]), "state": DeadLetterState(c[3])}
    return DeadLetterRow(**fields)


def settled_columns(op: SettleDeadLetter) -> Columns:
    return (op.state.value, op.settled_at_ms, op.settled_by, op.settled_why, op.retried_as, op.letter_id)
