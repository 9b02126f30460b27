"""Whether bytes are a whole PNG, from signature to IEND (step 9; format: RFC 2083, W3C PNG)."""

from __future__ import annotations

import struct
import zlib
from typing import Final

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
PREAMBLE_BYTES_MAX: Final = 4096
"""Text before the picture that is taken off: screencap of phones with two displays warns on stdout first."""

_HEADER: Final = struct.Struct(">I4s")
_CHUNK_OVERHEAD_BYTES: Final = 12


class PictureError(Exception):
    """The bytes are no whole PNG; ``cut_off`` tells an early end from nonsense."""

    def __init__(self, reason: str, *, cut_off: bool) -> None:
        super().__init__(reason)
        self.cut_off = cut_off


def whole_png(data: bytes) -> bytes:
    """Return the PNG in ``data`` without text before it; every chunk's length and CRC is checked up to IEND.

    Raises PictureError when there is no picture, a chunk is damaged, or the end is missing.
    """
    start = data.find(SIGNATURE, 0, PREAMBLE_BYTES_MAX + len(SIGNATURE))
    if start < 0:
        shown = data[:80].decode("utf-8", "replace").strip()
        raise PictureError(f"no PNG but {shown!r}" if shown else "nothing arrived", cut_off=not data)
    view = memoryview(data)
    position = start + len(SIGNATURE)
    while position + _CHUNK_OVERHEAD_BYTES <= len(data):
        length, kind = _HEADER.unpack_from(data, position)
        end = position + _CHUNK_OVERHEAD_BYTES + length
        if end > len(data):
            break
        (expected,) = struct.unpack_from(">I", data, end - 4)
        if zlib.crc32(view[position + 4 : end - 4]) != expected:
            raise PictureError(f"chunk {kind!r} is damaged", cut_off=False)
        position = end
        if kind == b"IEND":
            return data[start:position]
    raise PictureError(f"the picture ends after {len(data)} bytes without IEND", cut_off=True)


def picture_size(data: bytes) -> tuple[int, int]:
    """Return width and height in pixels of a PNG that ``whole_png`` returned."""
    width, height = struct.unpack_from(">II", data, len(SIGNATURE) + 8)
    return width, height
