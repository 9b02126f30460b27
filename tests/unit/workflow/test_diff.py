"""The difference of two recipes: told by parameter and step, complete, and empty for the same."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from doai.workflow.diff import differences
from doai.workflow.model import parse_workflow, to_stored

OLD = """
workflow: look
params: {name: {type: string, default: a}}
steps:
  - {id: boot, use: device.bootstrap}
  - {id: shot, use: screen.capture}
  - {id: nap, use: wait, with: {for: 1s}}
always:
  - {id: off, use: app.stop, with: {package: com.example.login}}
"""


def stored(source: str) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(to_stored(parse_workflow(source)))
    return found


def told(new: str) -> list[str]:
    return [str(change) for change in differences(stored(OLD), stored(new))]


def test_the_same_says_nothing_however_it_is_written() -> None:
    assert told(OLD.replace("{id: boot, use: device.bootstrap}", "use: device.bootstrap\n    id: boot")) == []


def test_a_changed_value_is_told_at_its_place() -> None:
    assert told(OLD.replace("for: 1s", "for: 2s")) == ['~ steps.nap.with.for: "1s" -> "2s"']
    assert told(OLD.replace("default: a", "default: b")) == ['~ params.name.default: "a" -> "b"']


def test_steps_inside_a_step_are_compared_by_name() -> None:
    def loop(seconds: int) -> dict[str, Any]:
        inner = [{"id": "nap", "use": "wait", "with": {"for": f"{seconds}s"}}]
        return {"steps": [{"id": "loop", "use": "flow.repeat", "steps": inner}]}

    assert [str(change) for change in differences(loop(1), loop(2))] == [
        '~ steps.loop.steps.nap.with.for: "1s" -> "2s"'
    ]


def test_steps_that_came_and_went() -> None:
    [gone, came] = told(OLD.replace("id: nap", "id: rest"))
    assert gone.startswith('- steps.nap: {"')
    assert came.startswith('+ steps.rest: {"')


def test_one_step_that_moved_moves_no_other() -> None:
    lines = OLD.splitlines()
    lines[3], lines[4], lines[5], lines[6] = lines[3], lines[6], lines[4], lines[5]
    assert told("\n".join(lines)) == ["> steps.nap: from place 3 to 1"]


def test_a_step_that_went_to_another_section_left_and_came() -> None:
    moved = (
        OLD.replace("  - {id: nap, use: wait, with: {for: 1s}}\n", "")
        + "  - {id: nap, use: wait, with: {for: 1s}}\n"
    )
    assert [line[:12] for line in told(moved)] == ["- steps.nap:", "+ always.nap"]


NAMES = st.lists(st.sampled_from("abcdef"), unique=True)


def recipe(names: list[str], values: dict[str, int]) -> dict[str, Any]:
    return {"workflow": "w", "steps": [{"id": name, "use": "x", "value": values.get(name, 0)} for name in names]}


@given(NAMES, NAMES, st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 1)))
def test_what_is_told_makes_the_new_one_of_the_old(old: list[str], new: list[str], values: dict[str, int]) -> None:
    before, after = recipe(old, {}), recipe(new, values)
    changes = differences(before, after)
    gone = {change.path for change in changes if change.kind == "removed"}
    moved = {change.path.removeprefix("steps."): change for change in changes if change.kind == "moved"}
    assert gone == {f"steps.{name}" for name in old if name not in new}
    assert {c.path for c in changes if c.kind == "added"} == {f"steps.{name}" for name in new if name not in old}
    stay = [name for name in old if name in new and name not in moved]
    assert stay == [name for name in new if name in old and name not in moved]
    changed = {c.path: c.after for c in changes if c.kind == "changed"}
    assert changed == {f"steps.{n}.value": values[n] for n in new if n in old and values.get(n, 0) != 0}
    assert (changes == []) == (before == after)
