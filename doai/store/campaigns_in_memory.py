"""Campaigns and their times in the broker's store in memory (steps 3, 13)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import msgspec

from doai.changes.campaigns import CampaignRow, FireRow
from doai.changes.ops import DropCampaign, InsertFire, PutCampaignRow, TrimFires, UpdateFire
from doai.errors import StoreError
from doai.states import FireState

if TYPE_CHECKING:
    from doai.store.memory import MemoryWriter

FireKey = tuple[str, int, str]
Fires = dict[FireKey, FireRow]
Undo = list[tuple[dict[Any, Any], Any, Any]]
"""Table, key and the row that was there."""


def fire_key(row: FireRow) -> FireKey:
    """Return what no second row may have."""
    return row.campaign_id, row.fire_at_ms, row.hand


def goes_on(row: FireRow, open_runs: set[str]) -> bool:
    """Whether a core that starts needs it."""
    return row.state is FireState.WAITING or row.run_id in open_runs


def drop_campaign(campaigns: dict[str, CampaignRow], fires: Fires, undo: Undo, op: DropCampaign) -> None:
    """Remove a campaign and its times."""
    for name in [name for name, row in campaigns.items() if row.campaign_id == op.campaign_id]:
        undo.append((campaigns, name, campaigns.pop(name)))
    for key in [key for key in fires if key[0] == op.campaign_id]:
        undo.append((fires, key, fires.pop(key)))


def updated_fire(fires: Fires, op: UpdateFire) -> tuple[FireKey, FireRow]:
    """Return a time as it is from now on; raises StoreError when there is none."""
    key = (op.campaign_id, op.fire_at_ms, op.hand)
    old = fires.get(key)
    if old is None:
        raise StoreError(f"time {key} of a campaign is not stored: the core must not change it")
    return key, msgspec.structs.replace(old, state=op.state, run_id=op.run_id, reason=op.reason)


def trim_fires(fires: Fires, undo: Undo, op: TrimFires) -> None:
    """Remove the oldest times of a campaign."""
    keys = sorted((key for key in fires if key[0] == op.campaign_id), reverse=True)
    for key in keys[op.keep :]:
        if key[1] < keys[op.keep - 1][1] and fires[key].state is not FireState.WAITING:
            undo.append((fires, key, fires.pop(key)))


APPLY: Final[dict[type, Callable[[MemoryWriter, Any], None]]] = {
    PutCampaignRow: lambda w, op: w._put(w._tables.campaigns, op.row.name, op.row),
    DropCampaign: lambda w, op: drop_campaign(w._tables.campaigns, w._tables.fires, w._undo, op),
    InsertFire: lambda w, op: w._insert(w._tables.fires, fire_key(op.row), op.row),
    UpdateFire: lambda w, op: w._put(w._tables.fires, *updated_fire(w._tables.fires, op)),
    TrimFires: lambda w, op: trim_fires(w._tables.fires, w._undo, op),
}
