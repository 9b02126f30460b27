"""Conditions: CEL, the names they use, and errors that are sentences."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doai.workflow.conditions import ConditionError, MissingNameError, TypesError, compile_condition, matches

NAMES = {"params": {"n": 3, "s": "a", "none": None, "l": [1, 2]}, "steps": {"shot-1": {"width": 100}}}


@pytest.mark.parametrize(
    ("source", "holds"),
    [
        ("params.n > 2", True),
        ("params.none != null && params.none.size() > 1", False),
        ("has(params.nothing)", False),
        ("params.l.exists(i, i == 2)", True),
        ("steps['shot-1'].width == 100", True),
        ("params.s in ['a', 'b']", True),
        ("params.n == 3 ? true : false", True),
    ],
)
def test_answers(source: str, holds: bool) -> None:
    assert compile_condition(source).evaluate(NAMES) is holds


@pytest.mark.parametrize(
    ("source", "usages"),
    [
        ("params.n > 2 && steps['shot-1'].width == 1", [("params", "n"), ("steps", "shot-1", "width")]),
        ("'params.x' == \"steps.y\" + params.s", [("params", "s")]),
        ("params.l.exists(item, item == n)", [("params", "l"), ("n",)]),
        ("has(steps.a.b) || int(params.s) == 1", [("steps", "a", "b"), ("params", "s")]),
        ("type(params.n) == int", [("params", "n")]),
        ("{'k': params.n}.k == 1", [("params", "n")]),
        ("params.s.startsWith('a') // params.comment", [("params", "s")]),
        ("true || null == null", []),
    ],
)
def test_the_names_it_uses(source: str, usages: list[tuple[str, ...]]) -> None:
    assert [usage.names for usage in compile_condition(source).usages] == usages


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("params.nothing == 1", MissingNameError),
        ("params.n > 'a'", TypesError),
        ("params.n", ConditionError),
        ("params.n / 0 == 1", ConditionError),
        ("nothing == 1", ConditionError),
        ("params.s.matches('(')", ConditionError),
    ],
)
def test_what_can_not_be_answered_is_a_condition_error(source: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        compile_condition(source).evaluate(NAMES)


@pytest.mark.parametrize(
    "source", ["", "a +", "'x", "(" * 500, "(" * 500 + "1" + ")" * 500, "!" * 900 + "true", "a b"]
)
def test_what_is_no_cel_is_a_condition_error(source: str) -> None:
    with pytest.raises(ConditionError):
        compile_condition(source)


def test_loops_are_bounded() -> None:
    loop = "params.l.all(a, params.l.all(b, params.l.all(c, true)))"
    with pytest.raises(ConditionError, match="more than 2"):
        compile_condition(loop)


@given(st.text(max_size=80) | st.text("pars.()[]'\"!&|<>=+-1?: ,{}", max_size=80))
def test_any_text_compiles_and_answers_or_is_a_condition_error(source: str) -> None:
    try:
        compile_condition(source).evaluate(NAMES)
    except ConditionError as error:
        assert str(error)


def test_regular_expressions_take_linear_time_and_end_at_the_end() -> None:
    assert not matches("^(a+)+$", "a" * 5000 + "b")
    assert matches("^[a-z]{3}$", "abc")
    assert not matches("^[a-z]{3}$", "abc\n")
    with pytest.raises(ConditionError, match="unclosed group"):
        matches("(", "")
