"""A node's file in memory, for the simulator and for tests: same promises as the real one (steps 6, 10)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from doai import limits
from doai.changes.outbox import (
    AppendFact,
    DropHeld,
    DropRecipe,
    HeldRow,
    OutboxOp,
    OutboxState,
    PutEpoch,
    PutHeld,
    PutProgress,
    PutRecipe,
    PutStoreId,
    RenewIncarnation,
    TrimFacts,
)
from doai.errors import LocalProtocolError, StoreError, StoreUnavailable
from doai.ids import Token


class MemoryOutboxFile:
    """What is "on disk". Read it freely; only a `MemoryOutbox` changes it. `copy()` it to clone a node's disk."""

    def __init__(self, incarnation: str) -> None:
        self.incarnation = incarnation
        self.epoch = 0
        self.store_id = ""
        self.trimmed_seq = 0
        self.facts: dict[int, AppendFact] = {}
        """Unacknowledged facts by seq, ascending."""
        self.kept: list[AppendFact] = []
        """Acknowledged results, oldest first; their seq means nothing."""
        self.held: dict[tuple[str, Token], HeldRow] = {}
        self.recipes: dict[str, bytes] = {}
        self.held_by: MemoryOutbox | None = None
        """The lock: the outbox that has this file open."""

    @property
    def highest_seq(self) -> int:
        """Place of the newest fact ever appended in this incarnation."""
        return next(reversed(self.facts)) if self.facts else self.trimmed_seq

    def copy(self) -> MemoryOutboxFile:
        """Return the file as it is now, not open anywhere."""
        other = MemoryOutboxFile(self.incarnation)
        other.epoch, other.store_id, other.trimmed_seq = self.epoch, self.store_id, self.trimmed_seq
        other.facts, other.kept = dict(self.facts), list(self.kept)
        other.held, other.recipes = dict(self.held), dict(self.recipes)
        return other


class MemoryOutbox:
    """The node's file over a `MemoryOutboxFile`; see doai.store.outbox for the meaning."""

    def __init__(self, file: MemoryOutboxFile) -> None:
        if file.held_by is not None:
            raise StoreUnavailable("this file is open in another outbox: close it first", code="store_locked")
        file.held_by = self
        self._file = file
        self._failed = False

    log_bytes: int = 0

    def checkpoint(self) -> None:
        """Nothing to copy."""

    def close(self) -> None:
        if self._file.held_by is self:
            self._file.held_by = None

    def load(self) -> OutboxState:
        self._check_open()
        f = self._file
        return OutboxState(
            incarnation=f.incarnation,
            epoch=f.epoch,
            store_id=f.store_id,
            highest_seq=f.highest_seq,
            trimmed_seq=f.trimmed_seq,
            records=len(f.facts),
            held=sorted(f.held.values(), key=lambda row: (row.order, row.task_id, row.token)),
            recipes=dict(sorted(f.recipes.items())),
        )

    def read_facts(self, after_seq: int, limit_records: int, limit_bytes: int) -> list[tuple[int, bytes]]:
        self._check_open()
        facts: list[tuple[int, bytes]] = []
        size = 0
        for seq in range(max(after_seq, self._file.trimmed_seq) + 1, self._file.highest_seq + 1):
            envelope = self._file.facts[seq].envelope
            size += len(envelope)
            if len(facts) >= limit_records or (facts and size > limit_bytes):
                break
            facts.append((seq, envelope))
        return facts

    def commit(self, ops: Sequence[OutboxOp]) -> None:
        self._check_open()
        # Every single op checks before it changes, so what was before is needed only where a later one may not fit.
        before = self._file.copy() if len(ops) > 1 and not self._fits(ops) else None
        try:
            for op in ops:
                _APPLY[type(op)](self, op)
        except StoreError:
            self._failed = True
            if before is not None:
                before.held_by = self
                self._file.__dict__.update(before.__dict__)
            raise

    def _check_open(self) -> None:
        if self._failed:
            raise LocalProtocolError("a commit of this outbox failed: exit and reload")
        if self._file.held_by is not self:
            raise LocalProtocolError("this outbox is closed")

    def _fits(self, ops: Sequence[OutboxOp]) -> bool:
        """Whether these follow each other and the file; a False may be wrong."""
        highest_seq = self._file.highest_seq
        for op in ops:
            kind = type(op)
            if kind is AppendFact and op.seq == highest_seq + 1:  # type: ignore[union-attr]
                highest_seq += 1
            elif kind in (AppendFact, RenewIncarnation) or (kind is TrimFacts and op.seq > highest_seq):  # type: ignore[union-attr]
                return False
        return True

    def _append(self, op: AppendFact) -> None:
        if op.seq != self._file.highest_seq + 1:
            raise StoreError(f"fact {op.seq}, the next one is {self._file.highest_seq + 1}")
        self._file.facts[op.seq] = op

    def _trim(self, op: TrimFacts) -> None:
        if op.seq > self._file.highest_seq:
            raise StoreError(f"facts up to {op.seq} can not be trimmed: the newest is {self._file.highest_seq}")
        for seq in range(self._file.trimmed_seq + 1, op.seq + 1):
            fact = self._file.facts.pop(seq)
            if fact.is_result:
                self._file.kept.append(fact)
        del self._file.kept[: -limits.RESULTS_KEPT]
        self._file.trimmed_seq = max(self._file.trimmed_seq, op.seq)

    def _renew(self, op: RenewIncarnation) -> None:
        f = self._file
        self._trim(TrimFacts(min(op.keep_after_seq, f.highest_seq)))
        again = (f.kept if op.with_results else []) + list(f.facts.values())
        if op.with_results:
            f.kept = []
        f.facts = {n: AppendFact(n, fact.envelope, fact.is_result) for n, fact in enumerate(again, 1)}
        f.incarnation, f.epoch, f.trimmed_seq = op.incarnation, 0, 0

    def _put_held(self, op: PutHeld) -> None:
        self._file.held[op.row.task_id, op.row.token] = op.row

    def _put_progress(self, op: PutProgress) -> None:
        row = self._file.held.get((op.task_id, op.token))
        if row is not None:
            self._file.held[op.task_id, op.token] = msgspec.structs.replace(
                row, state=op.state, step_begun=op.step_begun, repeatable=op.repeatable
            )

    def _put_epoch(self, op: PutEpoch) -> None:
        self._file.epoch = op.epoch

    def _put_store_id(self, op: PutStoreId) -> None:
        self._file.store_id = op.store_id

    def _put_recipe(self, op: PutRecipe) -> None:
        self._file.recipes[op.recipe_hash] = op.body

    def _drop_held(self, op: DropHeld) -> None:
        self._file.held.pop((op.task_id, op.token), None)

    def _drop_recipe(self, op: DropRecipe) -> None:
        self._file.recipes.pop(op.recipe_hash, None)


_APPLY: Final[dict[type, Callable[[MemoryOutbox, Any], None]]] = {
    AppendFact: MemoryOutbox._append,
    TrimFacts: MemoryOutbox._trim,
    PutHeld: MemoryOutbox._put_held,
    PutProgress: MemoryOutbox._put_progress,
    DropHeld: MemoryOutbox._drop_held,
    PutRecipe: MemoryOutbox._put_recipe,
    DropRecipe: MemoryOutbox._drop_recipe,
    PutEpoch: MemoryOutbox._put_epoch,
    PutStoreId: MemoryOutbox._put_store_id,
    RenewIncarnation: MemoryOutbox._renew,
}
