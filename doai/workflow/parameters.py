"""Parameters: what a recipe declares, what a run gives, and the overrides inside the bounds (step 2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from doai.limits import PARAMS_BYTES_MAX
from doai.workflow.conditions import LOOP_ITEMS_MAX, ConditionError, matches
from doai.workflow.duration import format_duration, parse_duration
from doai.workflow.flow_steps import called_by
from doai.workflow.language import Bounds, Parameter, Workflow
from doai.workflow.mistakes import MistakeList, ParameterError, Path, did_you_mean, shown
from doai.workflow.nesting import every_step

LIST_ITEMS_MAX: Final = LOOP_ITEMS_MAX
"""So that a condition can read every list parameter."""
_WANTED: Final = {
    "string": "text",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "list": "a list",
}
_ONLY_FOR: Final[Mapping[str, tuple[str, ...]]] = {
    "pattern": ("string",),
    "minimum": ("integer", "number"),
    "maximum": ("integer", "number"),
    "min_length": ("string", "list"),
    "max_length": ("string", "list"),
    "items": ("list",),
}


def check_declarations(params: Mapping[str, Parameter], mistakes: MistakeList) -> None:
    """Note every parameter whose declaration contradicts itself."""
    for name, parameter in params.items():
        path: Path = ("params", name)
        if mistakes.within(path):
            continue
        _check_constraints(parameter, path, mistakes)
        if not mistakes.within(path):
            _check_values(parameter, path, mistakes)


def _check_constraints(parameter: Parameter, path: Path, mistakes: MistakeList) -> None:
    for field, kinds in _ONLY_FOR.items():
        if getattr(parameter, field) is not None and parameter.type not in kinds:
            wanted = " and ".join(kinds)
            mistakes.add((*path, field), f"{field} is for {wanted} only, not for {parameter.type}; remove it")
    _check_pattern(parameter, path, mistakes)
    for low, high in (("minimum", "maximum"), ("min_length", "max_length")):
        least, most = getattr(parameter, low), getattr(parameter, high)
        if least is not None and most is not None and least > most:
            mistakes.add((*path, low), f"{low} {least} is above {high} {most}; exchange them")


def _check_values(parameter: Parameter, path: Path, mistakes: MistakeList) -> None:
    free = msgspec.structs.replace(parameter, enum=None)
    for index, choice in enumerate(parameter.enum or ()):
        for sentence in unfit(choice, free):
            mistakes.add((*path, "enum", index), sentence)
    if parameter.default is msgspec.UNSET:
        return
    for sentence in unfit(parameter.default, parameter):
        mistakes.add((*path, "default"), f"the default does not fit: {sentence}")
    if isinstance(parameter.default, str) and "${" in parameter.default:
        mistakes.add((*path, "default"), "a default is a plain value and refers to nothing; remove the ${")


def _check_pattern(parameter: Parameter, path: Path, mistakes: MistakeList) -> None:
    if parameter.pattern is None:
        return
    try:
        matches(parameter.pattern, "")
    except ConditionError as error:
        mistakes.add((*path, "pattern"), f"the pattern is no regular expression ({error}); correct it")


def resolve_params(workflow: Workflow, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the value of every parameter, defaults filled in; raises ParameterError with all mistakes."""
    mistakes = MistakeList()
    values: dict[str, Any] = {}
    for name in given:
        if name not in workflow.params:
            hint = did_you_mean(name, workflow.params)
            mistakes.add((name,), f"workflow {workflow.name} has no parameter {shown(name)}; {hint}")
    for name, parameter in workflow.params.items():
        if name in given:
            values[name] = _normal(given[name], parameter)
            for sentence in unfit(values[name], parameter):
                mistakes.add((name,), sentence)
        elif parameter.default is not msgspec.UNSET:
            values[name] = parameter.default
        elif parameter.nullable:
            values[name] = None
        else:
            mistakes.add((name,), f"the parameter is missing; give {_WANTED[parameter.type]}")
    mistakes.raise_if_any(ParameterError, f"the parameters do not fit workflow {workflow.name}")
    size = _encoded_bytes(values)
    if size is None or size > PARAMS_BYTES_MAX:
        mistakes.add((), f"the parameters are larger than {PARAMS_BYTES_MAX // 1024} KiB; give less")
    mistakes.raise_if_any(ParameterError, f"the parameters do not fit workflow {workflow.name}")
    return values


def _normal(value: Any, parameter: Parameter) -> Any:
    """A number without a fraction is as good an integer: JSON from some programs has only one kind."""
    if parameter.type == "integer" and isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return list(value) if isinstance(value, tuple) else value


def _encoded_bytes(values: dict[str, Any]) -> int | None:
    try:
        return len(msgspec.json.encode(values))
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError, UnicodeError):
        return None


