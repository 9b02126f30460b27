"""No form of a secret stays in a text, and nothing else is lost."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote, quote_plus

from hypothesis import given
from hypothesis import strategies as st

from doai.node.mask import Mask

VALUES = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="*\0"), min_size=4, max_size=30)


@given(VALUES, st.text(max_size=5), st.text(max_size=5))
def test_every_form_is_masked(value: str, before: str, after: str) -> None:
    mask = Mask([value])
    for form in (
        value,
        quote(value),
        quote(value, safe=""),
        quote_plus(value),
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        base64.b64encode(value.encode()).decode(),
    ):
        assert form not in mask.text(f"{before}{form}{after}")


def test_what_is_no_secret_stays() -> None:
    mask = Mask(["hunter2"])
    assert mask.text("a hunter and 2") == "a hunter and 2"
    assert mask.value({"n": 3, "list": ["hunter2", None], "hunter2": True}) == {
        "n": 3,
        "list": ["***", None],
        "***": True,
    }
    assert mask.data(b"\xff hunter2 \x00") == b"\xff *** \x00"
    assert Mask([]).text("anything") == "anything"


def test_the_longer_of_two_secrets_goes_first() -> None:
    assert Mask(["abcd", "abcdef"]).text("abcdef abcd") == "*** ***"


def test_the_beginning_of_a_secret_at_the_end_of_an_excerpt_is_masked() -> None:
    mask = Mask(["hunter2-and-more"])
    assert mask.text("it said: password hunter2-an...") == "it said: password ***..."
    assert (
        mask.text("it said: password hunter2-an… (12 more); try hunt")
        == "it said: password ***… (12 more); try ***"
    )
    assert mask.text("it said: hun...") == "it said: hun...", "three letters tell nobody anything"


def test_lines_of_a_long_secret_are_masked_alone() -> None:
    mask = Mask(["-----BEGIN KEY-----\nMIIEvQIBADANBg\nab\n"])
    assert mask.text("line 2: MIIEvQIBADANBg; ab") == "line 2: ***; ab"


def test_it_shows_nothing_of_what_it_knows() -> None:
    assert "hunter2" not in repr(Mask(["hunter2"]))
