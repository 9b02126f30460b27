"""`getprop`, `setprop`, `settings` and `svc`: properties and settings (way of a task: 9)."""

from doai.phone.commands.call import Call, Program, operands

_DEFAULTS = {
    ("system", "screen_brightness"): "102",
    ("system", "screen_off_timeout"): "600000",
    ("system", "accelerometer_rotation"): "0",
    ("global", "stay_on_while_plugged_in"): "7",
    ("global", "window_animation_scale"): "1.0",
    ("global", "transition_animation_scale"): "1.0",
    ("global", "animator_duration_scale"): "1.0",
    ("global", "airplane_mode_on"): "0",
    ("global", "wifi_on"): "1",
    ("global", "mobile_data"): "1",
    ("system", "font_scale"): "1.0",
    ("system", "user_rotation"): "0",
    ("secure", "default_input_method"): "com.android.inputmethod.latin/.LatinIME",
    ("secure", "android_id"): "5d1ab2c3e4f50617",
}


def getprop(call: Call) -> int:
    """`getprop [NAME [DEFAULT]]`."""
    shown = call.device.properties(call.now_s)
    if not call.words:
        for name in sorted(shown):
            call.out(f"[{name}]: [{shown[name]}]")
    else:
        default = call.words[1] if len(call.words) > 1 else ""
        call.out(shown.get(call.words[0], default))
    return 0


def setprop(call: Call) -> int:
    """`setprop NAME VALUE`."""
    if len(call.words) != 2:
        call.err("setprop: Need 2 arguments")
        return 1
    if not call.device.set_property(*call.words):
        call.err(f"Failed to set property '{call.words[0]}' to '{call.words[1]}'.")
        return 1
    return 0


def settings(call: Call) -> int:
    """`settings get|put|delete|list system|secure|global [NAME] [VALUE]`."""
    rest = operands(call.words, "--user")
    verb, space = (rest[0] if rest else ""), (rest[1] if len(rest) > 1 else "")
    known = _DEFAULTS | call.device.settings
    if space not in ("system", "secure", "global"):
        call.err(f"Invalid namespace '{space}'")
        return 255
    if verb == "list":
        for (where, name), text in sorted(known.items()):
            if where == space:
                call.out(f"{name}={text}")
    elif verb == "get" and len(rest) == 3:
        call.out(known.get((space, rest[2]), "null"))
    elif verb == "put" and len(rest) == 4:
        call.device.settings[(space, rest[2])] = rest[3]
    elif verb == "delete" and len(rest) == 3:
        gone = call.device.settings.pop((space, rest[2]), None)
        call.out(f"Deleted {0 if gone is None else 1} rows")
    else:
        call.err("Bad arguments")
        return 255
    return 0


def svc(call: Call) -> int:
    """`svc power stayon ...`, `svc wifi enable|disable`: taken, and kept as a setting."""
    if len(call.words) < 2 or call.words[0] not in ("power", "wifi", "data", "nfc", "bluetooth"):
        call.err("Available commands:\n    power wifi data nfc bluetooth")
        return 255
    name = {"wifi": "wifi_on", "data": "mobile_data"}.get(call.words[0])
    if name is not None:
        call.device.settings[("global", name)] = "1" if call.words[1] == "enable" else "0"
    return 0


def uimode(call: Call) -> int:
    """`cmd uimode night [yes|no]`."""
    key = ("secure", "ui_night_mode")
    if call.words[2:3] in (["yes"], ["no"]):
        call.device.settings[key] = "2" if call.words[2] == "yes" else "1"
    call.out(f"Night mode: {'yes' if call.device.settings.get(key) == '2' else 'no'}")
    return 0


def alarm(call: Call) -> int:
    """`cmd alarm set-timezone NAME`."""
    if call.words[1:2] != ["set-timezone"] or len(call.words) != 3:
        call.err("Alarm manager service (alarm) commands: set-timezone TZ")
        return 255
    call.device.set_property("persist.sys.timezone", call.words[2])
    return 0


def connectivity(call: Call) -> int:
    """`cmd connectivity airplane-mode enable|disable`: since Android 11."""
    if call.device.profile.sdk < 30 or call.words[1:2] != ["airplane-mode"] or len(call.words) != 3:
        call.err("Connectivity service commands: help")
        return 255
    call.device.settings[("global", "airplane_mode_on")] = "1" if call.words[2] == "enable" else "0"
    return 0


def thermalservice(call: Call) -> int:
    """`cmd thermalservice override-status N|reset`."""
    words, power = call.words[1:], call.device.power
    if words[:1] == ["override-status"] and len(words) == 2 and words[1].isdecimal():
        power.ordered_thermal = int(words[1])
        return 0
    if words == ["reset"]:
        power.ordered_thermal = None
        return 0
    call.err("Thermal service (thermalservice) commands: override-status STATUS, reset")
    return 255


CMD_SERVICES: dict[str, Program] = {
    "alarm": alarm,
    "connectivity": connectivity,
    "thermalservice": thermalservice,
    "uimode": uimode,
}
"""What `cmd SERVICE` does besides packages and activities."""


PROGRAMS: dict[str, Program] = {"getprop": getprop, "setprop": setprop, "settings": settings, "svc": svc}
