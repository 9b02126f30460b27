"""Facts within their bounds."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from doai.codec import encode
from doai.errors import ErrorClass, Failure
from doai.limits import STEP_OUTPUTS_BYTES_MAX
from doai.node.core.facts import MESSAGE_CHARACTERS_MAX, fit_outputs, fitting, shorten

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=20) | st.just("x" * 40_000),
    lambda child: st.lists(child, max_size=50) | st.dictionaries(st.text(max_size=5), child, max_size=5),
)


@given(st.dictionaries(st.text(max_size=10), VALUES, max_size=5))
def test_outputs_fit_and_say_when_they_were_cut(outputs: dict[str, Any]) -> None:
    fitted = fit_outputs(outputs)
    assert len(encode(fitted)) <= STEP_OUTPUTS_BYTES_MAX
    assert (fitted == outputs) or "outputs_cut" in fitted


def test_a_long_stdout_is_cut_in_the_fact_and_whole_for_the_next_step(world: Any) -> None:
    recipe = world.recipe(
        """
workflow: long
steps:
  - {id: a, use: device.shell, with: {command: "cat big"}}
  - {id: b, use: device.shell, with: {command: "wc ${steps.a.stdout}"}}
outputs: {said: "${steps.a.stdout}"}
"""
    )
    world.dispatch("T1", recipe)
    world.end("T1/a", stdout="é" * 10_000, stderr="", exit_code=0)
    [told] = [payload for name, payload in world.facts() if name == "step.completed"]
    assert told.outputs["exit_code"] == 0
    assert "characters more" in told.outputs["stdout"]
    assert len(world.open["T1/b"].arguments["command"]) == 10_003
    world.end("T1/b", stdout="", stderr="", exit_code=0)
    assert world.ends()[0].outputs["said"] == "é" * 10_000


def test_outputs_of_a_task_that_are_too_large_fail_it_clearly(world: Any) -> None:
    recipe = world.recipe(
        """
workflow: large
steps:
  - {id: a, use: device.shell, with: {command: "cat big"}}
outputs: {said: "${steps.a.stdout}"}
"""
    )
    world.dispatch("T1", recipe)
    world.end("T1/a", stdout="x" * 70_000, stderr="", exit_code=0)
    [end] = world.ends()
    assert (end.failure.error_class, end.failure.code, end.outputs) == (ErrorClass.USER, "outputs_too_large", {})


def test_a_failure_fits_with_its_details_or_without() -> None:
    failure = Failure(error_class=ErrorClass.APP, code="odd", message="It is odd.", details={"path": "a/b.png"})
    assert fitting(failure) == failure
    large = msgspec.structs.replace(failure, details={"paths": ["a/b.png"] * 1000})
    assert set(fitting(large).details) == {"details_cut"}


def test_a_long_sentence_is_cut() -> None:
    assert shorten("x" * 5000).endswith(f"({5000 - MESSAGE_CHARACTERS_MAX} characters more)")
