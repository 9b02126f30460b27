"""Do the arguments of a step fit its type, as far as can be told before it runs (step 2)."""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Any, Final, Union, get_args, get_origin

import msgspec

from doai.workflow.duration import DurationError, parse_duration
from doai.workflow.files import check_file_arguments
from doai.workflow.flow_steps import CALL, LOOPS
from doai.workflow.language import Step
from doai.workflow.mistakes import MistakeList, Path, did_you_mean
from doai.workflow.names import (
    SECRET,
    STRING,
    Kinds,
    Symbols,
    UnknownNameError,
    accepts,
    kinds_of,
    kinds_text,
    look_up,
)
from doai.workflow.reading import explain, hints_of
from doai.workflow.step_type import StepType
from doai.workflow.templates import Reference, Template, TemplateError, parse_template, texts, whole_reference

_SHOWN_TO_PEOPLE: Final = frozenset(
    {
        *("report", "artifact.upload", "screen.capture", "screen.compare", "ui.dump"),
        *("file.push", "file.pull", "log.collect", CALL, *LOOPS),
    }
)
"""Step types whose arguments become outputs, paths or parameters: a secret would leave the node with them."""
_SHOWN_ARGUMENTS: Final = frozenset({("host.run", "args"), ("host.run", "script")})
"""Arguments that everybody on the node's host can see."""
_WAITING: Final = ("for", "within", "start_within")
"""Arguments that say how long a step may take by itself."""


def check_arguments(
    step: Step, step_type: StepType, known: Symbols, timeout_s: float, path: Path, mistakes: MistakeList
) -> None:
    """Note every argument of the step that its type does not take; `known` is what it may refer to."""
    if step_type.is_opaque:
        check_references(step.with_, known, (*path, "with"), mistakes, secret_ok=True)
        return
    fields = {item.encode_name: item for item in msgspec.structs.fields(step_type.arguments)}
    hints = hints_of(step_type.arguments)
    secret_ok = step.use not in _SHOWN_TO_PEOPLE
    for name, value in step.with_.items():
        inner = (*path, "with", name)
        if name not in fields:
            hint = did_you_mean(name, fields)
            mistakes.add(inner, f"the step {step.use} takes no argument {name[:63]!r}; {hint}", at_key=True)
            continue
        shown = (step.use, name) in _SHOWN_ARGUMENTS
        if check_references(value, known, inner, mistakes, secret_ok=secret_ok and not shown):
            _check_value(value, hints[fields[name].name], known, inner, mistakes, guarded=step.if_ is not None)
    for name, item in fields.items():
        if item.required and name not in step.with_ and (step.with_ or not mistakes.within(path)):
            place: Path = (*path, "with") if step.with_ else path
            mistakes.add(place, f"the step {step.use} needs the argument {name!r}; add it under with")
    check_file_arguments(step, step_type, path, mistakes)
    _check_times(step, timeout_s, path, mistakes)


def check_references(value: Any, known: Symbols, path: Path, mistakes: MistakeList, *, secret_ok: bool) -> bool:
    """Note every text in the value that is no template or refers to what is not known; False if there is one."""
    before = len(mistakes)
    for inner, text in texts(value):
        try:
            template = parse_template(text)
            for part in template:
                if isinstance(part, Reference):
                    reference_kinds(part, known, secret_ok=secret_ok)
        except TemplateError as error:
            mistakes.add((*path, *inner), str(error))
        except UnknownNameError as error:
            mistakes.add((*path, *inner), str(error))
    return len(mistakes) == before


def reference_kinds(reference: Reference, known: Symbols, *, secret_ok: bool) -> Kinds:
    """Return the kinds of what a reference gives; raises UnknownNameError."""
    if reference.names[0] == SECRET:
        if not secret_ok:
            raise UnknownNameError(f"{reference} would be seen by people here; use secrets in arguments only")
        if len(reference.names) != 2:
            raise UnknownNameError(f"{reference} is no secret; write ${{secret.name}}")
        return STRING
    if reference.names[0] not in known:
        raise UnknownNameError(
            f"there is nothing called {reference.names[0]!r} to refer to; {did_you_mean(reference.names[0], known)}"
        )
    return look_up(reference.names, known)


def _check_value(
    value: Any, annotation: Any, known: Symbols, path: Path, mistakes: MistakeList, *, guarded: bool
) -> None:
    """Check a value whose references are all known; what is not text with references is converted as it is."""
    templates = {inner: parse_template(text) for inner, text in texts(value) if "${" in text}
    if not templates:
        try:
            msgspec.convert(value, annotation)
        except msgspec.ValidationError as error:
            inner, message = explain(error, value, annotation)
            mistakes.add((*path, *inner), message)
    elif isinstance(value, str):
        _check_template(templates[()], annotation, known, path, mistakes, guarded=guarded)
    elif isinstance(value, list) and (item := _item_of(annotation, list)) is not None:
        for index, child in enumerate(value):
            _check_value(child, item, known, (*path, index), mistakes, guarded=guarded)
    elif isinstance(value, dict) and (item := _item_of(annotation, dict)) is not None:
        for key, child in value.items():
            _check_value(child, item, known, (*path, key), mistakes, guarded=guarded)
    elif not accepts(kinds_of(annotation), frozenset({"list" if isinstance(value, list) else "object"})):
        mistakes.add(path, f"here must be {kinds_text(kinds_of(annotation))}; correct it")


def _check_template(
    template: Template, annotation: Any, known: Symbols, path: Path, mistakes: MistakeList, *, guarded: bool
) -> None:
    wanted = kinds_of(annotation)
    whole = whole_reference(template)
    given = STRING if whole is None else reference_kinds(whole, known, secret_ok=True)
    if guarded:
        # The step's `if` may well be the question whether there is a value.
        given = given - {"null"} or given
    if accepts(wanted, given):
        return
    if whole is None:
        mistakes.add(
            path, f"here must be {kinds_text(wanted)}, and text around a reference makes it text; remove it"
        )
    elif accepts(wanted | {"null"}, given):
        mistakes.add(path, f"{whole} may be null and here must be {kinds_text(wanted)}; guard the step with if")
    else:
        mistakes.add(path, f"{whole} is {kinds_text(given)} and here must be {kinds_text(wanted)}; use another")


def _item_of(annotation: Any, container: type) -> Any:
    """Return the annotation of the items when the annotation allows such a container, else None."""
    origin = get_origin(annotation)
    if origin is container:
        return get_args(annotation)[-1]
    if origin in (Union, types.UnionType):
        return next((found for part in get_args(annotation) if (found := _item_of(part, container))), None)
    return _item_of(get_args(annotation)[0], container) if hasattr(annotation, "__metadata__") else None


def _check_times(step: Step, timeout_s: float, path: Path, mistakes: MistakeList) -> None:
    """Note a wait that is written out and longer than the step's timeout: it could never pass."""
    for name in _WAITING:
        value = step.with_.get(name)
        if isinstance(value, str) and "${" not in value and not mistakes.within((*path, "with", name)):
            try:
                seconds = parse_duration(value)
            except DurationError as error:
                mistakes.add((*path, "with", name), str(error))
                continue
            if 0 < timeout_s < seconds:
                mistakes.add(
                    (*path, "with", name),
                    f"{value} is longer than the step's timeout of {timeout_s:g} s; give the step a longer timeout",
                )


def arguments_of(step_type: StepType, filled: Mapping[str, Any]) -> Any:
    """Return the step type's Arguments from values without references; raises msgspec.ValidationError."""
    return dict(filled) if step_type.is_opaque else msgspec.convert(dict(filled), step_type.arguments)
