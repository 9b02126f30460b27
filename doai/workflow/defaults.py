"""What a recipe leaves out and what decides how it runs: ids, timeouts and retries are written in (step 2).

So a later default never changes what a stored version means.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from doai.limits import STEP_TIMEOUT_S, TASK_TIMEOUT_S
from doai.workflow.duration import format_duration
from doai.workflow.language import Defaults, Retry, RetryClass, Step, Workflow
from doai.workflow.nesting import every_step, with_steps
from doai.workflow.step_type import StepType

TASK_RETRY_ON: Final[tuple[RetryClass, ...]] = ("device", "infrastructure", "rate_limit")
"""What a task is tried again after, unless the recipe says: what may be gone the next time."""
STEP_RETRY_ON: Final[tuple[RetryClass, ...]] = ("device", "infrastructure", "rate_limit", "app", "timeout")
"""Likewise of a step that has `retry`: it is written where an app needs a second try."""


def with_ids(workflow: Workflow) -> Workflow:
    """Give every step without an id one from its place (``step-3``), which a stored version never changes."""
    groups = {"step": workflow.steps, "on_failure": workflow.on_failure, "always": workflow.always}
    taken = {step.id for _, step in every_step(workflow)}

    def named(steps: Sequence[Step], group: str) -> list[Step]:
        found = []
        for number, step in enumerate(steps, 1):
            step_id = step.id or _free_id(group, number, taken)
            taken.add(step_id)
            found.append(msgspec.structs.replace(step, id=step_id, steps=named(step.steps, f"{step_id}-step")))
        return found

    made = {group: named(steps, group) for group, steps in groups.items()}
    return msgspec.structs.replace(
        workflow, steps=made["step"], on_failure=made["on_failure"], always=made["always"]
    )


def _free_id(group: str, number: int, taken: set[str]) -> str:
    wanted = f"{group[-40:].lstrip('0123456789-_')}-{number}"  # an id within its bound, however deep it is
    while wanted in taken:
        wanted += "-made"
    return wanted


def step_timeout(step: Step, step_type: StepType | None, defaults: Defaults) -> str:
    """Return the timeout of a step: its own, its type's own, the recipe's default, 90 s; the first there is."""
    if step.timeout is not None:
        return step.timeout
    if step_type is not None and step_type.timeout_s != STEP_TIMEOUT_S:
        return format_duration(step_type.timeout_s)
    return defaults.timeout or format_duration(STEP_TIMEOUT_S)


def with_defaults(workflow: Workflow, step_types: Mapping[str, StepType]) -> Workflow:
    """Write timeouts and retries into the recipe and its steps."""

    filled = with_steps(workflow, lambda step: _filled(step, step_types.get(step.use), workflow.defaults))
    return msgspec.structs.replace(
        filled,
        timeout=workflow.timeout or format_duration(TASK_TIMEOUT_S),
        retry=_with_classes(workflow.retry or Retry(), TASK_RETRY_ON),
    )


def step_retry(step: Step, step_type: StepType | None, defaults: Defaults) -> Retry | None:
    """Return the retry of a step. What is made of steps has only its own: the default is for each of them."""
    return step.retry if step_type is not None and step_type.nests else step.retry or defaults.retry


def _filled(step: Step, step_type: StepType | None, defaults: Defaults) -> Step:
    retry = step_retry(step, step_type, defaults)
    declared = step_type.idempotent if step_type is not None and step_type.provider else None
    return msgspec.structs.replace(
        step,
        timeout=step_timeout(step, step_type, defaults),
        retry=None if retry is None else _with_classes(retry, STEP_RETRY_ON),
        # Of a plug-in's step nobody knows later what its author said; of doai's own it is known for ever.
        idempotent=declared if step.idempotent is None else step.idempotent,
    )


def _with_classes(retry: Retry, usual: Sequence[RetryClass]) -> Retry:
    return retry if retry.on is not None else msgspec.structs.replace(retry, on=list(usual))
