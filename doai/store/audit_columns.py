"""Rows of the audit as tuples of columns and back, in the order of sql/broker/columns.sql (steps 3, 14)."""

from __future__ import annotations

import msgspec

from doai.changes.audit import AuditOutcome, AuditRow
from doai.store.columns import Columns

_OUTCOME = AuditRow.__struct_fields__.index("outcome")


def audit_columns(row: AuditRow) -> Columns:
    columns = list(msgspec.structs.astuple(row))
    columns[_OUTCOME] = row.outcome.value
    return tuple(columns)


def audit_row(c: Columns) -> AuditRow:
    fields = dict(zip(AuditRow.__struct_fields__, c, strict=True))
    return AuditRow(**{**fields, "outcome": AuditOutcome(fields["outcome"])})
