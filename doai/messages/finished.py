"""Payloads of what operators want of a queue's ended work: to be rid of it, or to try it again (steps 1-3)."""

from __future__ import annotations

from typing import Final

from doai.envelope import Message
from doai.states import Outcome

CLEAN_QUEUE: Final = "queue.clean"
RETRY_FAILED: Final = "queue.retry_failed"


class CleanQueue(Message, frozen=True, kw_only=True):
    """Remove runs of a queue that ended before a time, each as a whole. Answer: QueueCleaned.

    Who asks has looked at the store and says what is meant. Without a confirmation nothing happens, and the answer
    has the one for these runs; with it the asker may remove them, in slices (retention.prune). Runs with a dead
    letter that is open are not among them.
    """

    name: str
    ended_before_ms: int
    outcomes: list[Outcome] = []
    """Of runs; none = any."""
    runs: int
    tasks: int
    """Of those runs."""
    digest: str
    """Of what was found: it differs when the next look finds others."""
    confirm: str = ""
    reason: str = ""


class QueueCleaned(Message, frozen=True, kw_only=True):
    """Answer to CleanQueue."""

    name: str
    ended_before_ms: int
    runs: int
    tasks: int
    """That would be, or are, removed."""
    done: bool
    """It was decided; they go slice by slice."""
    confirm: str
    """With this the same actor may do it, once, while nothing else is meant; empty when it is done."""
    confirm_within_s: float


class QueueCleanedEvent(Message, frozen=True, kw_only=True):
    """Payload of queue.cleaned: what ended in it is removed."""

    name: str
    ended_before_ms: int
    outcomes: list[Outcome]
    runs: int
    tasks: int
    reason: str
    actor: str


class RetryFailed(Message, frozen=True, kw_only=True):
    """Try tasks of a queue that gave up again, each as a new one: its open dead letters. Answer: FailedRetried.

    At most limits.RETRY_FAILED_AT_ONCE at a time: ask again with what was answered, while some are left. What fails
    again meanwhile is not among them.
    """

    name: str
    after: int = 0
    """What gave up until this position of the event log was looked at already."""
    up_to: int = 0
    """What gave up later than at this position is not meant; 0 = now."""


class FailedRetried(Message, frozen=True, kw_only=True):
    """Answer to RetryFailed."""

    name: str
    retried: int
    run_ids: list[str]
    """The new runs."""
    refused: list[str] = []
    """One sentence for each run of which no new one can be made; its letters stay."""
    left: int = 0
    """How many more are meant: ask again with `after` and `up_to`."""
    after: int = 0
    up_to: int = 0
