"""Which elements a recipe means."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from doai.errors import ErrorClass, StepError
from doai.node.steps.hierarchy import Element
from doai.node.steps.selectors import describe_screen, describe_target, find_elements
from doai.workflow.step_type import Target


def element(name: str, top: int, **fields: Any) -> Element:
    return Element(text=name, bounds=(0, top, 100, top + 10), **fields)


SCREEN = [
    element("", 0, resource_id="com.a:id/list", class_name="android.widget.ListView"),
    element("Name", 10, parent=0),
    element("Ada", 20, parent=0, class_name="android.widget.EditText", resource_id="com.a:id/name"),
    element("Password", 40),
    element("OK", 60, class_name="android.widget.Button", resource_id="com.a:id/ok", desc="confirm"),
    element("OK", 80, class_name="android.widget.Button"),
    Element(text="OK", bounds=(5, 5, 5, 5)),
]


@pytest.mark.parametrize(
    ("target", "positions"),
    [
        ({"text": "OK"}, [4, 5]),
        ({"text": "ok"}, []),
        ({"text_matches": "^Pass"}, [3]),
        ({"text_matches": "(?i)ok"}, [4, 5]),
        ({"id": "ok"}, [4]),
        ({"id": "com.a:id/ok"}, [4]),
        ({"id": "a:id/ok"}, []),
        ({"desc": "confirm"}, [4]),
        ({"class": "Button"}, [4, 5]),
        ({"class": "android.widget.Button"}, [4, 5]),
        ({"text": "OK", "desc": "confirm"}, [4]),
        ({"child_of": "list"}, [1, 2]),
        ({"child_of": "list", "text": "Name"}, [1]),
        ({"below": "Password"}, [4, 5]),
        ({"above": "Password"}, [2, 1, 0]),
        ({"below": "Name", "above": "OK"}, [3, 2]),
        ({"below": "not there"}, []),
        ({"above": "not there"}, []),
    ],
)
def test_all_conditions_hold_together(target: dict[str, str], positions: list[int]) -> None:
    found = find_elements(SCREEN, msgspec.convert(target, Target))
    assert [SCREEN.index(element) for element in found] == positions


@pytest.mark.parametrize(("target", "code"), [({}, "no_target"), ({"text_matches": "("}, "bad_pattern")])
def test_mistakes_of_the_recipe(target: dict[str, str], code: str) -> None:
    with pytest.raises(StepError) as caught:
        find_elements(SCREEN, msgspec.convert(target, Target))
    assert (caught.value.failure.error_class, caught.value.code) == (ErrorClass.USER, code)


def test_a_target_in_words() -> None:
    assert describe_target(Target(text="Log in", index=1)) == "element with text 'Log in', number 2"


def test_the_screen_in_words_leaves_out_what_was_typed() -> None:
    assert describe_screen(SCREEN) == "'Name', 'Password', 'OK'"
    assert describe_screen([]) == "no text at all"


@given(st.lists(st.text(max_size=500), max_size=60))
def test_the_screen_in_words_is_bounded_and_one_line(texts: list[str]) -> None:
    shown = describe_screen([element(text, 10 * position) for position, text in enumerate(texts)])
    assert len(shown) < 450
    assert shown.isprintable()


def test_no_pattern_can_hang_the_node() -> None:
    """Exponential for a backtracking matcher: it would not end within a lifetime."""
    slow = msgspec.structs.replace(SCREEN[3], text="a" * 4000 + "!")
    assert find_elements([slow], msgspec.convert({"text_matches": "^(a+)+$"}, Target)) == []
