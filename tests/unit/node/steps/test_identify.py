"""device.identify: bright, with its text, and everything as before at the end, however that comes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import trio
from trio.testing import MockClock

from doai.phone.widgets import walk
from tests.unit.node.steps.conftest import Bench, PhoneDevice, ScriptedDevice

Make = Callable[[dict[str, Any]], Any]
BEFORE = {("system", "screen_brightness"): "33", ("system", "screen_brightness_mode"): "1"}


def texts(device: PhoneDevice) -> list[str]:
    return [widget.text for widget in walk(device.phone.screen(trio.current_time()).root) if widget.text]


async def test_a_phone_shows_its_label_and_is_as_before_at_the_end(autojump_clock: MockClock) -> None:
    device = PhoneDevice(sdk=34)
    phone = device.phone
    phone.settings.update(BEFORE)
    phone.power.set_screen(False, trio.current_time())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: Bench(device).do("device.identify", **{"text": "갤럭시's 7", "for": "20s"}))
        await trio.sleep(10)
        assert texts(device) == ["갤럭시's 7", "PHONE-1"]
        assert phone.power.screen_on
        assert phone.settings["system", "screen_brightness"] == "255"
        assert int(phone.settings["system", "screen_off_timeout"]) >= 20_000
    assert phone.settings["system", "screen_brightness"] == "33"
    assert phone.settings["system", "screen_brightness_mode"] == "1"
    assert phone.settings["system", "screen_off_timeout"] == "600000"
    assert not phone.window.notifications
    assert not phone.window.shade_open


async def test_a_step_that_is_cancelled_puts_everything_back(autojump_clock: MockClock) -> None:
    device = PhoneDevice(sdk=34)
    device.phone.settings.update(BEFORE)
    with trio.move_on_after(5) as scope:
        await Bench(device).do("device.identify", **{"text": "7", "for": "10m"})
    assert scope.cancelled_caught
    assert device.phone.settings["system", "screen_brightness"] == "33"
    assert not device.phone.window.shade_open


async def test_an_old_android_shines_without_a_text(scripted: Make, autojump_clock: MockClock) -> None:
    mark = "\n--doai-section--\n"
    bench = scripted({"settings get": mark.join(["null", "102", "", ""]), "settings put": mark * 5})
    assert (await bench.do("device.identify", text="7")).text_shown is False
    assert isinstance(bench.device, ScriptedDevice)
    undo = bench.device.commands[-1]
    assert "settings delete system screen_brightness_mode" in undo
    assert "settings put system screen_brightness 102" in undo
    assert "screen_off_timeout" not in undo, "what it did not tell is left as it is"
    assert bench.context.logged
