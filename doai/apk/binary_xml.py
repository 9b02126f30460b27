"""Android's binary XML: elements and their attributes, as `aapt2` writes AndroidManifest.xml (steps 8 and 9).

A file is a chunk of chunks: a string pool, the resource ids of attribute names, then elements that begin and end.
Names of Android's own attributes are known by resource id, because packers shorten the names themselves.
"""

from __future__ import annotations

import struct
from typing import Final

import msgspec

from doai.apk.errors import ApkError

ELEMENTS_MAX: Final = 20_000
"""The largest known manifests have some thousand elements."""
DEPTH_MAX: Final = 64

_CHUNK: Final = struct.Struct("<HHI")
_XML, _STRINGS, _RESOURCE_IDS, _BEGIN, _END = 0x0003, 0x0001, 0x0180, 0x0102, 0x0103
_POOL: Final = struct.Struct("<IIIII")
_ELEMENT: Final = struct.Struct("<IIHHH")
_ATTRIBUTE: Final = struct.Struct("<IIIHBBI")
_UTF8_FLAG: Final = 0x100
_NO_STRING: Final = 0xFFFFFFFF
_TYPE_REFERENCE, _TYPE_STRING, _TYPE_BOOLEAN = 0x01, 0x03, 0x12
_TYPES_INTEGER: Final = (0x10, 0x11)

Value = str | int | bool | None
"""Of an attribute; None = a reference to a resource, or a kind that is not read here."""


class Element(msgspec.Struct):
    """One element: its name, attributes by resource id (Android's own) or by name, and what is inside."""

    name: str
    attributes: dict[int | str, Value]
    children: list[Element]

    def text(self, key: int | str, default: str = "") -> str:
        """An attribute that is text; a number is written out, anything else is the default."""
        value = self.attributes.get(key)
        return value if isinstance(value, str) else default if value is None else str(value)

    def number(self, key: int | str, default: int) -> int:
        """An attribute that is a whole number, also one that is written as text."""
        value = self.attributes.get(key)
        if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 12:
            return int(value)
        return value if isinstance(value, int) and not isinstance(value, bool) else default

    def flag(self, key: int | str, *, default: bool) -> bool:
        """An attribute that is true or false."""
        value = self.attributes.get(key)
        return value if isinstance(value, bool) else default

    def inside(self, name: str) -> list[Element]:
        """The direct children of a name."""
        return [child for child in self.children if child.name == name]


def read_binary_xml(data: bytes) -> Element:
    """Return the outermost element; raises ApkError (``bad_manifest``)."""
    try:
        return _read(data)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise _bad(f"it is cut off or garbled ({error})") from None


def _read(data: bytes) -> Element:
    kind, header_size, size = _CHUNK.unpack_from(data)
    if kind != _XML or not header_size <= size <= len(data):
        raise _bad("it is no binary XML, as a text that was never compiled")
    strings: list[str] = []
    resource_ids: tuple[int, ...] = ()
    top = Element("", {}, [])
    open_elements = [top]
    count, at = 0, header_size
    while at < size:
        kind, header_size, length = _CHUNK.unpack_from(data, at)
        if length < _CHUNK.size or header_size > length or at + length > size:
            raise _bad("a part of it is longer than the whole")
        chunk = data[at : at + length]
        at += length
        if kind == _STRINGS:
            strings = _strings(chunk)
        elif kind == _RESOURCE_IDS:
            number = (length - header_size) // 4
            resource_ids = struct.unpack_from(f"<{number}I", chunk, header_size)
        elif kind == _BEGIN:
            count += 1
            if count > ELEMENTS_MAX or len(open_elements) > DEPTH_MAX:
                raise _bad(f"it has more than {ELEMENTS_MAX} elements, or {DEPTH_MAX} inside each other")
            element = _element(chunk, header_size, strings, resource_ids)
            open_elements[-1].children.append(element)
            open_elements.append(element)
        elif kind == _END:
            if len(open_elements) == 1:
                raise _bad("more elements end than begin")
            open_elements.pop()
    if len(open_elements) != 1 or len(top.children) != 1:
        raise _bad("it has not exactly one outermost element")
    return top.children[0]


def _element(chunk: bytes, header_size: int, strings: list[str], resource_ids: tuple[int, ...]) -> Element:
    _, name, start, step, count = _ELEMENT.unpack_from(chunk, header_size)
    if step < _ATTRIBUTE.size:
        raise _bad("its attributes are too short")
    attributes: dict[int | str, Value] = {}
    for index in range(count):
        _, key, raw, _, _, kind, value = _ATTRIBUTE.unpack_from(chunk, header_size + start + index * step)
        known = resource_ids[key] if key < len(resource_ids) else 0
        attributes[known or strings[key]] = _value(kind, value, raw, strings)
    return Element(strings[name], attributes, [])


def _value(kind: int, value: int, raw: int, strings: list[str]) -> Value:
    if kind == _TYPE_STRING:
        return strings[value]
    if kind in _TYPES_INTEGER:
        return value - (1 << 32) if value >> 31 else value
    if kind == _TYPE_BOOLEAN:
        return value != 0
    if kind == _TYPE_REFERENCE or raw == _NO_STRING:
        return None
    return strings[raw]


def _strings(chunk: bytes) -> list[str]:
    _, header_size, _ = _CHUNK.unpack_from(chunk)
    count, _, flags, start, _ = _POOL.unpack_from(chunk, _CHUNK.size)
    offsets = struct.unpack_from(f"<{count}I", chunk, header_size)
    read = _utf8 if flags & _UTF8_FLAG else _utf16
    return [read(chunk, start + offset) for offset in offsets]


def _utf8(chunk: bytes, at: int) -> str:
    _, at = _length(chunk, at, 1)
    size, at = _length(chunk, at, 1)
    return _text(chunk, at, size).decode("utf-8", "replace")


def _utf16(chunk: bytes, at: int) -> str:
    units, at = _length(chunk, at, 2)
    return _text(chunk, at, units * 2).decode("utf-16-le", "replace")


def _length(chunk: bytes, at: int, width: int) -> tuple[int, int]:
    """Read a length of one or two units of ``width`` bytes, the first with its highest bit for "two"."""
    form, high = ("<B", 0x80) if width == 1 else ("<H", 0x8000)
    (first,) = struct.unpack_from(form, chunk, at)
    if not first & high:
        return first, at + width
    (second,) = struct.unpack_from(form, chunk, at + width)
    return ((first & (high - 1)) << (8 * width)) | second, at + 2 * width


def _text(chunk: bytes, at: int, size: int) -> bytes:
    if at + size > len(chunk):
        raise _bad("a text of it is longer than the whole")
    return chunk[at : at + size]


def _bad(why: str) -> ApkError:
    return ApkError("bad_manifest", f"its AndroidManifest.xml can not be read: {why}")
