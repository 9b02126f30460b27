"""Lists of tasks by filters, each walked by the index of its strongest one (step 14)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from doai.changes.rows import TaskRow
from doai.errors import UserError
from doai.limits import EVENTS_PAGE_MAX
from doai.states import TERMINAL, TaskState
from doai.store import columns
from doai.store.read_connections import Question, ReadConnections
from doai.store.views import Page

WALK_MAX: Final = 20_000
"""Tasks that one page looks through where no index has the filter, such as that of a node; some 30 ms."""

# Literally as in the schema: SQLite uses a partial index only where the question contains its condition.
_NOT_PASSED: Final = "state <> 'passed'"
_OPEN: Final = (
    "state <> 'passed' AND state IN ('queued', 'delayed', 'dispatched', 'running', 'unproven', 'cancelling')"
)
_TERMINAL: Final = tuple(state for state in TaskState if state in TERMINAL)


class TaskFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which tasks: all given conditions hold; None = any."""

    states: tuple[TaskState, ...] = ()
    """One of these; empty = any."""
    run_id: str | None = None
    device: str | None = None
    """Serial of the device."""
    node: str | None = None
    queue: str | None = None
    code: str | None = None
    """Of the failure."""
    since_ms: int | None = None
    """That ended then or later, ms since 1970 (UTC)."""
    until_ms: int | None = None
    """That ended before then."""

    @property
    def by_end(self) -> bool:
        """Whether only ended ones are wanted, by the time of their ends."""
        return self.since_ms is not None or self.until_ms is not None


class TaskReader:
    """Answers questions about many tasks, over the connections of a `StoreReader`."""

    def __init__(self, connections: ReadConnections, sql: Mapping[str, str]) -> None:
        self._connections = connections
        self._sql = sql

    async def page(self, which: TaskFilter, *, cursor: str | None = None, limit: int = 100) -> Page[TaskRow]:
        """Return tasks of one run by id, else the newest first; within a time the newest end first.

        A page may hold fewer than ``limit`` although more follow: go on at its cursor. Raises UserError for a bad
        limit or cursor.
        """
        if not 1 <= limit <= EVENTS_PAGE_MAX:
            raise UserError(f"a page has 1 to {EVENTS_PAGE_MAX} items, not {limit}", code="bad_limit")
        floor = await self._floor(which, cursor)
        asked = questions(self._sql, which, cursor, floor, limit + 1)
        answers = await self._connections.ask(*asked) if asked else []
        rows = [columns.task_row(c) for answer in answers for c in answer]
        if which.by_end:
            rows.sort(key=lambda row: (row.status.ended_at_ms or 0, row.task_id), reverse=True)
        elif len(answers) > 1:
            rows.sort(key=lambda row: row.task_id, reverse=which.run_id is None)
        if len(rows) <= limit:
            return Page(rows, floor)
        last = rows[limit - 1]
        return Page(rows[:limit], f"{last.status.ended_at_ms}.{last.task_id}" if which.by_end else last.task_id)

    async def _floor(self, which: TaskFilter, cursor: str | None) -> str | None:
        """Return the oldest task that this page looks at; None = it looks at all that there are."""
        if not _walks(which):
            return None
        given = [each for each in (which.queue, cursor) if each is not None]
        name = "oldest_of_walk" + ("_of_queue" if which.queue is not None else "")
        sql = self._sql[name + ("_before" if cursor is not None else "")]
        [answer] = await self._connections.ask((sql, [*given, WALK_MAX]))
        return str(answer[0][0]) if answer else None


def questions(
    sql: Mapping[str, str], which: TaskFilter, cursor: str | None, floor: str | None, limit: int
) -> list[Question]:
    """Return what is asked for a page: one question for each index or table that has part of it."""
    parts = [_question(sql["tasks"], which, part, cursor, floor, limit) for part in _parts(which)]
    may_have_ended = not which.states or any(state in TERMINAL for state in which.states)
    if which.device is not None and which.run_id is None and may_have_ended:
        ended = [("ended_at_ms IS NOT NULL", []), *_in(which.states), *_not_walked(which)]
        for name in ("tasks_of_device", "tasks_ended_lately"):
            text, bindings = _question(sql[name], which, ended, cursor, floor, limit, walked_id="filed_id")
            parts.append((text, [which.device, *bindings]))
    return parts


