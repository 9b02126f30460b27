"""What retention removes, what it remembers of it, and the use of devices that outlives it (steps 12 and 13)."""

from __future__ import annotations

import msgspec

from doai.changes.store_op import StoreOp
from doai.key_enum import KeyEnum
from doai.states import TaskState

DAY_MS = 86_400_000


class UsageKind(KeyEnum):
    """Of what use is counted."""

    DEVICE = "device"
    WORKFLOW = "workflow"
    ACTOR = "actor"
    PROJECT = "project"
    CAMPAIGN = "campaign"


class UsageRow(msgspec.Struct, frozen=True, kw_only=True):
    """What was done with one device or workflow, by one actor, for one project or campaign on one day (UTC)."""

    kind: UsageKind
    name: str
    day: int
    """Days since 1970-01-01."""
    tasks: int = 0
    """That ended on this day."""
    passed: int = 0
    failed: int = 0
    cancelled: int = 0
    expired: int = 0
    unknown: int = 0
    attempts: int = 0
    """That ended on this day; one that was given back untouched is none."""
    device_ms: int = 0
    """How long attempts had their device, from the start that the node told to the end."""


class RetentionPass(msgspec.Struct, frozen=True, kw_only=True):
    """One time that retention went through the store."""

    pass_id: str
    began_at_ms: int
    ended_at_ms: int
    actor: str
    tasks: int = 0
    runs: int = 0
    events: int = 0
    artifacts: int = 0
    audit: int = 0
    freed_bytes: int = 0
    """Of artifacts."""
    problem: str = ""
    """Why it ended early; empty = it did all there was to do."""
    queue: str = ""
    """Of which what had ended was removed; empty = retention went through all of the store."""


class AddUsage(StoreOp, frozen=True):
    """Adds to the use of a day: a task that ended, an attempt that ended, or both."""

    day: int
    names: dict[UsageKind, str]
    ended: TaskState | None
    attempts: int
    device_ms: int


class PruneTasks(StoreOp, frozen=True):
    """Removes tasks with attempts and events; one that is open, or of an open run, stays. The newest event too."""

    task_ids: list[str]
    at_ms: int


class PruneRuns(StoreOp, frozen=True):
    """Removes completed runs with their events; one that has tasks stays."""

    run_ids: list[str]
    at_ms: int


class PruneEvents(StoreOp, frozen=True):
    """Removes events."""

    positions: list[int]


class PruneArtifacts(StoreOp, frozen=True):
    """Removes the rows of artifacts."""

    paths: list[str]


class PruneAudit(StoreOp, frozen=True):
    """Removes the rows of the audit up to a number."""

    up_to_n: int
    at_ms: int


class PutRetentionPass(StoreOp, frozen=True):
    """Remembers one time that retention went through the store."""

    row: RetentionPass
