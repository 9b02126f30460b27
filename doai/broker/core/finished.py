"""What has ended in a queue: removed for good, in two steps, or tried again (step 2).

The core keeps nothing of what has ended but its dead letters: what is to be removed is told by the admin, which has
looked at the store, and goes as retention's slices do. Nothing open is among it, whatever was told: each slice is
looked at again.
"""

from __future__ import annotations

from typing import Final

import msgspec

from doai import topics
from doai.broker.core.confirmations import KEPT_S, Confirmations, Selection
from doai.broker.core.decision import Decision
from doai.broker.core.letter_decisions import LetterDecisions
from doai.broker.core.queues import REASON_CHARS_MAX, find_queue
from doai.broker.core.state import State
from doai.broker.core.terms import actor_of
from doai.changes.dead_letters import DeadLetterKind
from doai.envelope import Envelope
from doai.errors import UserError
from doai.limits import CLEAN_AGE_MIN_S, RETRY_FAILED_AT_ONCE
from doai.messages.finished import CleanQueue, FailedRetried, QueueCleaned, QueueCleanedEvent, RetryFailed

DIGEST_CHARACTERS_MAX: Final = 64


class Finished:
    """Cleans queues, and tries what failed in them again."""

    def __init__(self, state: State, letters: LetterDecisions, confirmations: Confirmations) -> None:
        self._state = state
        self._letters = letters
        self._confirmations = confirmations

    def clean(self, decision: Decision, command: Envelope, wish: CleanQueue) -> QueueCleaned:
        """Say what would be removed, or, with the confirmation of that answer, let it be removed."""
        queue = find_queue(self._state, wish.name)
        youngest_ms = decision.now.utc_ms - round(CLEAN_AGE_MIN_S * 1000)
        if wish.ended_before_ms > youngest_ms:
            raise UserError(
                f"what ended less than {CLEAN_AGE_MIN_S / 60:.0f} minutes ago stays: somebody may be looking at it",
                code="too_young",
            )
        if min(wish.runs, wish.tasks) < 0 or len(wish.digest) > DIGEST_CHARACTERS_MAX:
            raise UserError(f"{wish.runs} runs with {wish.tasks} tasks can not be", code="bad_selection")
        subject = topics.queue_subject(queue.row.name)
        meant = f"{wish.digest} {wish.ended_before_ms} {sorted(outcome.value for outcome in wish.outcomes)}"
        selection = Selection(wish.runs, meant)
        answer = QueueCleaned(
            name=wish.name,
            ended_before_ms=wish.ended_before_ms,
            runs=wish.runs,
            tasks=wish.tasks,
            done=bool(wish.confirm),
            confirm="",
            confirm_within_s=0.0,
        )
        if not wish.confirm:
            token = self._confirmations.ask(decision, command, subject, selection)
            return msgspec.structs.replace(answer, confirm=token, confirm_within_s=KEPT_S)
        self._confirmations.use(decision, command, subject, selection, wish.confirm)
        told = QueueCleanedEvent(
            name=wish.name,
            ended_before_ms=wish.ended_before_ms,
            outcomes=wish.outcomes,
            runs=wish.runs,
            tasks=wish.tasks,
            reason=wish.reason[:REASON_CHARS_MAX],
            actor=actor_of(command),
        )
        decision.event(
            topics.QUEUE_CLEANED,
            subject,
            told,
            trace_id=command.trace_id,
            causation_id=command.event_id,
            actor=command.actor,
        )
        decision.changed(subject, {"runs": wish.runs, "tasks": wish.tasks}, told)
        decision.log("warning", f"{wish.runs} ended runs of queue {wish.name} are removed by {told.actor}")
        return answer

    def retry_failed(self, decision: Decision, command: Envelope, wish: RetryFailed) -> FailedRetried:
        """Try the next of what gave up in a queue again."""
        queue = find_queue(self._state, wish.name)
        name, up_to = queue.row.name, wish.up_to or decision.position
        meant = [
            row
            for row in self._state.letters.rows.values()
            if row.queue == name and row.kind is DeadLetterKind.TASK and wish.after < row.position <= up_to
        ]
        meant.sort(key=lambda row: row.position)  # ids follow a clock that may have been set back
        now = meant[:RETRY_FAILED_AT_ONCE]
        done = self._letters.retry_rows(decision, command, now)
        decision.changed(topics.queue_subject(name), {"gave_up": len(meant)}, done)
        return FailedRetried(
            name=name,
            retried=done.retried,
            run_ids=done.run_ids,
            refused=done.refused,
            left=len(meant) - len(now),
            after=now[-1].position if now else wish.after,
            up_to=up_to,
        )
