"""The broker's store on disk: the only writer of its SQLite file (steps 3 and 13)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain, groupby
from pathlib import Path
from typing import Any, Final

import apsw
import msgspec

from doai import limits
from doai.changes.dead_letters import SettleDeadLetter
from doai.changes.ops import (
    DIGEST_BYTES,
    AdvanceStream,
    AppendAudit,
    AppendEvent,
    DeleteFile,
    DropCampaign,
    DropSecret,
    ForgetCommands,
    InsertArtifact,
    InsertAttempt,
    InsertDeadLetter,
    InsertFile,
    InsertFire,
    InsertRun,
    InsertStatistics,
    InsertTask,
    InsertWorkflow,
    Op,
    PutCampaignRow,
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
    TrimFires,
    TrimStatistics,
    UpdateFire,
    UpdateRun,
    UpdateTask,
)
from doai.changes.queues import PutQueue
from doai.changes.retention import AddUsage, PutRetentionPass
from doai.changes.rows import StreamRow
from doai.changes.runs import StopRun
from doai.errors import StoreError
from doai.store import (
    audit_columns,
    bot_columns,
    campaign_columns,
    columns,
    condition_columns,
    dead_letter_columns,
    incident_columns,
    people_columns,
    queue_columns,
    sample_columns,
    statistics_columns,
)
from doai.store.columns import Columns
from doai.store.database import BROKER, Database
from doai.store.device_tasks import DeviceTasks
from doai.store.digests import joined_steps, split_digests
from doai.store.event_rows import event_rows
from doai.store.retention_writer import PRUNE, RetentionWriter
from doai.store.sql_files import load_statements

_ROWS_TOGETHER: Final = 16
"""Events that one statement inserts; with 64 it costs the same."""


def open_writer(path: Path, *, new_store_id: str, now_ms: int, vfs: str | None = None) -> SqliteWriter:
    """Open the store, or create it as ``new_store_id``, generation 1.

    ``vfs`` names a registered SQLite VFS, e.g. one that simulates power cuts. Raises StoreUnavailable when
    another process has it open, or it is newer than this code or no store at all; StoreError when the disk fails.
    """
    database = Database(path, BROKER, vfs=vfs)
    try:
        return SqliteWriter(database, new_store_id=new_store_id, now_ms=now_ms)
    except BaseException:
        database.close()
        raise


class SqliteWriter:
    """`Writer[Op, Snapshot]` over an SQLite file; see doai.store.base for the promises."""

    def __init__(self, database: Database, *, new_store_id: str, now_ms: int) -> None:
        self._database = database
        self._sql = load_statements(BROKER.folder, "columns", "statements")
        append, values = self._sql["append_event"].split("VALUES")
        self._append_together = f"{append}VALUES{', '.join([values] * _ROWS_TOGETHER)}"
        [(unfiled,)] = database.query(self._sql["count_ended_lately"])
        self._device_tasks = DeviceTasks(self._sql, int(unfiled or 0))
        self._retention = RetentionWriter(self._sql, self._device_tasks)
        if not database.query(self._sql["load_meta"]):
            insert = self._sql["insert_meta"]
            database.transact(lambda connection: _execute(connection, insert, (new_store_id, now_ms)))
        self._last_position = self._load_last_position()

    @property
    def log_bytes(self) -> int:
        return self._database.log_bytes

    def checkpoint(self) -> None:
        self._database.checkpoint()

    def close(self) -> None:
        self._database.close()

    def commit(self, ops: Sequence[Op]) -> None:
        self._database.transact(lambda connection: self._apply(connection, ops))

    def load(self) -> Snapshot:
        with self._database.told_damage():
            return self._load()

    def _load(self) -> Snapshot:
        query, sql = self._database.query, self._sql
        [(store_id, generation, token_reserved)] = query(sql["load_meta"])
        last_position = self._load_last_position()
        [(counted_to,)] = query(sql["load_statistics_position"])
        counted = last_position if counted_to is None else int(counted_to)
        ended: dict[str, dict[str, int]] = {}
        for run_id, state, count in query(sql["load_ended_counts"]):
            ended.setdefault(str(run_id), {})[str(state)] = int(count or 0)
        return Snapshot(
            store_id=str(store_id),
            generation=int(generation or 0),
            last_position=last_position,
            token_reserved=int(token_reserved or 0),
            workflows=[columns.workflow_row(c) for c in query(sql["load_workflows"])],
            runs=[columns.run_row(c) for c in query(sql["load_runs"])],
            tasks=[columns.task_row(c) for c in query(sql["load_tasks"])],
            ended_counts=ended,
            devices=[columns.device_row(c) for c in query(sql["load_devices"])],
            nodes=[columns.node_row(c) for c in query(sql["load_nodes"])],
            streams=self._load_streams(),
            files=[columns.file_row(c) for c in query(sql["load_files"])],
            keys=[columns.key_row(c) for c in query(sql["load_keys"])],
            tokens=[columns.token_row(c) for c in query(sql["load_tokens"])],
            incidents=[incident_columns.incident_row(c) for c in query(sql["load_incidents"])],
            enrolments=[columns.enrolment_row(c) for c in query(sql["load_enrolments"])],
            secrets=[columns.secret_row(c) for c in query(sql["load_secrets"])],
            queues=[queue_columns.queue_row(c) for c in query(sql["load_queues"])],
            users=[people_columns.user_row(c) for c in query(sql["load_users"])],
            sessions=[people_columns.session_row(c) for c in query(sql["load_sessions"])],
            commands=[columns.command_row(c) for c in query(sql["load_commands"])],
            statistics=[statistics_columns.statistics_row(c) for c in query(sql["load_statistics"])],
            statistics_begun=counted_to is not None,
            statistics_position=counted,
            ended_since=[statistics_columns.ended_task(c) for c in query(sql["load_ended_since"], (counted,))],
            campaigns=[campaign_columns.campaign_row(c) for c in query(sql["load_campaigns"])],
            fires=[campaign_columns.fire_row(c) for c in query(sql["load_fires"])],
            dead_letters=[dead_letter_columns.dead_letter_row(c) for c in query(sql["load_dead_letters"])],
            bots=[bot_columns.bot_row(c) for c in query(sql["load_bots"])],
            subscriptions=[bot_columns.subscription_row(c) for c in query(sql["load_subscriptions"])],
            dead_runs=[columns.run_row(c) for c in query(sql["load_dead_runs"])],
            conditions=[condition_columns.condition_row(c) for c in query(sql["load_conditions"])],
        )

    def _load_last_position(self) -> int:
        return int(self._database.query(self._sql["load_last_position"])[0][0] or 0)

    def _load_streams(self) -> list[StreamState]:
        states: list[StreamState] = []
        for name, instance, incarnation, epoch, last_seq in self._database.query(self._sql["load_streams"]):
            rows = self._database.query(self._sql["load_digests"], (name, instance, incarnation))
            joined = b"".join(bytes(row[0]) for row in rows if isinstance(row[0], bytes))
            row = StreamRow(
                name=str(name),
                instance=str(instance),
                incarnation=str(incarnation),
                epoch=int(epoch or 0),
                last_seq=int(last_seq or 0),
            )
            digests = split_digests(joined[-limits.HASHES_KEPT * DIGEST_BYTES :])
            states.append(StreamState(row=row, digests=digests))
        return states

    def _apply(self, connection: apsw.Connection, ops: Sequence[Op]) -> None:
        # One executemany a run of equal ops. Ops on different tables do not see each other, so those of one
        # table are gathered first: decisions mix events and rows, and single statements cost a third more.
        by_table: dict[str, list[Op]] = {}
        add_of: dict[type, Callable[[Op], None]] = {}
        if PRUNE.keys().isdisjoint(map(type, ops)):
            # Half of all are events, or more.
            by_table["events"] = [op for op in ops if type(op) is AppendEvent]
            ops = [op for op in ops if type(op) is not AppendEvent]
        for op in ops:
            kind = type(op)
            add = add_of.get(kind)
            if add is None:
                if kind in PRUNE:
                    # It looks at several tables: all before it is there, nothing after it.
                    self._apply_tables(connection, by_table)
                    by_table, add_of = {}, {}
                    PRUNE[kind](self._retention, connection, op)
                    continue
                add = add_of[kind] = by_table.setdefault(_TABLES[kind], []).append
            add(op)
        self._apply_tables(connection, by_table)

    def _apply_tables(self, connection: apsw.Connection, by_table: dict[str, list[Op]]) -> None:
        for table_ops in by_table.values():
            for kind, equal in groupby(table_ops, type):
                _APPLY[kind](self, connection, list(equal))

    def _set_workflow_states(self, connection: apsw.Connection, ops: list[SetWorkflowState]) -> None:
        rows = [(op.state.value, op.name, op.version) for op in ops]
        self._change_known(connection, "set_workflow_state", rows, "a workflow's version")

    def _update_runs(self, connection: apsw.Connection, ops: list[UpdateRun]) -> None:
        rows = [(op.state.value, op.outcome.value if op.outcome else None, op.ended_at_ms, op.run_id) for op in ops]
        self._change_known(connection, "update_run", rows, "a run")

    def _stop_runs(self, connection: apsw.Connection, ops: list[StopRun]) -> None:
        self._change_known(connection, "stop_run", [(op.why, op.run_id) for op in ops], "a run")

    def _insert_tasks(self, connection: apsw.Connection, ops: list[InsertTask]) -> None:
        connection.executemany(self._sql["insert_task"], [columns.task_columns(op.row) for op in ops])
        self._device_tasks.written(connection, [(op.row.task_id, op.row.status) for op in ops])

    def _update_tasks(self, connection: apsw.Connection, ops: list[UpdateTask]) -> None:
        rows = [(*columns.task_status_columns(op.status), op.task_id) for op in ops]
        self._change_known(connection, "update_task", rows, "a task")
        self._device_tasks.written(connection, [(op.task_id, op.status) for op in ops])

    def _update_fires(self, connection: apsw.Connection, ops: list[UpdateFire]) -> None:
        rows = [(op.state.value, op.run_id, op.reason, op.campaign_id, op.fire_at_ms, op.hand) for op in ops]
        self._change_known(connection, "update_fire", rows, "a time of a campaign")

    def _drop_campaigns(self, connection: apsw.Connection, ops: list[DropCampaign]) -> None:
        for name in ("drop_campaign", "drop_fires"):
            connection.executemany(self._sql[name], [(op.campaign_id,) for op in ops])

    def _delete_files(self, connection: apsw.Connection, ops: list[DeleteFile]) -> None:
        self._change_known(connection, "delete_file", [(op.name, op.version) for op in ops], "a file")

    def _settle_dead_letters(self, connection: apsw.Connection, ops: list[SettleDeadLetter]) -> None:
        rows = [dead_letter_columns.settled_columns(op) for op in ops]
        self._change_known(connection, "settle_dead_letter", rows, "an open dead letter")

    def _append_events(self, connection: apsw.Connection, ops: list[AppendEvent]) -> None:
        rows = event_rows(ops, self._last_position)
        # Some rows a statement: the lock of the interpreter is handed over once a statement, and it costs less.
        several = len(rows) // _ROWS_TOGETHER * _ROWS_TOGETHER
        together = (rows[at : at + _ROWS_TOGETHER] for at in range(0, several, _ROWS_TOGETHER))
        connection.executemany(self._append_together, [tuple(chain.from_iterable(part)) for part in together])
        connection.executemany(self._sql["append_event"], rows[several:])
        self._last_position += len(rows)

    def _put_streams(self, connection: apsw.Connection, ops: list[PutStream]) -> None:
        rows = [(op.row.name, op.row.instance, op.row.incarnation, op.row.epoch, op.row.last_seq) for op in ops]
        connection.executemany(self._sql["put_stream"], rows)

    def _advance_streams(self, connection: apsw.Connection, ops: list[AdvanceStream]) -> None:
        for key, first_seq, digests in joined_steps(ops):
            last_seq = first_seq + len(digests) - 1
            _execute(connection, self._sql["advance_stream"], (last_seq, *key, first_seq - 1))
            if connection.changes() != 1 or not digests:
                raise StoreError(f"stream {'/'.join(key)} can not go on at {first_seq}: unknown, or not its next")
            _execute(connection, self._sql["insert_digests"], (*key, last_seq, b"".join(digests)))
            if last_seq > limits.HASHES_KEPT:
                _execute(connection, self._sql["trim_digests"], (*key, last_seq - limits.HASHES_KEPT))

    def _change_known(self, connection: apsw.Connection, name: str, rows: list[Columns], what: str) -> None:
        before = connection.total_changes()
        connection.executemany(self._sql[name], rows)
        missing = len(rows) - (connection.total_changes() - before)
        if missing:
            known = ", ".join(str(row[-1]) for row in rows[:3])
            raise StoreError(f"{what} to be changed is not stored ({missing} of {len(rows)}, e.g. of {known})")


def _execute(connection: apsw.Connection, sql: str, bindings: Columns) -> None:
    connection.execute(sql, bindings)


_Apply = Callable[[SqliteWriter, apsw.Connection, list[Any]], None]


def _each(name: str, bind: Callable[[Any], Columns]) -> _Apply:
    """Apply ops with one statement each."""

    def apply(writer: SqliteWriter, connection: apsw.Connection, ops: list[Any]) -> None:
        connection.executemany(writer._sql[name], [bind(op) for op in ops])

    return apply


_APPLY: Final[dict[type, _Apply]] = {
    InsertWorkflow: _each("insert_workflow", lambda op: columns.workflow_columns(op.row)),
    SetWorkflowState: SqliteWriter._set_workflow_states,
    InsertRun: _each("insert_run", lambda op: columns.run_columns(op.row)),
    UpdateRun: SqliteWriter._update_runs,
    StopRun: SqliteWriter._stop_runs,
    InsertTask: SqliteWriter._insert_tasks,
    UpdateTask: SqliteWriter._update_tasks,
    InsertAttempt: _each("insert_attempt", lambda op: columns.attempt_columns(op.row)),
    PutDevice: _each("put_device", lambda op: columns.device_columns(op.row)),
    PutNode: _each("put_node", lambda op: columns.node_columns(op.row)),
    PutSample: _each("put_sample", lambda op: (op.row.name, op.row.instance, op.row.received_at_ms, op.row.body)),
    AppendEvent: SqliteWriter._append_events,
    PutStream: SqliteWriter._put_streams,
    AdvanceStream: SqliteWriter._advance_streams,
    InsertArtifact: _each("insert_artifact", lambda op: columns.artifact_columns(op.row)),
    InsertFile: _each("insert_file", lambda op: columns.file_columns(op.row)),
    DeleteFile: SqliteWriter._delete_files,
    PutKey: _each("put_key", lambda op: columns.key_columns(op.row)),
    PutToken: _each("put_token", lambda op: columns.token_columns(op.row)),
    PutIncident: _each("put_incident", lambda op: incident_columns.incident_columns(op.row)),
    PutEnrolment: _each("put_enrolment", lambda op: columns.enrolment_columns(op.row)),
    PutSecret: _each("put_secret", lambda op: columns.secret_columns(op.row)),
    DropSecret: _each("drop_secret", lambda op: (op.name,)),
    PutQueue: _each("put_queue", lambda op: queue_columns.queue_columns(op.row)),
    **{kind: _each(name, bind) for kind, (name, bind) in people_columns.STATEMENTS.items()},
    RememberCommand: _each("remember_command", lambda op: columns.command_columns(op.row)),
    ForgetCommands: _each("forget_commands", lambda op: (op.before_ms,)),
    ReserveTokens: _each("reserve_tokens", lambda op: (op.n,)),
    InsertStatistics: _each("insert_statistics", lambda op: statistics_columns.statistics_columns(op.row)),
    InsertDeadLetter: _each("insert_dead_letter", lambda op: dead_letter_columns.dead_letter_columns(op.row)),
    SettleDeadLetter: SqliteWriter._settle_dead_letters,
    TrimStatistics: _each("trim_statistics", lambda op: (op.period.value, op.before_ms)),
    AddUsage: lambda writer, connection, ops: writer._retention.add_usage(connection, ops),
    PutRetentionPass: _each("put_retention_pass", lambda op: msgspec.structs.astuple(op.row)),
    AppendAudit: _each("append_audit", lambda op: audit_columns.audit_columns(op.row)),
    PutCampaignRow: _each("put_campaign", lambda op: campaign_columns.campaign_columns(op.row)),
    DropCampaign: SqliteWriter._drop_campaigns,
    InsertFire: _each("insert_fire", lambda op: campaign_columns.fire_columns(op.row)),
    UpdateFire: SqliteWriter._update_fires,
    TrimFires: _each("trim_fires", lambda op: (op.campaign_id, op.keep)),
    **bot_columns.APPLY,
    **sample_columns.APPLY,
    **condition_columns.APPLY,
}

_TABLES: Final[dict[type, str]] = {
    InsertWorkflow: "workflows",
    SetWorkflowState: "workflows",
    InsertRun: "runs",
    UpdateRun: "runs",
    StopRun: "runs",
    InsertTask: "tasks",
    UpdateTask: "tasks",
    InsertAttempt: "attempts",
    PutDevice: "devices",
    PutNode: "nodes",
    PutSample: "samples",
    AppendEvent: "events",
    PutStream: "streams",
    AdvanceStream: "streams",
    InsertArtifact: "artifacts",
    InsertFile: "files",
    DeleteFile: "files",
    PutKey: "keys",
    PutToken: "tokens",
    PutIncident: "incidents",
    PutEnrolment: "enrolments",
    PutSecret: "secrets",
    DropSecret: "secrets",
    PutQueue: "queues",
    **people_columns.TABLES,
    RememberCommand: "commands",
    ForgetCommands: "commands",
    ReserveTokens: "meta",
    InsertStatistics: "statistics",
    TrimStatistics: "statistics",
    AppendAudit: "audit",
    PutCampaignRow: "campaigns",
    DropCampaign: "campaigns",
    InsertFire: "campaigns",
    UpdateFire: "campaigns",
    TrimFires: "campaigns",
    InsertDeadLetter: "dead_letters",
    SettleDeadLetter: "dead_letters",
    AddUsage: "usage",
    PutRetentionPass: "retention_passes",
    **bot_columns.TABLES,
    **sample_columns.TABLES,
    **condition_columns.TABLES,
}
