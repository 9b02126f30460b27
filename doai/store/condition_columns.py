"""What bots find wrong with devices, as rows of the broker's file and in memory (step 3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import apsw
import msgspec

from doai.changes.conditions import ConditionRow, PutCondition
from doai.store.columns import Columns

if TYPE_CHECKING:
    from doai.store.memory import MemoryWriter
    from doai.store.sqlite_writer import SqliteWriter


class ConditionTables:
    """The same in memory."""

    def __init__(self) -> None:
        self.conditions: dict[tuple[str, str], ConditionRow] = {}
        """By device and bot."""


def condition_row(c: Columns) -> ConditionRow:
    return ConditionRow(**dict(zip(ConditionRow.__struct_fields__, c, strict=True)))


def _put(writer: SqliteWriter, connection: apsw.Connection, ops: list[PutCondition]) -> None:
    connection.executemany(writer._sql["put_condition"], [msgspec.structs.astuple(op.row) for op in ops])


def _put_in_memory(writer: MemoryWriter, op: PutCondition) -> None:
    writer._put(writer._tables.conditions, (op.row.serial, op.row.bot), op.row)


APPLY: Final[dict[type, Callable[[SqliteWriter, apsw.Connection, list[Any]], None]]] = {PutCondition: _put}
APPLY_IN_MEMORY: Final[dict[type, Callable[[MemoryWriter, Any], None]]] = {PutCondition: _put_in_memory}
TABLES: Final[dict[type, str]] = {PutCondition: "device_conditions"}