def unfit(value: Any, parameter: Parameter) -> list[str]:
    """Return why the value does not fit, one sentence a reason."""
    if value is None:
        return [] if parameter.nullable else [f"null is not allowed; give {_WANTED[parameter.type]}"]
    if not _is_kind(value, parameter.type):
        return [f"here must be {_WANTED[parameter.type]}, not {shown(value)}"]
    reasons = []
    if parameter.enum is not None and not any(_same(value, choice) for choice in parameter.enum):
        reasons.append(f"{shown(value)} is not allowed; {did_you_mean(str(value), map(str, parameter.enum))}")
    if parameter.type in ("integer", "number"):
        if parameter.minimum is not None and value < parameter.minimum:
            reasons.append(f"{value} is below the minimum {parameter.minimum}; give more")
        if parameter.maximum is not None and value > parameter.maximum:
            reasons.append(f"{value} is above the maximum {parameter.maximum}; give less")
    else:
        reasons += _unfit_length(value, parameter)
    return reasons


def _unfit_length(value: Any, parameter: Parameter) -> list[str]:
    if parameter.type not in ("string", "list"):
        return []
    reasons = []
    unit = "characters" if parameter.type == "string" else "items"
    least, most = parameter.min_length or 0, parameter.max_length
    if parameter.type == "list":
        most = LIST_ITEMS_MAX if most is None else min(most, LIST_ITEMS_MAX)
        item = parameter.items or "string"
        wrong = next((index for index, child in enumerate(value) if not _is_kind(child, item)), None)
        if wrong is not None:
            reasons.append(f"item {wrong} must be {_WANTED[item]}, not {shown(value[wrong])}")
    elif parameter.pattern is not None and not matches(parameter.pattern, value):
        reasons.append(f"{shown(value)} does not have the form {parameter.pattern}; correct it")
    if len(value) < least:
        reasons.append(f"{len(value)} {unit} are too few; give at least {least}")
    if most is not None and len(value) > most:
        reasons.append(f"{len(value)} {unit} are too many; give at most {most}")
    return reasons


def _is_kind(value: Any, kind: str) -> bool:
    if kind == "boolean":
        return isinstance(value, bool)
    if kind == "integer":
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63
    if kind == "number":
        return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")
    if kind == "list":
        return isinstance(value, list | tuple)
    return isinstance(value, str) and _is_whole_text(value)


def _is_whole_text(value: str) -> bool:
    try:
        # A null character ends a text in every program that it is handed to.
        return b"\0" not in value.encode()
    except UnicodeEncodeError:
        return False


def _same(value: Any, choice: Any) -> bool:
    # In Python True == 1.
    return bool(value == choice) and isinstance(value, bool) == isinstance(choice, bool)


def check_step_timeouts(workflow: Workflow, overrides_s: Mapping[str, float]) -> None:
    """Check a run's step timeouts (seconds by step id) against the recipe's bounds; raises ParameterError."""
    mistakes = MistakeList()
    bounds = _bounds_of(workflow, workflow.called)
    known = set(bounds)
    bounded = {step_id: allowed for step_id, allowed in bounds.items() if allowed is not None}
    for step_id, seconds in overrides_s.items():
        path: Path = ("step_timeouts", step_id)
        if step_id not in known:
            mistakes.add(
                path, f"workflow {workflow.name} has no step {shown(step_id)}; {did_you_mean(step_id, known)}"
            )
        elif step_id not in bounded:
            hint = did_you_mean(step_id, bounded)
            mistakes.add(path, f"the workflow has no bounds for it, so it can not be overridden; {hint}")
        elif not _is_kind(seconds, "number") or seconds <= 0:
            mistakes.add(path, f"here must be seconds above 0, not {shown(seconds)}")
        else:
            allowed = bounded[step_id].timeout
            if allowed.minimum is not None and seconds < parse_duration(allowed.minimum):
                mistakes.add(path, f"{format_duration(seconds)} is below the minimum {allowed.minimum}; give more")
            if allowed.maximum is not None and seconds > parse_duration(allowed.maximum):
                mistakes.add(path, f"{format_duration(seconds)} is above the maximum {allowed.maximum}; give less")
    mistakes.raise_if_any(ParameterError, f"the overrides do not fit workflow {workflow.name}")


def _bounds_of(workflow: Workflow, called: Mapping[str, Workflow], prefix: str = "") -> dict[str, Bounds | None]:
    """Return what may be overridden of each step, by ``login/step`` inside of calls; None = nothing."""
    found: dict[str, Bounds | None] = {}
    for _, step in every_step(workflow):
        found[prefix + step.id] = workflow.bounds.get(step.id)
        name = called_by(step)
        if name is not None and name in called:
            found |= _bounds_of(called[name], called, f"{prefix}{step.id}/")
    return found
