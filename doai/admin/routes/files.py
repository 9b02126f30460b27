"""Files for phones: apps, baselines, anything pushed; named with versions that never change (steps 2 and 8).

People put and list them by name. Their bytes are fetched by SHA-256, by people and by the nodes whose tasks need
them; 201 means that bytes, name and version are on disk.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Annotated, Any, Final

from litestar import Response, delete, get, put
from litestar.connection import ASGIConnection
from litestar.handlers.base import BaseRouteHandler
from litestar.params import FromPath, HeaderParameter, QueryParameter
from litestar.response import Stream

from doai.admin import examples
from doai.admin.access import OPERATOR, VIEWER, check_node, require_token
from doai.admin.app_views import AppJson, app_json
from doai.admin.pages import FilePage
from doai.admin.routes.bodies import FileBytes
from doai.admin.routes.parameters import AnyRequest, Cursor, Given, Limit, Who, not_found, part
from doai.admin.routes.uploads import announced, drain, received
from doai.admin.services import Services
from doai.admin.storing import About, store_file
from doai.admin.translation import file_json
from doai.admin.views import FileJson
from doai.changes.rows import FileRow
from doai.errors import ConflictError, NotFoundError, UserError
from doai.file_reference import FileName, parse_file_reference
from doai.messages.commands import FileRemoved, FileStored, RemoveFile

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_RANGE: Final = re.compile(r"bytes=(\d{1,18})-")
"""RFC 9110, 14.1.2: from a place to the end, which is how a broken transfer goes on."""
_REMOVED: Final = FileRemoved(name="my-app", version="1.4", sha256=examples.SHA256, unused=True)
_log: Final = logging.getLogger(__name__)


@get(
    "/files",
    opt={"needs": VIEWER},
    tags=["files"],
    summary="List files with all their versions",
    responses=examples.answer(
        200, FilePage, FilePage(items=[examples.FILE], next=None), "A page of files, by name, oldest first."
    ),
)
async def list_files(
    request: AnyRequest,
    services: Given,
    prefix: Annotated[str, QueryParameter(max_length=255, description="names that begin so")] = "",
    cursor: Cursor = None,
    limit: Limit = 500,
) -> FilePage:
    """The last one of a name is what the bare name means."""
    rows = await services.reader.files()
    newest = {row.name: row.version for row in rows}
    wanted = sorted((row for row in rows if row.name.startswith(prefix)), key=_order)
    items, following = part(wanted, _order, cursor, limit)
    return FilePage(
        items=[file_json(row, newest=newest[row.name] == row.version, base=_base(request)) for row in items],
        next=following,
    )


@get(
    "/files/{reference:path}",
    opt={"needs": VIEWER},
    tags=["files"],
    summary="Show a file: name@version, or a name for its newest version",
    responses=examples.answer(200, FileJson, examples.FILE, "The file.", problems=(404,)),
)
async def show_file(reference: FromPath[Path], request: AnyRequest, services: Given) -> FileJson:
    """Its `contentUrl` has the bytes."""
    wanted = _reference(reference)
    row, newest = await _find(services, wanted)
    shown: FileJson = file_json(row, newest=newest, base=_base(request))
    return shown


@get(
    "/apps/{reference:path}",
    opt={"needs": VIEWER},
    tags=["files"],
    summary="Show what is in an application package: name@version, or a name for its newest version",
    responses=examples.answer(200, AppJson, examples.APP, "The app.", problems=(404, 422)),
)
async def show_app(reference: FromPath[Path], services: Given) -> AppJson:
    """All its bytes are read, once, and compared with its signature; 422 says why they are no app."""
    row, _ = await _find(services, _reference(reference))
    shown: AppJson = app_json(row, await services.files.app(row.sha256, f"{row.name}@{row.version}"))
    return shown


@put(
    "/files/{reference:path}",
    opt={"needs": OPERATOR},
    tags=["files"],
    summary="Put a file: name@version, or a name for its next version number",
    operation_class=FileBytes,
    request_max_body_size=None,
    status_code=201,
    responses=examples.answer(
        201, FileJson, examples.FILE, "Bytes, name and version are on disk.", problems=(409, 411, 413, 422, 507)
    )
    | {200: examples.answer(200, FileJson, examples.FILE, "It is stored already.")[200]},
)
async def put_file(
    reference: FromPath[Path],
    request: AnyRequest,
    services: Given,
    caller: Who,
    sha256: Annotated[str, HeaderParameter(name="X-Content-Sha256", max_length=200)] = "",
) -> Response[FileJson]:
    """A version never changes: 409 for other bytes. X-Content-Sha256 finds damage on the way."""
    try:
        wanted = _reference(reference)
        told = announced(request, sha256, size_max_bytes=services.files.size_max_bytes, may_be_unsaid=True)
        await _refuse_other_bytes(services, wanted, sha256)
    except UserError:
        await drain(request)
        raise
    about = About(name=wanted, media_type=_media_type(request))
    done = await store_file(services, caller, about, told, received(request))
    stored: FileStored = done.result
    row, newest = await _find(services, FileName(stored.name, stored.version))
    _log.info("file stored: %s@%s (%d bytes)", stored.name, stored.version, stored.size_bytes)
    answer: FileJson = file_json(row, newest=newest, base=_base(request))
    headers = {**done.headers, "Location": answer.url}
    return Response(answer, status_code=201 if stored.new else 200, headers=headers)


@delete(
    "/files/{reference:path}",
    status_code=200,
    opt={"needs": OPERATOR},
    tags=["files"],
    summary="Remove one version of a file",
    responses=examples.answer(200, FileRemoved, _REMOVED, "It is forgotten.", problems=(404, 409)),
)
async def remove_file(reference: FromPath[Path], services: Given, caller: Who) -> Response[FileRemoved]:
    """409 while an open run needs it."""
    wanted = _reference(reference)
    if wanted.version is None:
        raise UserError(f"say which version to remove, as {wanted.name}@1.4", code="bad_request")
    await _find(services, wanted)
    async with services.files.naming:
        command = RemoveFile(name=wanted.name, version=wanted.version)
        done = await services.command_of(caller, command, f"file/{wanted.name}")
        removed: FileRemoved = done.result
        if removed.unused:
            await services.files.drop(removed.sha256)
    return Response(removed, headers=done.headers)


async def require_reader(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Guard of the bytes: a node with the secret of its uploads, or a token that may read."""
    headers = connection.headers
    if "X-Node-Id" not in headers:
        await require_token(connection, handler)
        return
    services: Services = connection.app.state.services
    await check_node(services.reader, headers["X-Node-Id"][:63], headers.get("X-Node-Auth", "")[:500])


