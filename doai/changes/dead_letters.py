"""Rows of what gave up and waits for a person: tasks, and messages that could not be handled (steps 12 and 13)."""

from __future__ import annotations

import enum

import msgspec

from doai.changes.store_op import StoreOp
from doai.states import DeadLetterState


class DeadLetterKind(enum.Enum):
    """What gave up."""

    TASK = "task"
    MESSAGE = "message"
    """Something a node recorded, of which nothing can be made."""
    EVENT = "event"
    """An event of the log that a bot could not handle."""


class DeadReason(enum.Enum):
    """Why it gave up."""

    FAILED = "failed"
    """The last attempt that the task was allowed failed, or none could be made."""
    UNKNOWN = "unknown"
    """Nobody can know how the task ended, and it must not be repeated by itself."""
    UNDECODABLE = "undecodable"
    """The bytes are no message, or its payload is not what its type has."""
    UNKNOWN_TYPE = "unknown_type"
    """This version has no such type; the event log has the message as it came."""
    FORBIDDEN_TYPE = "forbidden_type"
    """A node told what is not a node's to tell."""
    HANDLER_FAILED = "handler_failed"
    """The message can be read, and what handles it fails: a mistake of ours."""
    GIVEN_UP = "given_up"
    """The handler of a bot failed as often as it was to be tried."""


class DeadLetterRow(msgspec.Struct, frozen=True, kw_only=True):
    """One dead letter; texts are empty where they do not apply. Its fields are its columns, in this order."""

    letter_id: str
    """Sorts by time."""
    kind: DeadLetterKind
    reason: DeadReason
    state: DeadLetterState = DeadLetterState.OPEN
    created_at_ms: int
    position: int = 0
    """Of its event in the log: the story of the task or node has it there."""
    code: str = ""
    """Of the last failure, such as ``device_offline``; of a message the reason."""
    error_class: str = ""
    message: str = ""
    """The last error, as a person reads it."""
    node_id: str = ""
    device_serial: str = ""
    """On which the last attempt was, or to be; empty for *any that match* that never began."""
    task_id: str = ""
    run_id: str = ""
    workflow: str = ""
    """``name@version``."""
    queue: str = ""
    attempts: int = 0
    """Of a task: attempts that it had."""
    type: str = ""
    """Of a message, where it could be read."""
    incarnation: str = ""
    """Of a message: the life of its node's outbox, and its place there."""
    seq: int = 0
    """Of an event: its position in the log."""
    data: bytes = b""
    """The first limits.DEAD_LETTER_BYTES_KEPT bytes of a message."""
    data_bytes: int = 0
    """Size of the whole message."""
    settled_at_ms: int | None = None
    settled_by: str = ""
    settled_why: str = ""
    retried_as: str = ""
    """Id of the task that tries it again."""
    subscription: str = ""
    """Of an event: ``bot/name``."""


class SettleDeadLetter(StoreOp, frozen=True):
    """Writes what a person decided of a dead letter; it must exist and be open."""

    letter_id: str
    state: DeadLetterState
    settled_at_ms: int
    settled_by: str
    settled_why: str
    retried_as: str
