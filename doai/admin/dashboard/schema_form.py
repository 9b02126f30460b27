"""A form made of a JSON Schema, and what was typed into it as a value: configurations of bots (steps 1 and 14)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from doai.errors import UserError

PREFIX: Final = "config."
"""What the names of the form's fields begin with."""
WHOLE: Final = "config"
"""The one field of a schema that names no properties: JSON."""
TEXT_MAX: Final = 64 * 1024

_SCALARS: Final = ("boolean", "integer", "number", "string")


class FormField(msgspec.Struct, frozen=True, kw_only=True):
    """One property, as a form asks for it."""

    name: str
    """Of the property."""
    title: str
    description: str
    kind: str
    """boolean, integer, number, string; choice: one of `choices`; lines: a list, one a line; json: all else."""
    items: str = "string"
    """Kind of the items of lines."""
    choices: list[str] = []
    default: str
    """As the form shows it; empty = there is none."""
    required: bool
    nullable: bool
    minimum: float | None = None
    maximum: float | None = None

    @property
    def key(self) -> str:
        """Its name in the form."""
        return f"{PREFIX}{self.name}"


def form_fields(schema: Mapping[str, Any]) -> list[FormField] | None:
    """Return a field for each property; None for a schema without any, which is asked for as JSON."""
    root = _resolved(schema, schema)
    properties = root.get("properties")
    if not isinstance(properties, dict) or not properties:
        return None
    required = root.get("required", [])
    return [_field(schema, name, inner, name in required) for name, inner in properties.items()]


def form_texts(fields: list[FormField] | None, config: Mapping[str, Any]) -> dict[str, str]:
    """Return what the form shows before anybody typed: the configuration, and defaults where it says nothing."""
    if fields is None:
        return {WHOLE: json.dumps(config, ensure_ascii=False, indent=2)}
    return {
        field.key: _text(config[field.name], field.kind) if field.name in config else field.default
        for field in fields
    }


def form_value(
    fields: list[FormField] | None, given: Mapping[str, str], before: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the configuration that a form means; raises UserError for a text that is no value of its kind.

    What nobody touched stays as it was, also where its field can not show all of it. What is set to its default is
    left out, so that another default of the bot's next version holds. Properties that the schema does not name
    stay as they were before.
    """
    if fields is None:
        value = _json(WHOLE, given.get(WHOLE, "{}"))
        if not isinstance(value, dict):
            raise UserError(f"the configuration is an object, not {type(value).__name__}", code="bad_config")
        return value
    known = {field.name for field in fields}
    found = {name: value for name, value in before.items() if name not in known}
    shown = form_texts(fields, before)
    for field in fields:
        text = given.get(field.key, "").replace("\r\n", "\n")
        sent = _as_sent(field, text)
        if field.name in before and sent == _as_sent(field, shown[field.key]):
            found[field.name] = before[field.name]
        elif sent != _as_sent(field, field.default) or (field.required and text == ""):
            found[field.name] = _value(field, text)
    return found


def _as_sent(field: FormField, text: str) -> str:
    """Return a text as any browser sends it: in areas a line break is one, in fields of one line there is none."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text.removeprefix("\n") if field.kind in ("lines", "json") else text.replace("\n", "")


def _field(schema: Mapping[str, Any], name: str, inner: object, required: bool) -> FormField:
    declared = inner if isinstance(inner, dict) else {}
    plain, nullable = _plain(schema, declared)
    kind, items = _kind(schema, plain)
    default = declared.get("default", plain.get("default"))
    choices = plain.get("enum", []) if kind == "choice" else []
    return FormField(
        name=name,
        title=str(declared.get("title") or plain.get("title") or name),
        description=str(declared.get("description") or plain.get("description") or ""),
        kind=kind,
        items=items,
        choices=[str(choice) for choice in choices if choice is not None],
        default=_text(default, kind) if default is not None else "",
        required=required,
        nullable=nullable,
        minimum=plain.get("minimum"),
        maximum=plain.get("maximum"),
    )


def _plain(schema: Mapping[str, Any], declared: Mapping[str, Any]) -> tuple[Mapping[str, Any], bool]:
    """Return a declaration without "or null", and whether it had that."""
    found = _resolved(schema, declared)
    choices = found.get("anyOf")
    if isinstance(choices, list):
        others = [choice for choice in choices if isinstance(choice, dict) and choice.get("type") != "null"]
        if len(others) == 1:
            return _resolved(schema, others[0]), len(others) < len(choices)
    types = found.get("type")
    if isinstance(types, list):
        names = [name for name in types if name != "null"]
        if len(names) == 1:
            return {**found, "type": names[0]}, len(names) < len(types)
    return found, False


def _kind(schema: Mapping[str, Any], plain: Mapping[str, Any]) -> tuple[str, str]:
    if all(isinstance(choice, str) for choice in plain.get("enum", [0])):
        return "choice", ""
    kind = plain.get("type")
    if kind in _SCALARS and "enum" not in plain:
        return str(kind), ""
    if kind == "array":
        items = _resolved(schema, plain.get("items", {}))
        if items.get("type") in ("integer", "number", "string") and "enum" not in items:
            return "lines", str(items["type"])
    return "json", ""


def _resolved(schema: Mapping[str, Any], declared: object) -> Mapping[str, Any]:
    """Follow one reference; the broker takes only schemas of which all lead somewhere."""
    if not isinstance(declared, dict):
        return {}
    reference = declared.get("$ref")
    if not isinstance(reference, str):
        return declared
    found = schema.get("$defs", {}).get(reference.rpartition("/")[2], {})
    return {**found, **declared} if isinstance(found, dict) else declared


def _text(value: object, kind: str) -> str:
    """Return a value as its field shows it."""
    if value is None:
        return ""
    if kind == "lines" and isinstance(value, list):
        return "\n".join(map(str, value))
    if kind in ("string", "choice") and isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def _value(field: FormField, text: str) -> Any:
    if text.strip() == "" and field.nullable:
        return None
    if field.kind == "lines":
        return [_scalar(field.name, field.items, line.strip()) for line in text.splitlines() if line.strip()]
    if field.kind == "json":
        return _json(field.name, text)
    return _scalar(field.name, field.kind, text)


def _scalar(name: str, kind: str, text: str) -> Any:
    try:
        if kind == "integer":
            return int(text)
        if kind == "number":
            return _finite(text)
    except ValueError:
        raise UserError(f"{name}: {text[:60]!r} is no {kind}", code="bad_config") from None
    return text == "true" if kind == "boolean" else text


def _json(name: str, text: str) -> Any:
    try:
        return json.loads(text[:TEXT_MAX], parse_constant=_no_number, parse_float=_finite)
    except ValueError as error:
        raise UserError(f"{name} is no JSON: {error}", code="bad_config") from None


def _finite(text: str) -> float:
    found = float(text)
    return found if math.isfinite(found) else _no_number(text)


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number of JSON")