@get(
    "/api/v1/contents/{sha256:str}",
    guards=[require_reader],
    opt={"needs": VIEWER},
    tags=["files"],
    summary="Fetch the bytes of a file by their SHA-256 (nodes and people)",
    security=[{"token": []}, {"node": [], "nodeSecret": []}],
    responses=examples.answer(
        200,
        bytes,
        "(the bytes)",
        "The bytes; with Range: bytes=N- the rest of them (206).",
        problems=(404,),
        media_type="application/octet-stream",
    ),
)
async def fetch_content(
    sha256: FromPath[str],
    services: Given,
    wanted: Annotated[str, HeaderParameter(name="Range", max_length=100)] = "",
) -> Stream | Response[None]:
    """Bytes of a hash never change, so they may be kept for ever."""
    rows = await services.reader.files(sha256=sha256) if _SHA256.fullmatch(sha256) else []
    if not rows:
        raise NotFoundError(f"no file has the bytes {sha256[:80]!r}: GET /api/v1/files lists what there is")
    size_bytes = await services.files.size_of(sha256)
    headers = {
        "ETag": f'"{sha256}"',
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, max-age=31536000, immutable",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Content-Disposition": f'attachment; filename="{rows[-1].name.rpartition("/")[2]}"',
    }
    start = 0
    if match := _RANGE.fullmatch(wanted.strip()):  # what is no such range is answered with the whole
        start = int(match[1])
        if start >= size_bytes:
            return Response(None, status_code=416, headers={"Content-Range": f"bytes */{size_bytes}"})
        headers["Content-Range"] = f"bytes {start}-{size_bytes - 1}/{size_bytes}"
    headers["Content-Length"] = str(size_bytes - start)
    status = 206 if "Content-Range" in headers else 200
    content = services.files.read(sha256, start)
    return Stream(content, status_code=status, media_type=rows[-1].media_type, headers=headers)


def _reference(path: Path) -> FileName:
    return parse_file_reference(str(path).lstrip("/"))


async def _find(services: Services, wanted: FileName) -> tuple[FileRow, bool]:
    """Return a version and whether it is the newest; raises NotFoundError."""
    rows = await services.reader.files(name=wanted.name)
    if not rows:
        raise not_found("file", wanted.name, "files", (row.name for row in await services.reader.files()))
    if wanted.version is None:
        return rows[-1], True
    found = next((row for row in rows if row.version == wanted.version), None)
    if found is None:
        known = ", ".join(row.version for row in rows[-20:])
        raise NotFoundError(f"file {wanted.name} has no version {wanted.version}: versions are {known}")
    return found, found is rows[-1]


async def _refuse_other_bytes(services: Services, wanted: FileName, sha256: str) -> None:
    """Refuse before the bytes are sent what the broker would refuse after."""
    if wanted.version is None or not sha256:
        return
    known = await services.reader.files(name=wanted.name, version=wanted.version)
    if known and known[0].sha256 != sha256:
        raise ConflictError(
            f"{wanted} has other bytes, and a version never changes: put it as another version", code="file_exists"
        )


def _media_type(request: AnyRequest) -> str:
    given = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    # What curl says of any upload unless it is told.
    return "application/octet-stream" if given in ("", "application/x-www-form-urlencoded") else given


def _order(row: FileRow) -> str:
    # A slash sorts after the space that no name has: versions of a name stay together.
    return f"{row.name} {row.position:020d}"


def _base(request: AnyRequest) -> str:
    return str(request.base_url).rstrip("/") + "/api/v1"
