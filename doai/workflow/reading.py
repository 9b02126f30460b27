"""Plain data into the Structs of the workflow language, with every mistake and not only the first (step 2)."""

from __future__ import annotations

import functools
import re
import types
from typing import Annotated, Any, Final, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from doai.file_reference import FILE_REFERENCE_FORM, FILE_REFERENCE_PATTERN
from doai.workflow.duration import DURATION_PATTERN, DurationError, parse_duration
from doai.workflow.language import NAME_PATTERN, SDK_PATTERN, STEP_ID_PATTERN, WORD_PATTERN
from doai.workflow.mistakes import MistakeList, Path, did_you_mean, shown

_T = TypeVar("_T", bound=msgspec.Struct)

_OTHER_WORDS: Final = {
    "name": "workflow",
    "action": "use",
    "uses": "use",
    "args": "with",
    "params": "with",
    "depends_on": "needs",
    "choices": "enum",
    "when": "if",
    "finally": "always",
    "inputs": "params",
    "min": "minimum",
    "max": "maximum",
    "retries": "retry",
}
"""Words that other tools use for the same thing."""
_PLACE: Final = re.compile(r" - at `(?:key in )?\$(.*)`$")
_INDEX: Final = re.compile(r"\[(\d+)\]|\.([^.\[\]]+)|\[\.\.\.\]")
_FORMS: Final = {
    NAME_PATTERN: "write 1 to 63 of a-z 0-9 . _ - and begin with a letter or digit",
    STEP_ID_PATTERN: "write 1 to 63 letters, digits, _ and - and begin with a letter",
    WORD_PATTERN: "write 1 to 63 letters, digits and _ and do not begin with a digit",
    SDK_PATTERN: "write a comparison such as >=28 or >=28,<34",
    FILE_REFERENCE_PATTERN: FILE_REFERENCE_FORM,
    DURATION_PATTERN: "write a number and ms, s, m or h, such as 90s or 1h30m",
}
_KINDS: Final = {
    "str": "text (put quotes around it)",
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "fields (name: value)",
    "null": "null",
}


def read_struct(data: Any, struct: type[_T], path: Path, mistakes: MistakeList) -> _T:
    """Return the Struct that the data says, as far as it says one; every reason to refuse it is in the mistakes.

    What does not fit is replaced by something neutral, so that whoever reads on finds the other mistakes too.
    """
    hints = hints_of(struct)
    known = {item.encode_name: item for item in fields_of(struct)}
    values = {item.name: _neutral(hints[item.name]) for item in known.values() if item.required}
    if not isinstance(data, dict):
        mistakes.add(path, f"here must be fields (name: value), not {shown(data)}")
        return struct(**values)
    for key, value in data.items():
        if key not in known:
            other = _OTHER_WORDS.get(key, "")
            hint = f"did you mean {other!r}?" if other in known else did_you_mean(key, known)
            mistakes.add((*path, key), f"there is no field {shown(key)} here; {hint}", at_key=True)
            continue
        name = known[key].name
        values[name] = read_value(value, hints[name], (*path, key), mistakes)
    for key, item in known.items():
        if item.required and key not in data:
            mistakes.add(path, f"the field {key!r} is missing; add it")
    return struct(**values)


def read_value(value: Any, annotation: Any, path: Path, mistakes: MistakeList) -> Any:
    """Return the value as the annotation wants it; what does not fit is added to the mistakes."""
    plain = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    parts = [plain]
    if get_origin(plain) in (Union, types.UnionType):
        if value is None and type(None) in get_args(plain):
            return None
        parts = [get_args(part)[0] if get_origin(part) is Annotated else part for part in get_args(plain)]
    for part in parts:
        # Other than fields for a Struct that may also be text: the union's own message says both.
        if _is_struct(part) and (isinstance(value, dict) or str not in parts):
            return read_struct(value, part, path, mistakes)
        if isinstance(value, list) and get_origin(part) is list and _is_struct(get_args(part)[0]):
            _check_length(value, annotation, path, mistakes)
            item = get_args(part)[0]
            return [read_value(child, item, (*path, index), mistakes) for index, child in enumerate(value)]
        if isinstance(value, dict) and get_origin(part) is dict and _is_struct(get_args(part)[1]):
            key_type, item = get_args(part)
            for key in value:
                _check_key(key, key_type, (*path, key), mistakes)
            return {key: read_value(child, item, (*path, key), mistakes) for key, child in value.items()}
    return _convert(value, annotation, path, mistakes)


