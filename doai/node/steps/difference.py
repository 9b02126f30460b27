"""How two pictures of a screen differ, and a picture that shows where (step 8).

Pillow does the work over whole pictures; it is imported with the first comparison, because most nodes make none.
Blocking calls, meant for a thread: a screen of 1080x2400 takes some tenths of a second.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from doai.drivers.png import SIGNATURE, picture_size

if TYPE_CHECKING:
    from PIL.Image import Image

Box = tuple[int, int, int, int]
"""left, top, right, bottom in pixels; right and bottom are outside."""

_HEADER_BYTES: Final = 24
"""Signature, length and type of the first chunk, width, height (W3C PNG, 5.2 and 11.2.1)."""
_RED: Final = (214, 0, 28)
_BLUE: Final = (120, 170, 255)
_FRAME_PX: Final = 4
"""Between what differs and the frame around it, and the frame's own width."""


class UnreadablePictureError(Exception):
    """The bytes can not be read as a PNG; the text says why."""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a comparison."""

    pixels: int
    """Compared: those that no mask covers."""
    differing: int
    bounds: Box | None
    """Around all that differs."""
    picture: bytes
    """PNG: the screen in light grey, masks in blue, what differs in red with a frame around it; empty when nothing
    does."""

    @property
    def percent(self) -> float:
        return 100 * self.differing / self.pixels if self.pixels else 0.0


def size_of_file(path: Path) -> tuple[int, int]:
    """Return width and height that a PNG file says it has; raises UnreadablePictureError, OSError."""
    with path.open("rb") as file:
        begin = file.read(_HEADER_BYTES)
    if len(begin) < _HEADER_BYTES or not begin.startswith(SIGNATURE):
        raise UnreadablePictureError("it is no PNG")
    return picture_size(begin)


def compare_pictures(screen: bytes, baseline: Path, masks: Sequence[Box], colour_tolerance: int) -> Difference:
    """Compare a PNG with one of the same size in a file.

    A pixel differs when its red, green or blue does by more than ``colour_tolerance`` (of 255). Raises
    UnreadablePictureError for the baseline, OSError when its file can not be opened, ValueError for the screen.
    """
    from PIL import Image, ImageChops

    try:
        with Image.open(io.BytesIO(screen), formats=("PNG",)) as opened:
            now = opened.convert("RGB")
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(str(error)) from None
    with baseline.open("rb") as file:
        try:
            with Image.open(file, formats=("PNG",)) as opened:
                before = opened.convert("RGB")
        except (OSError, SyntaxError, ValueError) as error:
            raise UnreadablePictureError(str(error)) from None
    red, green, blue = ImageChops.difference(now, before).split()
    furthest = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    seen = Image.new("L", now.size, 255)
    for mask in masks:
        seen.paste(0, mask)
    differs = ImageChops.darker(furthest.point(lambda far: 255 if far > colour_tolerance else 0), seen)
    differing, bounds = differs.histogram()[255], differs.getbbox()
    return Difference(
        pixels=seen.histogram()[255],
        differing=differing,
        bounds=bounds,
        picture=b"" if bounds is None else _draw(now, seen, differs, bounds),
    )


def _draw(now: Image, seen: Image, differs: Image, bounds: Box) -> bytes:
    from PIL import Image, ImageDraw

    picture = now.convert("L").point(lambda light: 160 + light * 95 // 255).convert("RGB")
    tinted = Image.blend(picture, Image.new("RGB", now.size, _BLUE), 0.5)
    picture.paste(tinted, mask=seen.point(lambda shown: 255 - shown))
    picture.paste(_RED, mask=differs)
    left, top, right, bottom = bounds
    frame = (left - 2 * _FRAME_PX, top - 2 * _FRAME_PX, right + 2 * _FRAME_PX - 1, bottom + 2 * _FRAME_PX - 1)
    ImageDraw.Draw(picture).rectangle(frame, outline=_RED, width=_FRAME_PX)
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()
