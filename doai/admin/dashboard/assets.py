"""Files of the pages: styles and scripts, all of them shipped, none from elsewhere (step 14)."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

import msgspec
from litestar import Response, get
from litestar.params import FromPath, HeaderParameter

from doai.errors import NotFoundError

_FOLDER: Final = Path(__file__).with_name("static")
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}


class Asset(msgspec.Struct, frozen=True):
    """One file."""

    body: bytes
    media_type: str
    etag: str


@functools.cache
def assets() -> Mapping[str, Asset]:
    """Return all files by name; some 100 KB."""
    return {
        path.name: Asset(body, _TYPES[path.suffix], f'"{hashlib.sha256(body).hexdigest()[:32]}"')
        for path in sorted(_FOLDER.iterdir())
        if path.suffix in _TYPES
        for body in [path.read_bytes()]
    }


@get("/static/{name:str}", include_in_schema=False)
async def asset(
    name: FromPath[str],
    if_none_match: Annotated[str | None, HeaderParameter(name="If-None-Match")] = None,
) -> Response[bytes | None]:
    """A browser asks again whether it changed, and is told in a few bytes that it did not."""
    found = assets().get(name)
    if found is None:
        raise NotFoundError(f"there is no file {name[:80]!r} among those of the pages")
    headers = {"ETag": found.etag, "Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
    if if_none_match is not None and found.etag in (word.strip() for word in if_none_match.split(",")):
        return Response(None, status_code=304, headers=headers)
    return Response(found.body, media_type=found.media_type, headers=headers)
