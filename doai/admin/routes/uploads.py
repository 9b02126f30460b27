"""What uploads have in common: what they announce, their bytes, and the end of a refused one (steps 2 and 10)."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Final

from litestar.exceptions import HTTPException

from doai.admin.receiving import Announced, DamagedUpload
from doai.admin.routes.parameters import AnyRequest
from doai.errors import UserError

DRAINED_BYTES_MAX: Final = 1024 * 1024
"""Of a refused upload this much is read, so that its sender sees the answer and not a broken connection."""
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


def announced(request: AnyRequest, sha256: str, *, size_max_bytes: int, may_be_unsaid: bool = False) -> Announced:
    """Return what an upload says of itself; raises UserError for what can not be.

    ``may_be_unsaid``: X-Content-Sha256 may be missing.
    """
    if _SHA256.fullmatch(sha256) is None and (sha256 or not may_be_unsaid):
        raise UserError(
            "X-Content-Sha256 must be the SHA-256 of the file, 64 hexadecimal digits", code="bad_request"
        )
    length = request.headers.get("Content-Length", "")
    if not length.isdecimal():
        raise UserError("Content-Length is needed: how many bytes the file has", code="length_required")
    size_bytes = int(length[:19])
    if size_bytes > size_max_bytes:
        raise UserError(
            f"the file has {size_bytes} bytes, {size_max_bytes // 2**20} MiB are allowed: make it smaller",
            code="too_large",
        )
    return Announced(sha256=sha256, size_bytes=size_bytes)


async def received(request: AnyRequest) -> AsyncIterator[bytes]:
    """Yield the bytes of an upload; raises DamagedUpload when the connection ends before them."""
    try:
        async for part in request.stream():
            yield part
    except HTTPException as error:
        raise DamagedUpload("the connection ended before the whole file had arrived: send it again") from error


async def drain(request: AnyRequest) -> None:
    """Read what is left of a refused upload, if it is not much."""
    length = request.headers.get("Content-Length", "")
    if not length.isdecimal() or int(length[:19]) > DRAINED_BYTES_MAX:
        return
    async for _ in received(request):
        continue
