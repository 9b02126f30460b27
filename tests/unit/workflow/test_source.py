"""The text of a recipe: YAML 1.2 and JSON, places, bounds, and nothing but WorkflowError for bad text."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from doai.limits import WORKFLOW_BYTES_MAX
from doai.workflow.mistakes import Position, WorkflowError
from doai.workflow.source import read_source

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(min_value=-(2**63) + 1, max_value=2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=30),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=12), inner, max_size=4)
    ),
    max_leaves=20,
)


def only_mistake(text: str) -> str:
    with pytest.raises(WorkflowError) as caught:
        read_source(text)
    (mistake,) = caught.value.mistakes
    return str(mistake)


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("on", "on"),
        ("off", "off"),
        ("yes", "yes"),
        ("No", "No"),
        ("y", "y"),
        ("1:30", "1:30"),
        ("2026-11-21", "2026-11-21"),
        ("0o17", 15),
        ("017", 17),
        ("0x1F", 31),
        ("1_000", "1_000"),
        ("1e3", 1000.0),
        ("-7", -7),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("null", None),
        ("'null'", "null"),
        ('"5"', "5"),
        ("!!str 5", "5"),
        ("=", "="),
        ("28+", "28+"),
    ],
)
def test_plain_words_mean_what_yaml_1_2_says(word: str, value: Any) -> None:
    found = read_source(f"key: {word}\n").data["key"]
    assert found == value
    assert type(found) is type(value)


def test_the_key_on_stays_text() -> None:
    assert read_source("on: [device]").data == {"on": ["device"]}


def test_every_value_and_key_has_its_place() -> None:
    source = read_source("a: 1\nlist:\n  - x\n  - {b: 2}\n")
    assert source.values["list", 1, "b"] == Position(4, 9)
    assert source.keys["list", 1, "b"] == Position(4, 6)
    assert source.values["list", 0] == Position(3, 5)
    assert source.keys["a",] == Position(1, 1)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("steps:\n\t- a", "line 2, column 1: a tab stands where YAML wants spaces; indent with spaces"),
        ("a: 1\na: 2", "line 2, column 1: a: the key 'a' is given twice (first in line 1); keep one of them"),
        ("", "line 1, column 1: the text is empty; write at least name and steps"),
        ("a: 1\n---\nb: 2", "line 2, column 1: a second document begins; keep one workflow a text"),
        ("a: !!int 5", "line 1, column 4: a: the tag 'int' is not understood; leave it out"),
        ("a: .nan", "a: .nan is no usable number"),
        ("a: 1e999", "the number is too large"),
        ("a: 99999999999999999999", "the integer does not fit 64 bits"),
        ("? [a]\n: b", "a key must be text"),
        ("<<: {a: 1}", "merge keys"),
        ("a: \x00", "line 1, column 4: the character U+0000 is not allowed; remove it"),
        ("a: b\u2028c", "line 1, column 5: U+2028 is a line break to some"),
        ("a: \ud800", "line 1, column 4: the character U+D800 is not allowed"),
        ('a: "\\ud800"', "half of a character"),
        ('a: "\\UFFFFFFFF"', "escape names no character"),
        ("a: b: c", "line 1, column 5: a colon stands where none can be"),
        ("a: *b", "undefined alias"),
        ("a: @b", "put quotes around the text"),
        ("a: [1", "this is no YAML"),
        ("a: &a [*a]", "an alias contains itself"),
        ("[" * 5000, "more than 24 levels of nesting"),
    ],
)
def test_bad_text_gets_one_sentence_with_its_place(text: str, sentence: str) -> None:
    assert sentence in only_mistake(text)


def test_a_bomb_of_aliases_is_stopped() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 8)}]" for n in range(1, 12)]
    assert "its aliases make it too large" in only_mistake("\n".join(lines))


def test_an_alias_stands_for_its_value() -> None:
    assert read_source("a: &x {b: 1}\nc: *x\n").data == {"a": {"b": 1}, "c": {"b": 1}}


def test_a_text_that_is_too_large_is_refused_unread() -> None:
    assert "larger than 128 KiB" in only_mistake("#" * (WORKFLOW_BYTES_MAX + 1))


@given(JSON_VALUES)
@example({"\x85": "a\u2028b\x7f\ufeff"})
def test_json_means_the_same(value: Any) -> None:
    container = {"value": value}
    for indent in (None, 2, "\t"):
        for ascii_only in (True, False):
            text = json.dumps(container, indent=indent, ensure_ascii=ascii_only)
            assert read_source(text).data == container


@given(st.text(max_size=300))
@example("%YAML 3.0\n---\na")
@example("\ufeff")
@example("? ?")
@example("!<!> a")
@example("&a")
def test_any_text_is_read_or_refused_with_a_place(text: str) -> None:
    try:
        read_source(text)
    except WorkflowError as error:
        assert error.mistakes[0].line >= 1


@given(st.lists(st.sampled_from(list("{}[]:,-?&*!|>'\"%@`# \n\tab1~<\\")), max_size=60).map("".join))
def test_any_signs_of_yaml_are_read_or_refused(text: str) -> None:
    try:
        read_source(text)
    except WorkflowError as error:
        assert error.details
