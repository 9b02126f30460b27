"""Dead letters in a world: a person decides about some, poison comes, and what must hold of them (steps 2, 12)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final
from unittest import mock

import msgspec

from doai.broker.core.results import Results
from doai.changes.dead_letters import DeadLetterKind, DeadReason
from doai.incidents import IncidentType
from doai.messages import dead_letters as d
from doai.messages.commands import Reply
from doai.states import GAVE_UP, DeadLetterState
from doai.store.memory import MemoryTables
from tests.sim.admin import AdminProcess
from tests.sim.janitor import was_removed
from tests.sim.world import Violation, World

POISON: Final = "poison"
"""A device of this serial makes the handler fail, after it has changed memory."""


class Letters:
    """A person who looks at dead letters now and then."""

    def __init__(self, world: World, admin: AdminProcess, tables: Callable[[], MemoryTables]) -> None:
        self._world = world
        self._tables = tables
        self._admin = admin
        self.poison: set[tuple[str, str, int]] = set()
        """Node, life and place of every message that nothing can be made of."""

    def decide(self) -> bool:
        """Retry or discard some, or ask for what can not be."""
        random = self._world.random
        which = random.choice(
            (
                d.LetterFilter(),
                d.LetterFilter(kind="task"),
                d.LetterFilter(kind="message"),
                d.LetterFilter(workflow=random.choice(("look", "tap@1", "walk", "nope"))),
                d.LetterFilter(error_class=random.choice(("device", "app", "infrastructure"))),
                d.LetterFilter(ids=["no-such-letter"]),
                d.LetterFilter(bot=random.choice(("helper", "builder/log", "robot"))),
                d.LetterFilter(kind="event"),
                self._named(),
                self._named(),
            )
        )
        everything = random.random() < 0.5
        if random.random() < 0.6:
            wish = d.RetryDeadLetters(which=which, everything=everything)
            self._admin.command(d.RETRY_DEAD_LETTERS, wish, _nothing)
        else:
            self._discard(d.DiscardDeadLetters(which=which, everything=everything, reason="sim"))
        return True

    def _named(self) -> d.LetterFilter:
        """Some that are open, or were when the list was read; now and then not those that the rest of it means."""
        random = self._world.random
        ids = [row.letter_id for row in self._tables().dead_letters.values() if row.state is DeadLetterState.OPEN]
        named = random.sample(ids, min(len(ids), random.choice((1, 2, 5))))
        return d.LetterFilter(ids=named, kind=random.choice(("", "", "task", "message")))

    def _discard(self, wish: d.DiscardDeadLetters) -> None:
        def told(payload: Any, reply: Reply) -> None:
            if reply.problem is None and reply.result is not None:
                first = msgspec.convert(reply.result, d.DeadLettersDiscarded)
                if first.left and self._world.random.random() < 0.8:
                    sure = msgspec.structs.replace(wish, confirm=first.confirm)
                    self._admin.command(d.DISCARD_DEAD_LETTERS, sure, _nothing)

        self._admin.command(d.DISCARD_DEAD_LETTERS, wish, told)


def check_letters(tables: MemoryTables, poison: set[tuple[str, str, int]], *, exactly: bool) -> None:
    """Every task that gave up and every message that nothing can be made of has one letter, nothing else has.

    ``exactly`` is not to be expected of messages after a restore: their streams were told anew.
    """
    gave_up = {row.task_id for row in tables.tasks.values() if row.status.state in GAVE_UP}
    letters = [row for row in tables.dead_letters.values() if row.kind is DeadLetterKind.TASK]
    # Retention removes a task whose letter is settled, and leaves the letter.
    told = [
        row.task_id
        for row in letters
        if row.state is DeadLetterState.OPEN or not was_removed(tables, "task", row.task_id)
    ]
    if sorted(gave_up) != sorted(told):
        odd = next(iter(gave_up.symmetric_difference(told)), "")
        message = f"{len(gave_up)} tasks gave up, {len(told)} dead letters tell of tasks"
        raise Violation("dead_letter", message, odd)
    taken = {(name, incarnation): row.last_seq for (name, _, incarnation), row in tables.streams.items()}
    messages = [row for row in tables.dead_letters.values() if row.kind is DeadLetterKind.MESSAGE]
    places = [(row.node_id, row.incarnation, row.seq) for row in messages]
    if len(set(places)) != len(places):
        raise Violation("dead_letter", "a message has two dead letters")
    _check_counted(tables, [place for place in poison if place[2] <= taken.get(place[:2], 0)], set(places))
    # A greeting that was lost leaves what follows it to the life that the stranger had named before.
    sent = {(name, seq) for name, _, seq in poison}
    odd_places = [place for place in places if place not in poison and (place[0], place[2]) not in sent]
    if exactly and odd_places:
        raise Violation("dead_letter", f"{odd_places} have dead letters and can be handled")
    for row in messages:
        if row.reason is DeadReason.HANDLER_FAILED and POISON not in row.message:
            raise Violation("handler_failed", row.message, row.node_id)
    for row in tables.dead_letters.values():
        if row.kind is DeadLetterKind.EVENT:
            continue  # it is given again, and no other task stands for it
        if (row.state is DeadLetterState.RETRIED) != bool(row.retried_as):
            raise Violation("dead_letter", f"{row.letter_id} is {row.state.value} as {row.retried_as!r}")
        made = row.retried_as in tables.tasks or was_removed(tables, "task", row.retried_as)
        if row.retried_as and not made:
            raise Violation("dead_letter", f"{row.letter_id} is tried again as a task that is none")


def _check_counted(
    tables: MemoryTables, poison: list[tuple[str, str, int]], places: set[tuple[str, str, int]]
) -> None:
    """What was taken and has no letter is counted by incidents; what came under another life is counted too."""
    without = Counter(place[0] for place in poison if place not in places)
    counted: Counter[str] = Counter()
    for row in tables.incidents.values():
        if row.type is IncidentType.MESSAGES_NOT_KEPT:
            counted[row.subject.removeprefix("node/")] += row.affected
    if not without <= counted:
        message = f"messages were taken and have no dead letter: {dict(without)}, counted are {dict(counted)}"
        raise Violation("dead_letter", message)


@contextmanager
def poisoned_handler() -> Iterator[None]:
    """Let the broker's handler fail on a device of the serial `POISON`, half way."""
    online = Results._device_online

    def failing(self: Results, decision: Any, peer: Any, envelope: Any, body: Any) -> None:
        online(self, decision, peer, envelope, body)
        if POISON.encode() in bytes(envelope.payload):
            raise KeyError(POISON)

    with mock.patch.object(Results, "_device_online", failing):
        yield


def _nothing(payload: Any, reply: Reply) -> None:
    """An answer of which nothing follows."""
