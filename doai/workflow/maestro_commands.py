"""What each command of a Maestro flow becomes: a function a command (step 2). Pure.

Maestro waits up to 17 s for what it looks for, and takes a text for a regular expression over the whole of it that
does not mind capitals; steps that look for something are given both.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from doai.workflow.conditions import ConditionError, matches

_LOOKUP: Final = "17s"
"""Maestro's time for what must be there."""
_LOOKUP_OPTIONAL: Final = "7s"
_ERASE_DEFAULT: Final = 50
_REPEAT_MAX: Final = 20
"""Taps in a row that are written out as steps."""
_REGEX: Final = re.compile(r"[\\^$.|?*+()\[\]{}]")
_EXPRESSION: Final = re.compile(r"\$\{([^}]*)\}")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_PARAMETER: Final = re.compile(r"\$\{params\.([A-Za-z0-9_]+)\}")
_POINT: Final = re.compile(r"\s*(\d+(?:\.\d+)?%?)\s*,\s*(\d+(?:\.\d+)?%?)\s*")
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
_SELECTOR: Final = frozenset({"text", "id", "index", "below", "above", "childOf"})
_HARMLESS: Final = frozenset(
    {"label", "retryTapIfNoChange", "waitUntilVisible", "waitToSettleTimeoutMs", "optional"}
)
"""Options that a step has itself, or that say how Maestro waits."""

Steps = list[dict[str, Any]]


class LeftOutError(Exception):
    """The command has no counterpart; ``str(error)`` says what of it."""


class Context:
    """What a converter needs of its flow."""

    def __init__(self, *, app_id: str, ids: set[str], nested: Callable[[str, Any], Steps]) -> None:
        self.app_id = app_id
        self.nested = nested
        """Converts the commands under a key of this command; raises LeftOutError when one has no counterpart."""
        self.notes: list[str] = []
        """What means something a little different afterwards."""
        self._ids = ids

    def step(
        self, name: str, use: str, with_: Mapping[str, Any] | None = None, about: Any = None
    ) -> dict[str, Any]:
        """Return a step with an id that is not taken; ``about``: the command's arguments (label, optional)."""
        number = 1
        step_id = name
        while step_id in self._ids:
            number += 1
            step_id = f"{name}_{number}"
        self._ids.add(step_id)
        step: dict[str, Any] = {"id": step_id, "use": use}
        if with_:
            step["with"] = dict(with_)
        if isinstance(about, dict):
            if isinstance(about.get("label"), str):
                step["label"] = about["label"]
            if about.get("optional") is True:
                step["optional"] = True
        return step

    def package(self, given: Any = None) -> str:
        """Return the app that is named, or that of the flow."""
        found = given or self.app_id
        if not isinstance(found, str) or not found:
            raise LeftOutError("it names no app, and the flow has no appId")
        return text(found)


def references(value: Any) -> Iterator[str]:
    """Yield the parameters that a step refers to."""
    if isinstance(value, str):
        yield from _PARAMETER.findall(value)
    elif isinstance(value, dict):
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def text(value: Any) -> str:
    """Return a text with its variables as parameters; raises LeftOutError for one that is computed."""

    def parameter(match: re.Match[str]) -> str:
        inner = match[1].strip()
        if _VARIABLE.fullmatch(inner) is None:
            raise LeftOutError(f"it computes ${{{inner[:40]}}}, and workflows do not compute texts")
        return "${params." + inner + "}"

    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise LeftOutError("it wants a text")
    if "$${" in str(value):
        raise LeftOutError("a dollar sign before ${ means something else in a workflow")
    return _EXPRESSION.sub(parameter, str(value))


def _known(arguments: Mapping[str, Any], *names: str, selector: bool = False) -> None:
    allowed = {*names, *_HARMLESS, *(_SELECTOR if selector else ())}
    extra = sorted(set(map(str, arguments)) - allowed)
    if extra:
        raise LeftOutError(f"{extra[0]} has no counterpart")


def _fields(arguments: Any, name: str) -> dict[str, Any]:
    """Return arguments as a map: a bare value is that of ``name``."""
    return dict(arguments) if isinstance(arguments, dict) else {name: arguments}


def _selector(given: Any) -> dict[str, Any]:
    """Return our target for Maestro's selector."""
    fields = _fields(given, "text")
    found: dict[str, Any] = {}
    if fields.get("text") is not None:
        found |= _text_selector(text(fields["text"]))
    if fields.get("id") is not None:
        name = text(fields["id"])
        if _REGEX.search(name.replace(".", "")) and "${" not in name:
            raise LeftOutError(f"the id {name[:60]!r} is a pattern, and ids are compared whole")
        found["id"] = name
    if not found:
        raise LeftOutError("it names no text and no id")
    if fields.get("index") is not None:
        found["index"] = _number(fields["index"], "index")
    for key in ("below", "above"):
        if fields.get(key) is not None:
            found[key] = _plain_text(fields[key], key)
    if fields.get("childOf") is not None:
        parent = fields["childOf"]
        if not isinstance(parent, dict) or set(parent) != {"id"}:
            raise LeftOutError("childOf needs the id of what it is in")
        found["child_of"] = text(parent["id"])
    return found


