"""Changes of the broker's store as data: what one decision of the core writes, in one transaction (step 3).

A list of ops is atomic: all of it is on disk, or none.
"""

from __future__ import annotations

from typing import Final

import msgspec

from doai.changes.audit import AuditRow
from doai.changes.bots import BotOp, BotRow, SubscriptionRow
from doai.changes.campaigns import CampaignRow, FireRow
from doai.changes.conditions import ConditionRow, HealthOp
from doai.changes.dead_letters import DeadLetterRow, SettleDeadLetter
from doai.changes.incidents import IncidentRow
from doai.changes.people import DropSession, PutSession, PutUser, SessionRow, UserRow
from doai.changes.queues import PutQueue, QueueRow
from doai.changes.retention import (
    AddUsage,
    PruneArtifacts,
    PruneAudit,
    PruneEvents,
    PruneRuns,
    PruneTasks,
    PutRetentionPass,
)
from doai.changes.rows import (
    ArtifactRow,
    AttemptRow,
    CommandRow,
    DeviceRow,
    EnrolmentRow,
    FileRow,
    KeyRow,
    NodeRow,
    RunRow,
    SampleRow,
    SecretRow,
    StreamRow,
    TaskRow,
    TaskStatusRow,
    TokenRow,
    WorkflowRow,
)
from doai.changes.runs import StopRun
from doai.changes.statistics import EndedTask, Period, StatisticsRow
from doai.changes.store_op import StoreOp
from doai.envelope import Envelope
from doai.states import FireState, Outcome, RunState, WorkflowState

DIGEST_BYTES: Final = 8
"""Bytes of the hash kept of each accepted record."""


class InsertWorkflow(StoreOp, frozen=True):
    """A version that does not exist yet."""

    row: WorkflowRow


class SetWorkflowState(StoreOp, frozen=True):
    """Makes a version active or archived; it must exist."""

    name: str
    version: int
    state: WorkflowState


class InsertRun(StoreOp, frozen=True):
    """A run that does not exist yet."""

    row: RunRow


class UpdateRun(StoreOp, frozen=True):
    """Writes what changes of a run; the run must exist."""

    run_id: str
    state: RunState
    outcome: Outcome | None
    ended_at_ms: int | None


class InsertTask(StoreOp, frozen=True):
    """A task that does not exist yet."""

    row: TaskRow


class UpdateTask(StoreOp, frozen=True):
    """Writes the whole status; the task must exist."""

    task_id: str
    status: TaskStatusRow


class InsertAttempt(StoreOp, frozen=True):
    """An attempt that ended; (task, token) must be new."""

    row: AttemptRow


class PutDevice(StoreOp, frozen=True):
    """A device, new or known by its serial; `first_seen_at_ms` of a known one stays."""

    row: DeviceRow


class PutNode(StoreOp, frozen=True):
    """A node, new or known by its id; `first_seen_at_ms` of a known one stays."""

    row: NodeRow


class PutSample(StoreOp, frozen=True):
    """The newest heartbeat of a peer, in place of the one before."""

    row: SampleRow


class AppendEvent(StoreOp, frozen=True, gc=False):
    """Adds to the event log; positions are given by the core: the last one + 1, from 1 on."""

    position: int
    envelope: Envelope
    recorded_at_ms: int
    body: bytes | None = None
    """The envelope as it came, to be kept like that; None = it is the broker's own, or was changed here."""


class PutStream(StoreOp, frozen=True):
    """A HELLO: a new incarnation, or a higher epoch of a known one.

    Of a known incarnation only the epoch is written: its `last_seq` is moved by `AdvanceStream` alone.
    """

    row: StreamRow


class AdvanceStream(StoreOp, frozen=True):
    """Facts first_seq .. first_seq + len(digests) - 1 were taken; first_seq must be the stream's last_seq + 1."""

    name: str
    instance: str
    incarnation: str
    first_seq: int
    digests: list[bytes]
    """DIGEST_BYTES a record, at least one; the last limits.HASHES_KEPT of a stream are kept."""


class InsertArtifact(StoreOp, frozen=True):
    """A stored file; the same path again (an upload that was repeated) takes the place of the row before."""

    row: ArtifactRow


class InsertFile(StoreOp, frozen=True):
    """A version of a file that does not exist yet."""

    row: FileRow


class DeleteFile(StoreOp, frozen=True):
    """Forgets a version of a file; it must exist."""

    name: str
    version: str


class PutKey(StoreOp, frozen=True):
    """A key, new or known by its name."""

    row: KeyRow


class PutToken(StoreOp, frozen=True):
    """An API token, new or known by its name."""

    row: TokenRow


class PutEnrolment(StoreOp, frozen=True):
    """An enrolment, in place of the one before of its node."""

    row: EnrolmentRow


class PutSecret(StoreOp, frozen=True):
    """A secret, new or known by its name."""

    row: SecretRow


