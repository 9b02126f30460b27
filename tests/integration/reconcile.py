"""Checks a broker's store against what is promised, from outside: the table of states, the log, the files.

Read by SQL in a process of its own, not by the code under test. Everything that is wrong is collected, so that a
failed test tells the whole story.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import apsw
import msgspec

from doai import topics
from doai.codec import decode
from doai.envelope import Envelope
from doai.phone.journal import read_journal
from doai.states import TASK_TABLE, TERMINAL, TaskState, TaskTrigger

_S, _T = TaskState, TaskTrigger
TRIGGERS: Final = {
    topics.TASK_DISPATCHED: (_T.DISPATCH,),
    topics.TASK_STARTED: (_T.START,),
    topics.TASK_COMPLETED: (_T.PASS,),
    topics.TASK_FAILED: (_T.FAIL,),
    topics.TASK_CANCELLING: (_T.CANCEL,),
    topics.TASK_CANCELLED: (_T.CANCEL, _T.CONFIRM_CANCEL, _T.RELEASE, _T.EXPIRE),
    topics.TASK_EXPIRED: (_T.EXPIRE,),
    topics.TASK_UNKNOWN: (_T.GIVE_UP,),
    topics.TASK_RETRIED: (_T.RETRY,),
    topics.TASK_RELEASED: (_T.RELEASE,),
    topics.TASK_UNPROVEN: (_T.LOSE,),
    topics.TASK_PROVEN: (_T.PROVE, _T.PROVE_WAITING),
}
"""What an event of the log may have moved its task by; task.late moves nothing."""
ENDS: Final = {
    topics.TASK_COMPLETED: _S.PASSED,
    topics.TASK_FAILED: _S.FAILED,
    topics.TASK_CANCELLED: _S.CANCELLED,
    topics.TASK_EXPIRED: _S.EXPIRED,
    topics.TASK_UNKNOWN: _S.UNKNOWN,
}
Token = tuple[int, int]


class Event(msgspec.Struct, frozen=True):
    """One row of the log, its payload as a plain map."""

    position: int
    type: str
    subject: str
    recorded_at_ms: int
    payload: dict[str, Any]

    @property
    def token(self) -> Token:
        """Of what is told of an attempt."""
        generation, n = self.payload["token"]
        return int(generation), int(n)

    @property
    def tried(self) -> tuple[str, Token, str, int]:
        """(task, token, step, try) of what is told of a step."""
        p = self.payload
        return p["taskId"], self.token, p["stepId"], p["tryNumber"]


class Store:
    """The broker's database, read only; each question is a connection of its own."""

    def __init__(self, data_dir: Path, name: str = "broker.db") -> None:
        self.path = data_dir / "broker" / name
        self.artifacts_dir = data_dir / "broker" / "artifacts"

    def ask(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return the rows of one question."""
        connection = apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            connection.set_busy_timeout(5000)
            return list(connection.execute(sql, values))
        finally:
            connection.close()

    def events(self, *, after: int = 0, pattern: str = "*") -> list[Event]:
        """Return the log behind a position; the pattern is one of SQLite's GLOB."""
        rows = self.ask(
            "SELECT position, type, subject, recorded_at_ms, envelope FROM events "
            "WHERE position > ? AND type GLOB ? ORDER BY position",
            after,
            pattern,
        )
        return [
            Event(position, kind, subject, at_ms, decode(decode(body, Envelope).payload, dict[str, Any]))
            for position, kind, subject, at_ms, body in rows
        ]

    def states(self, run_id: str) -> Counter[TaskState]:
        """Count the tasks of a run by state."""
        rows = self.ask("SELECT state, count(*) FROM tasks WHERE run_id = ? GROUP BY state", run_id)
        return Counter({TaskState(state): count for state, count in rows})

    def ended(self, run_id: str) -> bool:
        """Whether the run is complete."""
        return self.ask("SELECT state FROM runs WHERE run_id = ?", run_id) == [("completed",)]

    def promised(self) -> dict[str, str]:
        """SHA-256 of every artifact that an upload step of any task handed over, by path."""
        outputs = [event.payload.get("outputs", {}) for event in self.events(pattern=topics.STEP_COMPLETED)]
        return {o["path"]: o["sha256"] for o in outputs if "path" in o and "sha256" in o}

    def stored(self) -> dict[str, str]:
        """SHA-256 of every stored artifact, by path."""
        return dict(self.ask("SELECT path, sha256 FROM artifacts"))


def reconcile(
    data_dir: Path,
    *,
    kills_ms: Mapping[str, Sequence[int]] | None = None,
    artifacts: bool = True,
    one_command: Collection[str] = (),
) -> list[str]:
    """Return everything that is wrong in a store whose runs have all ended.

    ``kills_ms``: when each node was killed (wall clock), to prove by the phones' journal that no try crossed one.
    ``artifacts``: whether all promised ones must be stored.
    ``one_command``: ids of steps that give a phone exactly one command a try, so that the journal counts them too.
    """
    store = Store(data_dir)
    events = store.events()
    wrong = _positions(events)
    wrong += _tasks(store, events)
    wrong += _runs(store, events)
    wrong += _tries(events)
    wrong += _files(store, events, all_promised=artifacts)
    wrong += _journal(store, data_dir, events, kills_ms or {}, one_command)
    [(check,)] = store.ask("PRAGMA integrity_check")
    if check != "ok":
        wrong.append(f"the database is damaged: {check}")
    return wrong


def _positions(events: list[Event]) -> list[str]:
    positions = [event.position for event in events]
    expected = list(range(1, len(positions) + 1))
    return [] if positions == expected else [f"positions are not 1 to {len(positions)}: {positions}"]


def _tasks(store: Store, events: list[Event]) -> list[str]:
    by_task: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        if event.subject.startswith("task/"):
            by_task[event.subject.removeprefix("task/")].append(event)
    rows = store.ask("SELECT task_id, state, attempt, token_generation, token_n FROM tasks")
    wrong = [f"task {task_id} has events and no row" for task_id in by_task.keys() - {row[0] for row in rows}]
    for task_id, state, attempt, *token in rows:
        told = by_task[task_id]
        wrong += [f"task {task_id}: {text}" for text in _task(TaskState(state), told)]
        wrong += [f"task {task_id}: {text}" for text in _attempts(store, task_id, attempt, token, told)]
    return wrong


def _task(state: TaskState, events: list[Event]) -> list[str]:
    wrong = [] if state in TERMINAL else [f"is {state.value}"]
    ends = [event.type for event in events if event.type in ENDS]
    if [ENDS[kind] for kind in ends] != [state]:
        wrong.append(f"is {state.value} and its ends in the log are {ends}")
    path = [event for event in events if event.type in TRIGGERS or event.type == topics.TASK_QUEUED]
    if not path or path[0].type != topics.TASK_QUEUED:
        return [*wrong, "does not begin with task.queued"]
    possible, token = {_S.QUEUED}, None
    for event in path[1:]:
        if event.type == topics.TASK_QUEUED:
            triggers: tuple[TaskTrigger, ...] = (_T.DUE,)
        else:
            triggers = TRIGGERS[event.type]
        if event.type == topics.TASK_DISPATCHED:
            token = event.token
        if event.type == topics.TASK_STARTED and event.token != token:
            continue  # of an attempt that is not the task's any more: told, and without effect
        after = {TASK_TABLE[s][t] for s in possible for t in triggers if t in TASK_TABLE[s]}
        if not after:
            words = "/".join(s.value for s in possible)
            return [*wrong, f"{event.type} at {event.position} while it was {words}"]
        possible = after
    return wrong if state in possible else [*wrong, f"is {state.value}, its events end in {possible}"]


def _attempts(store: Store, task_id: str, attempt: int, token: list[int | None], events: list[Event]) -> list[str]:
    rows = store.ask(
        "SELECT token_generation, token_n, attempt, outcome FROM attempts WHERE task_id = ? "
        "ORDER BY token_generation, token_n",
        task_id,
    )
    dispatched = [
        (event.token, event.payload["attempt"]) for event in events if event.type == topics.TASK_DISPATCHED
    ]
    wrong = []
    if dispatched != [((row[0], row[1]), row[2]) for row in rows]:
        wrong.append(f"dispatched {dispatched}, attempts in the store {rows}")
    if [t for t, _ in dispatched] != sorted({t for t, _ in dispatched}):
        wrong.append(f"tokens do not grow: {dispatched}")
    burned = 1
    for _, _, number, outcome in rows:
        if number != burned:
            wrong.append(f"attempt {number} where {burned} is next: {rows}")
        burned = number + (outcome is not None)
    if rows and attempt not in {rows[-1][2], rows[-1][2] + 1}:
        wrong.append(f"its row says attempt {attempt}, the last one was {rows[-1]}")
    if dispatched and tuple(token) not in {dispatched[-1][0], (None, None)}:
        wrong.append(f"its token {token} is not the last one, {dispatched[-1]}")
    return wrong


def _runs(store: Store, events: list[Event]) -> list[str]:
    wrong = []
    for run_id, state, outcome, tasks in store.ask("SELECT run_id, state, outcome, tasks FROM runs"):
        counts = {s.value: n for s, n in store.states(run_id).items()}
        told = [e.payload for e in events if e.type == topics.RUN_COMPLETED and e.payload["runId"] == run_id]
        if state != "completed" or len(told) != 1:
            wrong.append(f"run {run_id} is {state} and was completed {len(told)} times")
        elif told[0]["counts"] != counts or told[0]["outcome"] != outcome:
            wrong.append(f"run {run_id}: told {told[0]}, in the store {counts} and {outcome}")
        if sum(counts.values()) != tasks:
            wrong.append(f"run {run_id} has {counts}, made were {tasks}")
    return wrong


def _tries(events: list[Event]) -> list[str]:
    begun = Counter(event.tried for event in events if event.type == topics.STEP_STARTED)
    wrong = [f"{tried} began {count} times" for tried, count in begun.items() if count > 1]
    ended: Counter[Any] = Counter()
    seen: set[Any] = set()
    for event in events:
        if event.type == topics.STEP_STARTED:
            seen.add(event.tried)
        elif event.type in {topics.STEP_COMPLETED, topics.STEP_FAILED} and event.payload["tryNumber"] > 0:
            ended[event.tried] += 1
            if event.tried not in seen:
                wrong.append(f"{event.type} of {event.tried} before its start")
    return wrong + [f"{tried} ended {count} times" for tried, count in ended.items() if count > 1]


def _files(store: Store, events: list[Event], *, all_promised: bool) -> list[str]:
    stored = store.stored()
    told = Counter(event.payload["path"] for event in events if event.type == topics.ARTIFACT_STORED)
    wrong = [f"artifact.stored of {path} {n} times" for path, n in told.items() if n > 1]
    if set(told) != set(stored):
        wrong.append(f"artifact.stored and rows differ: {set(told) ^ set(stored)}")
    for path, sha256 in stored.items():
        file = store.artifacts_dir / path
        if not file.is_file():
            wrong.append(f"artifact {path} has a row and no file")
        elif hashlib.sha256(file.read_bytes()).hexdigest() != sha256:
            wrong.append(f"artifact {path} has other bytes than its row says")
    if all_promised:
        for path, sha256 in store.promised().items():
            if stored.get(path) != sha256:
                wrong.append(f"artifact {path} was promised as {sha256} and is stored as {stored.get(path)}")
    return wrong


def _journal(
    store: Store,
    data_dir: Path,
    events: list[Event],
    kills_ms: Mapping[str, Sequence[int]],
    one_command: Collection[str],
) -> list[str]:
    path = data_dir / "phones" / "journal.jsonl"
    if not path.exists():
        return []
    begun = {event.tried for event in events if event.type == topics.STEP_STARTED}
    # What was told between a backup and its restore is in the store that was replaced.
    for replaced in sorted(store.path.parent.glob(f"{store.path.name}.replaced-*Z")):
        begun |= {event.tried for event in Store(data_dir, replaced.name).events(pattern=topics.STEP_STARTED)}
    nodes = dict(store.ask("SELECT serial, node_id FROM devices"))
    sent: dict[Any, list[tuple[int, int]]] = defaultdict(list)
    kills_of: dict[Any, Sequence[int]] = {}
    for entry in read_journal(path):
        if entry.step is not None:
            generation, n = entry.step.token.split(".")
            tried = (entry.step.task_id, (int(generation), int(n)), entry.step.step_id, int(entry.step.try_number))
            sent[tried].append((entry.wall_ms, entry.connection))
            kills_of[tried] = kills_ms.get(nodes.get(entry.serial, ""), ())
    wrong = [f"a phone was commanded by {tried}, which the log never began" for tried in sent.keys() - begun]
    for tried, commands in sent.items():
        if _crosses(commands, kills_of[tried]):
            wrong.append(f"{tried} commanded a phone before and after a kill: {commands}, kills {kills_of[tried]}")
        if tried[2] in one_command and len(commands) > 1:
            wrong.append(f"{tried} commanded a phone {len(commands)} times: {commands}")
    done = {
        event.tried for event in events if event.type == topics.STEP_COMPLETED and not event.payload.get("skipped")
    }
    unseen = {tried for tried in done if tried[2] in one_command} - sent.keys()
    return wrong + [f"{tried} passed, and no phone was commanded by it" for tried in unseen]


def _crosses(commands: Sequence[tuple[int, int]], kills_ms: Sequence[int]) -> bool:
    """Whether the commands of one try, each (wall clock, connection), are of two lives of their node.

    The time alone does not tell: the last command of a killed node may still be on its way through its adb server
    and reach a slow phone afterwards. A new life stops that server and starts its own: its connections are others.
    """
    lives: dict[int, set[int]] = defaultdict(set)
    for at_ms, connection in commands:
        lives[sum(kill < at_ms for kill in kills_ms)].add(connection)
    began = lives[min(lives)]
    return any(connections - began for connections in lives.values())