def _text_selector(wanted: str) -> dict[str, Any]:
    literal = _PARAMETER.sub("", wanted)
    if _REGEX.search(literal) is None:
        return {"text": wanted}
    unescaped = re.sub(r"\\(.)", r"\1", wanted)
    if re.search(r"\\[A-Za-z0-9]", literal) is None and _REGEX.search(re.sub(r"\\.", "", literal)) is None:
        return {"text": unescaped}  # a pattern that only takes its signs for themselves
    if literal != wanted:
        raise LeftOutError("a pattern with a variable in it has no counterpart")
    pattern = f"(?is)^(?:{wanted})$"
    try:
        matches(pattern, "")
    except ConditionError as error:
        raise LeftOutError(f"{wanted[:60]!r} is no regular expression here (RE2): {error}") from None
    return {"text_matches": pattern}


def _plain_text(given: Any, key: str) -> str:
    fields = _fields(given, "text")
    if set(fields) != {"text"}:
        raise LeftOutError(f"{key} needs the text of an element")
    found = _text_selector(text(fields["text"]))
    if "text" not in found:
        raise LeftOutError(f"{key} can not be a pattern")
    return str(found["text"])


def _number(value: Any, what: str) -> int:
    if isinstance(value, bool) or not str(value).strip().isdecimal():
        raise LeftOutError(f"{what} is no whole number")
    return int(str(value))


def _milliseconds(value: Any, what: str) -> str:
    return f"{_number(value, what)}ms"


def _within(arguments: Any) -> str:
    return _LOOKUP_OPTIONAL if isinstance(arguments, dict) and arguments.get("optional") is True else _LOOKUP


# --- apps ---------------------------------------------------------------------------------------------------------


def _launch(context: Context, arguments: Any) -> Steps:
    fields = _fields(arguments, "appId")
    _known(fields, "appId", "clearState", "clearKeychain", "stopApp")
    package = {"package": context.package(fields.get("appId"))}
    steps = []
    if fields.get("clearState") is True:
        steps.append(context.step("clear", "app.clear", package))
    elif fields.get("stopApp") is not False:
        steps.append(context.step("stop", "app.stop", package))
    return [*steps, context.step("launch", "app.launch", package, fields)]


def _of_app(name: str, use: str) -> Callable[[Context, Any], Steps]:
    def convert(context: Context, arguments: Any) -> Steps:
        fields = _fields(arguments, "appId")
        _known(fields, "appId")
        return [context.step(name, use, {"package": context.package(fields.get("appId"))}, fields)]

    return convert


def _open_link(context: Context, arguments: Any) -> Steps:
    fields = _fields(arguments, "link")
    _known(fields, "link", "autoVerify")
    return [context.step("open", "app.open_url", {"url": text(fields.get("link"))}, fields)]


# --- the screen ---------------------------------------------------------------------------------------------------


def _tap(context: Context, arguments: Any) -> Steps:
    fields = _fields(arguments, "text")
    _known(fields, "point", "repeat", "delay", selector=True)
    times = _number(fields.get("repeat") or 1, "repeat")
    if times > _REPEAT_MAX:
        raise LeftOutError(f"it taps {times} times in a row, {_REPEAT_MAX} are written out at most")
    if fields.get("point") is not None:
        if _SELECTOR & set(fields):
            raise LeftOutError("a point within an element has no counterpart")
        with_ = _point(fields["point"])
    else:
        with_ = {**_selector(fields), "within": _within(fields)}
    steps: Steps = []
    for round_ in range(times):
        if round_:
            pause = {"for": _milliseconds(fields.get("delay", 100), "delay")}
            steps.append(context.step("pause", "wait", pause))
        steps.append(context.step("tap", "ui.tap", with_, fields))
    return steps


def _point(given: Any) -> dict[str, Any]:
    match = _POINT.fullmatch(str(given))
    if match is None:
        raise LeftOutError(f"the point {str(given)[:40]!r} is not written as X,Y")
    found: dict[str, Any] = {}
    for name, value in (("x", match[1]), ("y", match[2])):
        found[name] = value if value.endswith("%") else _number(value, name)
    return found


def _assert_visible(context: Context, arguments: Any) -> Steps:
    fields = _fields(arguments, "text")
    _known(fields, selector=True)
    return [context.step("see", "ui.wait_for", {**_selector(fields), "within": _within(fields)}, fields)]


def _assert_not_visible(context: Context, arguments: Any) -> Steps:
    fields = _fields(arguments, "text")
    _known(fields, selector=True)
    return [context.step("gone", "ui.assert_absent", {**_selector(fields), "within": _within(fields)}, fields)]


