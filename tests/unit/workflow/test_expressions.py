"""Conditions and references that have no answer now, as errors of a step."""

import pytest

from doai.errors import ErrorClass, StepError
from doai.workflow.conditions import compile_condition
from doai.workflow.expressions import Scope, condition_holds, expectation_met, resolve_arguments, resolve_outputs

SCOPE = Scope(
    params={"l": ["a", {"b": 1}], "none": None}, steps={"shot": {"width": 1}}, known_steps=frozenset({"login"})
)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("steps.login.code == 0", "there is no 'code' now; ask with has(...) first"),
        ("params.l[7] == 0", "there is no item 7 in a list of 2; ask for its size() first"),
        ("params.none > 1", "> does not go with null and an integer; ask whether it is null first"),
    ],
)
def test_a_condition_without_an_answer_is_the_recipes_error(source: str, reason: str) -> None:
    with pytest.raises(StepError) as caught:
        condition_holds(compile_condition(source), SCOPE, "s")
    failure = caught.value.failure
    assert (failure.error_class, failure.code, failure.step) == (ErrorClass.USER, "bad_condition", "s")
    assert failure.message == f"if of step s ({source}) can not be answered: {reason}"


def test_outputs_go_by_three_names() -> None:
    for source in ("width == 2", "outputs.width == 2", "steps.s.width == 2"):
        assert expectation_met(compile_condition(source), SCOPE, "s", {"width": 2})


def test_references_lead_into_lists_and_fields() -> None:
    assert resolve_arguments({"x": "${params.l.1.b}", "y": "${params.l.0}"}, SCOPE, "s") == {"x": 1, "y": "a"}
    for reference in ("${params.l.2}", "${params.l.x}", "${params.l.0.x}", "${nothing.x}"):
        with pytest.raises(StepError) as caught:
            resolve_arguments({"x": reference}, SCOPE, "s")
        assert caught.value.failure.code == "no_value"
        assert reference in caught.value.failure.message
    assert resolve_outputs({"x": "${params.l.2}", "y": "${params.l.0}"}, SCOPE) == {"x": None, "y": "a"}
