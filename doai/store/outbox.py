"""A node's own file on disk: facts on their way to the broker, and the tasks it holds (steps 6 and 10)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Protocol, cast

import apsw

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
from doai.errors import StoreError
from doai.ids import Token
from doai.messages.work import HoldingState
from doai.store.base import Writer
from doai.store.database import OUTBOX, Database, Row
from doai.store.sql_files import load_statements

_Key = tuple[str, Token]
_HOLDING_STATES: Final[dict[Any, HoldingState]] = {state.value: state for state in HoldingState}


class OutboxFile(Writer[OutboxOp, OutboxState], Protocol):
    """What a node needs of its file: a writer whose facts can be read again."""

    def read_facts(self, after_seq: int, limit_records: int, limit_bytes: int) -> list[tuple[int, bytes]]:
        """Return unacknowledged facts after a seq, in order, as (seq, envelope).

        At most ``limit_records``, and ``limit_bytes`` of envelopes, but one at least where there is one.
        """
        ...


def open_outbox(path: Path, *, new_incarnation: str, vfs: str | None = None) -> SqliteOutbox:
    """Open a node's file, or create it as ``new_incarnation``; raises as `open_writer` does."""
    database = Database(path, OUTBOX, vfs=vfs)
    try:
        return SqliteOutbox(database, new_incarnation=new_incarnation)
    except BaseException:
        database.close()
        raise


class SqliteOutbox:
    """`OutboxFile` over an SQLite file."""

    def __init__(self, database: Database, *, new_incarnation: str) -> None:
        self._database = database
        self._sql = load_statements(OUTBOX.folder, "statements")
        if not database.query(self._sql["load_meta"]):
            insert = self._sql["insert_meta"]
            database.transact(lambda connection: _execute(connection, insert, (new_incarnation,)))
        state = self.load()
        self._highest_seq = state.highest_seq
        self._trimmed_seq = state.trimmed_seq
        keys = cast(list[tuple[str, int, int]], database.query(self._sql["load_progress"]))
        self._begun: set[_Key] = {(task_id, Token(generation, n)) for task_id, generation, n in keys}
        """Tasks with a row in `progress`."""
        self._kept = int(database.query(self._sql["load_kept"], (state.trimmed_seq,))[0][0] or 0)

    @property
    def log_bytes(self) -> int:
        return self._database.log_bytes

    def checkpoint(self) -> None:
        self._database.checkpoint()

    def close(self) -> None:
        self._database.close()

    def load(self) -> OutboxState:
        with self._database.told_damage():
            return self._load()

    def _load(self) -> OutboxState:
        query, sql = self._database.query, self._sql
        [(incarnation, epoch, store_id, trimmed)] = query(sql["load_meta"])
        trimmed_seq = int(trimmed or 0)
        highest_seq = max(trimmed_seq, int(query(sql["load_highest"])[0][0] or 0))
        return OutboxState(
            incarnation=str(incarnation),
            epoch=int(epoch or 0),
            store_id=str(store_id),
            highest_seq=highest_seq,
            trimmed_seq=trimmed_seq,
            records=highest_seq - trimmed_seq,
            held=[_held_row(columns) for columns in query(sql["load_held"])],
            recipes=dict(cast(list[tuple[str, bytes]], query(sql["load_recipes"]))),
        )

    def read_facts(self, after_seq: int, limit_records: int, limit_bytes: int) -> list[tuple[int, bytes]]:
        size = 0

        def enough(row: Row) -> bool:
            nonlocal size
            first = size == 0
            size += len(cast(bytes, row[1]))
            return size > limit_bytes and not first

        bindings = (max(after_seq, self._trimmed_seq), limit_records)
        return cast(list[tuple[int, bytes]], self._database.query_until(self._sql["read_facts"], bindings, enough))

    def commit(self, ops: Sequence[OutboxOp]) -> None:
        self._database.transact(lambda connection: self._apply(connection, ops))

    def _apply(self, connection: apsw.Connection, ops: Sequence[OutboxOp]) -> None:
        # Facts are most of what is written, and nothing but trimming looks at them: one executemany a run of them.
        # Of a held task only the last word of a batch counts: a step's end and the next one's start are two.
        facts: list[AppendFact] = []
        held: dict[_Key, PutHeld | DropHeld] = {}
        progress: dict[_Key, PutProgress | PutHeld | DropHeld] = {}
        for op in ops:
            if isinstance(op, AppendFact):
                facts.append(op)
            elif isinstance(op, PutProgress):
                progress[op.task_id, op.token] = op
            elif isinstance(op, PutHeld):
                key = op.row.task_id, op.row.token
                held[key] = progress[key] = op
            elif isinstance(op, DropHeld):
                key = op.task_id, op.token
                held[key] = progress[key] = op
            else:
                if facts and isinstance(op, TrimFacts | RenewIncarnation):
                    self._append(connection, facts)
                    facts = []
                _APPLY[type(op)](self, connection, op)
        if facts:
            self._append(connection, facts)
        if progress:
            self._settle(connection, held, progress)

    def _append(self, connection: apsw.Connection, facts: list[AppendFact]) -> None:
        for seq, fact in enumerate(facts, self._highest_seq + 1):
            if fact.seq != seq:
                raise StoreError(f"fact {fact.seq}, the next one is {seq}")
        rows = [(fact.seq, fact.envelope, int(fact.is_result)) for fact in facts]
        connection.executemany(self._sql["append_fact"], rows)
        self._highest_seq += len(facts)

    def _trim(self, connection: apsw.Connection, op: TrimFacts) -> None:
        if op.seq > self._highest_seq:
            raise StoreError(f"facts up to {op.seq} can not be trimmed: the newest is {self._highest_seq}")
        if op.seq <= self._trimmed_seq:
            return
        _execute(connection, self._sql["trim_facts"], (self._trimmed_seq, op.seq))
        self._kept += op.seq - self._trimmed_seq - connection.changes()
        self._trimmed_seq = op.seq
        _execute(connection, self._sql["put_trimmed"], (op.seq,))
        if self._kept > limits.RESULTS_KEPT:
            _execute(connection, self._sql["drop_oldest_kept"], (op.seq, self._kept - limits.RESULTS_KEPT))
            self._kept = limits.RESULTS_KEPT

    def _renew(self, connection: apsw.Connection, op: RenewIncarnation) -> None:
        self._trim(connection, TrimFacts(min(op.keep_after_seq, self._highest_seq)))
        facts = list(connection.execute(self._sql["load_facts"]))
        kept = [] if op.with_results else [fact for fact in facts if fact[0] <= self._trimmed_seq]
        again = facts[len(kept) :]
        _execute(connection, self._sql["drop_facts"], ())
        rows = [(n, *fact[1:]) for n, fact in enumerate(kept, 1 - len(kept))]
        rows += [(n, *fact[1:]) for n, fact in enumerate(again, 1)]
        connection.executemany(self._sql["append_fact"], rows)
        _execute(connection, self._sql["renew_meta"], (op.incarnation,))
        self._kept = len(kept)
        self._trimmed_seq, self._highest_seq = 0, len(again)

    def _settle(
        self,
        connection: apsw.Connection,
        held: dict[_Key, PutHeld | DropHeld],
        progress: dict[_Key, PutProgress | PutHeld | DropHeld],
    ) -> None:
        """Write the last word on each task: on its row, and on how far it is."""
        told = {key: op for key, op in progress.items() if isinstance(op, PutProgress)}
        self._many(connection, "put_progress", [_told(op) for op in told.values()])
        self._begun.update(told)
        if held:
            over = [key for key in progress if key in self._begun and key not in told]
            self._many(connection, "drop_progress", [_key(key) for key in over])
            self._begun.difference_update(over)
            dropped = [_key(key) for key, op in held.items() if isinstance(op, DropHeld)]
            self._many(connection, "drop_held", dropped)
            put = [_held_columns(op.row) for op in held.values() if isinstance(op, PutHeld)]
            self._many(connection, "put_held", put)

    def _many(self, connection: apsw.Connection, name: str, rows: list[tuple[Any, ...]]) -> None:
        if rows:
            connection.executemany(self._sql[name], rows)


