"""Templates: what they refer to and what they become."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doai.workflow.templates import (
    Reference,
    TemplateError,
    fill,
    parse_template,
    references,
    whole_reference,
)

X = Reference(("params", "x"))


def constant(value: Any) -> Any:
    return lambda reference: value


@pytest.mark.parametrize("value", [None, True, 5, 2.5, [1, "a"], {"k": 1}, "text"])
def test_a_reference_alone_keeps_its_type(value: Any) -> None:
    assert fill("${params.x}", constant(value)) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [("b", "a b c"), (5, "a 5 c"), (True, "a true c"), (2.5, "a 2.5 c"), ([1, "x"], 'a [1,"x"] c')],
)
def test_text_around_it_makes_text(value: Any, text: str) -> None:
    assert fill("a ${params.x} c", constant(value)) == text


def test_null_amid_text_is_a_mistake() -> None:
    with pytest.raises(TemplateError, match=r"\$\{params.x\} is null"):
        fill("a ${params.x}", constant(None))


def test_two_dollars_stand_for_one() -> None:
    assert fill("echo $${HOME} $PATH $(ls) ${params.x}", constant("v")) == "echo ${HOME} $PATH $(ls) v"


@pytest.mark.parametrize("text", ["${", "${}", "${params}", "${a..b}", "${a.b c}", "${1.b}", "${a.b", "${${a.b}}"])
def test_what_is_no_reference_is_said(text: str) -> None:
    with pytest.raises(TemplateError, match=r"\$\$\{"):
        parse_template(text)


def test_a_reference_is_found_wherever_it_stands() -> None:
    value = {"a": ["${params.x}", {"b": "c ${ steps.s-1.o.0 }"}], "n": 1}
    assert list(references(value)) == [X, Reference(("steps", "s-1", "o", "0"))]
    assert whole_reference(parse_template("${params.x}")) == X
    assert whole_reference(parse_template(" ${params.x}")) is None


def test_what_is_brought_in_is_not_read_again() -> None:
    assert fill("${params.x} ${params.x}", constant("${secret.key}")) == "${secret.key} ${secret.key}"
    assert fill("${params.x}", constant("${secret.key}")) == "${secret.key}"


@given(st.text())
def test_any_text_is_a_template_or_a_template_error(text: str) -> None:
    try:
        filled = fill(text, constant("v"))
    except TemplateError:
        return
    assert isinstance(filled, str)


@given(st.text())
def test_escaped_text_comes_out_as_it_was(text: str) -> None:
    if text.endswith("$"):
        text += "."
    # `$` before an escape would itself join it; the language has one escape and no more.
    if "$${" not in text:
        assert fill(text.replace("${", "$${"), constant("v")) == text
