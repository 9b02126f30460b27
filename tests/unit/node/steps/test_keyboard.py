"""ui.text and ui.key: what is typed arrives, and never stands in an error."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doai.drivers.base import CommandOutput
from doai.errors import ErrorClass
from doai.node.steps.keyboard import TEXT_CHARACTERS_MAX, typing_commands
from doai.node.steps.keys import KEYS, key_number
from doai.phone.grammar import parse
from doai.phone.window import KEY_CODES

Make = Callable[[dict[str, Any]], Any]
TYPABLE = st.text(
    st.characters(min_codepoint=32, max_codepoint=126) | st.sampled_from("\n\t%s '\"$`\\"), max_size=600
)


def android_types(argument: str) -> str:
    """What `input text` makes of its argument (sendText of Android's InputShellCommand)."""
    characters = list(argument)
    escaped = False
    position = 0
    while position < len(characters):
        if escaped:
            escaped = False
            if characters[position] == "s":
                characters[position] = " "
                position -= 1
                del characters[position]
        if characters[position] == "%":
            escaped = True
        position += 1
    return "".join(characters)


@given(TYPABLE)
def test_what_android_types_is_the_text(text: str) -> None:
    typed = ""
    for command in typing_commands(text):
        words = shlex.split(command)
        assert words[0] == "input"
        assert len(words) == 3
        if words[1] == "text":
            assert len(words[2]) <= TEXT_CHARACTERS_MAX * 2
            typed += android_types(words[2])
        else:
            typed += {"66": "\n", "61": "\t"}[words[2]]
    assert typed == text


@given(TYPABLE)
def test_what_the_simulated_shell_reads_is_what_was_meant(text: str) -> None:
    for command in typing_commands(text):
        (step,) = parse(command)
        words = ["".join(part.text for part in word) for word in step.pipeline[0].words]
        assert words == shlex.split(command)


@pytest.mark.parametrize("text", ["비밀번호", "naïve", "a\x00b", "\x1b", "\x7f", "emoji \U0001f600"])
async def test_what_no_us_keyboard_has_is_refused_before_anything_is_touched(scripted: Make, text: str) -> None:
    bench = scripted({})
    error = await bench.fail("ui.text", text=text, clear=True)
    assert (error.failure.error_class, error.code) == (ErrorClass.USER, "text_not_typable")
    assert text not in str(error)
    assert bench.device.commands == []


async def test_the_text_is_in_no_error(scripted: Make) -> None:
    secret = "hunter2 hunter2"
    for output in (
        CommandOutput(b"", f"Error: can not type {secret}".encode(), 255),
        CommandOutput(b"", f"java.lang.IllegalStateException: {secret}".encode(), 0),
    ):
        error = await scripted({"input": output}).fail("ui.text", text=secret)
        assert error.code == "input_failed"
        assert "hunter2" not in str(error)


async def test_a_phone_that_forbids_input_says_where_to_allow_it(scripted: Make) -> None:
    said = b"java.lang.SecurityException: Injecting input events requires the caller to have INJECT_EVENTS"
    for use, arguments in (("ui.text", {"text": "a"}), ("ui.key", {"key": "BACK"}), ("ui.tap", {"x": 1, "y": 1})):
        error = await scripted({"input": CommandOutput(b"", said, 255)}).fail(use, **arguments)
        assert (error.failure.error_class, error.code) == (ErrorClass.DEVICE, "input_not_allowed")


def field(text: str) -> str:
    edit = f'<node text="{text}" class="android.widget.EditText" focused="true" bounds="[0,0][9,9]"/>'
    return f"<hierarchy>{edit}</hierarchy>"


async def test_a_field_is_emptied_by_as_many_deletions_as_it_has_characters(scripted: Make) -> None:
    bench = scripted({"uiautomator": field("abc")})
    await bench.do("ui.text", text="x y", clear=True)
    assert bench.device.commands[1] == "input keyevent 123 67 67 67 67 && input text x%sy"


async def test_a_field_of_several_lines_is_emptied_on_both_sides_of_the_cursor(scripted: Make) -> None:
    bench = scripted({"uiautomator": field("a&#10;b")})
    await bench.do("ui.text", text="", clear=True)
    assert bench.device.commands[1] == "input keyevent 123 67 67 67 67 112 112 112"


async def test_a_field_that_can_not_be_read_is_emptied_all_the_same(scripted: Make) -> None:
    bench = scripted({"uiautomator": "ERROR: could not get idle state."})
    await bench.do("ui.text", text="x", clear=True)
    assert bench.device.commands[1].count(" 67") > 100


async def test_nothing_to_type_is_nothing_to_do(scripted: Make) -> None:
    bench = scripted({})
    await bench.do("ui.text", text="")
    assert bench.device.commands == []


@pytest.mark.parametrize(
    ("key", "times", "command"),
    [
        ("ENTER", 1, "input keyevent 66"),
        ("KEYCODE_BACK", 2, "input keyevent 4 4"),
        (26, 1, "input keyevent 26"),
        ("223", 1, "input keyevent 223"),
    ],
)
async def test_keys_go_by_number_in_one_command(scripted: Make, key: str | int, times: int, command: str) -> None:
    bench = scripted({})
    await bench.do("ui.key", key=key, times=times)
    assert bench.device.commands == [command]


async def test_a_key_that_does_not_exist_is_refused(scripted: Make) -> None:
    error = await scripted({}).fail("ui.key", key="ENTERR")
    assert (error.failure.error_class, error.code) == (ErrorClass.USER, "unknown_key")


def test_numbers_of_well_known_keys() -> None:
    known = {"HOME": 3, "9": 16, "DPAD_CENTER": 23, "A": 29, "Z": 54, "TAB": 61, "DEL": 67, "NUM": 78, "SEARCH": 84}
    known |= {"PAGE_DOWN": 93, "MOVE_END": 123, "MEDIA_PAUSE": 127, "F12": 142, "NUM_LOCK": 143, "NUMPAD_9": 153}
    known |= {"ZOOM_OUT": 169, "SETTINGS": 176, "APP_SWITCH": 187, "CALCULATOR": 210, "WAKEUP": 224, "PASTE": 279}
    assert {name: KEYS[name] for name in known} == known
    assert len(set(KEYS.values())) == len(KEYS)
    assert key_number("999") is None


def test_the_numbers_are_those_of_the_simulated_phone() -> None:
    assert KEY_CODES.items() <= KEYS.items()
