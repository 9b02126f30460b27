"""Payloads of what is decided about dead letters, and of their events (steps 2 and 12)."""

from __future__ import annotations

from typing import Final

from doai.envelope import Message

RETRY_DEAD_LETTERS: Final = "deadletter.retry"
DISCARD_DEAD_LETTERS: Final = "deadletter.discard"


class LetterFilter(Message, frozen=True, kw_only=True):
    """Which open dead letters: all that is given holds; what is empty is not asked for."""

    ids: list[str] = []
    """Of letters, or of tasks: each must be open."""
    kind: str = ""
    """``task`` or ``message``."""
    reason: str = ""
    code: str = ""
    error_class: str = ""
    run_id: str = ""
    workflow: str = ""
    """``name``, or ``name@version``."""
    queue: str = ""
    device: str = ""
    node: str = ""
    bot: str = ""
    """Of events that a bot gave up: its name, or ``name/subscription``."""


class RetryDeadLetters(Message, frozen=True, kw_only=True):
    """Try tasks that gave up again, each as a new one; those of one run in one run. Answer: DeadLettersRetried.

    A message can not be tried again: what it told is past.
    """

    which: LetterFilter = LetterFilter()
    everything: bool = False
    """Must be said where the filter is empty."""


class DeadLettersRetried(Message, frozen=True, kw_only=True):
    """Answer to RetryDeadLetters."""

    retried: int
    run_ids: list[str]
    """The new runs."""
    refused: list[str] = []
    """One sentence for each run of which no new one can be made; its letters stay."""
    left: int = 0
    """How many more are meant: ask again."""


class DiscardDeadLetters(Message, frozen=True, kw_only=True):
    """Nobody will try these again. Answer: DeadLettersDiscarded.

    Asked first without a confirmation it changes nothing, and answers with the one that these letters need.
    """

    which: LetterFilter = LetterFilter()
    everything: bool = False
    """Must be said where the filter is empty."""
    reason: str = ""
    confirm: str = ""
    """As answered to the same person about the same letters; for one use within five minutes, and void when
    one came or went meanwhile."""


class DeadLettersDiscarded(Message, frozen=True, kw_only=True):
    """Answer to DiscardDeadLetters."""

    discarded: int
    left: int = 0
    """How many more are meant."""
    confirm: str = ""
    """With this the first limits.DEAD_LETTERS_AT_ONCE of those that are left are discarded."""


class DeadLetterCreated(Message, frozen=True, kw_only=True):
    """A task or a message gave up and waits for a person."""

    letter_id: str
    kind: str
    """``task`` or ``message``."""
    reason: str
    """failed, unknown; of a message undecodable, unknown_type, forbidden_type, handler_failed."""
    code: str
    message: str
    """The last error."""
    node_id: str = ""
    device_serial: str = ""
    task_id: str = ""
    run_id: str = ""
    data_bytes: int = 0
    """Size of a message."""


class DeadLetterRetried(Message, frozen=True, kw_only=True):
    """A task that gave up is tried again, as another task."""

    letter_id: str
    task_id: str
    run_id: str
    retried_as: str
    """The new task."""
    retried_run: str
    actor: str


class DeadLetterDiscarded(Message, frozen=True, kw_only=True):
    """A person decided that it is not tried again."""

    letter_id: str
    actor: str
    task_id: str = ""
    run_id: str = ""
    reason: str = ""
