"""device.set: named settings, put by Android's own commands and read back (step 8).

Only what the shell user may change on a phone as it is sold. The language of the system is not among it: no command
sets it on all phones; `cmd locale set-app-locales` sets that of one app since Android 13.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import trio

from doai.errors import ErrorClass
from doai.node.steps.base import StepContext, excerpt, step_failed
from doai.node.steps.sections import run_sections
from doai.workflow.device_steps import Set, SetOutputs
from doai.workflow.duration import parse_duration

SEEN_WITHIN_S: Final = 10.0
"""Radios take a second or two to say what they were told."""
LOOK_EVERY_S: Final = 0.5
_STAY_ON_ANY_POWER: Final = 7
"""Settings.Global.STAY_ON_WHILE_PLUGGED_IN: AC 1, USB 2, wireless 4."""
_BRIGHTNESS_MAX: Final = 255


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One setting: what puts it, what reads it, and which answers are right."""

    put: str
    get: str
    wanted: frozenset[str]


async def put_settings(arguments: Set, context: StepContext) -> SetOutputs:
    """Read all, put those that are another way, and read until they are as wanted."""
    settings = wanted_settings(arguments)
    if not settings:
        raise step_failed(ErrorClass.USER, "nothing_to_set", "device.set names no setting: give at least one.")
    before = await _read(context, settings)
    changed = [name for name, setting in settings.items() if not _is_right(setting, before[name])]
    said = ""
    if changed:
        output = await context.device.shell("; ".join(settings[name].put for name in changed))
        said = f"{output.text} {output.stderr.decode('utf-8', 'replace')}".strip()
    until = trio.current_time() + SEEN_WITHIN_S
    wrong = changed
    while wrong:
        now = await _read(context, {name: settings[name] for name in wrong})
        wrong = [name for name in wrong if not _is_right(settings[name], now[name])]
        if wrong and trio.current_time() + LOOK_EVERY_S > until:
            name = wrong[0]
            more = f" (nor {', '.join(wrong[1:])})" if len(wrong) > 1 else ""
            raise step_failed(
                ErrorClass.DEVICE,
                "setting_not_taken",
                f"The device does not take the setting {name}{more}: it has {excerpt(now[name], 80)}; it said: "
                f"{excerpt(said)}. Its Android may be too old for it, or keep adb from it.",
            )
        if wrong:
            await trio.sleep(LOOK_EVERY_S)
    return SetOutputs(changed=changed, before=before)


def wanted_settings(arguments: Set) -> dict[str, Setting]:
    """Return the settings that the recipe names, by their names, in the order of the language."""
    return {
        name: _TABLE[name](value)
        for name, value in ((item, getattr(arguments, item)) for item in arguments.__struct_fields__)
        if value is not None
    }


async def _read(context: StepContext, settings: Mapping[str, Setting]) -> dict[str, str]:
    texts = await run_sections(context.device, *(setting.get for setting in settings.values()))
    return dict(zip(settings, texts, strict=True))


def _is_right(setting: Setting, text: str) -> bool:
    """Whether every line is one of the wanted; numbers count by their value: 1 is 1.0."""
    lines = text.splitlines()
    return bool(lines) and all(_plain(line) in setting.wanted for line in lines)


def _plain(text: str) -> str:
    try:
        number = float(text)
    except ValueError:
        return text.strip()
    return _number(number) if math.isfinite(number) else text.strip()


def _number(value: float) -> str:
    """Write a number as Android takes it: 1, 0.5, 3600000."""
    return str(int(value)) if value == int(value) else repr(value)


def _stored(space: str, value: float, *names: str, also: str = "") -> Setting:
    put = "; ".join(f"settings put {space} {name} {_number(value)}" for name in names)
    get = "; ".join(f"settings get {space} {name}" for name in names)
    return Setting(put=f"{also}; {put}" if also else put, get=get, wanted=frozenset({_number(value)}))


def _switch(put: str, get: str, *, on: bool, on_values: frozenset[str]) -> Setting:
    return Setting(put=put, get=get, wanted=on_values if on else frozenset({"0", "null"}))


def _brightness(percent: int) -> Setting:
    value = round(percent * _BRIGHTNESS_MAX / 100)
    return _stored("system", value, "screen_brightness", also="settings put system screen_brightness_mode 0")


def _rotation(degrees: int) -> Setting:
    return _stored("system", degrees // 90, "user_rotation", also="settings put system accelerometer_rotation 0")


def _timezone(name: str) -> Setting:
    quoted = shlex.quote(name)
    put = f"settings put global auto_time_zone 0; cmd alarm set-timezone {quoted}"
    return Setting(put=put, get="getprop persist.sys.timezone", wanted=frozenset({name}))


def _screen(verb: str, value: str) -> Setting:
    wanted = f"Override {verb}: {value}"
    get = f"wm {verb} | tail -n 1"
    if value == "reset":
        # Without an override only the display's own value is listed: a count that is the same for all phones.
        return Setting(put=f"wm {verb} reset", get=f"wm {verb} | grep -c Override", wanted=frozenset({"0"}))
    return Setting(put=f"wm {verb} {value}", get=get, wanted=frozenset({wanted}))


_WIFI_ON: Final = frozenset({"1", "2"})
"""Settings.Global.WIFI_ON: 1 enabled, 2 enabled in spite of the airplane mode."""
_ON: Final = frozenset({"1"})

_TABLE: Final[Mapping[str, Any]] = {
    "brightness_percent": _brightness,
    "stay_awake": lambda on: _stored("global", _STAY_ON_ANY_POWER if on else 0, "stay_on_while_plugged_in"),
    "screen_off_after": lambda after: _stored("system", round(parse_duration(after) * 1000), "screen_off_timeout"),
    "animation_scale": lambda scale: _stored(
        "global", scale, "window_animation_scale", "transition_animation_scale", "animator_duration_scale"
    ),
    "font_scale": lambda scale: _stored("system", scale, "font_scale"),
    "dark_mode": lambda on: Setting(
        put=f"cmd uimode night {'yes' if on else 'no'}",
        get="cmd uimode night",
        wanted=frozenset({f"Night mode: {'yes' if on else 'no'}"}),
    ),
    "auto_rotate": lambda on: _stored("system", int(on), "accelerometer_rotation"),
    "rotation_degrees": _rotation,
    "wifi": lambda on: _switch(
        f"svc wifi {'enable' if on else 'disable'}", "settings get global wifi_on", on=on, on_values=_WIFI_ON
    ),
    "mobile_data": lambda on: _switch(
        f"svc data {'enable' if on else 'disable'}", "settings get global mobile_data", on=on, on_values=_ON
    ),
    "airplane": lambda on: _switch(
        f"cmd connectivity airplane-mode {'enable' if on else 'disable'}",
        "settings get global airplane_mode_on",
        on=on,
        on_values=_ON,
    ),
    "timezone": _timezone,
    "screen_size": lambda size: _screen("size", size),
    "density_dpi": lambda density: _screen("density", str(density)),
}
"""How each setting of device.set is put and read; a test sees that none is missing."""
