"""Counts what was done with devices, of workflows, by and for whom, day by day; it outlives tasks (step 12)."""

from __future__ import annotations

from typing import Final

from doai.broker.core.decision import Decision
from doai.broker.core.tables import Task
from doai.changes.retention import DAY_MS, AddUsage, UsageKind
from doai.states import Outcome, TaskState

# Names of their own: a member of an enum is looked up by a function of its class.
_WORKFLOW: Final = UsageKind.WORKFLOW
_ACTOR: Final = UsageKind.ACTOR
_DEVICE: Final = UsageKind.DEVICE


def task_used(decision: Decision, task: Task, ended: TaskState) -> None:
    """Count a task that ended, together with the attempt that ended with it."""
    attempt = decision.used.pop(task, None)
    day = decision.now.utc_ms // DAY_MS
    if attempt is None:
        decision.ops.append(AddUsage(day, _names(task), ended, 0, 0))
    else:
        decision.ops.append(AddUsage(day, attempt.names, ended, attempt.attempts, attempt.device_ms))


def attempt_used(decision: Decision, task: Task, outcome: Outcome | None) -> None:
    """Count an attempt that ended, and how long it had its device; one that was given back untouched is none."""
    now_ms = decision.now.utc_ms
    if outcome is not None:
        # The start is told by the node's clock, the end by ours: what is impossible is nothing.
        device_ms = max(0, now_ms - task.started_at_ms) if task.started_at_ms is not None else 0
        if task in decision.used:
            decision.ops.append(decision.used[task])
        decision.used[task] = AddUsage(now_ms // DAY_MS, _names(task), None, 1, device_ms)


def _names(task: Task) -> dict[UsageKind, str]:
    row = task.run.row
    names = {_WORKFLOW: row.workflow, _ACTOR: row.actor}
    if task.device is not None and task.device.serial:
        names[_DEVICE] = task.device.serial
    if row.project:
        names[UsageKind.PROJECT] = row.project
    if row.campaign:
        names[UsageKind.CAMPAIGN] = row.campaign
    return names
