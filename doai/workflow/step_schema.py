"""Step types as data and back: what a plug-in's step takes and tells, as JSON Schema (steps 2 and 8).

From a schema a type is built whose fields are those that the schema says, so that recipes are checked against the
steps of plug-ins exactly as against those of doai.
"""

from __future__ import annotations

import inspect
import keyword
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Annotated, Any, Final, Literal, Union

import msgspec
from msgspec import Meta

from doai.errors import UserError
from doai.file_reference import FILE_REFERENCE_PATTERN
from doai.messages.plugins import PluginOffer, PluginState, StepSchema
from doai.workflow.step_type import Arguments, FileReference, Outputs, StepType
from doai.workflow.steps import BUILT_IN

DEPTH_MAX: Final = 12
"""A schema that goes deeper refers to itself, or is nobody's intention."""
FIELDS_MAX: Final = 100
"""Arguments of a step, or fields of one of its objects."""
_LIMITS: Final = {
    "minimum": "ge",
    "maximum": "le",
    "exclusiveMinimum": "gt",
    "exclusiveMaximum": "lt",
    "minLength": "min_length",
    "maxLength": "max_length",
    "minItems": "min_length",
    "maxItems": "max_length",
    "pattern": "pattern",
}
_OF_TYPE: Final[Mapping[str, Any]] = {
    "string": str,
    "integer": int,
    "number": float,
    "boolean": bool,
    "null": None,
    "array": list,
    "object": dict,
}


FAMILIES: Final = frozenset(
    {
        *("app", "artifact", "device", "file", "flow", "host", "http", "log", "media", "plugin", "report"),
        *("screen", "step", "ui", "wait", "workflow"),
    }
)
"""First words of the steps that doai has, or may have: no name for a plug-in."""


class StepSchemaError(UserError):
    """Of a schema no step type can be made; the sentence says where it is wrong."""

    code = "bad_step_schema"


def schema_of(step_type: StepType) -> StepSchema:
    """Return a step type as data; raises StepSchemaError when its types can not be described."""
    return StepSchema(
        name=step_type.name,
        title=_title(step_type.arguments),
        arguments=_described(step_type.arguments, step_type.name),
        outputs=_described(step_type.outputs, step_type.name),
        on_device=step_type.on_device,
        idempotent=step_type.idempotent,
        timeout_s=step_type.timeout_s,
        takes_pictures=step_type.takes_pictures,
    )


def step_type_of(schema: StepSchema, provider: str) -> StepType:
    """Return the step type that a schema says, of the plug-in ``name@digest``; raises StepSchemaError."""
    return StepType(
        name=schema.name,
        arguments=_built(schema.arguments, Arguments, f"{schema.name}: arguments"),
        outputs=_built(schema.outputs, Outputs, f"{schema.name}: outputs"),
        on_device=schema.on_device,
        idempotent=schema.idempotent,
        timeout_s=schema.timeout_s,
        takes_pictures=schema.takes_pictures,
        provider=provider,
    )


def opaque(name: str) -> StepType:
    """Return the step type of a plug-in of which only the name is known here."""
    return StepType(
        name=name, arguments=Arguments, outputs=Outputs, on_device=True, idempotent=False, is_opaque=True
    )


def is_of_plugin(use: str) -> bool:
    """Whether a step can only be one of a plug-in: doai has none whose name begins so."""
    first, dot, rest = use.partition(".")
    return bool(dot and rest) and first not in FAMILIES and use not in BUILT_IN


def best_offers(offers: Iterable[PluginOffer]) -> tuple[PluginOffer, ...]:
    """Return of each plug-in the offer that recipes are checked against: of those in use the highest version."""
    best: dict[str, PluginOffer] = {}
    for offer in offers:
        other = best.get(offer.name)
        if offer.steps and (other is None or _rank(offer) > _rank(other)):
            best[offer.name] = offer
    return tuple(best[name] for name in sorted(best))


def steps_of(offers: Iterable[PluginOffer]) -> dict[str, StepType]:
    """Return the step types of plug-ins by name; a schema of which none can be made is left out."""
    types: dict[str, StepType] = {}
    for offer in offers:
        for schema in offer.steps:
            if is_of_plugin(schema.name) and schema.name.partition(".")[0] == offer.name:
                with suppress(StepSchemaError):
                    types[schema.name] = step_type_of(schema, f"{offer.name}@{offer.digest}")
    return types


def _rank(offer: PluginOffer) -> tuple[bool, tuple[int, ...], str]:
    # The digest only decides between two of one version, so that the order of nodes does not.
    numbers = tuple(int(part) for part in re.findall(r"[0-9]{1,6}", offer.version)[:4])
    return offer.state is not PluginState.GONE, numbers, offer.digest


class StoredSteps(Mapping[str, StepType]):
    """Step types by name for recipes that were found to be sound once: those of plug-ins are taken as they are."""

    def __init__(self, known: Mapping[str, StepType] = BUILT_IN) -> None:
        self._known = known

    def __getitem__(self, use: str) -> StepType:
        found = self._known.get(use)
        if found is None and is_of_plugin(use):
            return opaque(use)
        if found is None:
            raise KeyError(use)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


STORED: Final = StoredSteps()


def _title(struct: type) -> str:
    if struct.__doc__ is None or struct.__doc__ == Arguments.__doc__:
        return ""
    return " ".join(inspect.cleandoc(struct.__doc__).partition("\n\n")[0].split())[:200]


def _described(struct: type[msgspec.Struct], name: str) -> dict[str, Any]:
    try:
        return msgspec.json.schema(struct)
    except (TypeError, RecursionError) as error:
        raise StepSchemaError(f"{name}: {struct.__name__} can not be described as JSON Schema: {error}") from None


