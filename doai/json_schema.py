"""The part of JSON Schema that configurations of bots are declared in: checks a schema, and a value against it.

Known: type, properties, required, additionalProperties, items, enum, const, minimum, maximum, exclusiveMinimum,
exclusiveMaximum, minLength, maxLength, minItems, maxItems, anyOf, and $ref into $defs, as msgspec writes them;
title, description, default, examples, format and $schema say nothing of whether a value fits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

_Measured = tuple[tuple[type, ...], str]
_OF_TEXT: Final[_Measured] = ((str,), " characters long")
_OF_LIST: Final[_Measured] = ((list,), " items long")
_OF_NUMBER: Final[_Measured] = ((int, float), "")
DEPTH_MAX: Final = 20
"""A schema that goes deeper refers to itself, or is nobody's intention."""
_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
_NUMBERS: Final = frozenset(
    {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "minItems", "maxItems"}
)
_SILENT: Final = frozenset({"title", "description", "default", "examples", "format", "$schema", "$defs"})
_KNOWN: Final = (
    _SILENT
    | _NUMBERS
    | {"type", "properties", "required", "additionalProperties", "items", "enum", "const", "anyOf", "$ref"}
)
_BOUNDS: Final[Mapping[str, tuple[str, Callable[[Any], Any], Callable[[Any, Any], bool]]]] = {
    "minimum": ("at least", lambda value: value, lambda value, bound: value >= bound),
    "maximum": ("at most", lambda value: value, lambda value, bound: value <= bound),
    "exclusiveMinimum": ("more than", lambda value: value, lambda value, bound: value > bound),
    "exclusiveMaximum": ("less than", lambda value: value, lambda value, bound: value < bound),
    "minLength": ("at least", len, lambda value, bound: value >= bound),
    "maxLength": ("at most", len, lambda value, bound: value <= bound),
    "minItems": ("at least", len, lambda value, bound: value >= bound),
    "maxItems": ("at most", len, lambda value, bound: value <= bound),
}


