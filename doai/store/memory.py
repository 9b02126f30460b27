"""The broker's store in memory, for the simulator and for tests: same promises, no disk (steps 3, 13).

It keeps uniqueness and atomicity as the real one does; tests/conformance runs one suite over both.
`MemoryTables` is the disk: it outlives a writer that was killed. A commit that was called has happened;
who simulates a crash decides whether to call it, and whether its caller ever learns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import msgspec

from doai import limits
from doai.changes.audit import AuditRow
from doai.changes.campaigns import CampaignRow
from doai.changes.dead_letters import DeadLetterRow, SettleDeadLetter
from doai.changes.incidents import IncidentRow
from doai.changes.ops import (
    DIGEST_BYTES,
    AdvanceStream,
    AppendAudit,
    AppendEvent,
    DeleteFile,
    DropSecret,
    ForgetCommands,
    InsertArtifact,
    InsertAttempt,
    InsertDeadLetter,
    InsertFile,
    InsertRun,
    InsertStatistics,
    InsertTask,
    InsertWorkflow,
    Op,
    PutDevice,
    PutEnrolment,
    PutIncident,
    PutKey,
    PutNode,
    PutSample,
    PutSecret,
    PutStream,
    PutToken,
    RememberCommand,
    ReserveTokens,
    SetWorkflowState,
    Snapshot,
    StreamState,
    TrimStatistics,
    UpdateRun,
    UpdateTask,
)
from doai.changes.people import DropSession, PutSession, PutUser, SessionRow, UserRow
from doai.changes.queues import PutQueue, QueueRow
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
    TokenRow,
    WorkflowRow,
)
from doai.changes.runs import StopRun
from doai.changes.statistics import StatisticsRow
from doai.errors import LocalProtocolError, StoreError, StoreUnavailable
from doai.ids import Token
from doai.states import TERMINAL, IncidentState, RunState
from doai.store import bots_in_memory, campaigns_in_memory, condition_columns, memory_retention, sample_columns
from doai.store.campaigns_in_memory import Fires, goes_on
from doai.store.digests import check_digests, split_digests
from doai.store.letters_in_memory import dead_runs, kept_letters, settled_letter
from doai.store.statistics_in_memory import ended_since, minutes_without_hour, statistics_key

_MISSING: Final = object()
_KeyT = TypeVar("_KeyT")
_RowT = TypeVar("_RowT")


class MemoryTables(
    memory_retention.RetentionTables,
    bots_in_memory.BotTables,
    sample_columns.SampleTables,
    condition_columns.ConditionTables,
):
    """What is "on disk". Read it freely (a checker does); only a `MemoryWriter` changes it."""

    def __init__(self, store_id: str, generation: int = 1) -> None:
        memory_retention.RetentionTables.__init__(self)
        bots_in_memory.BotTables.__init__(self)
        sample_columns.SampleTables.__init__(self)
        condition_columns.ConditionTables.__init__(self)
        self.store_id = store_id
        self.generation = generation
        self.meta: dict[str, int] = {"token_reserved": 0, "audit_n": 0}
        self.workflows: dict[tuple[str, int], WorkflowRow] = {}
        self.runs: dict[str, RunRow] = {}
        self.tasks: dict[str, TaskRow] = {}
        self.attempts: dict[tuple[str, Token], AttemptRow] = {}
        self.devices: dict[str, DeviceRow] = {}
        self.nodes: dict[str, NodeRow] = {}
        self.samples: dict[tuple[str, str], SampleRow] = {}
        self.streams: dict[tuple[str, str, str], StreamRow] = {}
        self.digests: dict[tuple[str, str, str], bytes] = {}
        self.artifacts: dict[str, ArtifactRow] = {}
        self.files: dict[tuple[str, str], FileRow] = {}
        self.keys: dict[str, KeyRow] = {}
        self.tokens: dict[str, TokenRow] = {}
        self.enrolments: dict[str, EnrolmentRow] = {}
        self.secrets: dict[str, SecretRow] = {}
        self.queues: dict[str, QueueRow] = {}
        self.users: dict[str, UserRow] = {}
        self.sessions: dict[str, SessionRow] = {}
        self.commands: dict[str, CommandRow] = {}
        self.incidents: dict[str, IncidentRow] = {}
        self.audit: dict[int, AuditRow] = {}
        """By number, from 1 on."""
        self.statistics: dict[tuple[str, int, str, str], StatisticsRow] = {}
        self.campaigns: dict[str, CampaignRow] = {}
        self.fires: Fires = {}
        self.dead_letters: dict[str, DeadLetterRow] = {}
        self.held_by: MemoryWriter | None = None
        """The lock: the writer that has these tables open."""


class MemoryWriter:
    """`Writer[Op, Snapshot]` over `MemoryTables`."""

    def __init__(self, tables: MemoryTables) -> None:
        if tables.held_by is not None:
            raise StoreUnavailable("these tables are open in another writer: close it first", code="store_locked")
        tables.held_by = self
        self._tables: MemoryTables = tables
        self._failed = False
        self._undo: list[tuple[dict[Any, Any], Any, Any]] = []

    log_bytes: int = 0

    def checkpoint(self) -> None:
        """Nothing to copy."""

    def close(self) -> None:
        if self._tables.held_by is self:
            self._tables.held_by = None

    def commit(self, ops: Sequence[Op]) -> None:
        self._check_open()
        events, events_before = self._tables.events, len(self._tables.events)
        self._undo.clear()
        try:
            for op in ops:
                _APPLY[type(op)](self, op)
        except StoreError:
            self._failed = True
            del events[events_before:]
            self._tables.events = events
            for table, key, old in reversed(self._undo):
                if old is _MISSING:
                    del table[key]
                else:
                    table[key] = old
            raise

    def load(self) -> Snapshot:
        self._check_open()
        t = self._tables
        runs = [row for _, row in sorted(t.runs.items()) if row.state is not RunState.COMPLETED]
        open_runs = {row.run_id for row in runs}
        of_them = [task for task in t.tasks.values() if task.run_id in open_runs]
        tasks = [task for task in of_them if task.status.state not in TERMINAL]
        ended: dict[str, dict[str, int]] = {}
        for task in (task for task in of_them if task.status.state in TERMINAL):
            counts = ended.setdefault(task.run_id, {})
            counts[task.status.state.value] = counts.get(task.status.state.value, 0) + 1
        tasks.sort(key=lambda row: (row.status.order, row.task_id))
        counted = max((row.position for row in t.statistics.values()), default=t.last_position)
        return Snapshot(
            store_id=t.store_id,
            generation=t.generation,
            last_position=t.last_position,
            token_reserved=t.meta["token_reserved"],
            workflows=_sorted_rows(t.workflows),
            runs=runs,
            tasks=tasks,
            ended_counts=ended,
            devices=_sorted_rows(t.devices),
            nodes=_sorted_rows(t.nodes),
            streams=[
                StreamState(row=row, digests=split_digests(t.digests[k])) for k, row in sorted(t.streams.items())
            ],
            files=sorted(t.files.values(), key=lambda row: (row.position, row.name, row.version)),
            keys=_sorted_rows(t.keys),
            tokens=_sorted_rows(t.tokens),
            enrolments=_sorted_rows(t.enrolments),
            incidents=[row for row in _sorted_rows(t.incidents) if row.state is not IncidentState.RESOLVED],
            secrets=_sorted_rows(t.secrets),
            queues=_sorted_rows(t.queues),
            users=_sorted_rows(t.users),
            sessions=_sorted_rows(t.sessions),
            commands=sorted(t.commands.values(), key=lambda row: (row.created_at_ms, row.idempotency_key)),
            statistics=minutes_without_hour(t.statistics.values()),
            statistics_begun=bool(t.statistics),
            statistics_position=counted,
            ended_since=ended_since(t.events, t.tasks, counted),
            campaigns=_sorted_rows(t.campaigns),
            fires=[row for row in _sorted_rows(t.fires) if goes_on(row, open_runs)],
            dead_letters=kept_letters(t.dead_letters, t.streams),
            bots=_sorted_rows(t.bots),
            subscriptions=_sorted_rows(t.subscriptions),
            dead_runs=dead_runs(t.dead_letters, t.runs),
            conditions=_sorted_rows(t.conditions),
        )

    def _check_open(self) -> None:
        if self._failed:
            raise LocalProtocolError("a commit of this writer failed: exit and reload")
        if self._tables.held_by is not self:
            raise LocalProtocolError("this writer is closed")

    def _put_incident(self, op: PutIncident) -> None:
        row = op.row
        others = [other for other in self._tables.incidents.values() if other.incident_id != row.incident_id]
        for other in others:
            both_open = IncidentState.RESOLVED not in (row.state, other.state)
            if both_open and (row.type, row.subject) == (other.type, other.subject):
                raise StoreError(f"{row.type.value} of {row.subject} is open already: {other.incident_id}")
        self._put(self._tables.incidents, row.incident_id, row)

    def _put(self, table: dict[_KeyT, _RowT], key: _KeyT, row: _RowT) -> None:
        self._undo.append((table, key, table.get(key, _MISSING)))
        table[key] = row

    def _pop(self, table: dict[Any, Any], key: Any) -> None:
        self._undo.append((table, key, table.pop(key)))

    def _insert(self, table: dict[_KeyT, _RowT], key: _KeyT, row: _RowT) -> None:
        if key in table:
            raise StoreError(f"{type(row).__name__} {key} is stored already: the core must not insert it again")
        self._put(table, key, row)

    def _set_workflow_state(self, op: SetWorkflowState) -> None:
        old = self._tables.workflows.get((op.name, op.version))
        if old is None:
            raise StoreError(f"workflow {op.name}@{op.version} is not stored: the core must not change it")
        row = msgspec.structs.replace(old, state=op.state)
        self._put(self._tables.workflows, (op.name, op.version), row)

    def _update_run(self, op: UpdateRun | StopRun) -> None:
        old = self._tables.runs.get(op.run_id)
        if old is None:
            raise StoreError(f"run {op.run_id} is not stored: the core must not change it")
        changes = {"stopped": op.why} if isinstance(op, StopRun) else msgspec.structs.asdict(op)
        self._put(self._tables.runs, op.run_id, msgspec.structs.replace(old, **changes))

    def _update_task(self, op: UpdateTask) -> None:
        old = self._tables.tasks.get(op.task_id)
        if old is None:
            raise StoreError(f"task {op.task_id} is not stored: the core must not change it")
        self._put(self._tables.tasks, op.task_id, msgspec.structs.replace(old, status=op.status))

    def _put_first_seen(self, op: PutDevice | PutNode) -> None:
        row = op.row
        table: dict[str, Any] = self._tables.devices if isinstance(row, DeviceRow) else self._tables.nodes
        key = row.serial if isinstance(row, DeviceRow) else row.node_id
        if key in table:
            row = msgspec.structs.replace(row, first_seen_at_ms=table[key].first_seen_at_ms)
        self._put(table, key, row)

    def _append_event(self, op: AppendEvent) -> None:
        last = self._tables.last_position
        if op.position != last + 1:
            raise StoreError(f"event at position {op.position}, the next one is {last + 1}")
        self._tables.events.append(op)

    def _put_stream(self, op: PutStream) -> None:
        row = op.row
        key = (row.name, row.instance, row.incarnation)
        old = self._tables.streams.get(key)
        if old is not None:
            row = msgspec.structs.replace(old, epoch=row.epoch)
        else:
            self._put(self._tables.digests, key, b"")
        self._put(self._tables.streams, key, row)

    def _advance_stream(self, op: AdvanceStream) -> None:
        key = (op.name, op.instance, op.incarnation)
        old = self._tables.streams.get(key)
        if old is None or old.last_seq != op.first_seq - 1 or not op.digests:
            raise StoreError(f"stream {'/'.join(key)} can not go on at {op.first_seq}: unknown, or not its next")
        check_digests(op.digests)
        last_seq = old.last_seq + len(op.digests)
        self._put(self._tables.streams, key, msgspec.structs.replace(old, last_seq=last_seq))
        digests = self._tables.digests[key] + b"".join(op.digests)
        self._put(self._tables.digests, key, digests[-limits.HASHES_KEPT * DIGEST_BYTES :])

    def _delete_file(self, op: DeleteFile) -> None:
        table, key = self._tables.files, (op.name, op.version)
        if key not in table:
            raise StoreError(f"file {op.name}@{op.version} is not stored: the core must not remove it")
        self._undo.append((table, key, table.pop(key)))

    def _drop(self, table: dict[_KeyT, _RowT], key: _KeyT) -> None:
        if key in table:
            self._undo.append((table, key, table.pop(key)))

    def _forget_commands(self, op: ForgetCommands) -> None:
        table = self._tables.commands
        for key in [key for key, row in table.items() if row.expires_at_ms < op.before_ms]:
            self._undo.append((table, key, table.pop(key)))

    def _trim_statistics(self, op: TrimStatistics) -> None:
        table = self._tables.statistics
        for key in [k for k, row in table.items() if row.period is op.period and row.at_ms < op.before_ms]:
            self._undo.append((table, key, table.pop(key)))

    def _append_audit(self, op: AppendAudit) -> None:
        meta = self._tables.meta
        self._put(meta, "audit_n", meta["audit_n"] + 1)
        self._insert(self._tables.audit, meta["audit_n"], op.row)

    def _reserve_tokens(self, op: ReserveTokens) -> None:
        meta = self._tables.meta
        self._put(meta, "token_reserved", max(op.n, meta["token_reserved"]))


def _sorted_rows(table: dict[Any, _RowT]) -> list[_RowT]:
    return [row for _, row in sorted(table.items())]


_APPLY: Final[dict[type, Callable[[MemoryWriter, Any], None]]] = {
    InsertWorkflow: lambda w, op: w._insert(w._tables.workflows, (op.row.name, op.row.version), op.row),
    SetWorkflowState: MemoryWriter._set_workflow_state,
    InsertRun: lambda w, op: w._insert(w._tables.runs, op.row.run_id, op.row),
    UpdateRun: MemoryWriter._update_run,
    StopRun: MemoryWriter._update_run,
    InsertTask: lambda w, op: w._insert(w._tables.tasks, op.row.task_id, op.row),
    UpdateTask: MemoryWriter._update_task,
    InsertAttempt: lambda w, op: w._insert(w._tables.attempts, (op.row.task_id, op.row.token), op.row),
    PutDevice: MemoryWriter._put_first_seen,
    PutNode: MemoryWriter._put_first_seen,
    PutSample: lambda w, op: w._put(w._tables.samples, (op.row.name, op.row.instance), op.row),
    AppendEvent: MemoryWriter._append_event,
    PutStream: MemoryWriter._put_stream,
    AdvanceStream: MemoryWriter._advance_stream,
    InsertArtifact: lambda w, op: w._put(w._tables.artifacts, op.row.path, op.row),
    InsertFile: lambda w, op: w._insert(w._tables.files, (op.row.name, op.row.version), op.row),
    DeleteFile: MemoryWriter._delete_file,
    PutKey: lambda w, op: w._put(w._tables.keys, op.row.name, op.row),
    PutToken: lambda w, op: w._put(w._tables.tokens, op.row.name, op.row),
    PutIncident: MemoryWriter._put_incident,
    PutEnrolment: lambda w, op: w._put(w._tables.enrolments, op.row.name, op.row),
    PutSecret: lambda w, op: w._put(w._tables.secrets, op.row.name, op.row),
    DropSecret: lambda w, op: w._drop(w._tables.secrets, op.name),
    PutQueue: lambda w, op: w._put(w._tables.queues, op.row.name, op.row),
    PutUser: lambda w, op: w._put(w._tables.users, op.row.name, op.row),
    PutSession: lambda w, op: w._put(w._tables.sessions, op.row.token_sha256, op.row),
    DropSession: lambda w, op: w._drop(w._tables.sessions, op.token_sha256),
    RememberCommand: lambda w, op: w._put(w._tables.commands, op.row.idempotency_key, op.row),
    ForgetCommands: MemoryWriter._forget_commands,
    ReserveTokens: MemoryWriter._reserve_tokens,
    InsertStatistics: lambda w, op: w._insert(w._tables.statistics, statistics_key(op.row), op.row),
    TrimStatistics: MemoryWriter._trim_statistics,
    AppendAudit: MemoryWriter._append_audit,
    InsertDeadLetter: lambda w, op: w._insert(w._tables.dead_letters, op.row.letter_id, op.row),
    SettleDeadLetter: lambda w, op: w._put(w._tables.dead_letters, *settled_letter(w._tables.dead_letters, op)),
    **campaigns_in_memory.APPLY,
    **bots_in_memory.APPLY,
    **sample_columns.APPLY_IN_MEMORY,
    **condition_columns.APPLY_IN_MEMORY,
    **memory_retention.APPLY,
}
