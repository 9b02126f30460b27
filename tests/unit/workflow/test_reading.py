"""Plain data into Structs: what msgspec says becomes a sentence with the place inside the value."""

from typing import Annotated, Any

import msgspec
import pytest
from msgspec import Meta

from doai.workflow.mistakes import MistakeList, MistakesError
from doai.workflow.reading import explain, read_struct, read_value


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    n: int
    many: Annotated[list[int], Meta(min_length=1)] = msgspec.field(default_factory=lambda: [1])


class Outer(msgspec.Struct):
    inner: Inner
    items: Annotated[list[Inner], Meta(min_length=1, max_length=2)]
    named: dict[Annotated[str, Meta(pattern="^[a-z]$")], Inner] = {}


def details(data: Any) -> list[str]:
    mistakes = MistakeList()
    read_struct(data, Outer, (), mistakes)
    with pytest.raises(MistakesError) as caught:
        mistakes.raise_if_any(MistakesError, "x")
    return caught.value.details


def test_what_is_missing_is_replaced_and_reading_goes_on() -> None:
    mistakes = MistakeList()
    assert read_struct({"items": [{"n": 2}]}, Outer, (), mistakes) == Outer(inner=Inner(n=0), items=[Inner(n=2)])
    assert len(mistakes) == 1


def test_lengths_and_keys() -> None:
    good = {"n": 1}
    assert details({"inner": good, "items": []}) == ["items: the list needs at least 1 item; add one"]
    assert details({"inner": good, "items": [good] * 3}) == [
        "items: the list has 3 items and may have 2; remove some"
    ]
    (only,) = details({"inner": good, "items": [good], "named": {"A": good}})
    assert only.startswith("named.A: 'A' does not have the right form; it must match ^[a-z]$")


@pytest.mark.parametrize(
    ("annotation", "value", "place", "sentence"),
    [
        (dict[str, int], {"a": "x"}, ("a",), "here must be an integer, not 'x'"),
        (dict[str, list[int]], {"a": ["x"]}, ("a", 0), "here must be an integer, not 'x'"),
        (Inner, {"n": 1, "x": 2}, (), "there is no field 'x' here; remove it"),
        (Inner, {}, (), "the field 'n' is missing; add it"),
        (Inner, {"n": 1, "many": []}, ("many",), "[] is too short; its length must be >= 1"),
        (Annotated[float, Meta(multiple_of=2.0)], 3.0, (), "3.0 does not fit here"),
    ],
)
def test_a_refusal_is_a_sentence_and_a_place(annotation: Any, value: Any, place: Any, sentence: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert(value, annotation)
    at, said = explain(caught.value, value, annotation)
    assert at == place
    assert said.startswith(sentence)


def test_null_is_taken_where_it_is_allowed() -> None:
    mistakes = MistakeList()
    assert read_value(None, Inner | None, (), mistakes) is None
    assert not len(mistakes)
