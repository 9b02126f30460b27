"""Removes slices of what has ended from the broker's file, and adds up the use of devices (steps 3, 12)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import apsw

from doai.changes.ops import DIGEST_BYTES
from doai.changes.retention import (
    AddUsage,
    PruneArtifacts,
    PruneAudit,
    PruneEvents,
    PruneRuns,
    PruneTasks,
    UsageKind,
    UsageRow,
)
from doai.changes.samples import PruneSamples
from doai.store.device_tasks import DeviceTasks

COUNTED: Final = tuple(name for name in UsageRow.__struct_fields__ if name not in ("kind", "name", "day"))
_PLACES: Final = {name: place for place, name in enumerate(COUNTED)}
_TASKS, _ATTEMPTS, _DEVICE_MS = (_PLACES[name] for name in ("tasks", "attempts", "device_ms"))


def removal_digest(removed_id: str) -> bytes:
    """Return the bytes by which a removed id is known."""
    return hashlib.sha256(removed_id.encode()).digest()[:DIGEST_BYTES]


def removal_digests(removed: Iterable[str]) -> bytes:
    """Return those of several ids, in one order for all stores."""
    return b"".join(removal_digest(name) for name in sorted(removed))


def has_digest(digests: bytes, removed_id: str) -> bool:
    """Whether an id is among them."""
    wanted = removal_digest(removed_id)
    return any(digests[at : at + DIGEST_BYTES] == wanted for at in range(0, len(digests), DIGEST_BYTES))


def _summed(ops: Sequence[AddUsage]) -> dict[tuple[UsageKind, str, int], list[int]]:
    """Return by kind, name and day what is counted, in the order of COUNTED."""
    found: dict[tuple[UsageKind, str, int], list[int]] = {}
    for op in ops:
        ended = 0 if op.ended is None else _PLACES[op.ended.value]
        for kind, name in op.names.items():
            key = (kind, name, op.day)
            counts = found.get(key)
            if counts is None:
                counts = found[key] = [0] * len(COUNTED)
            if ended:
                counts[_TASKS] += 1
                counts[ended] += 1
            counts[_ATTEMPTS] += op.attempts
            counts[_DEVICE_MS] += op.device_ms
    return found


class RetentionWriter:
    """Applies the ops of retention to a connection, within the transaction of the writer."""

    def __init__(self, sql: dict[str, str], device_tasks: DeviceTasks) -> None:
        self._sql = sql
        self._device_tasks = device_tasks

    def prune_tasks(self, connection: apsw.Connection, op: PruneTasks) -> None:
        removed: list[str] = []
        self._device_tasks.file(connection)
        for task_id in op.task_ids:
            for (device_serial,) in list(connection.execute(self._sql["prune_task"], (task_id,))):
                removed.append(task_id)
                self._device_tasks.remove(connection, device_serial, task_id)
                connection.execute(self._sql["prune_attempts"], (task_id,))
                connection.execute(self._sql["prune_story"], (f"task/{task_id}",))
        self._remember(connection, "task", removed, op.at_ms)

    def prune_runs(self, connection: apsw.Connection, op: PruneRuns) -> None:
        removed: list[str] = []
        for run_id in op.run_ids:
            connection.execute(self._sql["prune_run"], (run_id,))
            if connection.changes():
                removed.append(run_id)
                connection.execute(self._sql["prune_story"], (f"run/{run_id}",))
        self._remember(connection, "run", removed, op.at_ms)

    def prune_events(self, connection: apsw.Connection, op: PruneEvents) -> None:
        connection.executemany(self._sql["prune_event"], [(position,) for position in op.positions])

    def prune_artifacts(self, connection: apsw.Connection, op: PruneArtifacts) -> None:
        connection.executemany(self._sql["prune_artifact"], [(path,) for path in op.paths])

    def prune_audit(self, connection: apsw.Connection, op: PruneAudit) -> None:
        connection.execute(self._sql["raise_audit_floor"], (op.up_to_n, op.at_ms, op.up_to_n))
        connection.execute(self._sql["prune_audit"], (op.up_to_n,))

    def prune_samples(self, connection: apsw.Connection, op: PruneSamples) -> None:
        for name, before in (("prune_samples", op.minute_before), ("prune_sample_hours", op.hour_before)):
            connection.executemany(self._sql[name], [(serial, before) for serial in op.serials])

    def add_usage(self, connection: apsw.Connection, ops: Sequence[AddUsage]) -> None:
        rows = [(kind.value, name, day, *counts) for (kind, name, day), counts in _summed(ops).items()]
        connection.executemany(self._sql["add_usage"], rows)

    def _remember(self, connection: apsw.Connection, kind: str, removed: list[str], at_ms: int) -> None:
        if removed:
            row = (kind, min(removed), max(removed), at_ms, removal_digests(removed))
            connection.execute(self._sql["put_removal"], row)


PRUNE: Final[dict[type, Callable[[RetentionWriter, apsw.Connection, Any], None]]] = {
    PruneTasks: RetentionWriter.prune_tasks,
    PruneRuns: RetentionWriter.prune_runs,
    PruneEvents: RetentionWriter.prune_events,
    PruneArtifacts: RetentionWriter.prune_artifacts,
    PruneAudit: RetentionWriter.prune_audit,
    PruneSamples: RetentionWriter.prune_samples,
}
"""Ops that look at several tables; in an order of their own."""
