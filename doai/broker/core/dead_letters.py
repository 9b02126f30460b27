"""What gave up is kept with its reason until a person decides: written in the transaction of its end (step 12).

Tasks: every one that ends failed or unknown. Not those that were cancelled or expired: somebody wanted that.
Messages: what a node recorded and nothing can be made of. Their streams go on.
"""

from __future__ import annotations

import msgspec

from doai import topics
from doai.broker.core.decision import Decision
from doai.broker.core.state import State
from doai.broker.core.tables import Peer, Task
from doai.changes.dead_letters import DeadLetterKind, DeadLetterRow, DeadReason
from doai.changes.ops import InsertDeadLetter
from doai.changes.rows import RunRow
from doai.envelope import Envelope
from doai.limits import DEAD_LETTER_BYTES_KEPT, DEAD_LETTERS_ALERT, DEAD_LETTERS_CALM, MESSAGE_LETTERS_PER_NODE
from doai.messages.dead_letters import DeadLetterCreated
from doai.messages.events import SystemNotice
from doai.messages.link import Record
from doai.states import GAVE_UP


class DeadLetters:
    """Writes dead letters, and tells an operator when there are many."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._alerted = len(state.letters) > DEAD_LETTERS_ALERT
        self.not_kept = 0
        """Messages, since this core began, of which their node has too many letters already."""

    def task_ended(self, decision: Decision, task: Task) -> None:
        """Keep a task whose end was just decided, if it gave up."""
        if task.state not in GAVE_UP:
            return
        reason = DeadReason(task.state.value)
        failure, run = task.failure, task.run.row
        row = DeadLetterRow(
            letter_id=decision.new_id(),
            created_at_ms=decision.now.utc_ms,
            kind=DeadLetterKind.TASK,
            reason=reason,
            code=failure.code if failure is not None else reason.value,
            error_class=failure.error_class.value if failure is not None else "",
            message=failure.message if failure is not None else task.reason,
            node_id=task.node or "",
            device_serial=task.device.serial if task.device is not None else "",
            task_id=task.task_id,
            run_id=run.run_id,
            workflow=task.run.title,
            queue=run.queue,
            attempts=task.attempt,
        )
        self._create(decision, row, topics.task_subject(task.task_id), task.run.trace_id, run)

    def message(
        self, decision: Decision, peer: Peer, record: Record, reason: DeadReason, error: str, told: Envelope | None
    ) -> None:
        """Keep what a node recorded, while there are few of it; ``told`` is what could be read of it."""
        # A letter of a handler that failed is also what lets the stream go past it.
        full = self._state.letters.messages_of(peer.name) >= MESSAGE_LETTERS_PER_NODE
        if full and reason is not DeadReason.HANDLER_FAILED:
            self.not_kept += 1
            return
        data = bytes(record.envelope)
        row = DeadLetterRow(
            letter_id=decision.new_id(),
            created_at_ms=decision.now.utc_ms,
            kind=DeadLetterKind.MESSAGE,
            reason=reason,
            code=reason.value,
            message=error,
            node_id=peer.name,
            type=told.type[:100] if told is not None else "",
            incarnation=peer.stream.incarnation,
            seq=record.seq,
            data=data[:DEAD_LETTER_BYTES_KEPT],
            data_bytes=len(data),
        )
        trace_id = told.trace_id if told is not None else None
        self._create(decision, row, topics.node_subject(peer.name), trace_id, None)

    def event(self, decision: Decision, row: DeadLetterRow, subject: str) -> None:
        """Keep an event that a bot gave up."""
        self._create(decision, row, subject, None, None)

    def settled(self, decision: Decision) -> None:
        """A person has decided about some: tell when there are few again."""
        self._watch(decision)

    def _create(
        self, decision: Decision, row: DeadLetterRow, subject: str, trace_id: str | None, run: RunRow | None
    ) -> None:
        told = DeadLetterCreated(
            letter_id=row.letter_id,
            kind=row.kind.value,
            reason=row.reason.value,
            code=row.code,
            message=row.message,
            node_id=row.node_id,
            device_serial=row.device_serial,
            task_id=row.task_id,
            run_id=row.run_id,
            data_bytes=row.data_bytes,
        )
        position = decision.event(topics.DEADLETTER_CREATED, subject, told, trace_id=trace_id)
        row = msgspec.structs.replace(row, position=position)
        decision.ops.append(InsertDeadLetter(row))
        self._state.letters.add(row, run)
        if row.kind is DeadLetterKind.MESSAGE:
            decision.log("error", f"dead letter {row.letter_id}: {row.message}", {"node_id": row.node_id})
        elif row.kind is DeadLetterKind.EVENT:
            decision.log("error", f"dead letter {row.letter_id}: {row.message}")
        self._watch(decision)

    def _watch(self, decision: Decision) -> None:
        count = len(self._state.letters)
        if not self._alerted and count > DEAD_LETTERS_ALERT:
            text = f"{count} dead letters wait for a person: `doai dead list` shows them"
            self._tell(decision, "warning", "dead_letters", text)
        elif self._alerted and count <= DEAD_LETTERS_CALM:
            self._tell(decision, "info", "dead_letters_few", f"Only {count} dead letters wait for a person now")

    def _tell(self, decision: Decision, level: str, code: str, text: str) -> None:
        self._alerted = not self._alerted
        subject = self._state.settings.source
        decision.event(topics.SYSTEM_ALERT, subject, SystemNotice(code=code, message=text, subject=subject))
        decision.log(level, text)