def _key(key: _Key) -> tuple[str, int, int]:
    task_id, token = key
    return (task_id, token.generation, token.n)


def _told(op: PutProgress) -> tuple[Any, ...]:
    return (
        op.task_id,
        op.token.generation,
        op.token.n,
        op.state.value,
        op.step_begun,
        int(op.repeatable),
    )


def _held_columns(row: HeldRow) -> tuple[Any, ...]:
    return (
        row.task_id,
        row.token.generation,
        row.token.n,
        row.order,
        row.dispatch_body,
        row.state.value,
        row.received_at_ms,
        row.step_begun,
        int(row.repeatable),
    )


def _execute(connection: apsw.Connection, sql: str, bindings: tuple[Any, ...]) -> None:
    connection.execute(sql, bindings)


def _held_row(c: tuple[Any, ...]) -> HeldRow:
    return HeldRow(
        task_id=c[0],
        token=Token(c[1], c[2]),
        order=c[3],
        dispatch_body=c[4],
        state=_HOLDING_STATES[c[5]],
        received_at_ms=c[6],
        step_begun=c[7],
        repeatable=bool(c[8]),
    )


_Apply = Callable[[SqliteOutbox, apsw.Connection, Any], None]


def _simply(name: str, bind: Callable[[Any], tuple[Any, ...]]) -> _Apply:
    """Apply an op with one statement."""

    def apply(outbox: SqliteOutbox, connection: apsw.Connection, op: Any) -> None:
        _execute(connection, outbox._sql[name], bind(op))

    return apply


_APPLY: Final[dict[type, _Apply]] = {
    TrimFacts: SqliteOutbox._trim,
    PutRecipe: _simply("put_recipe", lambda op: (op.recipe_hash, op.body)),
    DropRecipe: _simply("drop_recipe", lambda op: (op.recipe_hash,)),
    PutEpoch: _simply("put_epoch", lambda op: (op.epoch,)),
    PutStoreId: _simply("put_store_id", lambda op: (op.store_id,)),
    RenewIncarnation: SqliteOutbox._renew,
}
