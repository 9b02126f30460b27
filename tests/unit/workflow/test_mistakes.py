"""Mistakes: their places, their sentences, and how many are listed."""

import pytest

from doai.workflow.mistakes import (
    MISTAKES_MAX,
    MistakeList,
    Position,
    WorkflowError,
    did_you_mean,
    path_text,
    shown,
)


def test_a_mistake_without_a_place_of_its_own_has_that_of_what_it_is_in() -> None:
    mistakes = MistakeList({("steps",): Position(3, 1), ("steps", 0): Position(4, 5)})
    mistakes.add(("steps", 0, "with", "url"), "wrong")
    with pytest.raises(WorkflowError) as caught:
        mistakes.raise_if_any(WorkflowError, "workflow w")
    assert caught.value.details == ["line 4, column 5: steps[0].with.url: wrong"]
    assert str(caught.value) == "workflow w: line 4, column 5: steps[0].with.url: wrong"
    assert caught.value.code == "bad_workflow"


def test_mistakes_come_in_the_order_of_the_text_and_the_sentence_counts_them() -> None:
    mistakes = MistakeList({("a",): Position(9, 1), ("b",): Position(2, 1)})
    mistakes.add(("a",), "later")
    mistakes.add(("b",), "first")
    mistakes.add(("b",), "first")
    with pytest.raises(WorkflowError, match=r"line 2, column 1: b: first \(and 1 more\)") as caught:
        mistakes.raise_if_any(WorkflowError, "w")
    assert [mistake.line for mistake in caught.value.mistakes] == [2, 9]


def test_a_flood_of_mistakes_is_counted_and_not_listed() -> None:
    mistakes = MistakeList()
    for number in range(MISTAKES_MAX + 7):
        mistakes.add((str(number),), "wrong")
    with pytest.raises(WorkflowError) as caught:
        mistakes.raise_if_any(WorkflowError, "w")
    assert caught.value.details[-1] == "7 more mistakes are not listed"
    assert len(caught.value.details) == MISTAKES_MAX + 1


def test_no_mistakes_raise_nothing() -> None:
    MistakeList().raise_if_any(WorkflowError, "w")


def test_what_to_do_about_an_unknown_name() -> None:
    assert did_you_mean("ui.tapp", ["ui.tap", "wait"]) == "did you mean 'ui.tap'?"
    assert did_you_mean("zzz", ["b", "a"]) == "known: a, b"
    assert did_you_mean("zzz", []) == "there is none to choose from"
    assert did_you_mean("zzz", map(str, range(100))) == "there are 100 to choose from"


def test_values_and_paths_in_sentences_are_short() -> None:
    assert len(shown("x" * 1000)) == 60
    assert (shown(None), shown(True), shown("a")) == ("null", "true", "'a'")
    assert path_text(("steps", 2, "with", "k" * 100)) == f"steps[2].with.{'k' * 63}"
