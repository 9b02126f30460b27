"""What bots find wrong with devices, as the broker's store keeps it (steps 3 and 14)."""

from __future__ import annotations

import msgspec

from doai.changes.samples import SampleOp
from doai.changes.store_op import StoreOp


class ConditionRow(msgspec.Struct, frozen=True, kw_only=True):
    """What one bot told of one device last. Its fields are its columns, in this order."""

    serial: str
    bot: str
    body: bytes
    """JSON of a list of doai.messages.health.Condition; an empty list = it is well."""
    changed_at_ms: int


class PutCondition(StoreOp, frozen=True):
    """What is wrong, new or known by device and bot."""

    row: ConditionRow


HealthOp = SampleOp | PutCondition
