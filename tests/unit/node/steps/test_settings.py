"""device.set: every setting on the simulated phone, and devices that do not take one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from trio.testing import MockClock

from doai.errors import ErrorClass
from doai.node.steps.settings import SEEN_WITHIN_S, wanted_settings
from doai.workflow.device_steps import Set

Make = Callable[[dict[str, Any]], Any]
VALUES: dict[str, tuple[Any, str]] = {
    "brightness_percent": (50, "settings get system screen_brightness"),
    "stay_awake": (False, "settings get global stay_on_while_plugged_in"),
    "screen_off_after": ("1h", "settings get system screen_off_timeout"),
    "animation_scale": (0, "settings get global animator_duration_scale"),
    "font_scale": (1.3, "settings get system font_scale"),
    "dark_mode": (True, "cmd uimode night"),
    "auto_rotate": (True, "settings get system accelerometer_rotation"),
    "rotation_degrees": (90, "settings get system user_rotation"),
    "wifi": (False, "settings get global wifi_on"),
    "mobile_data": (False, "settings get global mobile_data"),
    "airplane": (True, "settings get global airplane_mode_on"),
    "timezone": ("Europe/Paris", "getprop persist.sys.timezone"),
    "screen_size": ("720x1600", "wm size"),
    "density_dpi": (240, "wm density"),
}
SHOWN = {
    "brightness_percent": "128",
    "stay_awake": "0",
    "screen_off_after": "3600000",
    "animation_scale": "0",
    "font_scale": "1.3",
    "dark_mode": "Night mode: yes",
    "auto_rotate": "1",
    "rotation_degrees": "1",
    "wifi": "0",
    "mobile_data": "0",
    "airplane": "1",
    "timezone": "Europe/Paris",
    "screen_size": "720x1600",
    "density_dpi": "240",
}


def test_every_setting_of_the_language_is_put_and_tested() -> None:
    assert set(VALUES) == set(Set.__struct_fields__)
    wanted = wanted_settings(msgspec.convert({name: value for name, (value, _) in VALUES.items()}, Set))
    assert list(wanted) == list(Set.__struct_fields__)


@pytest.mark.parametrize("name", VALUES)
async def test_a_setting_is_on_the_device_afterwards(phone: Any, autojump_clock: MockClock, name: str) -> None:
    value, shown = VALUES[name]
    if name == "airplane" and phone.device.phone.profile.sdk < 30:
        assert (await phone.fail("device.set", airplane=True)).code == "setting_not_taken"
        return
    done = await phone.do("device.set", **{name: value})
    assert done.changed == [name]
    assert (await phone.device.shell(shown)).text.endswith(SHOWN[name])
    assert (await phone.do("device.set", **{name: value})).changed == []


async def test_what_is_right_already_is_not_touched(phone: Any) -> None:
    done = await phone.do("device.set", brightness_percent=40, airplane=False, wifi=True, font_scale=1)
    assert done.changed == []
    assert len(phone.device.commands) == 1
    assert done.before["wifi"] == "1"


async def test_a_display_goes_back_to_its_own(phone: Any) -> None:
    await phone.do("device.set", screen_size="720x1600", density_dpi=240)
    assert (await phone.do("device.set", screen_size="reset", density_dpi="reset")).changed == [
        "screen_size",
        "density_dpi",
    ]
    assert (await phone.device.shell("wm size; wm density")).text.count("Override") == 0


async def test_a_radio_that_takes_its_time_is_waited_for(scripted: Make, autojump_clock: MockClock) -> None:
    seen = ["1", "1", "1", "0"]
    bench = scripted({"get global wifi_on": lambda _: seen.pop(0)})
    await bench.do("device.set", wifi=False)
    assert bench.device.commands[1] == "svc wifi disable"


async def test_a_setting_that_is_not_taken_is_said(scripted: Make, autojump_clock: MockClock) -> None:
    bench = scripted({"settings get": "0\n--doai-section--\nAsia/Seoul", "put": "SecurityException: no"})
    error = await bench.fail("device.set", airplane=True, timezone="Europe/Paris")
    assert (error.failure.error_class, error.code) == (ErrorClass.DEVICE, "setting_not_taken")
    assert "airplane (nor timezone)" in str(error)
    assert "SecurityException" in str(error)
    assert autojump_clock.current_time() <= SEEN_WITHIN_S


async def test_nothing_to_set_is_a_mistake_of_the_recipe(scripted: Make) -> None:
    error = await scripted({}).fail("device.set")
    assert (error.failure.error_class, error.code) == (ErrorClass.USER, "nothing_to_set")


@pytest.mark.parametrize(
    "arguments",
    [{"timezone": "Asia/Seoul; reboot"}, {"screen_size": "0x0"}, {"density_dpi": 1}, {"rotation_degrees": 45}],
)
def test_a_value_of_nothing_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(arguments, Set)
