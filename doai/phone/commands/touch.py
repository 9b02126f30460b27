"""`input`: taps, swipes, text and keys (way of a task: 9)."""

from doai.phone.commands.call import Call, Program
from doai.phone.effects import Running, Wait
from doai.phone.window import KEY_CODES

INPUT_S = 0.02
"""What `input` takes at least; on a real phone it starts a Java process, some 0.3-1 s."""
SWIPE_S_MAX = 10.0
TOUCH_SLOP_PX = 8
"""android.view.ViewConfiguration: a finger that moves less stays where it is."""
LONG_PRESS_S = 0.5
"""android.view.ViewConfiguration.DEFAULT_LONG_PRESS_TIMEOUT, rounded up."""

_SOURCES = ("touchscreen", "keyboard", "touchpad", "mouse", "dpad")


def input_(call: Call) -> Running:
    """`input [SOURCE] tap|swipe|draganddrop|text|keyevent ...`."""
    words = call.words[1:] if call.words[:1] and call.words[0] in _SOURCES else call.words
    verb, rest = (words[0] if words else ""), words[1:]
    if verb == "tap" and len(rest) == 2 and _numbers(rest):
        yield Wait(INPUT_S)
        call.device.window.tap(int(float(rest[0])), int(float(rest[1])), call.now_s)
        return 0
    if verb in ("swipe", "draganddrop") and len(rest) in (4, 5) and _numbers(rest):
        duration_s = float(rest[4]) / 1000 if len(rest) == 5 else 0.3
        yield Wait(min(max(INPUT_S, duration_s), SWIPE_S_MAX))
        x, y, to_x, to_y = (int(float(word)) for word in rest[:4])
        if abs(to_x - x) + abs(to_y - y) > TOUCH_SLOP_PX:
            call.device.window.swipe(x, y, to_x, to_y)
        elif duration_s >= LONG_PRESS_S:
            call.device.window.hold(x, y, call.now_s)
        else:
            call.device.window.tap(x, y, call.now_s)
        return 0
    if verb == "text" and rest:
        yield Wait(INPUT_S)
        call.device.window.text(" ".join(rest).replace("%s", " "))
        return 0
    if verb == "keyevent" and rest:
        names = [word for word in rest if not word.startswith("--")]
        codes = [_key_code(name) for name in names]
        if None not in codes:
            yield Wait(INPUT_S)
            for code in codes:
                call.device.window.key(code or 0, call.now_s)
            return 0
        call.err(f"Error: Unknown keycode: {' '.join(names)}")
    else:
        call.err(f"Error: Invalid arguments for command: {verb}")
    yield from call.take_output()
    return 255


def _numbers(words: list[str]) -> bool:
    return all(word.removeprefix("-").replace(".", "", 1).isdecimal() for word in words)


def _key_code(name: str) -> int | None:
    if name.isdecimal():
        return int(name)
    return KEY_CODES.get(name.removeprefix("KEYCODE_"))


PROGRAMS: dict[str, Program] = {"input": input_}
