"""Rows of the broker's store as tuples of columns and back, in the order of sql/broker/columns.sql (steps 3, 13).

Used by the writer and by the reader: both databases libraries give tuples.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from doai.changes.rows import (
    ArtifactRow,
    AttemptRow,
    CommandRow,
    Description,
    DeviceRow,
    EnrolmentRow,
    FileRow,
    Hold,
    KeyRow,
    NodeRow,
    Quarantine,
    RunRow,
    SecretRow,
    TaskRow,
    TaskStatusRow,
    TokenRow,
    WorkflowRow,
)
from doai.errors import Failure
from doai.ids import Token
from doai.messages.commands import TargetKind
from doai.messages.plugins import PluginOffer
from doai.states import DeviceState, Outcome, RunState, TaskState, WorkflowState

Columns = tuple[Any, ...]

_encode_json: Final = msgspec.json.Encoder().encode
_decode_plugins: Final = msgspec.json.Decoder(list[PluginOffer]).decode
_decode_quarantine: Final = msgspec.json.Decoder(Quarantine).decode
_decode_hold: Final = msgspec.json.Decoder(Hold).decode
_decode_description: Final = msgspec.json.Decoder(Description).decode
_decode_failure: Final = msgspec.json.Decoder(Failure).decode
_decode_strings: Final = msgspec.json.Decoder(list[str]).decode

# A dictionary finds a member four times as fast as the call Enum(value).
_TASK_STATES: Final[dict[Any, TaskState]] = {state.value: state for state in TaskState}
_TARGET_KINDS: Final[dict[Any, TargetKind]] = {kind.value: kind for kind in TargetKind}


def workflow_columns(row: WorkflowRow) -> Columns:
    return (row.name, row.version, row.content_hash, row.body, row.created_at_ms, row.created_by, row.state.value)


def workflow_row(c: Columns) -> WorkflowRow:
    return WorkflowRow(
        name=c[0],
        version=c[1],
        content_hash=c[2],
        body=c[3],
        created_at_ms=c[4],
        created_by=c[5],
        state=WorkflowState(c[6]),
    )


def run_columns(row: RunRow) -> Columns:
    return (
        row.run_id,
        row.workflow,
        row.version,
        row.recipe_hash,
        row.params_body,
        row.targets_body,
        row.step_timeouts_body,
        row.queue,
        row.priority,
        row.attempts_max,
        row.tasks,
        row.created_at_ms,
        row.actor,
        row.interface,
        row.trace_id,
        row.state.value,
        _outcome_column(row.outcome),
        row.ended_at_ms,
        row.files_body,
        row.bounds_body,
        row.stopped,
        row.campaign,
        row.project,
    )


def run_row(c: Columns) -> RunRow:
    return RunRow(
        run_id=c[0],
        workflow=c[1],
        version=c[2],
        recipe_hash=c[3],
        params_body=c[4],
        targets_body=c[5],
        step_timeouts_body=c[6],
        queue=c[7],
        priority=c[8],
        attempts_max=c[9],
        tasks=c[10],
        created_at_ms=c[11],
        actor=c[12],
        interface=c[13],
        trace_id=c[14],
        state=RunState(c[15]),
        outcome=_outcome(c[16]),
        ended_at_ms=c[17],
        files_body=c[18],
        bounds_body=c[19],
        stopped=c[20],
        campaign=c[21],
        project=c[22],
    )


def task_columns(row: TaskRow) -> Columns:
    return (
        row.task_id,
        row.run_id,
        row.target_kind.value,
        row.selector_body,
        row.queue,
        row.priority,
        row.created_at_ms,
        row.expires_at_ms,
        row.timeout_s,
        *task_status_columns(row.status),
    )


def task_status_columns(status: TaskStatusRow) -> Columns:
    token = status.token
    return (
        status.state.value,
        status.order,
        status.device_serial,
        status.attempt,
        None if token is None else token.generation,
        None if token is None else token.n,
        status.node_id,
        status.not_before_ms,
        status.dispatched_at_ms,
        status.started_at_ms,
        status.ended_at_ms,
        _failure_column(status.failure),
        status.outputs_body,
        status.reason,
    )


def task_row(c: Columns) -> TaskRow:
    status = TaskStatusRow(
        state=_TASK_STATES[c[9]],
        order=c[10],
        device_serial=c[11],
        attempt=c[12],
        token=None if c[13] is None else Token(c[13], c[14]),
        node_id=c[15],
        not_before_ms=c[16],
        dispatched_at_ms=c[17],
        started_at_ms=c[18],
        ended_at_ms=c[19],
        failure=_failure(c[20]),
        outputs_body=c[21],
        reason=c[22],
    )
    return TaskRow(
        task_id=c[0],
        run_id=c[1],
        target_kind=_TARGET_KINDS[c[2]],
        selector_body=c[3],
        queue=c[4],
        priority=c[5],
        created_at_ms=c[6],
        expires_at_ms=c[7],
        timeout_s=c[8],
        status=status,
    )


def attempt_columns(row: AttemptRow) -> Columns:
    return (
        row.task_id,
        row.token.generation,
        row.token.n,
        row.attempt,
        row.node_id,
        row.device_serial,
        row.dispatched_at_ms,
        row.started_at_ms,
        row.ended_at_ms,
        _outcome_column(row.outcome),
        _failure_column(row.failure),
    )


def attempt_row(c: Columns) -> AttemptRow:
    return AttemptRow(
        task_id=c[0],
        token=Token(c[1], c[2]),
        attempt=c[3],
        node_id=c[4],
        device_serial=c[5],
        dispatched_at_ms=c[6],
        started_at_ms=c[7],
        ended_at_ms=c[8],
        outcome=_outcome(c[9]),
        failure=_failure(c[10]),
    )


def device_columns(row: DeviceRow) -> Columns:
    return (
        row.serial,
        row.node_id,
        row.state.value,
        row.reason,
        row.driver,
        row.connection,
        row.model,
        row.manufacturer,
        row.sdk,
        row.android,
        row.screen_width,
        row.screen_height,
        _encode_json(row.tags).decode(),
        row.first_seen_at_ms,
        row.changed_at_ms,
        _quarantine_column(row.quarantine),
        row.usb_path,
        None if row.description is None else _encode_json(row.description).decode(),
        None if row.hold is None else _encode_json(row.hold).decode(),
    )


def device_row(c: Columns) -> DeviceRow:
    return DeviceRow(
        serial=c[0],
        node_id=c[1],
        state=DeviceState(c[2]),
        reason=c[3],
        driver=c[4],
        connection=c[5],
        model=c[6],
        manufacturer=c[7],
        sdk=c[8],
        android=c[9],
        screen_width=c[10],
        screen_height=c[11],
        tags=_decode_strings(c[12]),
        first_seen_at_ms=c[13],
        changed_at_ms=c[14],
        quarantine=_quarantine(c[15]),
        usb_path=c[16],
        description=None if c[17] is None else _decode_description(c[17]),
        hold=None if c[18] is None else _decode_hold(c[18]),
    )


def node_columns(row: NodeRow) -> Columns:
    return (
        row.node_id,
        row.host,
        row.version,
        row.slots,
        _encode_json(row.capabilities).decode(),
        row.started_at_ms,
        row.first_seen_at_ms,
        row.connected_at_ms,
        row.state,
        row.state_reason,
        row.changed_at_ms,
        _quarantine_column(row.quarantine),
        _encode_json(row.plugins).decode() if row.plugins else None,
    )


def node_row(c: Columns) -> NodeRow:
    return NodeRow(
        node_id=c[0],
        host=c[1],
        version=c[2],
        slots=c[3],
        capabilities=_decode_strings(c[4]),
        started_at_ms=c[5],
        first_seen_at_ms=c[6],
        connected_at_ms=c[7],
        state=c[8],
        state_reason=c[9],
        changed_at_ms=c[10],
        quarantine=_quarantine(c[11]),
        plugins=[] if c[12] is None else _decode_plugins(c[12]),
    )


# Flat rows: their fields are their columns, in the same order.
artifact_columns: Final[Callable[[ArtifactRow], Columns]] = msgspec.structs.astuple
file_columns: Final[Callable[[FileRow], Columns]] = msgspec.structs.astuple
key_columns: Final[Callable[[KeyRow], Columns]] = msgspec.structs.astuple
token_columns: Final[Callable[[TokenRow], Columns]] = msgspec.structs.astuple
enrolment_columns: Final[Callable[[EnrolmentRow], Columns]] = msgspec.structs.astuple
secret_columns: Final[Callable[[SecretRow], Columns]] = msgspec.structs.astuple
command_columns: Final[Callable[[CommandRow], Columns]] = msgspec.structs.astuple


def artifact_row(c: Columns) -> ArtifactRow:
    return ArtifactRow(**dict(zip(ArtifactRow.__struct_fields__, c, strict=True)))


def file_row(c: Columns) -> FileRow:
    return FileRow(**dict(zip(FileRow.__struct_fields__, c, strict=True)))


def key_row(c: Columns) -> KeyRow:
    return KeyRow(**dict(zip(KeyRow.__struct_fields__, c, strict=True)))


def token_row(c: Columns) -> TokenRow:
    return TokenRow(**dict(zip(TokenRow.__struct_fields__, c, strict=True)))


def enrolment_row(c: Columns) -> EnrolmentRow:
    return EnrolmentRow(**dict(zip(EnrolmentRow.__struct_fields__, c, strict=True)))


def secret_row(c: Columns) -> SecretRow:
    return SecretRow(**dict(zip(SecretRow.__struct_fields__, c, strict=True)))


def command_row(c: Columns) -> CommandRow:
    return CommandRow(**dict(zip(CommandRow.__struct_fields__, c, strict=True)))


def _outcome_column(outcome: Outcome | None) -> str | None:
    return None if outcome is None else outcome.value


def _outcome(column: Any) -> Outcome | None:
    return None if column is None else Outcome(column)


def _failure_column(failure: Failure | None) -> str | None:
    return None if failure is None else _encode_json(failure).decode()


def _failure(column: Any) -> Failure | None:
    return None if column is None else _decode_failure(column)


def _quarantine_column(quarantine: Quarantine | None) -> str | None:
    return None if quarantine is None else _encode_json(quarantine).decode()


def _quarantine(column: Any) -> Quarantine | None:
    return None if column is None else _decode_quarantine(column)
