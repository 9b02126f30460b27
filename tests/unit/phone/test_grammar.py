"""The shell's grammar."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doai.phone.grammar import ShellSyntaxError, parse


@given(st.text(alphabet="ab '\"\\$?{};|&<>12()\n=#`*", max_size=40))
def test_any_line_is_parsed_or_refused(line: str) -> None:
    try:
        parse(line)
    except ShellSyntaxError as error:
        assert str(error).startswith("/system/bin/sh:")


@pytest.mark.parametrize(
    "line", ["'", '"a', ";", "a ;; b", "a &", "(a)", "| a", "a |", "a >", "a && ", "$(a)", "`a`", "${a", "a 2>&9"]
)
def test_refused(line: str) -> None:
    with pytest.raises(ShellSyntaxError):
        parse(line)


def test_connectors_and_pipes() -> None:
    steps = parse("a=1; b | c && d || e\nf")
    assert [(step.connector, len(step.pipeline)) for step in steps] == [
        (";", 1),
        (";", 2),
        ("&&", 1),
        ("||", 1),
        (";", 1),
    ]
