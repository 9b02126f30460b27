"""Dead letters in the memory store: the same answers as the SQL of the real one (steps 3, 13)."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from doai.changes.dead_letters import DeadLetterKind, DeadLetterRow, SettleDeadLetter
from doai.changes.rows import RunRow, StreamRow
from doai.errors import StoreError
from doai.states import DeadLetterState

Letters = Mapping[str, DeadLetterRow]


def kept_letters(letters: Letters, streams: Mapping[tuple[str, str, str], StreamRow]) -> list[DeadLetterRow]:
    """Return those that a core needs, by id, without their bytes."""
    taken = {(name, incarnation): row.last_seq for (name, _, incarnation), row in streams.items()}
    return [
        msgspec.structs.replace(row, data=b"")
        for _, row in sorted(letters.items())
        if row.state is DeadLetterState.OPEN
        or (row.kind is DeadLetterKind.MESSAGE and row.seq > taken.get((row.node_id, row.incarnation), row.seq))
    ]


def dead_runs(letters: Letters, runs: Mapping[str, RunRow]) -> list[RunRow]:
    """Return the runs of open letters, by id."""
    wanted = {row.run_id for row in letters.values() if row.state is DeadLetterState.OPEN}
    return [row for run_id, row in sorted(runs.items()) if run_id in wanted]


def settled_letter(letters: Letters, op: SettleDeadLetter) -> tuple[str, DeadLetterRow]:
    """Return a letter as it is decided now, with its key."""
    old = letters.get(op.letter_id)
    if old is None or old.state is not DeadLetterState.OPEN:
        raise StoreError(f"dead letter {op.letter_id} is not open: the core must not settle it")
    fields = {name: getattr(op, name) for name in SettleDeadLetter.__struct_fields__}
    return op.letter_id, msgspec.structs.replace(old, **fields)
