"""Bodies that move tasks between broker and node: state, reconciled, idempotent by (task, token) (steps 5, 6)."""

from __future__ import annotations

import enum
from typing import Any

import msgspec

from doai.envelope import Message
from doai.ids import Token


class FilePin(Message, frozen=True, kw_only=True):
    """A stored file that a task may ask for, bound to bytes when its run was made."""

    reference: str
    """As the recipe asks for it: ``my-app``, or ``my-app@1.4``."""
    version: str
    sha256: str
    """64 lowercase hexadecimal digits; the bytes are fetched from the admin by it."""
    size_bytes: int


class Dispatch(Message, frozen=True, kw_only=True):
    """One attempt of a task for a device (or a bot process). The recipe came before, by its hash."""

    task_id: str
    run_id: str
    token: Token
    attempt: int
    device_serial: str
    workflow: str
    """``name@version``, for people."""
    recipe_hash: str
    params: dict[str, Any]
    trace_id: str
    timeout_s: float
    """Time for the whole task, counted from its start."""
    step_timeouts_s: dict[str, float] = {}
    """The run's overrides, by step id."""
    begin_within_s: float | None = None
    """Not begun this long after receipt: expired."""
    created_at_ms: int = 0
    files: list[FilePin] = []
    """Stored files that its steps may ask for."""


class Dispatches(msgspec.Struct, frozen=True, array_like=True):
    """Body of DISPATCH: the order is the order of the devices' FIFOs."""

    dispatches: list[Dispatch]


class Recipe(Message, frozen=True, kw_only=True):
    """Body of RECIPE: a resolved workflow, sent once a connection before the first Dispatch that names it."""

    recipe_hash: str
    body: bytes
    """The stored JSON of the workflow (doai.workflow.model reads it)."""


class TaskRef(msgspec.Struct, frozen=True, array_like=True):
    """A task under a token."""

    task_id: str
    token: Token


class Cancels(msgspec.Struct, frozen=True, array_like=True):
    """Body of CANCEL: stop these, after their `always` steps."""

    tasks: list[TaskRef]


class Releases(msgspec.Struct, frozen=True, array_like=True):
    """Body of RELEASE: drop these at once, they belong to somebody else or have ended."""

    tasks: list[TaskRef]


class HoldingState(enum.Enum):
    """What a node says of a task it holds."""

    WAITING = "waiting"
    RUNNING = "running"


class Holding(msgspec.Struct, frozen=True, array_like=True):
    """One task that a node holds."""

    task_id: str
    token: Token
    state: HoldingState


class Holdings(Message, frozen=True, kw_only=True):
    """Body of HOLDINGS: after WELCOME, everything the node holds; the broker sends the difference."""

    tasks: list[Holding]
    as_of_seq: int
