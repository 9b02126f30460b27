"""From a recipe to what a run pins (step 2) and to the plan a node sequences (step 8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from doai.artifact_path import is_content_id
from doai.backoff import Backoff
from doai.errors import ErrorClass, StepError
from doai.limits import ATTEMPTS, RATE_LIMIT_DELAY_S
from doai.workflow.arguments import arguments_of
from doai.workflow.defaults import STEP_RETRY_ON, TASK_RETRY_ON, step_retry, step_timeout
from doai.workflow.duration import parse_duration
from doai.workflow.expressions import Scope, resolve_arguments
from doai.workflow.flow_steps import CALL, called_by
from doai.workflow.graph import build_graph
from doai.workflow.language import Requires, Retry, Step, Workflow, text_of
from doai.workflow.mistakes import MistakeList, ParameterError, shown
from doai.workflow.nesting import every_step
from doai.workflow.parameters import check_step_timeouts, resolve_params
from doai.workflow.reading import explain
from doai.workflow.step_schema import STORED
from doai.workflow.step_type import StepType
from doai.workflow.templates import TemplateError, fill, references

ATTEMPTS_MAX: Final = 10
"""As `retry.attempts` of the language allows."""


class RetryRule(msgspec.Struct, frozen=True, kw_only=True):
    """How often something is tried, after which failures, and how long it waits before."""

    attempts: int = 1
    """Tries in all: 1 = no retry."""
    backoff: Backoff = Backoff()
    on: frozenset[ErrorClass] = frozenset()

    def delay_s(self, error_class: ErrorClass, tries: int, random01: float) -> float | None:
        """Return the seconds before the next try, or None when there is none.

        ``tries`` counts those that have ended; ``random01`` is uniform in [0, 1). A rate limit waits for at
        least 60 s, whatever the backoff says.
        """
        if error_class not in self.on or tries >= self.attempts:
            return None
        delay = self.backoff.delay_s(tries, random01)
        return max(delay, RATE_LIMIT_DELAY_S) if error_class is ErrorClass.RATE_LIMIT else delay


class PinnedRun(msgspec.Struct, frozen=True, kw_only=True):
    """What is decided when a run is made and never again."""

    params: dict[str, Any]
    """Every parameter, defaults filled in."""
    step_timeouts_s: dict[str, float]
    timeout_s: float
    """Time for the whole task, counted from its start."""
    retry: RetryRule
    """Of the whole task: attempts, delays, error classes."""
    content_id: str
    """First part of the path of the artifacts; one safe path part."""
    requires: Requires


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """What a step is made of."""

    plan: TaskPlan
    until: str | None = None
    """CEL: of a loop that ends when it holds."""


class PlannedStep(msgspec.Struct, frozen=True, kw_only=True):
    """One step, everything decided but what its references stand for when it starts."""

    id: str
    recipe: str
    """Name of the workflow that has it: that of the run, or one that it calls."""
    use: str
    arguments: Mapping[str, Any]
    """As written; `doai.workflow.expressions.resolve_arguments` fills it in when the step starts."""
    condition: str | None
    """CEL: skipped when false."""
    expect: str | None
    """CEL on the outputs: failed (class app) when false."""
    timeout_s: float
    """Of each try."""
    retry: RetryRule
    optional: bool
    idempotent: bool
    """May begin again when nobody saw it end."""
    on_device: bool
    """Serial with all others that use the device."""
    holds_device: bool
    """The device stays with the task until it has ended."""
    sensitive: bool
    label: str
    predecessors: tuple[str, ...]
    """Steps that must have ended before it starts; of `on_failure` and `always`: the one before it."""
    takes_pictures: bool = False
    provider: str = ""
    """Plug-in that performs it, ``name@digest``; empty = doai itself."""
    block: Block | None = None
    """Of a loop and of a call."""


class TaskPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a node sequences: all in the order of the file."""

    workflow: str
    steps: tuple[PlannedStep, ...]
    on_failure: tuple[PlannedStep, ...]
    always: tuple[PlannedStep, ...]
    outputs: Mapping[str, Any]
    timeout_s: float


