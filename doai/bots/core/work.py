"""What a bot's handlers are called for, and what follows from their ends, as data (step 14)."""

from __future__ import annotations

import enum
from typing import Protocol

import msgspec

from doai.envelope import Envelope
from doai.errors import Failure
from doai.ids import Token
from doai.states import Outcome


class Cause(enum.Enum):
    """Why a handler runs."""

    EVENT = "event"
    SAMPLE = "sample"
    TIME = "time"
    TASK = "task"


class Delivered(msgspec.Struct, frozen=True):
    """An event at its place in the log."""

    position: int
    envelope: Envelope


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a handler."""

    handler: str
    cause: Cause
    subject: str
    """Of what; calls for one subject of one handler follow each other."""
    payload: msgspec.Raw | None = None
    """msgpack of the event, the sample or the task's parameters."""
    type: str = ""
    """Of the event or sample; the kind of the task."""
    event: Delivered | None = None
    task_id: str = ""
    run_id: str = ""
    token: Token | None = None
    attempt: int = 1
    """Counts tries of the same, from 1."""
    trace_id: str = ""
    timeout_s: float


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How a call ended."""

    problem: str = ""
    """One sentence; empty = it returned."""
    permanent: bool = False
    """Trying again would not help."""
    gave_back: bool = False
    """It was stopped because the bot stops: nothing is known of it, and it counts as no try."""
    outputs: msgspec.Raw | None = None
    """What a task's handler returned, as a msgpack map."""
    outcome: Outcome | None = None
    """Of a task, where it is neither passed nor failed."""
    failure: Failure | None = None
    """Why, as the handler said it; None = of `problem`."""


class Start(msgspec.Struct, frozen=True):
    """Call the handler; report its end under this number."""

    number: int
    work: Work


class Cut(msgspec.Struct, frozen=True):
    """Cancel this call; unless it returns all the same, it ended like this."""

    number: int
    ended: Ended


class Handled(msgspec.Struct, frozen=True):
    """The event is done with: the broker's cursor may pass it."""

    handler: str
    position: int


class GaveUp(msgspec.Struct, frozen=True):
    """The last try failed: the event becomes a dead letter of this subscription, and is done with."""

    handler: str
    position: int
    reason: str
    tries: int


class TaskEnded(msgspec.Struct, frozen=True):
    """Tell the broker how a task ended."""

    work: Work
    ended: Ended


class Note(msgspec.Struct, frozen=True):
    """A log line."""

    level: int
    message: str
    fields: dict[str, object] = {}


Effect = Start | Cut | Handled | GaveUp | TaskEnded | Note


class Source(Protocol):
    """Where calls come from: a subscription, a box of samples, a timer, tasks."""

    def take(self, now_s: float) -> Work | None:
        """Return the next call that may begin now, which counts as begun; None = there is none."""
        ...

    def ended(self, work: Work, ended: Ended, now_s: float, random01: float) -> list[Effect]:
        """Take the end of a call."""
        ...

    def due_s(self) -> float | None:
        """Return when there may be a call because time has passed; None = never by time alone."""
        ...
