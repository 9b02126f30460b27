"""Forms of configurations: what msgspec declares becomes fields, and what is typed becomes what it meant."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
import pytest

from doai.admin.dashboard.schema_form import form_fields, form_texts, form_value
from doai.errors import UserError
from doai.json_schema import value_mistakes


class Window(msgspec.Struct):
    begin: str = "22:00"


class Config(msgspec.Struct):
    limit_c: Annotated[float, msgspec.Meta(ge=30, le=60, title="Limit", description="hotter is too hot")] = 45
    tries: int = 3
    pause: bool = True
    mode: Literal["soft", "hard"] = "soft"
    only: list[str] = []
    ports: list[int] = msgspec.field(default_factory=lambda: [80])
    note: str | None = None
    window: Window = msgspec.field(default_factory=Window)


SCHEMA = msgspec.json.schema(Config)
FIELDS = form_fields(SCHEMA)


def test_each_property_has_the_field_of_its_kind() -> None:
    assert FIELDS is not None
    assert {field.name: field.kind for field in FIELDS} == {
        "limit_c": "number", "tries": "integer", "pause": "boolean", "mode": "choice", "only": "lines",
        "ports": "lines", "note": "string", "window": "json",
    }  # fmt: skip
    limit = FIELDS[0]
    assert (limit.title, limit.description, limit.default) == ("Limit", "hotter is too hot", "45")
    assert (limit.minimum, limit.maximum) == (30, 60)
    assert [field.name for field in FIELDS if field.nullable] == ["note"]


def test_what_nobody_touched_is_left_out_and_stays_the_default() -> None:
    texts = form_texts(FIELDS, {})
    assert form_value(FIELDS, texts, {}) == {}


def test_what_was_typed_fits_the_schema_and_comes_back_as_typed() -> None:
    typed = form_texts(FIELDS, {}) | {
        "config.limit_c": "50.5", "config.pause": "false", "config.mode": "hard", "config.only": "a\r\n\r\n b ",
        "config.ports": "1\n2", "config.note": "x", "config.window": '{"begin": "23:00"}',
    }  # fmt: skip
    value = form_value(FIELDS, typed, {})
    assert value == {
        "limit_c": 50.5, "pause": False, "mode": "hard", "only": ["a", "b"], "ports": [1, 2], "note": "x",
        "window": {"begin": "23:00"},
    }  # fmt: skip
    assert value_mistakes(SCHEMA, value) == []
    assert form_value(FIELDS, form_texts(FIELDS, value), value) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("tries", "many"), ("tries", ""), ("limit_c", "hot"), ("ports", "1\nx"), ("window", "{"), ("window", "NaN"),
        ("limit_c", "nan"), ("limit_c", "-inf"), ("limit_c", "1e999"), ("window", "1e999"),
    ],
)  # fmt: skip
def test_what_is_no_value_of_its_kind_is_said_by_its_name(name: str, text: str) -> None:
    with pytest.raises(UserError, match=name):
        form_value(FIELDS, form_texts(FIELDS, {}) | {f"config.{name}": text}, {})


def test_what_the_schema_does_not_name_stays() -> None:
    assert form_value(FIELDS, form_texts(FIELDS, {}), {"other": 1}) == {"other": 1}


@pytest.mark.parametrize("schema", [{}, {"type": "object"}, {"properties": 3}, {"$ref": "#/$defs/X"}])
def test_a_schema_without_properties_is_asked_for_as_json(schema: dict[str, Any]) -> None:
    fields = form_fields(schema)
    assert fields is None
    assert form_value(fields, form_texts(fields, {"a": [1]}), {}) == {"a": [1]}
    for text in ("[]", "{", "1"):
        with pytest.raises(UserError):
            form_value(fields, {"config": text}, {})


def test_a_required_property_is_sent_also_when_it_is_empty() -> None:
    fields = form_fields({"properties": {"a": {"type": "string"}, "b": {"type": "string"}}, "required": ["a"]})
    assert form_value(fields, {"config.a": "", "config.b": ""}, {}) == {"a": ""}


HARD = {
    "only": [" outer blanks ", "", "a line\nbreak", "\ttab"],
    "ports": [],
    "note": "first\nsecond\rthird\r\nfourth ",
    "mode": "soft",
    "tries": 3,
    "window": {"begin": "a\r\nb", "more": 1e300},
    "limit_c": 45.0,
}


def browser(text: str, *, is_area: bool) -> str:
    """Return how a form comes back that nobody touched: fields of one line lose breaks, areas get CRLF."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return lines.removeprefix("\n").replace("\n", "\r\n") if is_area else lines.replace("\n", "")


def test_what_nobody_touched_stays_as_it_was_whatever_it_is() -> None:
    assert FIELDS is not None
    texts = form_texts(FIELDS, HARD)
    areas = {field.key for field in FIELDS if field.kind in ("lines", "json")}
    sent = {key: browser(text, is_area=key in areas) for key, text in texts.items()}
    assert form_value(FIELDS, sent, HARD) == HARD
    changed = form_value(FIELDS, sent | {"config.tries": "4"}, HARD)
    assert changed == HARD | {"tries": 4}


def test_what_is_set_to_its_default_again_is_left_out() -> None:
    assert form_value(FIELDS, form_texts(FIELDS, {"tries": 9}) | {"config.tries": "3"}, {"tries": 9}) == {}
