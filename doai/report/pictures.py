"""Pictures inside a page: whole while there is room, then made smaller, then only named (step 14)."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from doai.report.results import Artifact

MEDIA_TYPES: Final = frozenset({"image/png", "image/jpeg", "image/webp"})
_PIXELS_MAX: Final = 40_000_000
"""Of a picture that is opened: four times the largest screen of a phone; more is a bomb."""
_SMALL: Final = (360, 800)
"""Pixels of one made smaller: the text of a phone's screen can still be read."""
_SMALL_BYTES: Final = 32 * 1024
"""Room kept for each picture that follows: about what one of that size takes."""
_JPEG_QUALITY: Final = 78
FETCHED_MAX: Final = 500
"""Pictures that are fetched for one page; the others are only named."""

Fetch = Callable[[str], bytes | None]
"""Returns the bytes of an artifact by its path, None when it is not stored any more."""


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """A picture of the page."""

    artifact: Artifact
    data_uri: str
    """Empty when it is not in the page."""
    note: str
    """Key of the word that says what is different: smaller, too_much, not_stored; or empty."""


def embed(artifacts: Sequence[Artifact], fetch: Fetch, bytes_max: int) -> list[Picture]:
    """Return the pictures in the given order, together at most ``bytes_max`` characters of data."""
    room = bytes_max
    found = []
    for number, artifact in enumerate(artifacts):
        if number >= FETCHED_MAX or room <= 0:
            found.append(Picture(artifact=artifact, data_uri="", note="too_much"))
            continue
        picture = _embedded(artifact, fetch, room, following=min(len(artifacts), FETCHED_MAX) - number - 1)
        room -= len(picture.data_uri)
        found.append(picture)
    return found


def _embedded(artifact: Artifact, fetch: Fetch, room: int, *, following: int) -> Picture:
    data = fetch(artifact.path)
    if data is None:
        return Picture(artifact=artifact, data_uri="", note="not_stored")
    whole = _data_uri(artifact.media_type, data)
    if len(whole) <= room - following * _SMALL_BYTES:
        return Picture(artifact=artifact, data_uri=whole, note="")
    small = smaller(data)
    uri = _data_uri("image/jpeg", small) if small is not None else ""
    if uri and len(uri) <= room:
        return Picture(artifact=artifact, data_uri=uri, note="smaller")
    return Picture(artifact=artifact, data_uri="", note="too_much")


def smaller(data: bytes) -> bytes | None:
    """Return a picture as a small JPEG; None for what is no picture, or one that is too large to open."""
    from PIL import Image  # here, because only a page with many pictures needs it

    try:
        with Image.open(io.BytesIO(data)) as picture:
            if picture.width * picture.height > _PIXELS_MAX:
                return None
            plain = picture.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    plain.thumbnail(_SMALL)
    into = io.BytesIO()
    plain.save(into, "JPEG", quality=_JPEG_QUALITY, optimize=True)
    return into.getvalue()


def _data_uri(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"
