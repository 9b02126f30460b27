"""What a step implementation is and what it may use while it runs (step 8)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from doai.drivers.base import Device
from doai.errors import ErrorClass, Failure, StepError
from doai.messages.work import FilePin

EXCERPT_CHARACTERS_MAX: Final = 200
"""How much of what a device said goes into a sentence for a person: a line or two."""


class ArtifactRef(msgspec.Struct, frozen=True, kw_only=True):
    """A file that a step made, durably kept by the node until it is uploaded or dropped with its task."""

    name: str
    """Reference within the task, unique per step and try, e.g. ``shot-1.png``."""
    sha256: str
    size_bytes: int
    media_type: str
    path: str
    """Where it will be stored, relative to the artifacts folder."""


class StepContext(Protocol):
    """What one try of one step sees of its task."""

    @property
    def step_id(self) -> str:
        """With the steps around it, as ``login/shot``."""
        ...

    @property
    def run_id(self) -> str: ...

    @property
    def recipe(self) -> str:
        """Name of the workflow that has the step: that of the run, or one that it calls."""
        ...

    @property
    def device(self) -> Device:
        """The task's device; every command is tagged with task, token, step and try. One call at a time."""
        ...

    def using_device(self) -> AbstractContextManager[str]:
        """Tell that something outside of the driver uses the task's device; yields what adb calls it.

        When that is left by a cancel, nobody knows what became of it. Raises StepError as a device command does.
        """
        ...

    async def keep_artifact(
        self, data: bytes, *, extension: str, media_type: str, name: str | None = None
    ) -> ArtifactRef:
        """Write a file to the task's folder on the node; synced when it returns."""
        ...

    async def spool_artifact(self, reference: str) -> ArtifactRef:
        """Hand a kept file over for upload; durable when it returns, tried again until it is stored.

        Raises StepError (class user, code unknown_artifact) when the task has no such file.
        """
        ...

    def pinned(self, reference: str) -> FilePin | None:
        """Return what the run bound a reference to when it was made; None = there was no such file."""
        ...

    async def file(self, reference: str) -> Path:
        """Return where a stored file is on this node, fetched if need be; for reading, until the task ends.

        ``reference`` is a FileReference of the step's arguments, or a name that its StepType's ``files`` stand
        for. Raises StepError: ``file_not_pinned`` (class user, the run was made without such a file),
        ``file_too_large`` (class user), or one of class infrastructure when it can not be had now.
        """
        ...

    def add_to_failure(self, sentence: str) -> None:
        """Say what a person should know beside it, should the try now end by its time-out or by a cancel."""
        ...

    def log(self, message: str, /, **fields: object) -> None:
        """Write a log line with the ids of the task."""
        ...


StepFunction = Callable[[Any, StepContext], Awaitable[msgspec.Struct]]
"""Takes the decoded Arguments of its StepType and a context, returns its Outputs; raises StepError.

It may be cancelled at any await, never sleeps longer than its arguments say, reads no clock but
``trio.current_time()``, and puts no typed text into a message or a log line.
"""


def step_failed(
    error_class: ErrorClass, code: str, message: str, details: dict[str, Any] | None = None
) -> StepError:
    """Return the error a step raises: class, stable code, one sentence for a person, names for a program."""
    return StepError(Failure(error_class=error_class, code=code, message=message, details=details or {}))


def excerpt(text: str, characters_max: int = EXCERPT_CHARACTERS_MAX) -> str:
    """Return what a device said as part of a sentence: one line, printable, bounded; ``nothing`` when empty."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: characters_max * 4]).split())
    if not line:
        return "nothing"
    return line if len(line) <= characters_max else line[: characters_max - 3] + "..."
