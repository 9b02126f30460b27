"""Changes of the broker's store as data: what one decision of the core writes, in one transaction (step 3).

A list of ops is atomic: all of it is on disk, or none.
"""

from __future__ import annotations

import msgspec

from doai.changes.rows import (
    ArtifactRow,
    AttemptRow,
    CommandRow,
    DeviceRow,
    KeyRow,
    NodeRow,
    RunRow,
    SampleRow,
    StreamRow,
    TaskRow,
    TaskStatusRow,
    TokenRow,
    WorkflowRow,
)
from doai.envelope import Envelope
from doai.states import Outcome, RunState


class InsertWorkflow(msgspec.Struct, frozen=True):
    """A new version; when it is active it becomes the one that a bare name means."""

    row: WorkflowRow


class InsertRun(msgspec.Struct, frozen=True):
    row: RunRow


class UpdateRun(msgspec.Struct, frozen=True):
    run_id: str
    state: RunState
    outcome: Outcome | None
    ended_at_ms: int | None


class InsertTask(msgspec.Struct, frozen=True):
    row: TaskRow


class UpdateTask(msgspec.Struct, frozen=True):
    """Writes the whole status; the task must exist."""

    task_id: str
    status: TaskStatusRow


class InsertAttempt(msgspec.Struct, frozen=True):
    row: AttemptRow


class PutDevice(msgspec.Struct, frozen=True):
    row: DeviceRow


class PutNode(msgspec.Struct, frozen=True):
    row: NodeRow


class PutSample(msgspec.Struct, frozen=True):
    row: SampleRow


class AppendEvent(msgspec.Struct, frozen=True):
    """Adds to the event log; positions are given by the core, contiguous and in commit order."""

    position: int
    envelope: Envelope
    recorded_at_ms: int


class PutStream(msgspec.Struct, frozen=True):
    """A HELLO: a new incarnation, or a higher epoch of a known one."""

    row: StreamRow


class AdvanceStream(msgspec.Struct, frozen=True):
    """Facts first_seq .. first_seq + len(digests) - 1 were taken."""

    name: str
    instance: str
    incarnation: str
    first_seq: int
    digests: list[bytes]
    """8 bytes a record; the last limits.HASHES_KEPT of a stream are kept."""


class InsertArtifact(msgspec.Struct, frozen=True):
    row: ArtifactRow


class PutKey(msgspec.Struct, frozen=True):
    row: KeyRow


class PutToken(msgspec.Struct, frozen=True):
    row: TokenRow


class RememberCommand(msgspec.Struct, frozen=True):
    row: CommandRow


class ForgetCommands(msgspec.Struct, frozen=True):
    """Drops remembered commands that expired before this time."""

    before_ms: int


class ReserveTokens(msgspec.Struct, frozen=True):
    """Tokens up to this n may be in use: a broker that starts again begins above."""

    n: int


Op = (
    InsertWorkflow
    | InsertRun
    | UpdateRun
    | InsertTask
    | UpdateTask
    | InsertAttempt
    | PutDevice
    | PutNode
    | PutSample
    | AppendEvent
    | PutStream
    | AdvanceStream
    | InsertArtifact
    | PutKey
    | PutToken
    | RememberCommand
    | ForgetCommands
    | ReserveTokens
)


class StreamState(msgspec.Struct, frozen=True, kw_only=True):
    """A stream as loaded: its row and the digests kept, oldest first, ending at last_seq."""

    row: StreamRow
    digests: list[bytes]


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """All the core needs to start; its size grows with open work, not with what has ended."""

    store_id: str
    generation: int
    last_position: int
    token_reserved: int
    workflows: list[WorkflowRow]
    runs: list[RunRow]
    """Runs that are not completed."""
    tasks: list[TaskRow]
    """Tasks that are not terminal, of those runs, by order."""
    ended_counts: dict[str, dict[str, int]]
    """For each of those runs: ended tasks by state."""
    devices: list[DeviceRow]
    nodes: list[NodeRow]
    streams: list[StreamState]
    keys: list[KeyRow]
    tokens: list[TokenRow]
    commands: list[CommandRow]
