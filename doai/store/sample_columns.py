"""Samples of devices as rows: put into the broker's file, added to their hours; the same in memory (step 3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import apsw

from doai.changes.samples import MINUTES_AN_HOUR, PruneSamples, PutDeviceSample, added

if TYPE_CHECKING:
    from doai.store.memory import MemoryWriter
    from doai.store.sqlite_writer import SqliteWriter


class SampleTables:
    """What is kept of samples, in memory."""

    def __init__(self) -> None:
        self.device_samples: dict[tuple[str, int], bytes] = {}
        """By serial and minute."""
        self.sample_hours: dict[tuple[str, int], bytes] = {}


def _put(writer: SqliteWriter, connection: apsw.Connection, ops: list[PutDeviceSample]) -> None:
    sql = writer._sql
    for op in ops:
        row, hour = op.row, op.row.minute // MINUTES_AN_HOUR
        connection.execute(sql["insert_device_sample"], (row.serial, row.minute, row.body))
        if connection.changes():
            before = connection.execute(sql["sample_hour"], (row.serial, hour)).fetchone()
            body = added(bytes(before[0]) if before else None, row.body)
            connection.execute(sql["put_sample_hour"], (row.serial, hour, body))


def _put_in_memory(writer: MemoryWriter, op: PutDeviceSample) -> None:
    tables, row = writer._tables, op.row
    if (row.serial, row.minute) not in tables.device_samples:
        key = row.serial, row.minute // MINUTES_AN_HOUR
        writer._put(tables.device_samples, (row.serial, row.minute), row.body)
        writer._put(tables.sample_hours, key, added(tables.sample_hours.get(key), row.body))


def _prune_in_memory(writer: MemoryWriter, op: PruneSamples) -> None:
    tables = writer._tables
    for table, before in ((tables.device_samples, op.minute_before), (tables.sample_hours, op.hour_before)):
        for key in [key for key in table if key[0] in op.serials and key[1] < before]:
            writer._pop(table, key)


APPLY: Final[dict[type, Callable[[SqliteWriter, apsw.Connection, list[Any]], None]]] = {PutDeviceSample: _put}
APPLY_IN_MEMORY: Final[dict[type, Callable[[MemoryWriter, Any], None]]] = {
    PutDeviceSample: _put_in_memory,
    PruneSamples: _prune_in_memory,
}
TABLES: Final[dict[type, str]] = {PutDeviceSample: "device_samples"}
