"""Conditions and references of a recipe against what is known of its names."""
# ruff: noqa: E501 - a recipe and its sentence are read side by side

import pytest

from doai.workflow.model import WorkflowError, parse_workflow

HEAD = "workflow: w\nparams: {n: {type: integer, default: 1}, s: {type: string, default: a}}\n"


def mistakes_of(rest: str) -> list[str]:
    try:
        parse_workflow(HEAD + rest)
    except WorkflowError as error:
        return error.details
    return []


def test_names_of_a_condition_are_those_that_are_known_at_its_place() -> None:
    assert mistakes_of("steps: [{use: screen.capture, if: 'params.n > 0 && device.sdk > 20'}]") == []
    assert mistakes_of("steps: [{use: screen.capture, expect: 'width > 0 && outputs.height > params.n'}]") == []
    (only,) = mistakes_of("steps: [{use: screen.capture, if: 'width > 0'}]")
    assert "there is no 'width' to refer to" in only


def test_every_unknown_name_of_a_condition_is_said() -> None:
    said = mistakes_of("steps: [{use: screen.capture, if: 'params.m > 0 && devise.sdk > 20 && has(params.o)'}]")
    assert [sentence.partition("there is no ")[2].partition(";")[0] for sentence in said] == [
        "'m' in params",
        "'devise' to refer to",
        "'o' in params",
    ]


def test_the_variable_of_a_loop_is_known_inside_of_it_and_not_outside() -> None:
    assert mistakes_of("steps: [{use: screen.capture, if: 'device.tags.exists(tag, tag == params.s)'}]") == []
    (only,) = mistakes_of("steps: [{use: screen.capture, if: 'device.tags.exists(tag, true) && tag == params.s'}]")
    assert "there is no 'tag' to refer to" in only


def test_a_type_that_only_shows_with_the_kinds_of_the_names_is_said() -> None:
    (only,) = mistakes_of("steps: [{use: screen.capture, if: 'params.s > params.n'}]")
    assert "> does not go with text and an integer" in only


def test_what_depends_on_values_is_left_to_the_run() -> None:
    # int('text') fails with the made-up value and may pass with a real one; a report may hold anything.
    assert mistakes_of("steps: [{use: screen.capture, if: 'int(params.s) > 1'}]") == []
    rest = (
        "steps:\n- {id: r, use: report, with: {values: {a: 1}}}\n"
        "- {use: screen.capture, needs: [r], if: 'steps.r.values.a > 1'}\n"
    )
    assert mistakes_of(rest) == []


def test_the_expect_of_an_unknown_step_says_nothing_of_its_own() -> None:
    (only,) = mistakes_of("steps: [{use: screen.captur, expect: 'anything.at_all > 1'}]")
    assert "there is no step called 'screen.captur'" in only


@pytest.mark.parametrize(
    ("rest", "sentence"),
    [
        ("steps:\n" + "- {use: screen.capture}\n" * 201, "201 "),
        ("steps: [{use: wait, with: {for: 1s}, timeout: 90000h}]", "steps[0].timeout: "),
        ("steps: [{use: screen.capture}]\ncontent_id: '${params.s'", "content_id: a ${ has no closing }"),
        ("steps: [{id: a, use: screen.capture}]\nbounds: {a: {timeout: {minimum: 90000h}}}", "bounds.a.timeout.minimum: "),
    ],
)  # fmt: skip
def test_limits_and_times(rest: str, sentence: str) -> None:
    assert any(sentence in said for said in mistakes_of(rest))
