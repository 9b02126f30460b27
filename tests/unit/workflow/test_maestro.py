"""Maestro's flows: what is made of each command, what is named, and that everything that is made can be stored."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doai.workflow.maestro import Imported, import_flow
from doai.workflow.maestro_commands import CONVERTERS
from doai.workflow.mistakes import WorkflowError
from doai.workflow.model import parse_workflow
from doai.workflow.source import read_source
from doai.workflow.steps import BUILT_IN
from doai.workflow.writing import write_recipe

HEAD = "appId: com.example.login\n---\n"
APP = {"package": "com.example.login"}
WAITS = {"within": "17s"}


def imported(commands: str, head: str = HEAD) -> Imported:
    return import_flow(head + commands, name="smoke")


def steps(commands: str) -> list[tuple[str, dict[str, Any]]]:
    """Type and arguments of the steps that commands become, none of them left out."""
    found = imported(commands)
    assert not found.is_partial, found.notes
    return [(step["use"], step.get("with", {})) for step in read_source(found.text).data["steps"]]


@pytest.mark.parametrize(
    ("command", "made"),
    [
        ("- launchApp", [("app.stop", APP), ("app.launch", APP)]),
        (
            "- launchApp: com.other.app",
            [("app.stop", {"package": "com.other.app"}), ("app.launch", {"package": "com.other.app"})],
        ),
        ("- launchApp: {clearState: true}", [("app.clear", APP), ("app.launch", APP)]),
        ("- launchApp: {stopApp: false}", [("app.launch", APP)]),
        ("- stopApp", [("app.stop", APP)]),
        ("- clearState", [("app.clear", APP)]),
        ("- openLink: https://example.com/a", [("app.open_url", {"url": "https://example.com/a"})]),
        ("- tapOn: Login", [("ui.tap", {"text": "Login", **WAITS})]),
        (
            "- tapOn: {id: submit, index: 1, below: Name}",
            [("ui.tap", {"id": "submit", "index": 1, "below": "Name", **WAITS})],
        ),
        ("- tapOn: {point: '50%,80%'}", [("ui.tap", {"x": "50%", "y": "80%"})]),
        ("- tapOn: {point: '100, 200'}", [("ui.tap", {"x": 100, "y": 200})]),
        ("- tapOn: 'Log ?in|Sign in'", [("ui.tap", {"text_matches": "(?is)^(?:Log ?in|Sign in)$", **WAITS})]),
        (r"- tapOn: 'Price \(now\)'", [("ui.tap", {"text": "Price (now)", **WAITS})]),
        ("- assertVisible: 안녕", [("ui.wait_for", {"text": "안녕", **WAITS})]),
        (
            "- extendedWaitUntil: {visible: {id: a}, timeout: 5000}",
            [("ui.wait_for", {"id": "a", "within": "5000ms"})],
        ),
        ("- waitForAnimationToEnd", [("wait", {"for": "1s"})]),
        ("- inputText: hello", [("ui.text", {"text": "hello"})]),
        ("- inputText: 0123", [("ui.text", {"text": "123"})]),
        ("- eraseText: 7", [("ui.key", {"key": "DEL", "times": 7})]),
        ("- pressKey: Volume Up", [("ui.key", {"key": "VOLUME_UP"})]),
        ("- back", [("ui.key", {"key": "BACK"})]),
        ("- hideKeyboard", [("ui.key", {"key": "ESCAPE"})]),
        ("- runFlow: {commands: [back]}", [("ui.key", {"key": "BACK"})]),
        ("- runFlow: {when: {platform: Android}, commands: [back]}", [("ui.key", {"key": "BACK"})]),
        (
            "- takeScreenshot: after/login",
            [
                ("screen.capture", {"name": "after-login"}),
                ("artifact.upload", {"artifact": "${steps.shot.artifact}"}),
            ],
        ),
        (
            "- tapOn: {text: a, repeat: 2, delay: 50}",
            [("ui.tap", {"text": "a", **WAITS}), ("wait", {"for": "50ms"}), ("ui.tap", {"text": "a", **WAITS})],
        ),
    ],
)
def test_what_a_command_becomes(command: str, made: list[tuple[str, dict[str, Any]]]) -> None:
    assert steps(command) == made


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("evalScript: ${output.x = 1}", "no counterpart"),
        ("tapOn: {text: a, leftOf: b}", "leftOf has no counterpart"),
        ("tapOn: {containsChild: b}", "containsChild"),
        ("tapOn: {id: 'item_[0-9]'}", "is a pattern"),
        ("tapOn: {text: a, point: '1%,1%'}", "within an element"),
        ("tapOn: {text: a, repeat: 500}", "at most"),
        ("tapOn: '(['", "no regular expression"),
        ("tapOn:", "text"),
        ("inputText: ${output.code}", "do not compute"),
        ("inputText: ${1 + 1}", "do not compute"),
        ("inputText: costs $${A}", "dollar sign"),
        ("launchApp: {arguments: {a: 1}}", "arguments has no counterpart"),
        ("launchApp: nodots", "package"),
        ("pressKey: Remote Button A", "the key 'Remote Button A'"),
        ("runFlow: {when: {visible: a}, commands: [back]}", "under a condition"),
        ("extendedWaitUntil: {visible: a, timeout: soon}", "no whole number"),
        ("{tapOn: a, back: b}", "no command"),
        ("openLink: not a link", "url"),
    ],
)
def test_what_has_no_counterpart_is_named_with_its_line(command: str, why: str) -> None:
    found = imported(f"- back\n- {command}\n- back\n")
    [note] = found.notes
    assert note.left_out
    assert note.line == 4
    assert why in note.message
    assert found.is_partial
    assert found.steps == 2
    assert f"  # left out, line 4: {note.command}" in found.text
    parse_workflow(found.text)


def test_settings_variables_and_hooks() -> None:
    found = imported(
        "- inputText: ${NAME} and ${PASSWORD}\n",
        "appId: com.example.login\nname: Log in (smoke)\nenv: {NAME: demo}\ntags: [a]\n"
        "onFlowStart: [{pressKey: Home}]\nonFlowComplete: [stopApp]\n---\n",
    )
    assert found.notes == ()
    workflow = parse_workflow(found.text)
    assert (workflow.name, workflow.title) == ("log-in-smoke", "Log in (smoke)")
    assert {name: parameter.default for name, parameter in workflow.params.items() if name == "NAME"} == {
        "NAME": "demo"
    }
    assert [step.use for step in (*workflow.steps, *workflow.always)] == ["ui.key", "ui.text", "app.stop"]
    assert workflow.steps[1].with_["text"] == "${params.NAME} and ${params.PASSWORD}"


def test_label_and_optional_stay() -> None:
    found = imported("- tapOn: {text: Later, optional: true, label: Close the banner}\n")
    [step] = parse_workflow(found.text).steps
    assert (step.optional, step.label, step.with_["within"]) == (True, "Close the banner", "7s")


@pytest.mark.parametrize(
    ("command", "use", "made"),
    [
        ("repeat: {times: 3, commands: [back]}", "flow.repeat", {"times": 3}),
        ("runFlow: sub/Log_Out.yaml", "workflow.call", {"workflow": "log_out"}),
        ("runFlow: {file: a.yaml, env: {NAME: x}}", "workflow.call", {"workflow": "a", "params": {"NAME": "x"}}),
        ("longPressOn: {id: a}", "ui.long_press", {"id": "a", **WAITS}),
        ("longPressOn: {point: '5%,6%'}", "ui.long_press", {"x": "5%", "y": "6%"}),
        ("swipe: {direction: LEFT, duration: 300}", "ui.swipe", {"direction": "left", "duration": "300ms"}),
        ("swipe: {start: '9%,5%', end: '1%,5%'}", "ui.swipe", {"x": "9%", "y": "5%", "to_x": "1%", "to_y": "5%"}),
        ("swipe: {direction: UP, from: {id: list}}", "ui.swipe", {"direction": "up", "id": "list"}),
        ("scroll", "ui.swipe", {"direction": "up"}),
        ("scrollUntilVisible: {element: Privacy}", "ui.scroll_to", {"text": "Privacy", "direction": "down"}),
        ("assertNotVisible: Wait", "ui.assert_absent", {"text": "Wait", **WAITS}),
        ("extendedWaitUntil: {notVisible: a, timeout: 9}", "ui.assert_absent", {"text": "a", "within": "9ms"}),
    ],
)
def test_what_needs_a_step_of_its_own_is_made_where_there_is_one(
    command: str, use: str, made: dict[str, Any]
) -> None:
    found = imported(f"- back\n- {command}\n")
    if use not in BUILT_IN:
        assert [(note.line, note.message) for note in found.notes if note.left_out] == [
            (4, f"there is no step {use}")
        ]
        return
    assert not found.is_partial, found.notes
    step = read_source(found.text).data["steps"][1]
    assert (step["use"], step["with"]) == (use, made)


@pytest.mark.parametrize(
    "command", ["swipe: {direction: round}", "swipe", "extendedWaitUntil: {timeout: 5}", "repeat"]
)
def test_what_a_gesture_lacks_is_named(command: str) -> None:
    assert imported(f"- back\n- {command}\n").is_partial


def test_a_loop_with_an_unknown_command_is_left_out_whole() -> None:
    found = imported("- back\n- repeat:\n    times: 2\n    commands:\n      - back\n      - shake\n")
    [note] = found.notes
    assert note.line == 4
    assert "line 8: shake" in note.message


@pytest.mark.parametrize(
    ("source", "line", "why"),
    [
        ("", 1, "empty"),
        ("appId: a\n", 1, "no list"),
        ("- a\n---\n- b\n", 1, "no map"),
        ("appId: a\n---\n- tapOn: [\n", 4, "no YAML"),
        ("a: 1\n---\n- back\n---\n- back\n", 4, "third document"),
        ("appId: a.b\n---\n- shake\n", 1, "nothing of it"),
        ("appId: a.b\n---\n[]\n", 1, "nothing of it"),
    ],
)
def test_what_is_no_flow_is_refused_with_its_place(source: str, line: int, why: str) -> None:
    with pytest.raises(WorkflowError) as caught:
        import_flow(source, name="x")
    [mistake] = caught.value.mistakes
    assert why in mistake.message
    assert mistake.line == line


def test_the_name_is_the_flows_the_files_or_the_one_that_is_asked_for() -> None:
    named = "name: Über Alles\n---\n- back\n"
    assert import_flow(named, name="file").name == "ber-alles"
    assert import_flow(named, name="Mine", rename=True).name == "mine"
    assert import_flow("- back\n", name="My Flow").name == "my-flow"
    assert import_flow("- back\n", name="로그인").name == "flow"


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ["${A}", "a.*", "50%,50%", "3"]
)
ARGUMENTS: st.SearchStrategy[Any] = st.recursive(
    TEXTS | st.integers(-5, 200) | st.booleans() | st.none(),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                [
                    "text",
                    "id",
                    "index",
                    "point",
                    "appId",
                    "times",
                    "commands",
                    "visible",
                    "timeout",
                    "file",
                    "optional",
                ]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)
COMMANDS = st.dictionaries(st.sampled_from([*CONVERTERS, "shake"]), ARGUMENTS, min_size=1, max_size=1)


@settings(max_examples=40, deadline=None)
@given(st.lists(COMMANDS, max_size=6))
def test_whatever_a_flow_says_what_is_made_can_be_stored_and_nothing_is_lost(
    commands: list[dict[str, Any]],
) -> None:
    flow = HEAD + write_recipe({"c": [{"back": None}, *commands]}).removeprefix("c:\n")
    found = import_flow(flow, name="any")
    workflow = parse_workflow(found.text)
    left_out = sum(note.left_out for note in found.notes)
    assert len(workflow.steps) >= 1 + len(commands) - left_out - sum("runFlow" in command for command in commands)