def _built(schema: Mapping[str, Any], base: type[Any], where: str) -> Any:
    definitions = schema.get("$defs", {})
    building = _Building(definitions if isinstance(definitions, dict) else {}, base)
    kind = building.type_of(schema, where, 0)
    if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        raise StepSchemaError(f"{where} are no object with named fields: use a msgspec Struct")
    try:
        msgspec.json.Decoder(kind)
    except (TypeError, ValueError, RecursionError) as error:
        raise StepSchemaError(f"{where} can not be told apart: {error}") from None
    return kind


class _Building:
    """Makes types of one schema and its definitions."""

    def __init__(self, definitions: Mapping[str, Any], base: type[Any]) -> None:
        self._definitions = definitions
        self._base = base
        self._made: dict[str, Any] = {}

    def type_of(self, schema: Any, where: str, depth: int) -> Any:
        """Return the type of a schema; raises StepSchemaError."""
        if depth > DEPTH_MAX:
            raise StepSchemaError(f"{where[:100]}... goes deeper than {DEPTH_MAX} levels")
        if not isinstance(schema, Mapping):
            raise StepSchemaError(f"{where} is described by {type(schema).__name__}, a schema is an object")
        if "$ref" in schema:
            return self._referred(str(schema["$ref"]), where, depth)
        if "anyOf" in schema:
            return self._any_of(schema["anyOf"], where, depth)
        if "enum" in schema or "const" in schema:
            return _choice(schema.get("enum", [schema.get("const")]), where)
        name = schema.get("type")
        if isinstance(name, list):
            return self._any_of([{**schema, "type": each} for each in name], where, depth)
        if name is None:
            return Any
        if not isinstance(name, str) or name not in _OF_TYPE:
            raise StepSchemaError(f"{where} has type {str(name)[:40]!r}: {', '.join(_OF_TYPE)} are the types")
        return self._plain(name, schema, where, depth)

    def _plain(self, name: str, schema: Mapping[str, Any], where: str, depth: int) -> Any:
        kind = _OF_TYPE[name]
        if name == "object":
            if "properties" in schema:
                return self._struct(schema, where, depth)
            more = schema.get("additionalProperties", True)
            inner = Any if isinstance(more, bool) else self.type_of(more, f"{where} of any name", depth + 1)
            return dict[str, inner]  # type: ignore[valid-type]
        if name == "array":
            items = schema.get("items", {})
            inner = Any if isinstance(items, bool) else self.type_of(items, f"each of {where}", depth + 1)
            kind = list[inner]  # type: ignore[valid-type]
        if schema.get("pattern") == FILE_REFERENCE_PATTERN:
            return FileReference
        limits = {_LIMITS[key]: value for key, value in schema.items() if key in _LIMITS}
        if not limits:
            return kind
        try:
            return Annotated[kind, Meta(**_checked(limits, where))]
        except (TypeError, ValueError) as error:
            raise StepSchemaError(f"{where} is bounded in a way that can not be: {error}") from None

    def _any_of(self, choices: Any, where: str, depth: int) -> Any:
        if not isinstance(choices, list) or not 1 <= len(choices) <= FIELDS_MAX:
            raise StepSchemaError(f"{where}: anyOf is no list of choices")
        kinds = [self.type_of(choice, where, depth + 1) for choice in choices]
        return Union[tuple(kinds)]  # noqa: UP007 - made of what is known only now

    def _referred(self, reference: str, where: str, depth: int) -> Any:
        name = reference.removeprefix("#/$defs/")
        if name not in self._definitions:
            raise StepSchemaError(f"{where} refers to {reference[:80]!r}, and there is no such definition")
        if name not in self._made:
            self._made[name] = self.type_of(self._definitions[name], where, depth + 1)
        return self._made[name]

    def _struct(self, schema: Mapping[str, Any], where: str, depth: int) -> Any:
        properties, required = schema["properties"], schema.get("required", [])
        if not isinstance(properties, Mapping) or not isinstance(required, list) or len(properties) > FIELDS_MAX:
            raise StepSchemaError(f"{where} has no list of at most {FIELDS_MAX} named fields")
        fields: list[Any] = []
        names: dict[str, str] = {}
        for number, (name, inner) in enumerate(properties.items()):
            plain = str(name).isidentifier() and not keyword.iskeyword(name) and not str(name).startswith("_")
            attribute = str(name) if plain else f"field_{number}"
            names[attribute] = str(name)
            kind = self.type_of(inner, f"{where}.{str(name)[:63]}", depth + 1)
            # A default is not a matter of a recipe: who performs the step fills it in.
            fields.append((attribute, kind) if name in required else (attribute, kind, None))
        return msgspec.defstruct(
            re.sub(r"\W", "_", str(schema.get("title", "Fields")))[:63] or "Fields",
            fields,
            bases=(self._base,),
            frozen=True,
            kw_only=True,
            rename=names,
        )


def _choice(values: Any, where: str) -> Any:
    if not isinstance(values, Iterable) or isinstance(values, str | Mapping):
        raise StepSchemaError(f"{where}: enum is no list of values")
    found = tuple(values)
    if not 1 <= len(found) <= FIELDS_MAX or not all(
        value is None or (isinstance(value, str | int) and not isinstance(value, bool)) for value in found
    ):
        raise StepSchemaError(f"{where}: enum has 1 to {FIELDS_MAX} texts or integers")
    return Literal[found]


def _checked(limits: dict[str, Any], where: str) -> dict[str, Any]:
    pattern = limits.get("pattern")
    if pattern is not None:
        try:
            re.compile(pattern)
        except (re.error, TypeError, RecursionError, OverflowError) as error:
            raise StepSchemaError(f"{where} has a pattern that is none: {error}") from None
    return limits
