"""Which app is in front, read from reports of several Android versions."""

from __future__ import annotations

import pytest

from doai.node.steps.foreground import parse_foreground, whole_component


@pytest.mark.parametrize(
    ("report", "component"),
    [
        ("mCurrentFocus=Window{5b u0 com.a/com.a.Main}", "com.a/com.a.Main"),
        ("mCurrentFocus=null\nmCurrentFocus=Window{5b u0 com.a/com.a.Main}", "com.a/com.a.Main"),
        ("mCurrentFocus=null\nmFocusedApp=ActivityRecord{8a u0 com.a/.Main t12}", "com.a/com.a.Main"),
        ("mFocusedApp=ActivityRecord{8a u0 com.a/.Main} t12}", "com.a/com.a.Main"),
        (
            (
                "mCurrentFocus=Window{1 u0 PopupWindow:f3}\n"
                "mFocusedApp=AppWindowToken{f0 token=Token{a1 ActivityRecord{8a u0 com.a/.Main t12}}}"
            ),
            "com.a/com.a.Main",
        ),
        ("mCurrentFocus=Window{1 u0 NotificationShade}", ""),
        ("", ""),
        ("garbage \x00 {", ""),
    ],
)
def test_the_component_in_front(report: str, component: str) -> None:
    assert parse_foreground(report).component == component


def test_dialogs_of_a_crash_belong_to_one_app() -> None:
    front = parse_foreground("mCurrentFocus=Window{1 u0 Application Error: com.a}")
    assert front.crashed("com.a")
    assert not front.crashed("com.b")
    assert not front.hangs("com.a")


def test_a_component_is_written_out() -> None:
    assert whole_component("com.a/.Main") == "com.a/com.a.Main"
    assert whole_component("com.a/com.b.Main") == "com.a/com.b.Main"
    assert whole_component("") == ""