class DropSecret(StoreOp, frozen=True):
    """Removes a secret; one that is not there is fine."""

    name: str


class RememberCommand(StoreOp, frozen=True):
    """A command that succeeded; a key that is remembered again takes the place of its row before."""

    row: CommandRow


class ForgetCommands(StoreOp, frozen=True):
    """Drops remembered commands that expired before this time."""

    before_ms: int


class ReserveTokens(StoreOp, frozen=True):
    """Tokens up to this n may be in use: a broker that starts again begins above. It never goes down."""

    n: int


class PutIncident(StoreOp, frozen=True):
    """An incident, new or known by its id."""

    row: IncidentRow


class InsertStatistics(StoreOp, frozen=True):
    """A minute or an hour of a queue that is complete."""

    row: StatisticsRow


class TrimStatistics(StoreOp, frozen=True):
    """Remove the rows of a period that began before a time."""

    period: Period
    before_ms: int


class AppendAudit(StoreOp, frozen=True):
    """Adds a row to the audit; the store numbers it."""

    row: AuditRow


class PutCampaignRow(StoreOp, frozen=True):
    """A campaign as it is now; what had its name before is replaced."""

    row: CampaignRow


class DropCampaign(StoreOp, frozen=True):
    """Removes a campaign and what is kept of its times; its runs stay."""

    campaign_id: str


class InsertFire(StoreOp, frozen=True):
    """What came of a time of a campaign; (campaign_id, fire_at_ms, hand) must be new."""

    row: FireRow


class UpdateFire(StoreOp, frozen=True):
    """What came of a time that waited; it must exist."""

    campaign_id: str
    fire_at_ms: int
    hand: str
    state: FireState
    run_id: str | None
    reason: str


class TrimFires(StoreOp, frozen=True):
    """Keep the newest of a campaign's times, and those that wait."""

    campaign_id: str
    keep: int


class InsertDeadLetter(StoreOp, frozen=True):
    """A dead letter that does not exist yet."""

    row: DeadLetterRow


Op = (
    InsertWorkflow
    | SetWorkflowState
    | InsertRun
    | UpdateRun
    | StopRun
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
    | InsertFile
    | DeleteFile
    | PutKey
    | PutToken
    | PutEnrolment
    | PutSecret
    | DropSecret
    | RememberCommand
    | ForgetCommands
    | ReserveTokens
    | PutIncident
    | PutQueue
    | PutUser
    | PutSession
    | DropSession
    | InsertStatistics
    | TrimStatistics
    | AppendAudit
    | PutCampaignRow
    | DropCampaign
    | InsertFire
    | UpdateFire
    | TrimFires
    | InsertDeadLetter
    | SettleDeadLetter
    | AddUsage
    | PruneTasks
    | PruneRuns
    | PruneEvents
    | PruneArtifacts
    | PruneAudit
    | PutRetentionPass
    | BotOp
    | HealthOp
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
    """Every version, by name and version."""
    runs: list[RunRow]
    """Runs that are not completed, by id: oldest first."""
    tasks: list[TaskRow]
    """Tasks that are not terminal, of those runs, by order."""
    ended_counts: dict[str, dict[str, int]]
    """For each of those runs that has any: ended tasks by state (the value of a TaskState)."""
    devices: list[DeviceRow]
    nodes: list[NodeRow]
    streams: list[StreamState]
    files: list[FileRow]
    """Every version, by position: of a name the last is the newest."""
    keys: list[KeyRow]
    tokens: list[TokenRow]
    enrolments: list[EnrolmentRow] = []
    secrets: list[SecretRow] = []
    queues: list[QueueRow] = []
    """By name; those that the configuration names are added by the core."""
    users: list[UserRow] = []
    """By name, removed ones too."""
    sessions: list[SessionRow] = []
    """By hash, expired ones too until their user signs in again."""
    commands: list[CommandRow]
    """Every remembered command, expired ones too until they are forgotten; by creation."""
    incidents: list[IncidentRow] = []
    """Those that are not resolved, by id: oldest first."""
    statistics: list[StatisticsRow]
    """Rows of minutes whose hour has no row yet; by time and id."""
    statistics_begun: bool
    """Whether there ever was a row."""
    statistics_position: int
    """Up to here the ends of tasks are counted in rows; with none, the end of the log."""
    ended_since: list[EndedTask]
    """Tasks whose end came later, by position."""
    campaigns: list[CampaignRow] = []
    """By name."""
    fires: list[FireRow] = []
    """Times of campaigns that wait, or whose run is open; by campaign, time and hand."""
    dead_letters: list[DeadLetterRow] = []
    """Those that are open, and those of messages whose stream has not passed them; by id, without their data."""
    bots: list[BotRow] = []
    subscriptions: list[SubscriptionRow] = []
    dead_runs: list[RunRow] = []
    """Runs of which a dead letter is open, by id."""
    conditions: list[ConditionRow] = []
