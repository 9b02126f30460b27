"""Tasks as the store tells them, for what the admin makes of them."""

from __future__ import annotations

from typing import Any

from doai.changes.rows import TaskRow, TaskStatusRow
from doai.messages.commands import TargetKind
from doai.states import TaskState


def task_row(state: TaskState, task_id: str = "t1", **status: Any) -> TaskRow:
    """Return a task of run r1; ``status`` is what else its status has."""
    return TaskRow(
        task_id=task_id,
        run_id="r1",
        target_kind=TargetKind.DEVICES,
        selector_body=None,
        queue="default",
        priority=0,
        created_at_ms=1,
        expires_at_ms=None,
        timeout_s=600.0,
        status=TaskStatusRow(state=state, order=5, **status),
    )
