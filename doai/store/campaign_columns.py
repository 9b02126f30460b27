"""Rows of campaigns as tuples of columns and back, in the order of sql/broker/columns.sql (steps 3, 14)."""

from __future__ import annotations

from doai.changes.campaigns import CampaignRow, FireRow
from doai.states import CampaignState, FireState
from doai.store.columns import Columns


def campaign_columns(row: CampaignRow) -> Columns:
    return (
        row.name,
        row.campaign_id,
        row.state.value,
        row.reason,
        row.plan_body,
        row.decided_to_ms,
        row.runs,
        row.created_at_ms,
        row.created_by,
        row.changed_at_ms,
        row.changed_by,
    )


def campaign_row(c: Columns) -> CampaignRow:
    return CampaignRow(
        name=c[0],
        campaign_id=c[1],
        state=CampaignState(c[2]),
        reason=c[3],
        plan_body=c[4],
        decided_to_ms=c[5],
        runs=c[6],
        created_at_ms=c[7],
        created_by=c[8],
        changed_at_ms=c[9],
        changed_by=c[10],
    )


def fire_columns(row: FireRow) -> Columns:
    return (
        row.campaign_id,
        row.fire_at_ms,
        row.hand,
        row.state.value,
        row.recorded_at_ms,
        row.run_id,
        row.reason,
        row.actor,
        row.times,
        row.last_at_ms,
    )


def fire_row(c: Columns) -> FireRow:
    return FireRow(
        campaign_id=c[0],
        fire_at_ms=c[1],
        hand=c[2],
        state=FireState(c[3]),
        recorded_at_ms=c[4],
        run_id=c[5],
        reason=c[6],
        actor=c[7],
        times=c[8],
        last_at_ms=c[9],
    )
