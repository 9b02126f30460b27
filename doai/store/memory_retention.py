"""Retention over the store in memory: removes what the real one does (steps 3, 12)."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, Final

import msgspec

from doai.changes.retention import (
    AddUsage,
    PruneArtifacts,
    PruneAudit,
    PruneEvents,
    PruneRuns,
    PruneTasks,
    PutRetentionPass,
    RetentionPass,
    UsageRow,
)
from doai.changes.rows import TaskRow
from doai.states import TERMINAL, DeadLetterState, RunState
from doai.store.retention_writer import removal_digests

if TYPE_CHECKING:
    from doai.changes.ops import AppendEvent
    from doai.store.memory import MemoryTables, MemoryWriter


class RetentionTables:
    """The event log, from which retention removes, and what retention and the use of devices keep."""

    def __init__(self) -> None:
        self.events: list[AppendEvent] = []
        """By position; the event at position p is events[p - 1] while nothing was removed."""
        self.usage: dict[tuple[str, int, str], UsageRow] = {}
        """By kind, day and name."""
        self.removals: dict[tuple[str, str, str], tuple[int, bytes]] = {}
        """By kind, first and last id of a slice: when, and the digests of its ids."""
        self.passes: dict[str, RetentionPass] = {}

    @property
    def last_position(self) -> int:
        """Of the event log; 0 = it is empty."""
        return self.events[-1].position if self.events else 0


Pop = Callable[[dict[Any, Any], Any], None]
Put = Callable[[dict[Any, Any], Any, Any], None]


def prune_tasks(tables: MemoryTables, pop: Pop, put: Put, op: PruneTasks) -> None:
    """Remove ended tasks of ended runs."""
    removed = {name for name in op.task_ids if name in tables.tasks and is_removable(tables, tables.tasks[name])}
    for task_id in sorted(removed):
        pop(tables.tasks, task_id)
    for key in [key for key in tables.attempts if key[0] in removed]:
        pop(tables.attempts, key)
    _prune_stories(tables, {f"task/{task_id}" for task_id in removed})
    _remember(tables, put, "task", removed, op.at_ms)


def is_removable(tables: MemoryTables, row: TaskRow) -> bool:
    """Whether retention may take a task."""
    run = tables.runs.get(row.run_id)
    if row.status.state not in TERMINAL or (run is not None and run.state is not RunState.COMPLETED):
        return False
    letters = tables.dead_letters.values()
    return not any(letter.task_id == row.task_id and letter.state is DeadLetterState.OPEN for letter in letters)


def prune_runs(tables: MemoryTables, pop: Pop, put: Put, op: PruneRuns) -> None:
    """Remove completed runs without tasks."""
    with_tasks = {row.run_id for row in tables.tasks.values()}
    removed = {
        name
        for name in op.run_ids
        if name in tables.runs and tables.runs[name].state is RunState.COMPLETED and name not in with_tasks
    }
    for run_id in sorted(removed):
        pop(tables.runs, run_id)
    _prune_stories(tables, {f"run/{run_id}" for run_id in removed})
    _remember(tables, put, "run", removed, op.at_ms)


def prune_events(tables: MemoryTables, pop: Pop, put: Put, op: PruneEvents) -> None:
    """Remove events."""
    gone = set(op.positions)
    tables.events = [e for e in tables.events[:-1] if e.position not in gone] + tables.events[-1:]


def prune_artifacts(tables: MemoryTables, pop: Pop, put: Put, op: PruneArtifacts) -> None:
    """Remove rows of artifacts."""
    for path in {path for path in op.paths if path in tables.artifacts}:
        pop(tables.artifacts, path)


def prune_audit(tables: MemoryTables, pop: Pop, put: Put, op: PruneAudit) -> None:
    """Remove rows of the audit."""
    for n in [n for n in tables.audit if n <= op.up_to_n]:
        pop(tables.audit, n)


def add_usage(tables: MemoryTables, pop: Pop, put: Put, op: AddUsage) -> None:
    """Add to the use of a day."""
    usage, ended = tables.usage, op.ended
    for kind, name in op.names.items():
        key = (kind._value_, op.day, name)
        known = usage.get(key) or UsageRow(kind=kind, name=name, day=op.day)
        more = {"attempts": known.attempts + op.attempts, "device_ms": known.device_ms + op.device_ms}
        if ended is not None:
            more["tasks"] = known.tasks + 1
            more[ended._value_] = getattr(known, ended._value_) + 1
        put(usage, key, msgspec.structs.replace(known, **more))


def _prune_stories(tables: MemoryTables, subjects: Collection[str]) -> None:
    kept = [event for event in tables.events[:-1] if event.envelope.subject not in subjects]
    tables.events = kept + tables.events[-1:]


def _remember(tables: MemoryTables, put: Put, kind: str, removed: Collection[str], at_ms: int) -> None:
    if removed:
        put(tables.removals, (kind, min(removed), max(removed)), (at_ms, removal_digests(removed)))


def put_pass(tables: MemoryTables, pop: Pop, put: Put, op: PutRetentionPass) -> None:
    """Remember a pass."""
    put(tables.passes, op.row.pass_id, op.row)


def _over(apply: Callable[[MemoryTables, Pop, Put, Any], None]) -> Callable[[MemoryWriter, Any], None]:
    return lambda writer, op: apply(writer._tables, writer._pop, writer._put, op)


APPLY: Final[dict[type, Callable[[MemoryWriter, Any], None]]] = {
    AddUsage: _over(add_usage),
    PruneTasks: _over(prune_tasks),
    PruneRuns: _over(prune_runs),
    PruneEvents: _over(prune_events),
    PruneArtifacts: _over(prune_artifacts),
    PruneAudit: _over(prune_audit),
    PutRetentionPass: _over(put_pass),
}
