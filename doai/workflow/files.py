"""Which stored files the steps of a recipe may ask for, as far as it is known when a run is made (step 2)."""

from __future__ import annotations

import re
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Final, Union, get_args, get_origin

import msgspec

from doai.file_reference import BadFileNameError, parse_file_reference
from doai.workflow.flow_steps import called_by
from doai.workflow.language import Step, Workflow
from doai.workflow.mistakes import MistakeList, ParameterError, Path
from doai.workflow.nesting import every_step
from doai.workflow.reading import fields_of, hints_of
from doai.workflow.step_schema import STORED
from doai.workflow.step_type import StepType
from doai.workflow.templates import Reference, TemplateError, fill, parse_template, references

ANYTHING: Final = "*"
"""In the place of what only the node knows, such as the device's model."""
_KNOWN_LATER: Final = frozenset({"device", "run", "task"})
"""Roots of names that a node knows before a step runs; outputs and secrets can not choose a file."""


class FileNeed(msgspec.Struct, frozen=True):
    """One file, or all that fit: ``*`` in the reference stands for any text without a slash."""

    reference: str
    path: Path
    """Where in the recipe."""
    may_be_missing: bool = False
    """The step knows what to do without it, unless a version is named."""

    @property
    def is_pattern(self) -> bool:
        """Whether it is only known on the node which file it is; there may be none that fits yet."""
        return ANYTHING in self.reference

    def fits(self, name: str) -> bool:
        """Whether a file of this name may be meant."""
        return re.fullmatch(self._expression(), name) is not None

    def _expression(self) -> str:
        return "[^/]+".join(re.escape(part) for part in self.name.split(ANYTHING))

    @property
    def name(self) -> str:
        """Without the version."""
        return self.reference.partition("@")[0]

    @property
    def version(self) -> str | None:
        """None = the newest."""
        return self.reference.partition("@")[2] or None


def file_needs(
    workflow: Workflow, params: Mapping[str, Any], step_types: Mapping[str, StepType] = STORED
) -> list[FileNeed]:
    """Return what the steps may ask for with these (resolved) parameters, without repetitions.

    An argument that is null needs nothing. Raises ParameterError for a text that can name no file.
    """
    mistakes = MistakeList()
    needs: dict[str, FileNeed] = {}
    pending: list[tuple[Path, Workflow, Mapping[str, Any]]] = [((), workflow, params)]
    while pending:
        at, recipe, values = pending.pop()
        for inner, step in every_step(recipe):
            place = (*at, *inner)
            step_type = step_types[step.use]
            for family in step_type.files:
                name = family.format(workflow=recipe.name, step=step.id)
                needs.setdefault(name, FileNeed(name, place))
            for path, text, may_be_missing in _named(step, step_type):
                where = (*place, "with", *path)
                reference = _filled(text, values, where, mistakes)
                if reference is None:
                    continue
                known = needs.setdefault(reference, FileNeed(reference, where, may_be_missing))
                if known.may_be_missing and not may_be_missing:
                    needs[reference] = FileNeed(reference, where)
            called = called_by(step)
            if called is not None:
                other = workflow.called[called]
                pending.append((("called", called), other, _params_of_call(step, other, values)))
    mistakes.raise_if_any(ParameterError, f"the files of workflow {workflow.name}")
    return list(needs.values())


def _params_of_call(step: Step, called: Workflow, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that a call gives, with ``*`` for what is only known on the node."""
    given = step.with_.get("params", {})
    found: dict[str, Any] = {}
    for name, parameter in called.params.items():
        default = None if parameter.default is msgspec.UNSET else parameter.default
        value = given.get(name, default)
        if any(reference.names[0] != "params" for reference in references(value)):
            found[name] = ANYTHING
            continue
        try:
            found[name] = fill(value, lambda reference: params[reference.names[1]])
        except TemplateError:  # a null amid text: the call fails, and needs no file
            found[name] = None
    return found


def check_file_arguments(step: Step, step_type: StepType, path: Path, mistakes: MistakeList) -> None:
    """Note every reference that would choose a file only after the run was made."""
    for inner, text, _ in _named(step, step_type):
        try:
            references = [part for part in parse_template(text) if isinstance(part, Reference)]
        except TemplateError:
            continue  # noted where templates are checked
        for reference in references:
            if reference.names[0] not in {*_KNOWN_LATER, "params"}:
                mistakes.add(
                    (*path, "with", *inner),
                    f"{reference} is not known when the run is made, and its files are chosen then; use a "
                    "parameter or a name of the device",
                )


_Named = tuple[Path, str, bool]
"""Place of a text within the arguments, the text, and whether there may be no such file."""


def _named(step: Step, step_type: StepType) -> Iterator[_Named]:
    """Yield every text of the arguments that names a file."""
    hints = hints_of(step_type.arguments)
    for item in fields_of(step_type.arguments):
        value = step.with_.get(item.encode_name, item.default)
        for path, text, may_be_missing in _texts(value, hints[item.name]):
            yield (item.encode_name, *path), text, may_be_missing


def _texts(value: Any, annotation: Any) -> Iterator[_Named]:
    origin = get_origin(annotation)
    if origin is Annotated:
        about = _file_meta(annotation.__metadata__)
        if about is None:
            yield from _texts(value, get_args(annotation)[0])
        elif isinstance(value, str):
            yield (), value, bool(about.get("may_be_missing"))
    elif origin in (Union, types.UnionType):
        for part in get_args(annotation):
            yield from _texts(value, part)
    elif origin is list and isinstance(value, list):
        for index, child in enumerate(value):
            yield from _prefixed(index, _texts(child, get_args(annotation)[0]))
    elif origin is dict and isinstance(value, dict):
        for key, child in value.items():
            yield from _prefixed(key, _texts(child, get_args(annotation)[1]))


def _prefixed(key: str | int, found: Iterable[_Named]) -> Iterator[_Named]:
    for path, text, may_be_missing in found:
        yield (key, *path), text, may_be_missing


def _file_meta(metadata: Iterable[Any]) -> Mapping[str, Any] | None:
    """Return what the annotation of a file's reference says of it; None for any other annotation."""
    extras = (meta.extra for meta in metadata if isinstance(meta, msgspec.Meta) and meta.extra is not None)
    return next((extra for extra in extras if extra.get("reference") == "file"), None)


def _filled(text: str, params: Mapping[str, Any], path: Path, mistakes: MistakeList) -> str | None:
    """Return the reference with ``*`` for what is not known yet; None when there is none, or it is a mistake."""
    words: list[str] = []
    for part in parse_template(text):
        if isinstance(part, str):
            words.append(part)
        elif part.names[0] != "params":
            words.append(ANYTHING)
        elif (value := params[part.names[1]]) is None:
            return None
        else:
            words.append(str(value))
    reference = "".join(words)
    try:
        # A file of a name with an x is a file of a name with anything.
        parse_file_reference(reference.replace(ANYTHING, "x"))
    except BadFileNameError as error:
        mistakes.add(path, str(error))
        return None
    return reference
