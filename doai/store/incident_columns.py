"""Rows of incidents as tuples of columns and back, in the order of sql/broker/columns.sql (steps 3 and 14)."""

from __future__ import annotations

from doai.changes.incidents import IncidentRow
from doai.incidents import IncidentType, Severity
from doai.states import IncidentState
from doai.store.columns import Columns


def incident_columns(row: IncidentRow) -> Columns:
    return (
        row.incident_id,
        row.type.value,
        row.subject,
        row.severity.value,
        row.state.value,
        row.message,
        row.affected,
        row.opened_at_ms,
        row.seen_at_ms,
        row.acknowledged_at_ms,
        row.acknowledged_by,
        row.resolved_at_ms,
        row.resolved_by,
        row.note,
    )


def incident_row(c: Columns) -> IncidentRow:
    return IncidentRow(
        incident_id=c[0],
        type=IncidentType(c[1]),
        subject=c[2],
        severity=Severity(c[3]),
        state=IncidentState(c[4]),
        message=c[5],
        affected=c[6],
        opened_at_ms=c[7],
        seen_at_ms=c[8],
        acknowledged_at_ms=c[9],
        acknowledged_by=c[10],
        resolved_at_ms=c[11],
        resolved_by=c[12],
        note=c[13],
    )