def _wait_until(context: Context, arguments: Any) -> Steps:
    fields = _fields(arguments, "visible")
    _known(fields, "visible", "notVisible", "timeout")
    within = _milliseconds(fields["timeout"], "timeout") if "timeout" in fields else _LOOKUP
    if ("visible" in fields) == ("notVisible" in fields):
        raise LeftOutError("it needs one of visible and notVisible")
    wanted = _fields(fields.get("visible", fields.get("notVisible")), "text")
    _known(wanted, selector=True)
    name, use = ("see", "ui.wait_for") if "visible" in fields else ("gone", "ui.assert_absent")
    return [context.step(name, use, {**_selector(wanted), "within": within}, fields)]


def _long_press(context: Context, arguments: Any) -> Steps:
    fields = _fields(arguments, "text")
    _known(fields, "point", selector=True)
    if fields.get("point") is None:
        with_ = {**_selector(fields), "within": _within(fields)}
    elif _SELECTOR & set(fields):
        raise LeftOutError("a point within an element has no counterpart")
    else:
        with_ = _point(fields["point"])
    return [context.step("press", "ui.long_press", with_, fields)]


def _swipe(context: Context, arguments: Any) -> Steps:
    fields = arguments if isinstance(arguments, dict) else {}
    _known(fields, "direction", "start", "end", "from", "duration")
    with_: dict[str, Any] = {}
    if "start" in fields or "end" in fields:
        start, end = _point(fields.get("start")), _point(fields.get("end"))
        with_ = {**start, "to_x": end["x"], "to_y": end["y"]}
    else:
        with_["direction"] = _direction(fields.get("direction"))
    if fields.get("from") is not None:
        wanted = _fields(fields["from"], "text")
        _known(wanted, selector=True)
        with_ |= _selector(wanted)
    if "duration" in fields:
        with_["duration"] = _milliseconds(fields["duration"], "duration")
    return [context.step("swipe", "ui.swipe", with_, fields)]


def _scroll(context: Context, arguments: Any) -> Steps:
    return [context.step("scroll", "ui.swipe", {"direction": "up"}, arguments)]


def _scroll_until_visible(context: Context, arguments: Any) -> Steps:
    fields = _fields(arguments, "element")
    _known(fields, "element", "direction", "timeout", "speed", "visibilityPercentage", "centerElement")
    wanted = _fields(fields.get("element"), "text")
    _known(wanted, selector=True)
    with_ = {**_selector(wanted), "direction": _direction(fields.get("direction", "down"))}
    return [context.step("scroll", "ui.scroll_to", with_, fields)]


def _direction(given: Any) -> str:
    direction = str(given).lower()
    if direction not in ("up", "down", "left", "right"):
        raise LeftOutError(f"the direction {str(given)[:40]!r} is none of up, down, left and right")
    return direction


def _wait_for_animation(context: Context, arguments: Any) -> Steps:
    fields = arguments if isinstance(arguments, dict) else {}
    _known(fields, "timeout")
    context.notes.append("a wait of 1 s stands for it; wait for an element instead where you can (ui.wait_for)")
    return [context.step("settle", "wait", {"for": "1s"}, fields)]


def _screenshot(context: Context, arguments: Any) -> Steps:
    fields = _fields(arguments, "path")
    _known(fields, "path")
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", str(fields.get("path") or "shot")).strip("-_")[:63] or "shot"
    taken = context.step("shot", "screen.capture", {"name": name}, fields)
    kept = context.step("keep", "artifact.upload", {"artifact": f"${{steps.{taken['id']}.artifact}}"})
    return [taken, kept]


# --- keys and text ------------------------------------------------------------------------------------------------


def _input_text(context: Context, arguments: Any) -> Steps:
    fields = _fields(arguments, "text")
    _known(fields, "text")
    return [context.step("type", "ui.text", {"text": text(fields.get("text"))}, fields)]


def _erase_text(context: Context, arguments: Any) -> Steps:
    fields = _fields(arguments, "charactersToErase")
    _known(fields, "charactersToErase")
    count = fields.get("charactersToErase")
    times = _number(_ERASE_DEFAULT if count is None else count, "charactersToErase")
    return [context.step("erase", "ui.key", {"key": "DEL", "times": times}, fields)]


def _press_key(context: Context, arguments: Any) -> Steps:
    fields = _fields(arguments, "key")
    _known(fields, "key")
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
    fields = _fields(arguments, "times")
    _known(fields, "times", "commands")
    times = _number(fields.get("times"), "times")
    steps = context.nested("commands", fields.get("commands"))
    return [{**context.step("repeat", "flow.repeat", {"times": times}, fields), "steps": steps}]


def _run_flow(context: Context, arguments: Any) -> Steps:
    fields = _fields(arguments, "file")
    _known(fields, "file", "env")
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