def schema_mistakes(schema: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each mistake of a schema; empty = values can be checked against it."""
    definitions = schema.get("$defs", {})
    if not isinstance(definitions, dict):
        return ["$defs is no object: it names schemas"]
    found = list(_schema(schema, definitions, "the schema", 0))
    for name, definition in definitions.items():
        found += _schema(definition, definitions, f"$defs/{name}", 0)
    return found


def value_mistakes(schema: Mapping[str, Any], value: object) -> list[str]:
    """Return a sentence for each way in which a value does not fit a schema without mistakes; empty = it fits."""
    return list(_value(schema, schema.get("$defs", {}), value, "", 0))


def _schema(schema: object, definitions: Mapping[str, Any], where: str, depth: int) -> Iterator[str]:
    if depth > DEPTH_MAX:
        yield f"{where[:80]}... goes deeper than {DEPTH_MAX} levels"
        return
    if not isinstance(schema, dict):
        yield f"{where} is {type(schema).__name__}, a schema is an object"
        return
    for keyword in schema:
        if keyword not in _KNOWN:
            yield f"{where} has {str(keyword)[:40]!r}, which is not known here: leave it out"
    yield from _keywords(schema, definitions, where)
    for part, inner in _inner(schema):
        yield from _schema(inner, definitions, f"{where}/{part}", depth + 1)


def _keywords(schema: Mapping[str, Any], definitions: Mapping[str, Any], where: str) -> Iterator[str]:
    types = schema.get("type", [])
    for name in types if isinstance(types, list) else [types]:
        if not isinstance(name, str) or name not in _TYPES:
            yield f"{where} has type {str(name)[:40]!r}: {', '.join(_TYPES)} are the types"
    for keyword in sorted(_NUMBERS & schema.keys()):
        if isinstance(schema[keyword], bool) or not isinstance(schema[keyword], int | float):
            yield f"{keyword} of {where} is no number"
    required = schema.get("required", [])
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        yield f"required of {where} is no list of names"
    for keyword, expected in (("properties", dict), ("enum", list), ("anyOf", list)):
        if keyword in schema and not isinstance(schema[keyword], expected):
            yield f"{keyword} of {where} is no {'object' if expected is dict else 'list'}"
    reference = schema.get("$ref")
    if reference is not None and _referred(reference, definitions) is None:
        yield f"{where} refers to {str(reference)[:80]!r}, and there is no such definition"


def _inner(schema: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    properties = schema.get("properties")
    if isinstance(properties, dict):
        for name, inner in properties.items():
            yield f"properties/{name}", inner
    if "items" in schema:
        yield "items", schema["items"]
    more = schema.get("additionalProperties", True)
    if not isinstance(more, bool):
        yield "additionalProperties", more
    choices = schema.get("anyOf")
    if isinstance(choices, list):
        for number, inner in enumerate(choices):
            yield f"anyOf/{number}", inner


def _referred(reference: object, definitions: Mapping[str, Any]) -> Any:
    if not isinstance(reference, str) or not reference.startswith("#/$defs/"):
        return None
    return definitions.get(reference.removeprefix("#/$defs/"))


def _value(
    schema: Mapping[str, Any], definitions: Mapping[str, Any], value: object, where: str, depth: int
) -> Iterator[str]:
    title = where or "the configuration"
    if depth > DEPTH_MAX:
        yield f"{title[:80]}... goes deeper than {DEPTH_MAX} levels"
        return
    if "$ref" in schema:
        yield from _value(_referred(schema["$ref"], definitions), definitions, value, where, depth + 1)
        return
    if "anyOf" in schema:
        tried = [list(_value(choice, definitions, value, where, depth + 1)) for choice in schema["anyOf"]]
        if tried and all(tried):
            yield min(tried, key=len)[0]
        return
    types = schema.get("type", [])
    names = types if isinstance(types, list) else [types]
    if names and not any(_is(value, name) for name in names):
        yield f"{title} is {_shown(value)}, it must be of type {' or '.join(names)}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{title} is {_shown(value)}, it must be one of {', '.join(map(_shown, schema['enum'][:20]))}"
    if "const" in schema and value != schema["const"]:
        yield f"{title} is {_shown(value)}, it must be {_shown(schema['const'])}"
    yield from _bounds(schema, value, title)
    if isinstance(value, dict):
        yield from _object(schema, definitions, value, where, depth)
    if isinstance(value, list) and "items" in schema:
        for number, item in enumerate(value):
            yield from _value(schema["items"], definitions, item, f"{where}[{number}]", depth + 1)


def _object(
    schema: Mapping[str, Any], definitions: Mapping[str, Any], value: dict[str, Any], where: str, depth: int
) -> Iterator[str]:
    properties, more = schema.get("properties", {}), schema.get("additionalProperties", True)
    prefix = f"{where}." if where else ""
    for name in schema.get("required", []):
        if name not in value:
            yield f"{prefix}{name} is missing"
    for name, item in value.items():
        if name in properties:
            yield from _value(properties[name], definitions, item, f"{prefix}{name}", depth + 1)
        elif more is False:
            yield f"{prefix}{str(name)[:80]} is not known: {', '.join(properties) or 'nothing'} can be set"
        elif isinstance(more, dict):
            yield from _value(more, definitions, item, f"{prefix}{name}", depth + 1)


def _bounds(schema: Mapping[str, Any], value: object, title: str) -> Iterator[str]:
    for keyword, (words, measure, holds) in _BOUNDS.items():
        kinds, unit = _OF_TEXT if "Length" in keyword else _OF_LIST if "Items" in keyword else _OF_NUMBER
        if keyword not in schema or not isinstance(value, kinds) or isinstance(value, bool):
            continue
        if not holds(measure(value), schema[keyword]):
            yield f"{title} is {_shown(value)}, it must be {words} {schema[keyword]}{unit}"


def _is(value: object, name: str) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    if name == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES[name])


def _shown(value: object) -> str:
    return repr(value)[:80]