@functools.cache
def hints_of(struct: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the annotations of a Struct's fields, by attribute name, with their constraints."""
    return get_type_hints(struct, include_extras=True)


@functools.cache
def fields_of(struct: type[msgspec.Struct]) -> tuple[msgspec.structs.FieldInfo, ...]:
    """Return a Struct's fields; to look at a Struct for them takes as long as to read a small recipe."""
    return msgspec.structs.fields(struct)


def _is_struct(part: Any) -> bool:
    return isinstance(part, type) and issubclass(part, msgspec.Struct)


def _check_length(value: list[Any], annotation: Any, path: Path, mistakes: MistakeList) -> None:
    for meta in get_args(annotation)[1:] if get_origin(annotation) is Annotated else ():
        if isinstance(meta, msgspec.Meta):
            if meta.min_length is not None and len(value) < meta.min_length:
                mistakes.add(path, f"the list needs at least {meta.min_length} item; add one")
            if meta.max_length is not None and len(value) > meta.max_length:
                mistakes.add(path, f"the list has {len(value)} items and may have {meta.max_length}; remove some")


def _check_key(key: str, annotation: Any, path: Path, mistakes: MistakeList) -> None:
    try:
        msgspec.convert(key, annotation)
    except msgspec.ValidationError as error:
        mistakes.add(path, explain(error, key)[1], at_key=True)


def _convert(value: Any, annotation: Any, path: Path, mistakes: MistakeList) -> Any:
    try:
        result = msgspec.convert(value, annotation)
    except msgspec.ValidationError as error:
        inner, message = explain(error, value, annotation)
        mistakes.add((*path, *inner), message)
        neutral = _neutral(annotation)
        # Text of the wrong form is still what others refer to.
        return value if isinstance(value, str) and isinstance(neutral, str) else neutral
    if _wants_duration(annotation) and isinstance(value, str):
        try:
            parse_duration(value)
        except DurationError as error:
            mistakes.add(path, str(error))
    return result


def _neutral(annotation: Any) -> Any:
    """Return a value of the annotation's kind that says as little as possible."""
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    origin = get_origin(annotation)
    if origin is Literal:
        return get_args(annotation)[0]
    if origin in (Union, types.UnionType):
        return None if type(None) in get_args(annotation) else _neutral(get_args(annotation)[0])
    if _is_struct(annotation):
        hints = hints_of(annotation)
        fields = (item for item in fields_of(annotation) if item.required)
        return annotation(**{item.name: _neutral(hints[item.name]) for item in fields})
    neutral: dict[Any, Any] = {str: "", int: 0, float: 0.0, bool: False, list: [], dict: {}}
    return neutral.get(origin or annotation)


def explain(error: msgspec.ValidationError, value: Any, annotation: Any = None) -> tuple[Path, str]:
    """Return where inside the value it does not fit, and the sentence that says why and what to do."""
    text = str(error)
    inner: list[str | int] = []
    place = _PLACE.search(text)
    if place is not None:
        text = text[: place.start()]
        for index, key, in_each in _places(place.group(1)):
            inner.append(_first_unfit(value, inner) if in_each else int(index) if index else key)
    given = shown(_at(value, inner))
    if _wants_duration(annotation) and not inner:
        return (), f"{given} is no duration; {_FORMS[DURATION_PATTERN]}"
    choices = _literal_choices(annotation)
    if choices and ("Invalid enum value" in text or "Expected `str`" in text):
        hint = did_you_mean(str(_at(value, inner)), choices)
        return tuple(inner), f"{given} is not allowed here; {hint}"
    return tuple(inner), _sentence(text, given)


def _sentence(text: str, given: str) -> str:
    if match := re.search(r"Expected `([^`]*)`, got `([^`]*)`", text):
        wanted = " or ".join(dict.fromkeys(_KINDS.get(name.strip(), name.strip()) for name in match[1].split("|")))
        return f"here must be {wanted}, not {given}"
    if match := re.search(r"matching regex '(.*)'", text):
        pattern = match[1].replace("\\\\", "\\")
        return f"{given} does not have the right form; {_FORMS.get(pattern, f'it must match {pattern}')}"
    if match := re.search(r"Expected `(?:int|float)` (>=|<=|<|>) ([-0-9.e+]+)", text):
        return f"{given} is outside of the bounds; it must be {match[1]} {match[2]}"
    if match := re.search(r"of length (>=|<=) (\d+)", text):
        side = "short" if match[1] == ">=" else "long"
        return f"{given} is too {side}; its length must be {match[1]} {match[2]}"
    if match := re.search(r"unknown field `(.*)`", text):
        return f"there is no field {shown(match[1])} here; remove it"
    if match := re.search(r"missing required field `(.*)`", text):
        return f"the field {match[1]!r} is missing; add it"
    return f"{given} does not fit here ({text}); correct it"


def _places(text: str) -> list[tuple[str, str, bool]]:
    return [(match[1] or "", match[2] or "", match[0] == "[...]") for match in _INDEX.finditer(text)]


def _first_unfit(value: Any, inner: list[str | int]) -> str | int:
    # msgspec says `[...]` for "some value of this object"; the first key is near enough for a person.
    container = _at(value, inner)
    return str(next(iter(container), "")) if isinstance(container, dict) else 0


def _at(value: Any, inner: list[str | int]) -> Any:
    for part in inner:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return value
    return value


def _wants_duration(annotation: Any) -> bool:
    if get_origin(annotation) is Annotated:
        return any(isinstance(m, msgspec.Meta) and m.pattern == DURATION_PATTERN for m in annotation.__metadata__)
    return any(_wants_duration(part) for part in get_args(annotation) if get_origin(annotation) is not list)


def _literal_choices(annotation: Any) -> list[str]:
    if get_origin(annotation) is Literal:
        return [str(choice) for choice in get_args(annotation)]
    return [choice for part in get_args(annotation) for choice in _literal_choices(part)]
