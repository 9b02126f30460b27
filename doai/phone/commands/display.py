"""`screencap`, `uiautomator` and `wm`: what the display shows (way of a task: 9)."""

from doai.phone import picture
from doai.phone.commands.call import Call, Program, operands
from doai.phone.files import FileError
from doai.phone.widgets import hierarchy_xml

DUMP_PATH = "/sdcard/window_dump.xml"
"""Where `uiautomator dump` writes unless told."""


def screencap(call: Call) -> int:
    """`screencap [-p] [FILE]`: a PNG to a file or to stdout; without -p and a .png name, raw pixels."""
    paths = operands(call.words, "-d")
    as_png = "-p" in call.words or bool(paths and paths[0].endswith(".png"))
    data = (picture.png if as_png else picture.raw)(call.device, call.now_s)
    if not paths:
        call.out_bytes(data)
        return 0
    try:
        call.device.files.write(paths[0], data, int(call.device.wall_s(call.now_s)))
    except FileError as error:
        call.err(f"Error opening file: {paths[0]} ({error})")
        return 1
    return 0


def uiautomator(call: Call) -> int:
    """`uiautomator dump [--compressed] [FILE]`: the UI tree as XML; nothing to dump while the screen is off."""
    words = call.words
    if words[:1] != ["dump"]:
        call.err("Usage: uiautomator <subcommand> [options]")
        return 1
    if not call.device.power.screen_on:
        call.err("ERROR: null root node returned by UiTestAutomationBridge.")
        return 0  # the real one says success here too: a driver must look for the file
    xml = hierarchy_xml(call.device.screen(call.now_s))
    path = (operands(words[1:]) or [DUMP_PATH])[0]
    if path in ("/dev/tty", "/dev/stdout", "/proc/self/fd/1"):
        call.out_bytes(xml.encode())
    else:
        try:
            call.device.files.write(path, xml.encode(), int(call.device.wall_s(call.now_s)))
        except FileError as error:
            call.err(f"ERROR: could not write {path}: {error}")
            return 1
    call.out(f"UI hierchary dumped to: {path}")  # Android's own spelling
    return 0


def wm(call: Call) -> int:
    """`wm size|density [VALUE|reset]`."""
    words = call.words
    verb, value = (words[0] if words else ""), (words[1] if len(words) > 1 else None)
    if verb == "size":
        return _size(call, value)
    if verb == "density":
        return _density(call, value)
    call.err(f"Unknown command: {verb}")
    return 255


def _size(call: Call, value: str | None) -> int:
    device = call.device
    if value == "reset":
        device.resize(None)
    elif value is not None:
        width, _, height = value.partition("x")
        if not (width.isdecimal() and height.isdecimal() and 200 <= int(width) <= 2000 >= int(height) >= 400):
            call.err("Error: bad size " + value)
            return 255
        device.resize((int(width), int(height)))
    else:
        call.out(f"Physical size: {device.profile.width_px}x{device.profile.height_px}")
        if device.size_override is not None:
            call.out("Override size: {}x{}".format(*device.size_override))
    return 0


def _density(call: Call, value: str | None) -> int:
    if value == "reset":
        call.device.density_override = None
    elif value is not None:
        if not value.isdecimal() or int(value) < 72:
            call.err(f"Error: bad density {value}")
            return 255
        call.device.density_override = int(value)
    else:
        call.out("Physical density: 160")
        if call.device.density_override is not None:
            call.out(f"Override density: {call.device.density_override}")
    return 0


PROGRAMS: dict[str, Program] = {"screencap": screencap, "uiautomator": uiautomator, "wm": wm}