_Conditions = list[tuple[str, list[Any]]]


def _walks(which: TaskFilter) -> bool:
    """Whether a page goes through tasks of which the wanted ones may be few."""
    if which.run_id or which.device or which.code or which.by_end:
        return False
    return TaskState.PASSED in which.states or (which.node is not None and not which.states)


def _parts(which: TaskFilter) -> list[_Conditions]:
    """Return the conditions of each question to `tasks`. A plus keeps SQLite from walking another index."""
    rest = _not_walked(which)
    states = which.states
    if which.by_end:
        states = tuple(state for state in states or _TERMINAL if state in TERMINAL)
        if not states:
            return []
    if which.run_id is not None:
        return [[("run_id = ?", [which.run_id]), *_in(states), *rest]]
    if which.device is not None:
        is_open = not states or any(state not in TERMINAL for state in states)
        return [[("device_serial = ?", [which.device]), *_in(states), *rest, (_OPEN, [])]] if is_open else []
    if which.by_end:
        return [[("state = ?", [state.value]), *rest] for state in states]
    if which.code is not None:
        return [[("failure IS NOT NULL", []), *_in(states), *rest]]
    by_queue: _Conditions = [("queue = ?", [which.queue])] if which.queue is not None else []
    return [[*_by_state(state), *rest] for state in states if state is not TaskState.PASSED] + [
        [*by_queue, *_in((state,) if state else ()), *rest]
        for state in states or (None,)
        if state in (None, TaskState.PASSED)
    ]


def _not_walked(which: TaskFilter) -> _Conditions:
    """Return the filters that are looked at in each task on the way."""
    by_code = which.code is not None and not (which.run_id or which.device or which.by_end)
    filters: list[tuple[str, Any]] = [
        ("+device_serial = ?", which.device if which.run_id else None),
        ("+node_id = ?", which.node),
        ("+queue = ?", which.queue),
        (f"{'' if by_code else '+'}json_extract(failure, '$.code') = ?", which.code),
    ]
    return [(condition, [value]) for condition, value in filters if value is not None]


def _by_state(state: TaskState) -> _Conditions:
    return [("state = ?", [state.value]), (_NOT_PASSED, [])]


def _in(states: tuple[TaskState, ...]) -> _Conditions:
    if not states:
        return []
    return [(f"+state IN ({', '.join('?' for _ in states)})", [state.value for state in states])]


def _question(
    select: str,
    which: TaskFilter,
    parts: _Conditions,
    cursor: str | None,
    floor: str | None,
    limit: int,
    *,
    walked_id: str = "task_id",
) -> Question:
    conditions = list(parts)
    newest_first = which.run_id is None
    order = f"{walked_id} DESC" if newest_first else walked_id
    if which.by_end:
        plus = "+" if which.run_id or which.device else ""
        order = "ended_at_ms DESC, task_id DESC"
        conditions.append((f"{plus}ended_at_ms >= ?", [which.since_ms or 0]))
        if which.until_ms is not None:
            conditions.append((f"{plus}ended_at_ms < ?", [which.until_ms]))
        if cursor:
            at_ms, task_id = _place(cursor)
            conditions.append((f"{plus}ended_at_ms <= ?", [at_ms]))
            conditions.append(("(+ended_at_ms, +task_id) < (?, ?)", [at_ms, task_id]))
    elif cursor:
        conditions.append((f"{walked_id} {'<' if newest_first else '>'} ?", [cursor]))
    if floor is not None:
        conditions.append(("task_id >= ?", [floor]))
    text = " AND ".join(condition for condition, _ in conditions)
    bindings = [value for _, values in conditions for value in values]
    where = f"WHERE {text}\n" if text else ""
    return f"{select}\n{where}ORDER BY {order} LIMIT ?", [*bindings, limit]


def _place(cursor: str) -> tuple[int, str]:
    """Return the end and the id of the task behind which a page begins."""
    at_ms, _, task_id = cursor.partition(".")
    if not (at_ms.isascii() and at_ms.isdigit() and len(at_ms) < 17 and task_id):
        raise UserError("this cursor is none of ours: begin without one", code="bad_cursor")
    return int(at_ms), task_id
