"""The JSON Schema for editors."""

import json
import re
from typing import Any

from doai.workflow.schema import json_schema
from doai.workflow.steps import BUILT_IN


def refs(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if "$ref" in value else set()
        return own.union(*(refs(child) for child in value.values()))
    return set().union(*(refs(child) for child in value)) if isinstance(value, list) else set()


def test_every_step_type_has_its_arguments() -> None:
    schema = json_schema()
    step = schema["$defs"]["Step"]
    assert set(step["properties"]["use"]["enum"]) == set(BUILT_IN)
    rules = {rule["if"]["properties"]["use"]["const"]: rule["then"] for rule in step["allOf"]}
    assert set(rules) == set(BUILT_IN)
    assert rules["wait"]["required"] == ["with"]
    assert "required" not in rules["screen.capture"]


def test_every_reference_leads_somewhere_and_every_pattern_compiles() -> None:
    schema = json_schema()
    assert all(ref.removeprefix("#/$defs/") in schema["$defs"] for ref in refs(schema))
    patterns = re.findall(r'"pattern": ("(?:[^"\\]|\\.)*")', json.dumps(schema))
    assert patterns
    for pattern in patterns:
        re.compile(json.loads(pattern))


def test_an_argument_may_be_a_reference() -> None:
    seconds = json_schema()["$defs"]["WaitPlaying"]["properties"]["seconds"]
    assert seconds["default"] == 20
    assert [part["type"] for part in seconds["anyOf"]] == ["integer", "string"]
