"""Conditions: CEL, the names they use, and errors that are sentences."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doai.workflow.conditions import (
    FUNCTIONS,
    LOOP_ITEMS_MAX,
    ConditionError,
    MissingNameError,
    TypesError,
    compile_condition,
    matches,
)
from doai.workflow.language import EXPRESSION_CHARS_MAX

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
    "source", ["", "a +", "'x", "(" * 500, "(" * 500 + "1" + ")" * 500, "!" * 9000 + "true", "a b"]
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
    assert matches("^😀[가-힣]+$", "😀한글")
    with pytest.raises(ConditionError, match="null"):
        matches("^a$", "a\0b")
    with pytest.raises(ConditionError, match=r"missing \) in '\('"):
        matches("(", "")


def sentence_of(source: str, names: dict[str, object] = NAMES) -> str:
    with pytest.raises(ConditionError) as caught:
        compile_condition(source).evaluate(names)
    return str(caught.value)


@pytest.mark.parametrize(
    "source",
    [
        "2 <= 2.5",
        "2.5 > 1 && 1u < 2",
        "3 == 3.0 && 3 != 3.5",
        "params.n <= 3.5",
        "params.n == 3.0",
        "2.0 in params.l",
        "params.l == [1.0, 2.0]",
    ],
)
def test_numbers_compare_whatever_their_kind(source: str) -> None:
    assert compile_condition(source).evaluate(NAMES)


@pytest.mark.parametrize(
    ("source", "holds"),
    [
        ("null == null", True),
        ("params.none == null", True),
        ("params.n == null", False),
        ("params.n != null", True),
        ("has(params.none)", True),
        ("has(params.n) && params.n > 1", True),
        ("has(steps['shot-1'].height) && steps['shot-1'].height > 1", False),
        ("has(params.nothing.deeper) || true", True),
    ],
)
def test_null_and_what_is_not_there(source: str, holds: bool) -> None:
    assert compile_condition(source).evaluate(NAMES) is holds


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (
            "1 < 'a'",
            "< does not go with an integer and text at character 3; convert with int(), double(), string() ...",
        ),
        ("params.s + 1 == 'a'", "== does not go with an integer and text at character 14"),
        ("params.s.contains(1)", "contains does not go with an integer at character 18"),
        ("null > 1", "> does not go with null and an integer at character 6; ask whether it is null first"),
        ("1 < 2.5 && 'a' < 1", "< does not go with text and an integer at character 16"),
    ],
)
def test_types_that_do_not_go_together_are_found_when_compiled(source: str, sentence: str) -> None:
    with pytest.raises(TypesError) as caught:
        compile_condition(source)
    assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("", "it is no CEL expression: it ends too early at character 1; see cel.dev for the language"),
        ("a b", "it is no CEL expression: 'b' is not expected at character 3; see cel.dev for the language"),
        ("true &&\n a b", "it is no CEL expression: 'b' is not expected at line 2, character 4"),
        ("params.n = 1", "it is no CEL expression: '=' is not expected at character 10; write == instead"),
        (
            "params.n == 1 and true",
            "it is no CEL expression: 'and' is not expected at character 15; write && instead",
        ),
        (
            "params.n == 1 or true",
            "it is no CEL expression: 'or' is not expected at character 15; write || instead",
        ),
        ("not true", "it is no CEL expression: 'true' is not expected at character 5; write ! instead"),
        ("params.l.all(1, true)", "it is no CEL expression: all() variable name must be a simple identifier"),
        ("package == 'a'", "'package' is a word of the language at character 1; write outputs.package"),
        (
            "int.size == 1",
            "expression of type 'type(int)' cannot be the operand of a select operation at character 4",
        ),
        ("dyn.x == 1", "expression of type 'type(dyn)' cannot be the operand"),
        ("0x == 1", "it is no CEL expression: "),
        ("lenght(params.s) > 1", "there is no function 'lenght'; "),
        ("params.s.size(1) == 1", "'size' can not be used like this at character 14; see cel.dev"),
        ("'\ud800' == ''", "it is no CEL expression: it has a character or name that CEL has not"),
        ("한글 == 1", "it is no CEL expression: '한' is not expected at character 1"),
        ("params.s.matches('(')", "its regular expression is wrong: missing ) in '('; correct it"),
        ("params.s.matches('a{9999}')", "its regular expression is wrong: invalid repetition size in '{9999}'"),
        ("params.none > 1", "> does not go with null and an integer; ask whether it is null first"),
        (
            "params.n + 1.5 > 2.0",
            "+ does not go with an integer and a number with a point; convert with int(), double()",
        ),
        ("!params.n", "its parts have types that do not go together"),
        ("params.n.x == 1", "it asks for a field of something that has no fields"),
        ("params.l[5] == 1", "there is no item 5 in a list of 2; ask for its size() first"),
        ("params.n / 0 == 1", "it divides by zero; ask for that first"),
        ("params.n % 0 == 1", "it divides by zero"),
        ("9223372036854775807 + params.n > 1", "it can not be evaluated: integer overflow"),
        ("int(params.s) == 1", "it can not be evaluated: cannot convert string to int"),
        ("params.nothing == 1", "there is no 'nothing' now"),
        ("steps.other.width == 1", "there is no 'other' now"),
        ("nothing == 1", "there is no 'nothing' now"),
        ("params.s", "it gives text, not true or false; compare it with something"),
        ("params.none", "it gives null, not true or false"),
        ("b'a'", "it gives another value, not true or false"),
    ],
)
def test_errors_are_one_sentence_with_the_place_and_what_to_do(source: str, sentence: str) -> None:
    said = sentence_of(source)
    assert said.startswith(sentence)
    assert "\n" not in said
    assert "INVALID_ARGUMENT" not in said


@pytest.mark.parametrize(
    "source",
    [
        "(" * 40 + "1" + ")" * 40 + " == 1",
        "[" * 40 + "]" * 40 + " == []",
        "params" + ".a" * 40 + " == 1",
        "1" + " + 1" * 40 + " == 41",
        "true ? true : " * 40 + "true",
        "params.l" + ".map(x, x)" * 40 + " == []",
    ],
)
def test_what_is_nested_deeply_is_refused(source: str) -> None:
    assert sentence_of(source) == "it is nested more than 32 deep; write it simpler"


def test_operators_that_the_library_folds_or_balances_may_be_many() -> None:
    assert compile_condition("!" * 900 + "true").evaluate({})
    assert compile_condition("true" + "&&true" * 160).evaluate({})


def test_what_is_long_is_refused_and_what_is_long_enough_is_not() -> None:
    assert compile_condition("'" + "한" * (EXPRESSION_CHARS_MAX - 8) + "' != ''").evaluate({})
    assert sentence_of("'" + "x" * 200_000 + "' != ''").startswith("it has 200008 characters and may have 1024")


@pytest.mark.parametrize(
    "source",
    [
        "params.l.map(x, params.s + 'b') == []",
        "params.l.all(x, params.l + params.l == params.l)",
        "params.l.all(x, string(bytes(params.s)) == 'a')",
        "(params.l + params.l).map(x, x) == []",
    ],
)
def test_loops_can_not_multiply_what_they_are_given(source: str) -> None:
    assert sentence_of(source).startswith("in all, exists, filter and map it may add numbers that are written out")


@pytest.mark.parametrize(
    "source",
    [
        "params.l.exists(x, x + 1 == 3)",
        "params.l.exists_one(x, x == 2)",
        "params.l.map(x, x * 2) == [2, 4]",
        "params.l.filter(x, x > 1).size() == 1",
        "params.l.map(x, x > 1, x) == [2]",
        "params.s + 'b' == 'ab' && params.l.all(x, x > 0)",
    ],
)
def test_loops_do_what_they_are_for(source: str) -> None:
    assert compile_condition(source).evaluate(NAMES)


def test_rounds_and_items_are_bounded() -> None:
    names: dict[str, object] = {"params": {"l": list(range(LOOP_ITEMS_MAX)), "more": [0] * (LOOP_ITEMS_MAX + 1)}}
    assert compile_condition("params.l.all(x, x >= 0)").evaluate(names)
    nested = "params.l.all(x, params.l.all(y, true))"
    assert sentence_of(nested, names).startswith("its loops take more than 10,000 rounds")
    assert sentence_of("params.more.all(x, true)", names).startswith("params.more has 1001 items")


def test_only_what_is_used_is_read() -> None:
    odd = {"n": 1, "odd": object(), "big": 2**70, "half": "\ud800", "by_number": {1: 2}, "pair": (1, 2)}
    names: dict[str, object] = {"params": odd, "other": object()}
    assert compile_condition("params.n == 1").evaluate(names)
    assert compile_condition("params.pair == [1, 2] && params['pair'].size() == 2").evaluate(names)
    assert sentence_of("params.big > 1", names) == "params.big has a number beyond 64 bits; compare something else"
    assert sentence_of("params.half == ''", names).startswith("params.half has a null or half a character")
    for odd_key in ({"\0": 1}, {"a\0b": 1}, ["a\0"]):
        assert sentence_of("params == 1", {"params": odd_key}).startswith("params has a null or half a character")
    assert sentence_of("params.odd == 1", names).startswith("params.odd is or has something")
    assert sentence_of("params.by_number == {}", names).startswith("params.by_number is or has something")
    assert sentence_of("other == 1", names).startswith("other is or has something")
    assert sentence_of("size(params) == 1", names).startswith("params is or has something")
    assert compile_condition("size(outputs) + outputs.n == 3").evaluate({"outputs": {"n": 1, "m": 2}})
    assert compile_condition("width + 1 == 101").evaluate({"width": 100})


@pytest.mark.parametrize("text", ["한글", "e\u0301", "😀", "a\nb"])
def test_text_is_compared_as_it_is(text: str) -> None:
    names: dict[str, object] = {"params": {"s": text}, "steps": {text: {"ok": True}}}
    assert compile_condition(f"params.s.size() == {len(text)}").evaluate(names)
    assert compile_condition("steps[params.s].ok").evaluate(names)


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_every_function_that_is_offered_exists(name: str) -> None:
    calls = {
        **dict.fromkeys(("all", "exists", "exists_one", "filter", "map"), f"type([true].{name}(x, x)) != int"),
        **dict.fromkeys(("contains", "startsWith", "endsWith", "matches"), f"'a'.{name}('a')"),
        "has": "has({'a': 1}.a)",
        "size": "size('a') == 1",
        "duration": "duration('1s') < duration('1h')",
        "timestamp": "timestamp('2020-01-01T00:00:00Z') < timestamp('2021-01-01T00:00:00Z')",
        "bool": "bool('true')",
        "type": "type(1) == int",
        "bytes": "bytes('a') == b'a'",
        "string": "string(1) == '1'",
    }
    compile_condition(calls.get(name, f"{name}('1') == {name}(1)")).evaluate({})
