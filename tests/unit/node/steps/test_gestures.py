"""ui.long_press, ui.swipe, ui.scroll_to, ui.assert_absent, ui.dump."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from doai.drivers.base import CommandOutput
from doai.errors import ErrorClass
from doai.node.steps.gestures import way
from doai.node.steps.hierarchy import parse_hierarchy

Make = Callable[[dict[str, Any]], Any]
SETTINGS = "com.android.settings"


def screen(*texts: str) -> str:
    nodes = "".join(
        f'<node text="{text}" class="android.widget.TextView" bounds="[0,{100 * at}][400,{100 * at + 100}]"/>'
        for at, text in enumerate(texts)
    )
    return f'<?xml version="1.0"?><hierarchy rotation="0">{nodes}</hierarchy>'


SIZE = "Physical size: 400x800"


async def test_a_long_press_shows_an_icons_menu(phone: Any, autojump_clock: MockClock) -> None:
    await phone.do("ui.assert_absent", text="App info")
    done = await phone.do("ui.long_press", text="Chrome")
    assert phone.device.commands[-1] == f"input swipe {done.x} {done.y} {done.x} {done.y} 1000"
    await phone.do("ui.assert_visible", text="App info")
    error = await phone.fail("ui.assert_absent", text="App info")
    assert (error.failure.error_class, error.code) == (ErrorClass.APP, "element_present")
    await phone.do("ui.key", key="BACK")
    await phone.do("ui.assert_absent", text="App info")


async def test_a_list_is_scrolled_down_and_up_and_has_an_end(phone: Any, autojump_clock: MockClock) -> None:
    await phone.do("app.launch", package=SETTINGS)
    await phone.fail("ui.assert_visible", text="About phone")
    done = await phone.do("ui.scroll_to", text="About phone", inside="recycler_view")
    assert (done.text, done.swipes > 0) == ("About phone", True)
    await phone.do("ui.assert_visible", text="About phone")
    assert (await phone.do("ui.scroll_to", text="About phone")).swipes == 0
    assert (await phone.do("ui.scroll_to", text="Apps", direction="up")).swipes > 0
    error = await phone.fail("ui.scroll_to", text="No such row")
    assert (error.failure.error_class, error.code) == (ErrorClass.APP, "element_not_found")
    assert "at the end, after" in str(error)


async def test_scrolling_ends_where_the_recipe_says(scripted: Make, autojump_clock: MockClock) -> None:
    rows = iter(range(100))
    bench = scripted({"uiautomator": lambda _: screen(f"row {next(rows)}"), "wm size": SIZE})
    error = await bench.fail("ui.scroll_to", text="row 50", swipes_max=3)
    assert "after 3 swipes down" in str(error)
    assert [command for command in bench.device.commands if "swipe" in command] == [
        "input swipe 200 640 200 160 600"
    ] * 3
    error = await bench.fail("ui.scroll_to", text="x", inside="list")
    assert "to scroll in" in str(error)


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        ({"direction": "up"}, "input swipe 200 600 200 200 400"),
        ({"direction": "left", "distance": "100%"}, "input swipe 399 400 0 400 400"),
        ({"direction": "down", "text": "two", "duration": "1s"}, "input swipe 200 125 200 175 1000"),
        ({"x": 10, "y": "50%", "to_x": "100%", "to_y": 7}, "input swipe 10 400 399 7 400"),
    ],
)
async def test_a_swipe_goes_where_it_is_told(scripted: Make, arguments: dict[str, Any], command: str) -> None:
    bench = scripted({"uiautomator": screen("one", "two"), "wm size": SIZE})
    await bench.do("ui.swipe", **arguments)
    assert bench.device.commands[-1] == command


@pytest.mark.parametrize(
    ("use", "arguments", "code"),
    [
        ("ui.swipe", {}, "bad_swipe"),
        ("ui.swipe", {"direction": "up", "x": 1, "y": 1, "to_x": 1, "to_y": 1}, "bad_swipe"),
        ("ui.swipe", {"x": 1, "y": 1, "to_x": 1}, "bad_swipe"),
        ("ui.swipe", {"direction": "up", "distance": "0%"}, "bad_swipe"),
        ("ui.swipe", {"direction": "up", "distance": "101%"}, "bad_swipe"),
        ("ui.swipe", {"text": "a", "x": 1, "y": 1, "to_x": 1, "to_y": 1}, "bad_target"),
        ("ui.long_press", {"x": 1}, "bad_target"),
        ("ui.long_press", {"x": 1, "y": 1, "text": "a"}, "bad_target"),
        ("ui.scroll_to", {}, "no_target"),
        ("ui.assert_absent", {}, "no_target"),
    ],
)
async def test_a_mistake_of_the_recipe_is_told_before_the_device_is_touched(
    scripted: Make, use: str, arguments: dict[str, Any], code: str
) -> None:
    bench = scripted({})
    error = await bench.fail(use, **arguments)
    assert (error.failure.error_class, error.code) == (ErrorClass.USER, code)
    assert bench.device.commands == []


async def test_a_device_that_does_not_let_adb_touch_it(scripted: Make) -> None:
    said = CommandOutput(b"", b"java.lang.SecurityException: requires INJECT_EVENTS permission", 1)
    bench = scripted({"input swipe": said})
    for use, arguments in (
        ("ui.long_press", {"x": 1, "y": 1}),
        ("ui.swipe", {"x": 1, "y": 1, "to_x": 9, "to_y": 9}),
    ):
        assert (await bench.fail(use, **arguments)).code == "input_not_allowed"


@given(
    st.tuples(*[st.integers(0, 3000)] * 2, *[st.integers(1, 3000)] * 2),
    st.sampled_from(["up", "down", "left", "right"]),
    st.floats(0.01, 1),
)
def test_a_finger_never_leaves_the_area(area: tuple[int, int, int, int], direction: str, share: float) -> None:
    left, top, width, height = area
    x, y, to_x, to_y = way((left, top, left + width, top + height), direction, share)
    assert left <= min(x, to_x) <= max(x, to_x) < left + width
    assert top <= min(y, to_y) <= max(y, to_y) < top + height


async def test_what_goes_away_is_waited_for(scripted: Make, autojump_clock: MockClock) -> None:
    screens = [screen("Loading"), screen("Loading"), screen("Done")]
    bench = scripted({"uiautomator": lambda _: screens.pop(0)})
    assert (await bench.do("ui.assert_absent", text="Loading", within="10s")).waited_ms == pytest.approx(
        1000, abs=50
    )
    bench = scripted({"uiautomator": screen("Loading")})
    error = await bench.fail("ui.assert_absent", text="Loading", within="3s")
    assert "still on the screen after 3 s" in str(error)


async def test_a_screen_that_can_not_be_read_proves_nothing(scripted: Make, autojump_clock: MockClock) -> None:
    bench = scripted({"uiautomator": CommandOutput(b"", b"ERROR: could not get idle state.", 1)})
    for use, arguments in (
        ("ui.assert_absent", {"text": "x"}),
        ("ui.scroll_to", {"text": "x"}),
        ("ui.dump", {}),
    ):
        assert (await bench.fail(use, **arguments)).code == "screen_not_readable", use


async def test_a_dump_is_kept_as_it_was_written(phone: Any, autojump_clock: MockClock) -> None:
    done = await phone.do("ui.dump", name="home")
    data = phone.context.kept[done.artifact]
    assert done.artifact == "home-1.xml"
    assert data.startswith(b"<?xml")
    assert data.endswith(b"</hierarchy>\n")
    assert len(parse_hierarchy(data)) == done.elements > 3
