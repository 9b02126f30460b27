"""The questions a node asks of a recipe while a task runs, answered from the task's names (step 8).

A `Recipe` is made once for all tasks that name it: conditions are compiled then. `TaskRules` answers for one task.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from doai.errors import ErrorClass, Failure, StepError
from doai.workflow.conditions import compile_condition
from doai.workflow.expressions import (
    Scope,
    condition_holds,
    expectation_met,
    resolve_arguments,
    resolve_outputs,
    until_holds,
)
from doai.workflow.language import Workflow
from doai.workflow.mistakes import ParameterError
from doai.workflow.model import from_stored
from doai.workflow.nesting import every_step
from doai.workflow.parameters import resolve_params
from doai.workflow.resolve import TaskPlan, content_id_of, plan_task
from doai.workflow.selection import DeviceFacts
from doai.workflow.step_schema import STORED
from doai.workflow.step_type import StepType

Outputs = Mapping[str, Mapping[str, Any]]
"""Outputs of the steps that passed, by step id."""


class Recipe:
    """A checked workflow, ready for tasks."""

    def __init__(
        self,
        workflow: Workflow,
        step_types: Mapping[str, StepType] = STORED,
        called: Mapping[str, Recipe] | None = None,
    ) -> None:
        """``called`` are those of all workflows that are called, when this is one of them."""
        self.workflow = workflow
        self._step_types = step_types
        steps = [step for _, step in every_step(workflow)]
        self._arguments = {step.id: step.with_ for step in steps}
        self._constant = frozenset(step.id for step in steps if _is_constant(step.with_))
        self._conditions = {step.id: compile_condition(step.if_) for step in steps if step.if_ is not None}
        self._expects = {step.id: compile_condition(step.expect) for step in steps if step.expect is not None}
        self._untils = {step.id: compile_condition(step.until) for step in steps if step.until is not None}
        found: dict[str, Recipe] = {}
        self._called = found if called is None else called
        for title, other in workflow.called.items():
            found[title] = Recipe(other, step_types, found)

    @classmethod
    def from_stored(cls, data: bytes, step_types: Mapping[str, StepType] = STORED) -> Recipe:
        """Read the stored form; raises WorkflowError, also for a step type that is not known here."""
        return cls(from_stored(data, step_types), step_types)

    def plan(self, step_timeouts_s: Mapping[str, float]) -> TaskPlan:
        """Return what to do, with a run's overrides of timeouts (seconds by step id)."""
        return plan_task(self.workflow, step_timeouts_s, step_types=self._step_types)

    def content_id(self, params: Mapping[str, Any]) -> str:
        """Return the first part of the path of a task's artifacts; raises ParameterError."""
        return content_id_of(self.workflow, params)

    def rules(
        self,
        params: Mapping[str, Any],
        *,
        device: DeviceFacts,
        run_id: str,
        task_id: str,
        attempt: int = 1,
    ) -> TaskRules:
        """Return the answers for one task."""
        scope = Scope(
            params=params,
            device={
                "serial": device.serial,
                "model": device.model,
                "sdk": device.sdk,
                "node": device.node_id,
                "tags": list(device.tags),
            },
            run={"id": run_id, "workflow": self.workflow.name},
            task={"id": task_id, "attempt": attempt},
            known_steps=frozenset(self._arguments),
        )
        return TaskRules(self, scope)

    def inside(self, step_id: str, arguments: Mapping[str, Any], scope: Scope) -> TaskRules:
        """Return the answers inside of a call; ``scope`` is the caller's. Raises StepError (class user)."""
        recipe = self._called.get(str(arguments.get("workflow")))
        if recipe is None:
            raise _refused(
                step_id, f"{arguments.get('workflow')} was not pinned when the run was made; make it again"
            )
        try:
            params = resolve_params(recipe.workflow, arguments.get("params", {}))
        except ParameterError as error:
            raise _refused(step_id, str(error)) from None
        inner = msgspec.structs.replace(
            scope,
            params=params,
            run={**scope.run, "workflow": recipe.workflow.name},
            known_steps=frozenset(recipe._arguments),
            round={},
        )
        return TaskRules(recipe, inner)


class TaskRules:
    """What a recipe says in expressions, for one task; each answer may raise StepError (class user)."""

    def __init__(self, recipe: Recipe, scope: Scope) -> None:
        self._recipe = recipe
        self._scope = scope

    def condition(self, step_id: str, outputs: Outputs) -> bool:
        """Whether the step is to run; true when it has no `if`."""
        condition = self._recipe._conditions.get(step_id)
        return condition is None or condition_holds(condition, self._now(outputs), step_id)

    def arguments(self, step_id: str, outputs: Outputs) -> dict[str, Any]:
        """Return the step's arguments with every reference replaced."""
        recipe = self._recipe
        if step_id in recipe._constant:
            return dict(recipe._arguments[step_id])
        filled: dict[str, Any] = resolve_arguments(recipe._arguments[step_id], self._now(outputs), step_id)
        return filled

    def unmet(self, step_id: str, outputs: Outputs, result: Mapping[str, Any]) -> str | None:
        """Return the step's `expect` when its result does not meet it, else None."""
        expect = self._recipe._expects.get(step_id)
        if expect is None or expectation_met(expect, self._now(outputs), step_id, result):
            return None
        return expect.source

    def results(self, outputs: Outputs) -> dict[str, Any]:
        """Return the outputs of the whole workflow; null where a step did not pass."""
        return resolve_outputs(self._recipe.workflow.outputs, self._now(outputs))

    def met(self, step_id: str, outputs: Outputs) -> bool:
        """Whether the `until` of a loop holds, after a round."""
        return until_holds(self._recipe._untils[step_id], self._now(outputs), step_id)

    def round(self, number: int) -> TaskRules:
        """Return the answers inside of a round."""
        return TaskRules(self._recipe, msgspec.structs.replace(self._scope, round={"number": number}))

    def called(self, step_id: str, arguments: Mapping[str, Any]) -> TaskRules:
        """Return the answers inside of a call."""
        return self._recipe.inside(step_id, arguments, self._scope)

    def _now(self, outputs: Outputs) -> Scope:
        return msgspec.structs.replace(self._scope, steps=outputs)


def _is_constant(arguments: Mapping[str, Any]) -> bool:
    """Whether arguments are the same in every task, and a copy of them shares nothing that can be changed."""
    return all(
        "${" not in value if isinstance(value, str) else value is None or isinstance(value, bool | int | float)
        for value in arguments.values()
    )


def _refused(step_id: str, reason: str) -> StepError:
    message = f"Step {step_id} can not call its workflow: {reason}."
    return StepError(Failure(error_class=ErrorClass.USER, code="bad_call", message=message, step=step_id))
