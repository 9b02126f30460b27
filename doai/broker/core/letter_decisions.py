"""What a person decides about dead letters: to try tasks again as new ones, or that they are done with (step 2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from doai import topics
from doai.broker.core.confirmations import Confirmations, select
from doai.broker.core.dead_letters import DeadLetters
from doai.broker.core.decision import Decision
from doai.broker.core.event_letters import EventLetters
from doai.broker.core.runs import Runs
from doai.broker.core.state import State
from doai.broker.core.terms import REASON_CHARS_MAX, actor_of
from doai.changes.dead_letters import DeadLetterKind, DeadLetterRow, SettleDeadLetter
from doai.changes.rows import RunRow
from doai.envelope import Envelope, Message
from doai.errors import ConflictError, DoaiError, NotFoundError, UserError
from doai.limits import DEAD_LETTERS_AT_ONCE
from doai.messages.commands import CreateRun, TargetKind, Targets
from doai.messages.dead_letters import (
    DeadLetterDiscarded,
    DeadLetterRetried,
    DeadLettersDiscarded,
    DeadLettersRetried,
    DiscardDeadLetters,
    LetterFilter,
    RetryDeadLetters,
)
from doai.states import DEAD_LETTER_TABLE, DeadLetterTrigger, move
from doai.workflow.mistakes import did_you_mean

_SUBJECT: Final = "dead letters"
REFUSED_NAMED_MAX: Final = 20
"""Sentences about runs that can not be made again; a person mends the first ones and asks again."""


class LetterDecisions:
    """Retries and discards."""

    def __init__(
        self,
        state: State,
        letters: DeadLetters,
        runs: Runs,
        confirmations: Confirmations,
        events: EventLetters,
    ) -> None:
        self._state = state
        self._confirmations = confirmations
        self._letters = letters
        self._runs = runs
        self._events = events

    def retry(self, decision: Decision, command: Envelope, wish: RetryDeadLetters) -> DeadLettersRetried:
        """Try tasks again. Runs that can not be made are told, the others are made."""
        rows = self._meant(wish.which, everything=wish.everything)
        tasks = [row for row in rows if row.kind is DeadLetterKind.TASK]
        events = [row for row in rows if row.kind is DeadLetterKind.EVENT]
        if not tasks and not events and rows:
            raise ConflictError(
                f"{rows[0].letter_id} is a message: what it told is past and can not be tried again; discard it "
                "when it is understood",
                code="not_retryable",
            )
        given, refused = self._give_again(decision, command, events[:DEAD_LETTERS_AT_ONCE])
        retried = self.retry_rows(decision, command, tasks[: max(0, DEAD_LETTERS_AT_ONCE - len(events))])
        return msgspec.structs.replace(
            retried,
            retried=retried.retried + given,
            refused=[*refused, *retried.refused][:REFUSED_NAMED_MAX],
            left=max(0, len(tasks) + len(events) - DEAD_LETTERS_AT_ONCE),
        )

    def _give_again(
        self, decision: Decision, command: Envelope, rows: list[DeadLetterRow]
    ) -> tuple[int, list[str]]:
        """Let events be given again to the subscriptions that gave them up."""
        refused = []
        for row in rows:
            why_not = self._events.again(decision, row)
            if why_not:
                refused.append(why_not)
                continue
            told = DeadLetterRetried(
                letter_id=row.letter_id,
                task_id="",
                run_id="",
                retried_as="",
                retried_run="",
                actor=actor_of(command),
            )
            self._settle(decision, command, row, DeadLetterTrigger.RETRY, topics.DEADLETTER_RETRIED, told)
        return len(rows) - len(refused), refused

    def retry_rows(self, decision: Decision, command: Envelope, rows: list[DeadLetterRow]) -> DeadLettersRetried:
        """Try the tasks of these open letters again."""
        run_ids, refused, retried = [], [], 0
        for group in _groups(rows):
            try:
                run_ids.append(self._retry_group(decision, command, group))
            except DoaiError as error:
                refused.append(f"run {group[0].run_id} ({group[0].workflow}) can not be made again: {error}")
            else:
                retried += len(group)
        self._letters.settled(decision)
        return DeadLettersRetried(retried=retried, run_ids=run_ids, refused=refused[:REFUSED_NAMED_MAX])

    def discard(self, decision: Decision, command: Envelope, wish: DiscardDeadLetters) -> DeadLettersDiscarded:
        """Be done with them, on the second time: the first tells how many they are, and what confirms it."""
        rows = self._meant(wish.which, everything=wish.everything)
        actor, reason = actor_of(command), wish.reason[:REASON_CHARS_MAX]
        selection = select(row.letter_id for row in rows)
        if not wish.confirm:
            confirm = self._confirmations.ask(decision, command, _SUBJECT, selection)
            return DeadLettersDiscarded(discarded=0, left=len(rows), confirm=confirm)
        self._confirmations.use(decision, command, _SUBJECT, selection, wish.confirm)
        for row in rows[:DEAD_LETTERS_AT_ONCE]:
            told = DeadLetterDiscarded(
                letter_id=row.letter_id, actor=actor, task_id=row.task_id, run_id=row.run_id, reason=reason
            )
            self._settle(decision, command, row, DeadLetterTrigger.DISCARD, topics.DEADLETTER_DISCARDED, told)
        self._letters.settled(decision)
        done = min(len(rows), DEAD_LETTERS_AT_ONCE)
        return DeadLettersDiscarded(discarded=done, left=len(rows) - done)

    # --- which --------------------------------------------------------------------------------------------

    def _meant(self, which: LetterFilter, *, everything: bool) -> list[DeadLetterRow]:
        """Return the open letters that are meant, oldest first; raises for a mistake in it."""
        letters = self._state.letters
        if which == LetterFilter() and not everything:
            raise UserError("no dead letter is named: give ids or a filter, or say that all are meant")
        fits = _condition(which)
        if not which.ids:
            return [row for row in letters.rows.values() if fits(row)]
        found: dict[str, DeadLetterRow] = {}
        for name in which.ids:
            row = letters.find(name)
            if row is None:
                raise NotFoundError(
                    f"there is no open dead letter {name[:40]!r}: it was decided about or never was; "
                    f"{did_you_mean(name, letters.rows)}",
                    code="dead_letter_not_found",
                )
            if fits(row):
                found[row.letter_id] = row
        return list(found.values())

    # --- again --------------------------------------------------------------------------------------------

    def _retry_group(self, decision: Decision, command: Envelope, group: list[DeadLetterRow]) -> str:
        letters = self._state.letters
        run = letters.run(group[0])
        made = self._runs.create(decision, command, _again(run, group), campaign=run.campaign)
        tasks = list(self._state.runs[made.run_id].open.values())
        for row, task in zip(group, tasks, strict=True):
            told = DeadLetterRetried(
                letter_id=row.letter_id,
                task_id=row.task_id,
                run_id=row.run_id,
                retried_as=task.task_id,
                retried_run=made.run_id,
                actor=actor_of(command),
            )
            self._settle(
                decision, command, row, DeadLetterTrigger.RETRY, topics.DEADLETTER_RETRIED, told, task.task_id
            )
        return made.run_id

    def _settle(
        self,
        decision: Decision,
        command: Envelope,
        row: DeadLetterRow,
        trigger: DeadLetterTrigger,
        event_type: str,
        told: Message,
        retried_as: str = "",
    ) -> None:
        state = move(DEAD_LETTER_TABLE, row.state, trigger, f"dead letter {row.letter_id}")
        actor = actor_of(command)
        reason = told.reason if isinstance(told, DeadLetterDiscarded) else ""
        subject = topics.task_subject(row.task_id) if row.task_id else topics.node_subject(row.node_id)
        if row.kind is DeadLetterKind.EVENT:
            subject = topics.bot_subject(row.subscription.partition("/")[0])
        decision.event(event_type, subject, told, causation_id=command.event_id, actor=actor)
        decision.ops.append(SettleDeadLetter(row.letter_id, state, decision.now.utc_ms, actor, reason, retried_as))
        self._state.letters.drop(row)


def _condition(which: LetterFilter) -> Callable[[DeadLetterRow], bool]:
    wanted = {
        "kind": which.kind,
        "reason": which.reason,
        "code": which.code,
        "error_class": which.error_class,
        "run_id": which.run_id,
        "queue": which.queue,
        "device_serial": which.device,
        "node_id": which.node,
    }
    given = [(name, value) for name, value in wanted.items() if value]
    name, _, version = which.workflow.partition("@")

    def fits(row: DeadLetterRow) -> bool:
        for field, value in given:
            told = getattr(row, field)
            if (told.value if field in ("kind", "reason") else told) != value:
                return False
        if which.bot and row.subscription != which.bot and row.subscription.partition("/")[0] != which.bot:
            return False
        if not name:
            return True
        return row.workflow == which.workflow if version else row.workflow.partition("@")[0] == name

    return fits


def _groups(rows: list[DeadLetterRow]) -> Iterator[list[DeadLetterRow]]:
    """Those of one run together, none twice on a device."""
    groups: dict[tuple[str, int], list[DeadLetterRow]] = {}
    seen: dict[tuple[str, str], int] = {}
    for row in rows:
        key = row.run_id, row.device_serial
        seen[key] = seen.get(key, 0) + 1
        groups.setdefault((row.run_id, seen[key]), []).append(row)
    yield from groups.values()


def _again(run: RunRow, group: list[DeadLetterRow]) -> CreateRun:
    """Return what was asked for, for the tasks that gave up; it is looked at anew, as if somebody asked now."""
    targets = msgspec.json.decode(run.targets_body, type=Targets)
    if targets.kind in (TargetKind.ANY, TargetKind.BOT):
        targets = msgspec.structs.replace(targets, count=len(group))
    else:
        targets = Targets(kind=TargetKind.DEVICES, serials=[row.device_serial for row in group])
    return CreateRun(
        workflow=f"{run.workflow}@{run.version}",
        targets=targets,
        params=msgspec.json.decode(run.params_body),
        queue=run.queue,
        priority=run.priority,
        step_timeouts_s=msgspec.json.decode(run.step_timeouts_body),
        attempts=run.attempts_max,
        project=run.project,
    )
