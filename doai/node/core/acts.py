"""What an attempt's sequence says is to be done or has happened, as data (step 8)."""

from __future__ import annotations

import enum
from typing import Any

import msgspec

from doai.errors import Failure
from doai.states import Outcome
from doai.workflow.resolve import PlannedStep


class Cause(enum.Enum):
    """Why an attempt is stopped from outside."""

    CANCEL = "cancel"
    TIMEOUT = "timeout"
    DRAIN = "drain"
    """The node stops: given back, burns no attempt."""
    RELEASE = "release"
    """The broker took it away: nothing more is done, `always` neither."""
    HALT = "halt"
    """Another step of the attempt failed: nothing new begins inside of this one, what runs goes on to its end."""


class Begin(msgspec.Struct, frozen=True):
    """A try begins."""

    step: PlannedStep
    try_number: int
    arguments: dict[str, Any]


class Enter(msgspec.Struct, frozen=True):
    """A try of a step that is made of steps begins: theirs follow."""

    step: PlannedStep
    try_number: int


class Skipped(msgspec.Struct, frozen=True):
    step: PlannedStep


class Passed(msgspec.Struct, frozen=True):
    step: PlannedStep
    try_number: int
    duration_s: float
    outputs: dict[str, Any]


class TryFailed(msgspec.Struct, frozen=True):
    step: PlannedStep
    try_number: int
    duration_s: float
    failure: Failure
    retried: bool


class CancelTry(msgspec.Struct, frozen=True):
    step: PlannedStep
    try_number: int


class FreeDevice(msgspec.Struct, frozen=True):
    """Nothing of this attempt will touch the device again."""


class Finish(msgspec.Struct, frozen=True, kw_only=True):
    """The attempt has ended."""

    outcome: Outcome
    failure: Failure | None
    outputs: dict[str, Any]
    released: bool
    repeatable: bool


Act = Begin | Enter | Skipped | Passed | TryFailed | CancelTry | FreeDevice | Finish