def pin_run(
    workflow: Workflow,
    params: Mapping[str, Any],
    *,
    step_timeouts_s: Mapping[str, float] | None = None,
    attempts: int | None = None,
    step_types: Mapping[str, StepType] = STORED,
) -> PinnedRun:
    """Return what a run of the workflow with these parameters and overrides pins.

    ``attempts`` overrides the recipe's number of attempts of a task. Raises ParameterError with all mistakes of
    the parameters, or else of the overrides, or else of the arguments that the parameters make.
    """
    values = resolve_params(workflow, params)
    overrides = {} if step_timeouts_s is None else dict(step_timeouts_s)
    check_step_timeouts(workflow, overrides)
    retry = retry_rule(workflow.retry or Retry(), TASK_RETRY_ON)
    if attempts is not None:
        retry = msgspec.structs.replace(retry, attempts=_attempts(attempts, workflow))
    content_id = content_id_of(workflow, values)
    _check_arguments(workflow, values, step_types)
    return PinnedRun(
        params=values,
        step_timeouts_s=overrides,
        timeout_s=parse_duration(workflow.timeout or "10m"),
        retry=retry,
        content_id=content_id,
        requires=workflow.requires,
    )


def content_id_of(workflow: Workflow, params: Mapping[str, Any]) -> str:
    """Return the first part of the artifacts' path for resolved parameters; raises ParameterError."""
    scope = Scope(params=params)
    mistakes = MistakeList()
    text = ""
    try:
        filled = fill(workflow.content_id or workflow.name, lambda reference: scope.params[reference.names[1]])
        text = filled if isinstance(filled, str) else "" if filled is None else str(filled)
    except TemplateError as error:
        mistakes.add(("content_id",), str(error))
    if not len(mistakes) and not is_content_id(text):
        message = f"{shown(text)} can not be part of a path; use 1 to 128 letters, digits, - _ and . (not first)"
        mistakes.add(("content_id",), message)
    mistakes.raise_if_any(ParameterError, f"the parameters do not fit workflow {workflow.name}")
    return text


def plan_task(
    workflow: Workflow,
    step_timeouts_s: Mapping[str, float] | None = None,
    *,
    step_types: Mapping[str, StepType] = STORED,
) -> TaskPlan:
    """Return the plan of a task of a checked workflow; the overrides were checked when the run was made."""
    return _Planning(workflow, workflow.called, step_timeouts_s or {}, step_types).task(sensitive=False)


