"""What is on the screen: the elements of a `uiautomator dump` (step 8).

The dump is XML without a document type: ``<hierarchy rotation="0"><node text=".." resource-id=".." class=".."
bounds="[left,top][right,bottom]" ...>``. It comes from the device and from whatever app is shown, so it is bounded,
and anything that declares entities is refused.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import Final

import msgspec

from doai.drivers.base import Device
from doai.node.steps.base import excerpt

DUMP_BYTES_MAX: Final = 8 * 1024 * 1024
"""A crowded screen has some 300 KB; a web page some MB."""
TEXT_CHARACTERS_MAX: Final = 4096
"""As long as a selector's text may be."""

_FILE: Final = "/data/local/tmp/doai-screen.xml"
"""A folder that adb may always write to; not every phone has /sdcard."""
_DUMP_TO_FILE: Final = f"rm -f {_FILE}; uiautomator dump {_FILE}; cat {_FILE}; rm -f {_FILE}"
"""One round trip. An old file is removed first, because a dump that fails may still exit with 0."""
_DUMP_TO_TTY: Final = "uiautomator dump /dev/tty"
"""For a phone whose storage is full; needs a shell with a terminal on most."""

_BOUNDS: Final = re.compile(r"\[(-?\d+),(-?\d+)\]\[(-?\d+),(-?\d+)\]")
_NUMERIC: Final = re.compile(r"&#(x[0-9A-Fa-f]{1,6}|\d{1,7});")
_NOT_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_PASSING: Final = ("idle state", "null root node")


class ScreenUnreadableError(Exception):
    """The device gave no dump this time; another try may."""


class Element(msgspec.Struct, frozen=True, kw_only=True):
    """One node of the screen. Bounds are pixels: left, top, right, bottom."""

    text: str = ""
    resource_id: str = ""
    desc: str = ""
    class_name: str = ""
    bounds: tuple[int, int, int, int] = (0, 0, 0, 0)
    focused: bool = False
    password: bool = False
    parent: int = -1
    """Position of the element around it in the list; -1 for the outermost."""

    @property
    def centre(self) -> tuple[int, int]:
        left, top, right, bottom = self.bounds
        return (left + right) // 2, (top + bottom) // 2

    @property
    def has_area(self) -> bool:
        left, top, right, bottom = self.bounds
        return right > left and bottom > top

    @property
    def editable(self) -> bool:
        return self.class_name.endswith("EditText") or self.password


def parse_hierarchy(dump: bytes) -> list[Element]:
    """Read the XML in a dump, whatever text is around it; elements in drawing order, parents before children.

    Raises ScreenUnreadableError when there is no whole hierarchy in it.
    """
    begin, end = dump.find(b"<hierarchy"), dump.rfind(b"</hierarchy>")
    if begin < 0 and b"<?xml" not in dump:
        raise ScreenUnreadableError(excerpt(dump.decode("utf-8", "replace")))
    if not 0 <= begin < end:
        if re.search(rb"<hierarchy[^>]*/>", dump):
            return []
        raise ScreenUnreadableError("the dump was cut off")
    if end - begin > DUMP_BYTES_MAX:
        raise ScreenUnreadableError(f"the dump has {end - begin} bytes, more than {DUMP_BYTES_MAX}")
    text = _repaired(dump[begin : end + len(b"</hierarchy>")].decode("utf-8", "replace"))
    if "<!" in text:
        raise ScreenUnreadableError("the dump declares entities, which no uiautomator does")
    try:
        root = ET.fromstring(text)  # noqa: S314 - bounded, and without any declaration
    except ET.ParseError as error:
        raise ScreenUnreadableError(f"the dump is no XML: {error}") from None
    elements: list[Element] = []
    waiting = [(node, -1) for node in reversed(root)]
    while waiting:
        node, parent = waiting.pop()
        elements.append(_element(node, parent))
        waiting.extend([(child, len(elements) - 1) for child in reversed(node)])
    return elements


async def read_hierarchy(device: Device) -> list[Element]:
    """Dump the screen of the device; raises ScreenUnreadableError, often while something on it moves."""
    return (await read_dump(device))[1]


async def read_dump(device: Device) -> tuple[bytes, list[Element]]:
    """Dump the screen as `read_hierarchy` does; returns the XML as the device wrote it, too."""
    output = await device.shell(_DUMP_TO_FILE)
    try:
        return _whole(output.stdout)
    except ScreenUnreadableError:
        said = (output.stdout + output.stderr).decode("utf-8", "replace")
        if any(text in said for text in _PASSING):
            raise ScreenUnreadableError(excerpt(output.stderr.decode("utf-8", "replace") or said)) from None
    return _whole((await device.shell(_DUMP_TO_TTY)).stdout)


def _whole(dump: bytes) -> tuple[bytes, list[Element]]:
    """Read a dump; returns it without the text that is around the XML."""
    elements = parse_hierarchy(dump)
    begin, end = max(0, dump.find(b"<?xml")), dump.rfind(b">")
    return dump[begin : end + 1] + b"\n", elements


def _element(node: ET.Element, parent: int) -> Element:
    found = _BOUNDS.fullmatch(node.get("bounds", ""))
    left, top, right, bottom = (int(number) for number in found.groups()) if found else (0, 0, 0, 0)
    return Element(
        text=node.get("text", "")[:TEXT_CHARACTERS_MAX],
        resource_id=node.get("resource-id", ""),
        desc=node.get("content-desc", "")[:TEXT_CHARACTERS_MAX],
        class_name=node.get("class", ""),
        bounds=(left, top, right, bottom),
        focused=node.get("focused") == "true",
        password=node.get("password") == "true",
        parent=parent,
    )


def _repaired(text: str) -> str:
    """Mend what Android's serializer gets wrong: an emoji as two half characters, and control characters."""
    units = _NUMERIC.sub(lambda found: _character(found[1]), text)
    whole = units.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return _NOT_XML.sub("\ufffd", whole)


def _character(number: str) -> str:
    code = int(number[1:], 16) if number.startswith("x") else int(number)
    if code > 0x10FFFF:
        return "\ufffd"
    return f"&#{code};" if chr(code) in "<>&\"'\n\r\t" else chr(code)
