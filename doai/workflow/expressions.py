"""What the names of a recipe stand for while a task runs: templates filled, conditions answered (step 8)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from doai.errors import ErrorClass, Failure, StepError
from doai.workflow.conditions import Condition, ConditionError, MissingNameError
from doai.workflow.names import SECRET
from doai.workflow.templates import Reference, SecretName, SecretText, TemplateError, fill


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """The values behind the names, at one moment of a task. A new one is made when a step has ended."""

    params: Mapping[str, Any] = {}
    device: Mapping[str, Any] = {}
    """serial, model, sdk, node, tags."""
    run: Mapping[str, Any] = {}
    """id, workflow (``name@version``)."""
    task: Mapping[str, Any] = {}
    """id, attempt."""
    steps: Mapping[str, Mapping[str, Any]] = {}
    """Outputs of the steps that passed, by step id; a step that was skipped or failed is not there."""
    known_steps: frozenset[str] = frozenset()
    """Ids of all steps of the recipe, so that a condition may ask ``has(steps.id.field)`` of any of them."""
    round: Mapping[str, Any] = {}
    """number, counted from 1: inside of a loop."""
    secrets: Mapping[str, str] = {}
    """Resolved on the node; for arguments only."""

    def with_outputs(self, step_id: str, outputs: Mapping[str, Any]) -> Scope:
        """Return the scope after a step has passed."""
        return msgspec.structs.replace(self, steps={**self.steps, step_id: outputs})


_ROOTS: Final = frozenset({"params", "device", "run", "task", "steps", "round"})


class _Absent(Exception):
    """The reference has no value now; ``str(error)`` says why."""


def resolve_arguments(arguments: Any, scope: Scope, step_id: str) -> Any:
    """Return a step's arguments with every reference filled in.

    Raises StepError (class user, code no_value) when a reference has no value now, e.g. because its step was
    skipped. A text with a secret in it becomes a `SecretText`: the value is filled in where the step is performed.
    """
    try:
        return fill(arguments, lambda reference: _argument(reference, scope))
    except (_Absent, TemplateError) as error:
        raise _failure(
            "no_value", f"the arguments of step {step_id} can not be filled in: {error}", step_id
        ) from None


def resolve_outputs(outputs: Mapping[str, Any], scope: Scope) -> dict[str, Any]:
    """Return the task's outputs; one that refers to a step that did not run, or failed, is null."""
    return {name: _output(value, scope) for name, value in outputs.items()}


def _output(value: Any, scope: Scope) -> Any:
    try:
        return fill(value, lambda reference: _value(reference, scope))
    except (_Absent, TemplateError):
        return None


def condition_holds(condition: Condition, scope: Scope, step_id: str) -> bool:
    """Return whether an `if` holds now; raises StepError (class user, code bad_condition) when it can not be said.

    A name that is not there now is asked for with ``has(...)``.
    """
    return _holds(condition, _names(scope), step_id, "if")


def expectation_met(expect: Condition, scope: Scope, step_id: str, outputs: Mapping[str, Any]) -> bool:
    """Return whether an `expect` holds for the outputs of a step that has just ended; raises like the above.

    The outputs go by their own names, by ``outputs.name`` and by ``steps.id.name``.
    """
    names = _names(scope.with_outputs(step_id, outputs))
    return _holds(expect, {**outputs, **names, "outputs": outputs}, step_id, "expect")


def until_holds(until: Condition, scope: Scope, step_id: str) -> bool:
    """Return whether the `until` of a loop holds after a round; raises like the above."""
    return _holds(until, _names(scope), step_id, "until")


def _holds(condition: Condition, names: Mapping[str, Any], step_id: str, field: str) -> bool:
    try:
        return condition.evaluate(names)
    except MissingNameError as error:
        reason = f"{error}; ask with has(...) first"
    except ConditionError as error:
        reason = str(error)
    message = f"{field} of step {step_id} ({condition.source}) can not be answered: {reason}"
    raise _failure("bad_condition", message, step_id)


def _names(scope: Scope) -> dict[str, Any]:
    return {
        "params": scope.params,
        "steps": {step_id: scope.steps.get(step_id, {}) for step_id in (*scope.known_steps, *scope.steps)},
        "device": scope.device,
        "run": scope.run,
        "task": scope.task,
        "round": scope.round,
    }


def _argument(reference: Reference, scope: Scope) -> Any:
    if reference.names[0] == SECRET:
        return SecretText((SecretName(reference.names[1]),))
    return _value(reference, scope)


def _value(reference: Reference, scope: Scope) -> Any:
    root, *rest = reference.names
    if root == "steps" and rest[0] not in scope.steps:
        raise _Absent(f"{reference} has no value, for step {rest[0]} did not pass or was skipped")
    here: Any = getattr(scope, root) if root in _ROOTS else {}
    for name in rest:
        here = _below(here, name, reference)
    return here


def _below(here: Any, name: str, reference: Reference) -> Any:
    if isinstance(here, Mapping) and name in here:
        return here[name]
    if isinstance(here, list | tuple) and name.isdigit() and int(name) < len(here):
        return here[int(name)]
    raise _Absent(f"{reference} has no value, for there is no {name!r} in it")


def _failure(code: str, message: str, step_id: str) -> StepError:
    return StepError(Failure(error_class=ErrorClass.USER, code=code, message=message, step=step_id))
