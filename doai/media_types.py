"""What kind of bytes a file name's extension stands for (IANA media types)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

OF_BYTES: Final = "application/octet-stream"
"""Of anything else."""
_BY_EXTENSION: Final[Mapping[str, str]] = {
    "csv": "text/csv",
    "gif": "image/gif",
    "html": "text/html",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "json": "application/json",
    "log": "text/plain",
    "mp4": "video/mp4",
    "png": "image/png",
    "txt": "text/plain",
    "webm": "video/webm",
    "webp": "image/webp",
    "xml": "application/xml",
    "zip": "application/zip",
}


def media_type_of(extension: str) -> str:
    """Return the media type of ``png`` and the like; what is not known is plain bytes."""
    return _BY_EXTENSION.get(extension, OF_BYTES)
