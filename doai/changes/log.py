"""Slices of the event log, as a core asks a store for them and takes them (step 14)."""

from __future__ import annotations

import msgspec


class LoggedRow(msgspec.Struct, frozen=True, gc=False):
    """One event as it is in the log."""

    position: int
    type: str
    subject: str
    body: bytes
    """msgpack of its envelope."""


class LogRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Which part of the log: all of it after a position, or that of subjects, or single positions."""

    topics: list[str]
    """Patterns of types, one of which matches."""
    after: int = 0
    up_to: int
    """Nothing beyond this position."""
    rows_max: int
    """Rows looked through at most; of subjects, for each."""
    bytes_max: int
    """Bodies returned: the first one always fits."""
    since_ms: int = 0
    """Begin with the first event recorded at or after this time instead; 0 = with `after`."""
    subjects: list[tuple[str, int]] = []
    """Subjects, each with the first position that is wanted of it."""
    positions: list[int] = []


class LogSlice(msgspec.Struct, frozen=True, kw_only=True):
    """What is there, in the order of the log (of each subject)."""

    rows: list[LoggedRow]
    through: int = 0
    """The log was looked through up to here."""
    subjects: dict[str, int] = {}
    """Of subjects that were asked for: up to here each was looked through."""
