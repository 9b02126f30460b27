"""Payloads of the commands of retention, and of their answers (steps 1 and 3)."""

from __future__ import annotations

from doai.envelope import Message

PRUNE_STORE = "retention.prune"
RECORD_RETENTION = "retention.record"


class PruneStore(Message, frozen=True, kw_only=True):
    """Remove these, a small slice of what has ended; what is open is refused or stays. Answer: StorePruned."""

    tasks: list[str] = []
    """With their attempts and events."""
    ended_before_ms: int = 0
    """All of the tasks had ended before this time."""
    runs: list[str] = []
    """With their events; one that still has tasks stays."""
    artifacts: list[str] = []
    """Paths; the files are removed by who asks, after the answer."""
    events: list[int] = []
    """Positions; the newest event of the log stays."""
    audit_up_to: int = 0
    """Rows of the audit up to this number; 0 = none."""
    samples: list[str] = []
    """Serials of devices of whose samples goes what is older than the next two say."""
    sample_minute_before: int = 0
    """Since 1970; samples of minutes before go."""
    sample_hour_before: int = 0
    """The same of what hours of samples came to."""


class StorePruned(Message, frozen=True, kw_only=True):
    """Answer to PruneStore."""

    asked: int


class RecordRetention(Message, frozen=True, kw_only=True):
    """Remember that retention went through the store. Answer: RetentionRecorded."""

    began_at_ms: int
    tasks: int = 0
    runs: int = 0
    events: int = 0
    artifacts: int = 0
    audit: int = 0
    freed_bytes: int = 0
    problem: str = ""
    queue: str = ""
    """Only what had ended of this queue; empty = everything."""


class RetentionRecorded(Message, frozen=True, kw_only=True):
    """Answer to RecordRetention."""

    pass_id: str
