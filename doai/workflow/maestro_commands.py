"""What each command of a Maestro flow becomes: a function a command (step 2). Pure.

Maestro waits up to 17 s for what it looks for, and takes a text for a regular expression over the whole of it that
does not mind capitals; steps that look for something are given both.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from doai.workflow.maestro_values import (
    LOOKUP,
    SELECTOR_KEYS,
    Context,
    LeftOutError,
    Steps,
    check_known,
    fields_of,
    milliseconds,
    point_of,
    selector_of,
    text,
    whole_number,
    within_of,
)

_ERASE_DEFAULT: Final = 50
_REPEAT_MAX: Final = 20
"""Taps in a row that are written out as steps."""
_KEYS: Final[Mapping[str, str]] = {
    "home": "HOME",
    "back": "BACK",
    "enter": "ENTER",
    "backspace": "DEL",
    "volume up": "VOLUME_UP",
    "volume down": "VOLUME_DOWN",
    "lock": "SLEEP",
    "power": "POWER",
    "tab": "TAB",
    "remote dpad up": "DPAD_UP",
    "remote dpad down": "DPAD_DOWN",
    "remote dpad left": "DPAD_LEFT",
    "remote dpad right": "DPAD_RIGHT",
    "remote dpad center": "DPAD_CENTER",
    "remote media play pause": "MEDIA_PLAY_PAUSE",
    "remote media stop": "MEDIA_STOP",
    "remote media next": "MEDIA_NEXT",
    "remote media previous": "MEDIA_PREVIOUS",
    "remote media rewind": "MEDIA_REWIND",
    "remote media fast forward": "MEDIA_FAST_FORWARD",
    "remote menu": "MENU",
}


# --- apps ---------------------------------------------------------------------------------------------------------


def _launch(context: Context, arguments: Any) -> Steps:
    fields = fields_of(arguments, "appId")
    check_known(fields, "appId", "clearState", "clearKeychain", "stopApp")
    package = {"package": context.package(fields.get("appId"))}
    steps = []
    if fields.get("clearState") is True:
        steps.append(context.step("clear", "app.clear", package))
    elif fields.get("stopApp") is not False:
        steps.append(context.step("stop", "app.stop", package))
    return [*steps, context.step("launch", "app.launch", package, fields)]


def _of_app(name: str, use: str) -> Callable[[Context, Any], Steps]:
    def convert(context: Context, arguments: Any) -> Steps:
        fields = fields_of(arguments, "appId")
        check_known(fields, "appId")
        return [context.step(name, use, {"package": context.package(fields.get("appId"))}, fields)]

    return convert


def _open_link(context: Context, arguments: Any) -> Steps:
    fields = fields_of(arguments, "link")
    check_known(fields, "link", "autoVerify")
    return [context.step("open", "app.open_url", {"url": text(fields.get("link"))}, fields)]


# --- the screen ---------------------------------------------------------------------------------------------------


def _tap(context: Context, arguments: Any) -> Steps:
    fields = fields_of(arguments, "text")
    check_known(fields, "point", "repeat", "delay", selector=True)
    times = whole_number(fields.get("repeat") or 1, "repeat")
    if times > _REPEAT_MAX:
        raise LeftOutError(f"it taps {times} times in a row, {_REPEAT_MAX} are written out at most")
    if fields.get("point") is not None:
        if SELECTOR_KEYS & set(fields):
            raise LeftOutError("a point within an element has no counterpart")
        with_ = point_of(fields["point"])
    else:
        with_ = {**selector_of(fields), "within": within_of(fields)}
    steps: Steps = []
    for round_ in range(times):
        if round_:
            pause = {"for": milliseconds(fields.get("delay", 100), "delay")}
            steps.append(context.step("pause", "wait", pause))
        steps.append(context.step("tap", "ui.tap", with_, fields))
    return steps


def _assert_visible(context: Context, arguments: Any) -> Steps:
    fields = fields_of(arguments, "text")
    check_known(fields, selector=True)
    return [context.step("see", "ui.wait_for", {**selector_of(fields), "within": within_of(fields)}, fields)]


def _assert_not_visible(context: Context, arguments: Any) -> Steps:
    fields = fields_of(arguments, "text")
    check_known(fields, selector=True)
    return [context.step("gone", "ui.assert_absent", {**selector_of(fields), "within": within_of(fields)}, fields)]


def _wait_until(context: Context, arguments: Any) -> Steps:
    fields = fields_of(arguments, "visible")
    check_known(fields, "visible", "notVisible", "timeout")
    within = milliseconds(fields["timeout"], "timeout") if "timeout" in fields else LOOKUP
    if ("visible" in fields) == ("notVisible" in fields):
        raise LeftOutError("it needs one of visible and notVisible")
    wanted = fields_of(fields.get("visible", fields.get("notVisible")), "text")
    check_known(wanted, selector=True)
    name, use = ("see", "ui.wait_for") if "visible" in fields else ("gone", "ui.assert_absent")
    return [context.step(name, use, {**selector_of(wanted), "within": within}, fields)]


def _long_press(context: Context, arguments: Any) -> Steps:
    fields = fields_of(arguments, "text")
    check_known(fields, "point", selector=True)
    if fields.get("point") is None:
        with_ = {**selector_of(fields), "within": within_of(fields)}
    elif SELECTOR_KEYS & set(fields):
        raise LeftOutError("a point within an element has no counterpart")
    else:
        with_ = point_of(fields["point"])
    return [context.step("press", "ui.long_press", with_, fields)]


def _swipe(context: Context, arguments: Any) -> Steps:
    fields = arguments if isinstance(arguments, dict) else {}
    check_known(fields, "direction", "start", "end", "from", "duration")
    with_: dict[str, Any] = {}
    if "start" in fields or "end" in fields:
        start, end = point_of(fields.get("start")), point_of(fields.get("end"))
        with_ = {**start, "to_x": end["x"], "to_y": end["y"]}
    else:
        with_["direction"] = _direction(fields.get("direction"))
    if fields.get("from") is not None:
        wanted = fields_of(fields["from"], "text")
        check_known(wanted, selector=True)
        with_ |= selector_of(wanted)
    if "duration" in fields:
        with_["duration"] = milliseconds(fields["duration"], "duration")
    return [context.step("swipe", "ui.swipe", with_, fields)]


def _scroll(context: Context, arguments: Any) -> Steps:
    return [context.step("scroll", "ui.swipe", {"direction": "up"}, arguments)]


def _scroll_until_visible(context: Context, arguments: Any) -> Steps:
    fields = fields_of(arguments, "element")
    check_known(fields, "element", "direction", "timeout", "speed", "visibilityPercentage", "centerElement")
    wanted = fields_of(fields.get("element"), "text")
    check_known(wanted, selector=True)
    with_ = {**selector_of(wanted), "direction": _direction(fields.get("direction", "down"))}
    return [context.step("scroll", "ui.scroll_to", with_, fields)]


def _direction(given: Any) -> str:
    direction = str(given).lower()
    if direction not in ("up", "down", "left", "right"):
        raise LeftOutError(f"the direction {str(given)[:40]!r} is none of up, down, left and right")
    return direction


def _wait_for_animation(context: Context, arguments: Any) -> Steps:
    fields = arguments if isinstance(arguments, dict) else {}
    check_known(fields, "timeout")
    context.notes.append("a wait of 1 s stands for it; wait for an element instead where you can (ui.wait_for)")
    return [context.step("settle", "wait", {"for": "1s"}, fields)]


def _screenshot(context: Context, arguments: Any) -> Steps:
    fields = fields_of(arguments, "path")
    check_known(fields, "path")
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", str(fields.get("path") or "shot")).strip("-_")[:63] or "shot"
    taken = context.step("shot", "screen.capture", {"name": name}, fields)
    kept = context.step("keep", "artifact.upload", {"artifact": f"${{steps.{taken['id']}.artifact}}"})
    return [taken, kept]


# --- keys and text ------------------------------------------------------------------------------------------------


def _input_text(context: Context, arguments: Any) -> Steps:
    fields = fields_of(arguments, "text")
    check_known(fields, "text")
    return [context.step("type", "ui.text", {"text": text(fields.get("text"))}, fields)]


def _erase_text(context: Context, arguments: Any) -> Steps:
    fields = fields_of(arguments, "charactersToErase")
    check_known(fields, "charactersToErase")
    count = fields.get("charactersToErase")
    times = whole_number(_ERASE_DEFAULT if count is None else count, "charactersToErase")
    return [context.step("erase", "ui.key", {"key": "DEL", "times": times}, fields)]


def _press_key(context: Context, arguments: Any) -> Steps:
    fields = fields_of(arguments, "key")
    check_known(fields, "key")
    key = _KEYS.get(str(fields.get("key")).lower())
    if key is None:
        raise LeftOutError(f"the key {str(fields.get('key'))[:40]!r} has no counterpart")
    return [context.step("key", "ui.key", {"key": key}, fields)]


def _back(context: Context, arguments: Any) -> Steps:
    return [context.step("back", "ui.key", {"key": "BACK"}, arguments)]


def _hide_keyboard(context: Context, arguments: Any) -> Steps:
    # ESCAPE puts the keyboard away and, unlike BACK, leaves the screen where it is when there is none.
    return [context.step("hide_keyboard", "ui.key", {"key": "ESCAPE"}, arguments)]


# --- flow ---------------------------------------------------------------------------------------------------------


def _repeat(context: Context, arguments: Any) -> Steps:
    fields = fields_of(arguments, "times")
    check_known(fields, "times", "commands")
    times = whole_number(fields.get("times"), "times")
    steps = context.nested("commands", fields.get("commands"))
    return [{**context.step("repeat", "flow.repeat", {"times": times}, fields), "steps": steps}]


def _run_flow(context: Context, arguments: Any) -> Steps:
    fields = fields_of(arguments, "file")
    check_known(fields, "file", "env")
    stem = re.sub(r"\.ya?ml$", "", str(fields.get("file") or "").rpartition("/")[2])
    name = re.sub(r"[^a-z0-9._-]+", "-", stem.lower()).strip("-._")
    env = fields.get("env") or {}
    if not name or not isinstance(env, dict):
        raise LeftOutError("it names no file")
    params = {str(key): text(value) for key, value in env.items()}
    context.notes.append(f"it calls the workflow {name}: import {fields['file']} as that, too")
    with_ = {"workflow": name, "params": params} if params else {"workflow": name}
    return [context.step("call", "workflow.call", with_, fields)]


CONVERTERS: Final[Mapping[str, Callable[[Context, Any], Steps]]] = {
    "launchApp": _launch,
    "stopApp": _of_app("stop", "app.stop"),
    "killApp": _of_app("stop", "app.stop"),
    "clearState": _of_app("clear", "app.clear"),
    "openLink": _open_link,
    "tapOn": _tap,
    "longPressOn": _long_press,
    "swipe": _swipe,
    "scroll": _scroll,
    "scrollUntilVisible": _scroll_until_visible,
    "assertVisible": _assert_visible,
    "assertNotVisible": _assert_not_visible,
    "extendedWaitUntil": _wait_until,
    "waitForAnimationToEnd": _wait_for_animation,
    "takeScreenshot": _screenshot,
    "inputText": _input_text,
    "eraseText": _erase_text,
    "pressKey": _press_key,
    "back": _back,
    "hideKeyboard": _hide_keyboard,
    "repeat": _repeat,
    "runFlow": _run_flow,
}
"""By the command's name."""
