"""What every store offers, the real ones and their memory twins: load, commit, and room to tidy (steps 3, 13)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from doai.changes.log import LogRequest, LogSlice

OpT_contra = TypeVar("OpT_contra", contravariant=True)
StateT_co = TypeVar("StateT_co", covariant=True)


class Writer(Protocol[OpT_contra, StateT_co]):
    """The only writer of a store. Used from one thread at a time.

    `Writer[Op, Snapshot]` is the broker's store, `Writer[OutboxOp, OutboxState]` a node's own file.
    """

    def load(self) -> StateT_co:
        """Return all that a core needs to start. Raises StoreError."""
        ...

    def commit(self, ops: Sequence[OpT_contra]) -> None:
        """Put the ops on disk in one transaction, in their order; return when they survive a power cut.

        Raises StoreError for every failure, an op that contradicts what is stored included: the outcome is
        then unknown, the writer is not usable any more, and the process must exit, reload and recover.
        """
        ...

    @property
    def log_bytes(self) -> int:
        """Bytes that were committed and not yet copied to their place; what `checkpoint` would work through."""
        ...

    def checkpoint(self) -> None:
        """Copy what was committed to its place, so that the log can begin anew. Never in the commit path."""
        ...

    def close(self) -> None:
        """Let go of file and lock; may be called twice."""
        ...


class LogReader(Protocol):
    """Reads parts of the event log beside the writer. Used from one thread at a time, not always the same."""

    def read(self, request: LogRequest) -> LogSlice:
        """Return what is committed and asked for, in one short read transaction. Raises StoreError."""
        ...
