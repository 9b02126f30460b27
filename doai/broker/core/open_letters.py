"""Dead letters that wait for a person, as the core keeps them: without texts, and with their runs (step 12).

Some 0.8 KB each: 100,000 that nobody has decided about are 80 MB. Those of messages have a bound a node.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from doai.changes.dead_letters import DeadLetterKind, DeadLetterRow
from doai.changes.rows import RunRow
from doai.states import DeadLetterState

Place = tuple[str, str, int]
"""Node, life of its outbox, place in its stream."""


class OpenLetters:
    """By id: the oldest is first."""

    def __init__(self, rows: Sequence[DeadLetterRow], runs: Sequence[RunRow]) -> None:
        self.rows: dict[str, DeadLetterRow] = {}
        self.set_aside: set[Place] = set()
        """Messages whose letter was written before their streams went past them: they are not handled again."""
        self._by_task: dict[str, str] = {}
        self._runs: dict[str, RunRow] = {row.run_id: row for row in runs}
        self._of_run: dict[str, int] = {}
        """How many letters each run has."""
        self._messages_of: dict[str, int] = {}
        """How many letters of messages each node has."""
        for row in rows:
            if row.kind is DeadLetterKind.MESSAGE:
                self.set_aside.add((row.node_id, row.incarnation, row.seq))
            if row.state is DeadLetterState.OPEN:
                self._add(row)

    def __len__(self) -> int:
        return len(self.rows)

    def add(self, row: DeadLetterRow, run: RunRow | None = None) -> None:
        """Take a new one; ``run`` is that of a task."""
        if run is not None:
            self._runs.setdefault(run.run_id, run)
        self._add(row)

    def messages_of(self, node_id: str) -> int:
        """Return how many messages of a node wait for a person."""
        return self._messages_of.get(node_id, 0)

    def _add(self, row: DeadLetterRow) -> None:
        # The reader shows texts and bytes; a node may have told 60 KB of them.
        self.rows[row.letter_id] = msgspec.structs.replace(row, data=b"", message="")
        if row.kind is DeadLetterKind.MESSAGE:
            self._messages_of[row.node_id] = self.messages_of(row.node_id) + 1
        if row.task_id:
            self._by_task[row.task_id] = row.letter_id
            self._of_run[row.run_id] = self._of_run.get(row.run_id, 0) + 1

    def drop(self, row: DeadLetterRow) -> None:
        """A person has decided."""
        del self.rows[row.letter_id]
        if row.kind is DeadLetterKind.MESSAGE:
            self._messages_of[row.node_id] -= 1
        if row.task_id:
            self._by_task.pop(row.task_id, None)
            self._of_run[row.run_id] -= 1
            if not self._of_run[row.run_id]:
                del self._of_run[row.run_id], self._runs[row.run_id]

    def find(self, name: str) -> DeadLetterRow | None:
        """Return the open one with this id, or of the task with this id."""
        return self.rows.get(self._by_task.get(name, name))

    def run(self, row: DeadLetterRow) -> RunRow:
        """Return what was asked for with the task of a letter."""
        return self._runs[row.run_id]

    def takes_place(self, place: Place) -> bool:
        """Whether what comes at this place of a stream has its letter already; told once."""
        if place not in self.set_aside:
            return False
        self.set_aside.remove(place)
        return True
