"""The names that templates and conditions may use, and what kind of value stands behind each (step 2)."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import inspect

from doai.workflow.flow_steps import called_by
from doai.workflow.language import Parameter, Step
from doai.workflow.mistakes import did_you_mean
from doai.workflow.step_type import Outputs, StepType

Kinds = frozenset[str]
"""What a value may be: string, integer, number, boolean, list, object, null; any = not known before it runs."""
ANY: Final[Kinds] = frozenset({"any"})
STRING: Final[Kinds] = frozenset({"string"})
_INTEGER: Final[Kinds] = frozenset({"integer"})
_LIST: Final[Kinds] = frozenset({"list"})
_NOTHING_BELOW: Final = frozenset({"string", "integer", "number", "boolean", "null"})

DEVICE_NAMES: Final[Mapping[str, Kinds]] = {
    "serial": STRING,
    "model": STRING,
    "sdk": _INTEGER,
    "node": STRING,
    "tags": _LIST,
}
RUN_NAMES: Final[Mapping[str, Kinds]] = {"id": STRING, "workflow": STRING}
TASK_NAMES: Final[Mapping[str, Kinds]] = {"id": STRING, "attempt": _INTEGER}
ROUND_NAMES: Final[Mapping[str, Kinds]] = {"number": _INTEGER}
_LATER: Final[Kinds] = frozenset({"later"})
"""Stands for a step that may not have ended when it is asked for."""
SECRET: Final = "secret"  # noqa: S105 - a word of the language

Symbols = Mapping[str, "Kinds | Symbols"]
"""Names, and behind each a kind or further names."""

_KIND_OF: Final[Mapping[type, str]] = {
    inspect.StrType: "string",
    inspect.IntType: "integer",
    inspect.FloatType: "number",
    inspect.BoolType: "boolean",
    inspect.NoneType: "null",
    inspect.ListType: "list",
    inspect.DictType: "object",
    inspect.StructType: "object",
    inspect.AnyType: "any",
}


class UnknownNameError(Exception):
    """A reference leads nowhere; ``str(error)`` says where it ends and what there is instead."""


def kinds_of(annotation: Any) -> Kinds:
    """Return the kinds that a type annotation allows."""
    return _kinds_of(inspect.type_info(annotation))


def _kinds_of(info: inspect.Type) -> Kinds:
    if isinstance(info, inspect.UnionType):
        return frozenset().union(*(_kinds_of(part) for part in info.types))
    if isinstance(info, inspect.Metadata):
        return _kinds_of(info.type)
    return frozenset({_KIND_OF.get(type(info), "any")})


def parameter_kinds(parameter: Parameter) -> Kinds:
    """Return the kinds of a parameter's values."""
    kinds: Kinds = frozenset({parameter.type})
    return kinds | {"null"} if parameter.nullable else kinds


def output_kinds(step_type: StepType) -> Mapping[str, Kinds]:
    """Return the kinds of a step type's outputs, by name."""
    return _output_kinds(step_type.outputs)


@functools.cache
def _output_kinds(outputs: type[Outputs]) -> Mapping[str, Kinds]:
    return {item.encode_name: kinds_of(item.type) for item in msgspec.structs.fields(outputs)}


def step_kinds(step: Step, step_types: Mapping[str, StepType], called: Mapping[str, Symbols]) -> Kinds | Symbols:
    """Return what may be named of a step's outputs; ``called`` are the outputs of known workflows, by name.

    The outputs of an unknown step or workflow are not known either; its own mistake is enough.
    """
    step_type = step_types.get(step.use)
    name = called_by(step)
    if step_type is None or step_type.is_opaque or (name is not None and name not in called):
        return ANY
    if name is not None:
        return called[name]
    kinds: dict[str, Kinds | Symbols] = dict(output_kinds(step_type))
    if step_type.nests:
        kinds["last"] = {inner.id: step_kinds(inner, step_types, called) for inner in step.steps}
    return kinds


def symbols(
    params: Mapping[str, Kinds],
    steps: Sequence[Step],
    step_types: Mapping[str, StepType],
    later: Iterable[str] = (),
    *,
    called: Mapping[str, Symbols] | None = None,
    in_round: bool = False,
) -> dict[str, Kinds | Symbols]:
    """Return what may be named: the parameters, the outputs of these steps, device, run and task.

    ``called`` are the outputs of known workflows; ``in_round``: inside of a loop. ``later`` are the ids of steps
    that exist and may not have ended: to name one is another mistake.
    """
    outputs: dict[str, Kinds | Symbols] = dict.fromkeys(later, _LATER)
    for step in steps:
        outputs[step.id] = step_kinds(step, step_types, called or {})
    known: dict[str, Kinds | Symbols] = {
        "params": params,
        "steps": outputs,
        "device": DEVICE_NAMES,
        "run": RUN_NAMES,
        "task": TASK_NAMES,
    }
    return known | {"round": ROUND_NAMES} if in_round else known


def look_up(names: Sequence[str], known: Symbols) -> Kinds:
    """Return the kinds behind a path of names; raises UnknownNameError. A group of names is an object."""
    here: Kinds | Symbols = known
    for index, name in enumerate(names):
        before = ".".join(names[:index])
        if isinstance(here, frozenset):
            if here <= _NOTHING_BELOW:
                raise UnknownNameError(f"{before} has no fields, so there is no {name!r} in it; stop at {before}")
            return ANY
        if name not in here:
            place = f"in {before}" if before else "to refer to"
            raise UnknownNameError(f"there is no {name!r} {place}; {did_you_mean(name, here)}")
        here = here[name]
        if here is _LATER:
            raise UnknownNameError(
                f"the step {name!r} may not have ended when this is asked; wait for it with needs"
            )
    return here if isinstance(here, frozenset) else frozenset({"object"})


def accepts(wanted: Kinds, given: Kinds) -> bool:
    """Whether every kind that may be given is one that is wanted."""
    if "any" in wanted or "any" in given:
        return True
    return all(kind in wanted or (kind == "integer" and "number" in wanted) for kind in given)


def kinds_text(kinds: Kinds) -> str:
    """Return the kinds for a sentence."""
    words = {"string": "text", "integer": "an integer", "number": "a number", "boolean": "true or false"}
    words |= {"list": "a list", "object": "fields", "null": "null", "any": "anything"}
    return " or ".join(words[kind] for kind in sorted(kinds - {"null"})) + (" or null" if "null" in kinds else "")
