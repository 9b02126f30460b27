"""JSON Schema of the workflow language, for editors and for whoever writes recipes by program (step 2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from doai.workflow.language import Workflow
from doai.workflow.step_type import StepType
from doai.workflow.steps import BUILT_IN

SCHEMA_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_TEMPLATE: Final = {"type": "string", "pattern": r"\$\{[^}]+\}"}
_REF: Final = "#/$defs/{name}"


def json_schema(step_types: Mapping[str, StepType] = BUILT_IN) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a recipe: its fields, and the arguments of every step type.

    What a schema can not say (the graph, references, conditions) is said by `parse_workflow`.
    """
    arguments = {name: step_type.arguments for name, step_type in sorted(step_types.items())}
    structs = list(dict.fromkeys(arguments.values()))
    (main, *_), definitions = msgspec.json.schema_components([Workflow, *structs], ref_template=_REF)
    step = definitions["Step"]
    step["properties"]["use"] = {"enum": list(arguments), "description": "Name of the step type."}
    step["allOf"] = [_rule(name, struct) for name, struct in arguments.items()]
    for struct in structs:
        _allow_templates(definitions[struct.__name__])
    return {"$schema": SCHEMA_DIALECT, "title": "doai workflow", **main, "$defs": definitions}


def _rule(name: str, struct: type[msgspec.Struct]) -> dict[str, Any]:
    """Return: when `use` is this step type, `with` is its arguments."""
    then: dict[str, Any] = {"properties": {"with": {"$ref": _REF.format(name=struct.__name__)}}}
    if any(field.required for field in msgspec.structs.fields(struct)):
        then["required"] = ["with"]
    return {"if": {"properties": {"use": {"const": name}}}, "then": then}


def _allow_templates(definition: dict[str, Any]) -> None:
    """Let every argument be a reference instead of its value."""
    for name, schema in definition["properties"].items():
        kept = {key: schema[key] for key in ("default", "description") if key in schema}
        value = {key: part for key, part in schema.items() if key not in kept}
        definition["properties"][name] = {**kept, "anyOf": [value, _TEMPLATE]}
