"""What the reader answers: rows with what a list or a page shows beside them (step 14)."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from doai.changes.rows import AttemptRow, DeviceRow, NodeRow, RunRow, SampleRow, TaskRow
from doai.envelope import Envelope
from doai.states import PeerState

ItemT = TypeVar("ItemT")


class Page(msgspec.Struct, Generic[ItemT], frozen=True):
    """Part of a list. ``next_cursor`` asks for the part that follows; None = this was the last."""

    items: list[ItemT]
    next_cursor: str | None


class RunView(msgspec.Struct, frozen=True, kw_only=True):
    """A run and how its tasks stand: number by state (the value of a TaskState)."""

    row: RunRow
    counts: dict[str, int]


class TaskView(msgspec.Struct, frozen=True, kw_only=True):
    """A task and its ended attempts, oldest first."""

    row: TaskRow
    attempts: list[AttemptRow]


class LineView(msgspec.Struct, frozen=True, kw_only=True):
    """What an open task stands behind."""

    ahead: int
    """Tasks that are queued before it, on its device or in its run."""
    held: list[TaskRow]
    """Tasks that nodes hold on its device, by the time they were given out; itself left out."""
    node_held: int
    """Tasks that the device's node holds in all."""


class EventView(msgspec.Struct, frozen=True, kw_only=True):
    """An event at its place in the log."""

    position: int
    recorded_at_ms: int
    envelope: Envelope


class EventPage(msgspec.Struct, frozen=True, kw_only=True):
    """Part of the event log. Everything up to ``next_after`` was looked at: go on from there."""

    events: list[EventView]
    next_after: int
    last_position: int
    """Newest position of the log when this was read; a page that reaches it is the last for now."""


class DeviceView(msgspec.Struct, frozen=True, kw_only=True):
    """A device and its newest proofs, as ages at the moment of its node's newest heartbeat."""

    row: DeviceRow
    node_state: PeerState
    """Whether its node is heard: what the row says is only as fresh as that."""
    proof_at_ms: int | None
    """When that heartbeat came; None = there was none."""
    adb_age_s: float | None
    """None = never, or not told."""
    answer_age_s: float | None
    tasks_held: int
    """Tasks that nodes hold of it; told only of one that is held for a person, 0 of others."""


class NodeView(msgspec.Struct, frozen=True, kw_only=True):
    """A node and its newest heartbeat (`body` is msgpack of doai.messages.link.Heartbeat)."""

    row: NodeRow
    sample: SampleRow | None
