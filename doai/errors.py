"""Errors say whose fault they are: ours, the peer's, the device's or the user's; serves every step.

Every error that reaches a person is one sentence: what happened, where, what to do about it.
"""

from __future__ import annotations

import enum
from typing import Any, Final, TypeVar

import msgspec

from doai.key_enum import KeyEnum

_E = TypeVar("_E", bound=BaseException)


class Fault(enum.Enum):
    """Who has to act for the error to go away."""

    OURS = "ours"
    PEER = "peer"
    DEVICE = "device"
    USER = "user"


class ErrorClass(KeyEnum):
    """Why an attempt or a step failed; decides whether it is tried again."""

    USER = "user"
    """The recipe or its parameters are wrong: never tried again."""
    DEVICE = "device"
    """The device is offline, hung, or out of storage."""
    INFRASTRUCTURE = "infrastructure"
    """The node, the broker or the adb server failed."""
    APP = "app"
    """The app did not do what the step expects."""
    RATE_LIMIT = "rate_limit"
    """Somebody asked for a pause: tried again after 60 s."""
    AUTH = "auth"
    """Credentials were refused: never tried again."""
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"
    """A step that must not be repeated began and its end was not observed."""


class Failure(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Why a step, an attempt or a task did not pass, as data that travels in events."""

    error_class: ErrorClass
    code: str
    """Stable snake_case name of the failure, e.g. ``device_offline``, for filters and grouping."""
    message: str
    """One sentence for a person: what, where, what to do."""
    step: str | None = None
    """Id of the step in which it happened, where there is one."""
    details: dict[str, Any] = {}
    """What a program may go on with, by the code: names and numbers that the sentence only tells a person."""


NODE_RESTARTED: Final = "node_restarted"
"""Code of the Failure of what ran when the node's own process ended: the fault of neither recipe nor device."""


class DoaiError(Exception):
    """Base of all errors that doai raises on purpose.

    ``code`` is a stable snake_case name; ``str(error)`` is the sentence for a person.
    """

    fault: Fault = Fault.OURS
    code: str = "internal_error"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code


class UserError(DoaiError):
    """The person (or program) asked for something that can not be done."""

    fault = Fault.USER
    code = "bad_request"


class NotFoundError(UserError):
    """What was named does not exist."""

    code = "not_found"


class ConflictError(UserError):
    """The request contradicts what is stored, e.g. an idempotency key with another payload."""

    code = "conflict"


class ConfigError(UserError):
    """A configuration value is missing or wrong; the message names file and line, flag or variable."""

    code = "config_error"


class ProtocolError(DoaiError):
    """The peer broke the protocol."""

    fault = Fault.PEER
    code = "protocol_error"


class DecodeError(ProtocolError):
    """Bytes that can not be understood; ``data`` keeps them for the dead letter."""

    code = "decode_error"

    def __init__(self, message: str, data: bytes) -> None:
        super().__init__(message)
        self.data = data


class LocalProtocolError(DoaiError):
    """Our own code used a machine in a way its table of states does not allow: a bug of ours."""

    code = "local_protocol_error"


class IllegalTransitionError(LocalProtocolError):
    """A state table has no entry for this (state, trigger)."""

    code = "illegal_transition"


class StoreError(DoaiError):
    """A commit failed: its outcome is unknown and the process must exit, reload and recover."""

    code = "store_error"


class DiskLow(DoaiError):
    """The disk has no room for new work; what has begun goes on. The message says how much is left."""

    code = "disk_low"


STORE_NEWER: Final = "store_newer"
"""Code of the StoreUnavailable of a file that a newer doai wrote."""
STORE_LOCKED: Final = "store_locked"
"""Code of the StoreUnavailable of a file that another process has."""


class StoreUnavailable(DoaiError):
    """The store can not be opened or read now, and nothing was changed: the message says why and what to do.

    ``code`` is one of store_locked, store_missing, store_newer, store_foreign, store_slow, store_unreadable.
    """

    code = "store_unavailable"


class StepError(DoaiError):
    """A step or driver call did not succeed; ``failure`` says why, as data."""

    fault = Fault.DEVICE

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message, code=failure.code)
        self.failure = failure


def leaves_of(group: BaseExceptionGroup[_E]) -> list[_E]:
    """Return the errors of a group and of the groups in it, in their order; at least one."""
    found: list[_E] = []
    for error in group.exceptions:
        found += leaves_of(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found
