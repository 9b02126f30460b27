"""What a node's log says of attempts: start, steps that failed, end, with the ids of the task (step 8)."""

from __future__ import annotations

from doai.messages.events import StepFailed
from doai.messages.work import Dispatch
from doai.node.core.acts import Finish
from doai.node.core.effects import Level, Log
from doai.states import Outcome


def started(d: Dispatch) -> Log:
    """Return the line of an attempt that begins."""
    attempt = f" (attempt {d.attempt})" if d.attempt > 1 else ""
    return Log(Level.INFO, f"Task started: {d.workflow}{attempt}", _ids(d))


def step_failed(d: Dispatch, failed: StepFailed) -> Log:
    """Return the line of a try of a step that failed."""
    what_follows = "; tried again" if failed.retried else ""
    text = f"Step {failed.step_id} failed ({failed.failure.code}{what_follows}): {failed.failure.message}"
    return Log(Level.WARNING, text, _ids(d))


def ended(d: Dispatch, finish: Finish, duration_ms: int) -> Log:
    """Return the line of an attempt that ended."""
    if finish.released:
        return Log(Level.INFO, "Task given back", _ids(d))
    why = f": {finish.failure.message}" if finish.failure is not None else ""
    level = Level.INFO if finish.outcome is Outcome.PASSED else Level.WARNING
    return Log(level, f"Task {finish.outcome.value} after {duration_ms / 1000:.1f} s{why}", _ids(d))


def _ids(d: Dispatch) -> dict[str, str]:
    return {
        "run_id": d.run_id,
        "device_serial": d.device_serial,
        "task_id": d.task_id,
        "trace_id": d.trace_id,
    }