class _Planning:
    """One recipe: that of the run, or one that it calls."""

    def __init__(
        self,
        workflow: Workflow,
        called: Mapping[str, Workflow],
        overrides_s: Mapping[str, float],
        step_types: Mapping[str, StepType],
    ) -> None:
        self._workflow = workflow
        self._called = called
        self._overrides_s = overrides_s
        self._step_types = step_types

    def task(self, *, sensitive: bool) -> TaskPlan:
        workflow = self._workflow
        graph = build_graph(workflow.steps)
        return TaskPlan(
            workflow=workflow.name,
            steps=tuple(self._step(step, graph.predecessors[step.id], sensitive) for step in workflow.steps),
            on_failure=self._sequence(workflow.on_failure, sensitive),
            always=self._sequence(workflow.always, sensitive),
            outputs=workflow.outputs,
            timeout_s=parse_duration(workflow.timeout or "10m"),
        )

    def _sequence(self, steps: Sequence[Step], sensitive: bool) -> tuple[PlannedStep, ...]:
        before = [(), *((step.id,) for step in steps)]
        return tuple(self._step(step, before[index], sensitive) for index, step in enumerate(steps))

    def _step(self, step: Step, predecessors: tuple[str, ...], sensitive: bool) -> PlannedStep:
        step_type, defaults = self._step_types[step.use], self._workflow.defaults
        timeout_s = self._overrides_s.get(step.id, parse_duration(step_timeout(step, step_type, defaults)))
        sensitive = sensitive or step.sensitive
        block = self._block(step, sensitive)
        inner = () if block is None else (*block.plan.steps, *block.plan.on_failure, *block.plan.always)
        if block is not None and step.use == CALL:
            timeout_s = min(timeout_s, block.plan.timeout_s)
        return PlannedStep(
            id=step.id,
            recipe=self._workflow.name,
            use=step.use,
            arguments=step.with_,
            condition=step.if_,
            expect=step.expect,
            timeout_s=timeout_s,
            retry=retry_rule(step_retry(step, step_type, defaults), STEP_RETRY_ON),
            optional=step.optional,
            idempotent=step_type.idempotent if step.idempotent is None else step.idempotent,
            on_device=step_type.on_device or any(other.on_device for other in inner),
            holds_device=step_type.holds_device or any(other.holds_device for other in inner),
            sensitive=sensitive or any(other.sensitive for other in inner),
            label=text_of(step.label, otherwise=step.use),
            predecessors=predecessors,
            takes_pictures=step_type.takes_pictures or any(other.takes_pictures for other in inner),
            provider=step_type.provider,
            block=block,
        )

    def _block(self, step: Step, sensitive: bool) -> Block | None:
        name = called_by(step)
        if name is not None:
            prefix = f"{step.id}/"
            overrides_s = {
                key.removeprefix(prefix): value
                for key, value in self._overrides_s.items()
                if key.startswith(prefix)
            }
            called = _Planning(self._called[name], self._called, overrides_s, self._step_types)
            return Block(plan=called.task(sensitive=sensitive))
        if not step.steps:
            return None
        plan = TaskPlan(
            workflow=self._workflow.name,
            steps=self._sequence(step.steps, sensitive),
            on_failure=(),
            always=(),
            outputs={},
            timeout_s=0.0,
        )
        return Block(plan=plan, until=step.until)


def retry_rule(retry: Retry | None, usual: Sequence[str]) -> RetryRule:
    """Return the rule of a `retry`; without one: one try. ``usual`` are the error classes unless it says."""
    if retry is None:
        return RetryRule()
    return RetryRule(
        attempts=retry.attempts,
        backoff=Backoff(
            first_s=parse_duration(retry.backoff), factor=float(retry.factor), jitter=retry.jitter == "full"
        ),
        on=frozenset(ErrorClass(name) for name in (usual if retry.on is None else retry.on)),
    )


def _attempts(attempts: int, workflow: Workflow) -> int:
    if 1 <= attempts <= ATTEMPTS_MAX:
        return attempts
    mistakes = MistakeList()
    mistakes.add(("attempts",), f"{attempts} attempts are not possible; give 1 to {ATTEMPTS_MAX}")
    mistakes.raise_if_any(ParameterError, f"the overrides do not fit workflow {workflow.name}")
    return ATTEMPTS


def _check_arguments(workflow: Workflow, params: Mapping[str, Any], step_types: Mapping[str, StepType]) -> None:
    """Refuse parameters that make arguments no step would take, as far as parameters alone make them.

    A step with an `if` may be one that these parameters skip; it is left to the node.
    """
    mistakes = MistakeList()
    scope = Scope(params=params)
    for path, step in every_step(workflow):
        roots = {reference.names[0] for reference in references(step.with_)}
        if step.if_ is not None or roots != {"params"}:
            continue
        try:
            arguments_of(step_types[step.use], resolve_arguments(step.with_, scope, step.id))
        except msgspec.ValidationError as error:
            inner, message = explain(error, resolve_arguments(step.with_, scope, step.id))
            mistakes.add((*path, "with", *inner), f"with these parameters {message}")
        except StepError as error:
            mistakes.add((*path, "with"), str(error))
    mistakes.raise_if_any(ParameterError, f"the parameters do not fit workflow {workflow.name}")
