"""Two runs beside each other: what became of each phone in the one and in the other (step 14). Pure."""

from __future__ import annotations

import enum
from collections.abc import Iterable

import msgspec

from doai.changes.rows import TaskRow
from doai.states import TERMINAL, TaskState


class Change(enum.Enum):
    """What the second run says of a phone, seen from the first."""

    SAME = "same"
    """It ended the same way in both."""
    BETTER = "better"
    """It passed, and had not."""
    WORSE = "worse"
    """It had passed, and did not."""
    OTHER = "other"
    """It passed in neither, and ended in another way."""
    OPEN = "open"
    """One of them has not ended."""
    GONE = "gone"
    """Only the first had it."""
    NEW = "new"
    """Only the second had it."""


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """A phone in one run; of several tasks there the last made."""

    task_id: str
    state: TaskState
    duration_s: float | None
    """From the start of its last attempt to its end."""
    code: str
    """Of its failure; empty = there is none."""


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """One phone."""

    serial: str
    change: Change
    first: Ended | None
    second: Ended | None


def compare_runs(first: Iterable[TaskRow], second: Iterable[TaskRow]) -> list[Compared]:
    """Return every phone of either run, by serial; tasks that never got a phone are left out."""
    before, after = _by_serial(first), _by_serial(second)
    return [
        Compared(
            serial=serial,
            change=_change(before.get(serial), after.get(serial)),
            first=before.get(serial),
            second=after.get(serial),
        )
        for serial in sorted(before.keys() | after.keys())
    ]


def _by_serial(tasks: Iterable[TaskRow]) -> dict[str, Ended]:
    found: dict[str, Ended] = {}
    for task in sorted(tasks, key=lambda row: row.task_id):
        status = task.status
        if status.device_serial is None:
            continue
        took = status.started_at_ms is not None and status.ended_at_ms is not None
        found[status.device_serial] = Ended(
            task_id=task.task_id,
            state=status.state,
            duration_s=((status.ended_at_ms or 0) - (status.started_at_ms or 0)) / 1000 if took else None,
            code=status.failure.code if status.failure is not None and status.state in TERMINAL else "",
        )
    return found


def _change(first: Ended | None, second: Ended | None) -> Change:
    if first is None:
        return Change.NEW
    if second is None:
        return Change.GONE
    if first.state not in TERMINAL or second.state not in TERMINAL:
        return Change.OPEN
    if first.state is second.state:
        return Change.SAME
    if second.state is TaskState.PASSED:
        return Change.BETTER
    return Change.WORSE if first.state is TaskState.PASSED else Change.OTHER
