"""ui.tap, ui.wait_for, ui.assert_visible."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from doai.errors import ErrorClass

Make = Callable[[dict[str, Any]], Any]
BUTTON = '<hierarchy><node text="OK" class="android.widget.Button" bounds="[100,200][300,260]"/></hierarchy>'
OTHER = '<hierarchy><node text="Please wait" bounds="[0,0][10,10]"/></hierarchy>'
MOVING = "ERROR: could not get idle state."


async def test_a_tap_hits_the_middle_of_the_element(scripted: Make) -> None:
    bench = scripted({"uiautomator": BUTTON})
    done = await bench.do("ui.tap", text="OK")
    assert (done.x, done.y) == (200, 230)
    assert bench.device.commands[-1] == "input tap 200 230"


async def test_a_tap_waits_for_its_element_and_for_a_screen_that_moves(
    scripted: Make, autojump_clock: MockClock
) -> None:
    screens = [MOVING, OTHER, MOVING, BUTTON]
    bench = scripted({"uiautomator": lambda _: screens.pop(0)})
    await bench.do("ui.tap", text="OK")
    assert screens == []


async def test_pixels_need_no_question(scripted: Make) -> None:
    bench = scripted({})
    await bench.do("ui.tap", x=5, y=6)
    assert bench.device.commands == ["input tap 5 6"]


@pytest.mark.parametrize(
    ("sizes", "point"),
    [
        (
            "Physical size: 1080x2400\n--doai-section--\n init=1080x2400 420dpi cur=2400x1080 app=2300x1080",
            (1200, 1079),
        ),
        ("Physical size: 1080x2400\n--doai-section--\n", (540, 2399)),
    ],
)
async def test_percent_are_of_the_screen_as_it_is_turned(
    scripted: Make, sizes: str, point: tuple[int, int]
) -> None:
    done = await scripted({"wm size": sizes}).do("ui.tap", x="50%", y="100%")
    assert (done.x, done.y) == point


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({}, "no_target"),
        ({"x": 1}, "bad_target"),
        ({"x": 1, "y": 1, "text": "OK"}, "bad_target"),
        ({"x": "101%", "y": 1}, "bad_position"),
        ({"text_matches": "["}, "bad_pattern"),
    ],
)
async def test_mistakes_of_the_recipe_touch_nothing(scripted: Make, arguments: dict[str, Any], code: str) -> None:
    bench = scripted({"wm size": "Physical size: 1080x2400"})
    error = await bench.fail("ui.tap", **arguments)
    assert (error.failure.error_class, error.code) == (ErrorClass.USER, code)
    assert not [command for command in bench.device.commands if command.startswith("input")]


async def test_an_element_that_does_not_come_is_told_with_what_is_there(
    scripted: Make, autojump_clock: MockClock
) -> None:
    bench = scripted({"uiautomator": OTHER})
    began = trio.current_time()
    error = await bench.fail("ui.wait_for", text="Log in", within="10s")
    assert (error.failure.error_class, error.code) == (ErrorClass.APP, "element_not_found")
    assert str(error) == "No element with text 'Log in' on the screen after 10 s; it shows: 'Please wait'."
    assert trio.current_time() - began <= 10.0
    assert len(bench.device.commands) == 21  # at 0, 0.5 ... 10 s


async def test_fewer_elements_than_the_index_are_counted(scripted: Make, autojump_clock: MockClock) -> None:
    error = await scripted({"uiautomator": BUTTON}).fail("ui.wait_for", text="OK", index=2, within="1s")
    assert "number 3 on the screen after 1 s (only 1 such)" in str(error)


async def test_no_time_is_still_one_look(scripted: Make, autojump_clock: MockClock) -> None:
    assert (await scripted({"uiautomator": BUTTON}).do("ui.wait_for", text="OK", within="0s")).waited_ms == 0


async def test_what_is_found_is_told(scripted: Make, autojump_clock: MockClock) -> None:
    screens = [OTHER, OTHER, BUTTON]
    done = await scripted({"uiautomator": lambda _: screens.pop(0)}).do("ui.wait_for", **{"class": "Button"})
    assert (done.text, done.bounds) == ("OK", [100, 200, 300, 260])
    assert done.waited_ms == pytest.approx(1000, abs=50)


async def test_a_screen_that_never_rests_is_said(scripted: Make, autojump_clock: MockClock) -> None:
    for use in ("ui.wait_for", "ui.tap", "ui.assert_visible"):
        error = await scripted({"uiautomator": MOVING}).fail(use, text="OK")
        assert (error.failure.error_class, error.code) == (ErrorClass.APP, "screen_not_readable")
        assert "idle state" in str(error)


async def test_an_assertion_looks_once_at_a_screen_that_can_be_read(
    scripted: Make, autojump_clock: MockClock
) -> None:
    screens = [MOVING, OTHER, BUTTON]
    error = await scripted({"uiautomator": lambda _: screens.pop(0)}).fail("ui.assert_visible", text="OK")
    assert str(error) == "No element with text 'OK' on the screen now; it shows: 'Please wait'."
    assert screens == [BUTTON]
    assert (await scripted({"uiautomator": BUTTON}).do("ui.assert_visible", text="OK")).text == "OK"


async def test_a_wait_can_be_cancelled(scripted: Make, autojump_clock: MockClock) -> None:
    with trio.move_on_after(3) as scope:
        await scripted({"uiautomator": OTHER}).do("ui.wait_for", text="OK", within="1h")
    assert scope.cancelled_caught


async def test_a_dark_phone_can_not_be_read(phone: Any, autojump_clock: MockClock) -> None:
    phone.device.phone.power.set_screen(False, 0.0)
    error = await phone.fail("ui.wait_for", text="YouTube", within="2s")
    assert error.code == "screen_not_readable"
    assert "null root node" in str(error)
