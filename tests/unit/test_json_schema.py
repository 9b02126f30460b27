"""Schemas of configurations: what is wrong in one is told in a sentence, and what a value lacks too."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from doai.json_schema import schema_mistakes, value_mistakes


class Zone(msgspec.Struct):
    name: str
    limit_c: float = 45.0


class Config(msgspec.Struct, forbid_unknown_fields=True):
    zones: list[Zone]
    every_s: int = 30
    note: str | None = None


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "strin"}, "has type 'strin'"),
        ({"type": "object", "properties": {"a": 1}}, "properties/a is int"),
        ({"pattern": "(a+)+"}, "'pattern', which is not known"),
        ({"minimum": "1"}, "minimum of the schema is no number"),
        ({"required": "a"}, "no list of names"),
        ({"$ref": "#/$defs/Gone"}, "no such definition"),
        ({"properties": []}, "no object"),
    ],
)
def test_a_wrong_schema_is_told(schema: dict[str, Any], words: str) -> None:
    [mistake] = schema_mistakes(schema)
    assert words in mistake


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"zones": [{"name": "a"}]}, ""),
        ({"zones": [{"name": "a", "limit_c": 40}], "note": None, "every_s": 5}, ""),
        ({}, "zones is missing"),
        ({"zones": [{"name": 1}]}, "zones[0].name is 1, it must be of type string"),
        ({"zones": [], "every_s": True}, "every_s is True, it must be of type integer"),
        ({"zones": [], "every": 1}, "every is not known"),
        ({"zones": [], "note": 3}, "note is 3"),
        (7, "the configuration is 7, it must be of type object"),
    ],
)
def test_values_are_checked_against_what_msgspec_writes(value: Any, words: str) -> None:
    schema = msgspec.json.schema(Config)
    assert schema_mistakes(schema) == []
    mistakes = value_mistakes(schema, value)
    assert bool(mistakes) is bool(words)
    assert words in "".join(mistakes)


@pytest.mark.parametrize(
    ("schema", "good", "bad", "words"),
    [
        ({"minimum": 1}, 1, 0, "at least 1"),
        ({"exclusiveMaximum": 5}, 4.9, 5, "less than 5"),
        ({"maxLength": 2}, "ab", "abc", "at most 2 characters long"),
        ({"minItems": 1}, [0], [], "at least 1 items long"),
        ({"enum": ["a", "b"]}, "a", "c", "one of 'a', 'b'"),
        ({"const": 3}, 3, 4, "must be 3"),
        ({"additionalProperties": {"type": "integer"}}, {"x": 1}, {"x": "1"}, "x is '1'"),
        ({"type": ["string", "null"]}, None, 1, "string or null"),
    ],
)
def test_bounds(schema: dict[str, Any], good: Any, bad: Any, words: str) -> None:
    assert schema_mistakes(schema) == []
    assert value_mistakes(schema, good) == []
    [mistake] = value_mistakes(schema, bad)
    assert words in mistake


def test_a_schema_that_refers_to_itself_ends() -> None:
    schema = {"$defs": {"A": {"$ref": "#/$defs/A"}}, "$ref": "#/$defs/A"}
    assert schema_mistakes(schema) == []
    assert "deeper" in value_mistakes(schema, 1)[0]
