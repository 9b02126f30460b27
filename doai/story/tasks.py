"""Events of tasks, attempts and steps as sentences (step 14)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from doai import topics
from doai.story.told import Told


def _task_queued(e: Told) -> str:
    target = e.say("task.for_device" if e.has("deviceSerial") else "task.for_any")
    again = e.say("task.which_attempt") if e.payload.get("attempt", 1) != 1 else ""
    return e.say("task.queued", target=target, again=again)


def _task_ended(key: str, key_on_device: str) -> Callable[[Told], str]:
    # Also the broker's own word, which names no device and no duration.
    return lambda e: e.say(key_on_device if "durationMs" in e.payload else key)


def _attempt_ended(e: Told) -> str:
    return e.say("attempt.given_back" if e.has("released") else "attempt.ended")


def _step_failed(e: Told) -> str:
    # The step is named already, so only the message of the failure follows.
    follows = "step.tried_again" if e.has("retried") else "step.goes_on" if e.has("optional") else ""
    why = e.failure() or e.say("say.no_reason")
    return e.say("step.failed", why=why, follows=e.say(follows) if follows else "")


TASK_SENTENCES: Final[Mapping[str, Callable[[Told], str]]] = {
    topics.TASK_QUEUED: _task_queued,
    topics.TASK_DISPATCHED: lambda e: e.say("task.dispatched"),
    topics.TASK_STARTED: lambda e: e.say("task.started"),
    topics.TASK_COMPLETED: lambda e: e.say("task.completed"),
    topics.TASK_FAILED: _task_ended("task.failed", "task.failed_on"),
    topics.TASK_RETRIED: lambda e: e.say("task.retried", ended=e.state("outcome", "failed")),
    topics.TASK_RELEASED: lambda e: e.say("task.released"),
    topics.TASK_LATE: lambda e: e.say("task.late"),
    topics.TASK_CANCELLING: lambda e: e.say("task.cancelling"),
    topics.TASK_CANCELLED: _task_ended("task.cancelled", "task.cancelled_on"),
    topics.TASK_EXPIRED: lambda e: e.say("task.expired"),
    topics.TASK_UNKNOWN: lambda e: e.say("task.unknown"),
    topics.TASK_UNPROVEN: lambda e: e.say("task.unproven"),
    topics.TASK_PROVEN: lambda e: e.say("task.proven"),
    topics.ATTEMPT_ENDED: _attempt_ended,
    topics.STEP_STARTED: lambda e: e.say("step.started", label=e.say_if("label", "step.label")),
    topics.STEP_COMPLETED: lambda e: e.say("step.skipped" if e.has("skipped") else "step.completed"),
    topics.STEP_FAILED: _step_failed,
}
