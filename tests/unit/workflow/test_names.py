"""Kinds behind annotations, and what a kind is called."""

from typing import Annotated, Any

import pytest
from msgspec import Meta

from doai.workflow.names import accepts, kinds_of, kinds_text


@pytest.mark.parametrize(
    ("annotation", "kinds"),
    [
        (int | None, {"integer", "null"}),
        (Annotated[str, Meta(max_length=3)] | list[int], {"string", "list"}),
        (Annotated[int, Meta(extra={"unit": "ms"})], {"integer"}),
        (Any, {"any"}),
        (bytes, {"any"}),
    ],
)
def test_kinds(annotation: Any, kinds: set[str]) -> None:
    assert kinds_of(annotation) == kinds


def test_an_integer_is_a_number_and_not_the_other_way_round() -> None:
    assert accepts(frozenset({"number"}), frozenset({"integer"}))
    assert not accepts(frozenset({"integer"}), frozenset({"number"}))


def test_kinds_in_a_sentence() -> None:
    assert kinds_text(frozenset({"string", "null", "integer"})) == "an integer or text or null"
