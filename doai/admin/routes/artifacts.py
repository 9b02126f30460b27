"""Artifacts: nodes put them, people get them (steps 10 and 14).

201 means that the file and the broker's record of it are both on disk. A PUT may be sent again at any time: the
same path with the same bytes ends as 200, with other bytes as 409, and after a 503 nothing is lost.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import unquote

from litestar import Response, get, put
from litestar.params import FromPath, HeaderParameter, QueryParameter
from litestar.response import Stream

from doai.admin import examples
from doai.admin.access import VIEWER, Forbidden, address_of, check_node
from doai.admin.pages import ArtifactPage
from doai.admin.receiving import Announced
from doai.admin.rerecording import record_key
from doai.admin.routes.bodies import FileBytes
from doai.admin.routes.parameters import AnyRequest, Cursor, Given, Limit, NodeId, NodeSecret, not_found
from doai.admin.routes.uploads import announced as announced_by
from doai.admin.routes.uploads import drain, received
from doai.admin.services import Services
from doai.admin.translation import artifact_json
from doai.admin.views import View
from doai.artifact_path import ArtifactPath, parse_artifact_path
from doai.changes.rows import ArtifactRow
from doai.envelope import Origin
from doai.errors import ConflictError, UserError
from doai.limits import ARTIFACT_BYTES_MAX
from doai.media_types import OF_BYTES, media_type_of
from doai.messages.commands import RecordArtifact
from doai.messages.link import Role

_SHOWN_AS_TEXT: Final = frozenset({"text/plain", "text/csv"})
"""Written in UTF-8 by whatever made them; a browser would guess."""
_NOT_SHOWN: Final = "text/html"
_TASK_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_TEXT_MAX: Final = 200

_log: Final = logging.getLogger(__name__)


class Stored(View, frozen=True, kw_only=True):
    """Where an upload is now."""

    path: str
    sha256: str
    size_bytes: int


_STORED = Stored(path=examples.ARTIFACT_PATH, sha256=examples.SHA256, size_bytes=48_213)


@get(
    "/artifacts",
    opt={"needs": VIEWER},
    tags=["artifacts"],
    summary="List the files of a run or of a task",
    responses=examples.answer(
        200,
        ArtifactPage,
        ArtifactPage(items=[examples.ARTIFACT], next=None),
        "A page of files, by path.",
        problems=(404,),
    ),
)
async def list_artifacts(
    request: AnyRequest,
    services: Given,
    run_id: Annotated[str | None, QueryParameter(max_length=64)] = None,
    task_id: Annotated[str | None, QueryParameter(max_length=64)] = None,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> ArtifactPage:
    """One of run_id and task_id is needed."""
    if run_id is None and task_id is not None:
        task = await services.reader.task(task_id)
        if task is None:
            raise not_found("task", task_id, "tasks")
        run_id = task.row.run_id
    if run_id is None:
        raise UserError("say of what: give run_id or task_id", code="bad_request")
    page = await services.reader.artifacts(run_id=run_id, task_id=task_id, cursor=cursor, limit=limit)
    base = str(request.base_url).rstrip("/") + "/api/v1/artifacts"
    return ArtifactPage(items=[artifact_json(row, base) for row in page.items], next=page.next_cursor)


@get(
    "/artifacts/{path:path}",
    opt={"needs": VIEWER},
    tags=["artifacts"],
    summary="Fetch a file",
    responses=examples.answer(
        200,
        bytes,
        "(the bytes)",
        "The file; its ETag is its SHA-256.",
        problems=(404,),
        media_type="application/octet-stream",
    ),
)
async def fetch_artifact(
    path: FromPath[Path],
    services: Given,
    if_none_match: Annotated[str | None, HeaderParameter(name="If-None-Match")] = None,
) -> Stream | Response[None]:
    """A stored file never changes, so it may be kept for ever."""
    where = parse_artifact_path(str(path).lstrip("/"))
    row = await services.reader.artifact(str(where))
    if row is None:
        raise not_found("artifact", str(where), "artifacts")
    etag = f'"{row.sha256}"'
    headers = {
        "ETag": etag,
        "Cache-Control": "private, max-age=31536000, immutable",
        "X-Content-Type-Options": "nosniff",
        # A file of a node is shown, never executed: no script, no frame of ours.
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Content-Disposition": f'inline; filename="{where.file_name}"',
    }
    if if_none_match is not None and etag in (word.strip() for word in if_none_match.split(",")):
        return Response(None, status_code=304, headers=headers)
    headers["Content-Length"] = str(await services.artifacts.size_of(where))
    media_type = _shown_as(where)
    return Stream(services.artifacts.read(where), media_type=media_type, headers=headers)


@put(
    "/api/v1/artifacts/{path:path}",
    tags=["artifacts"],
    summary="Store a file (nodes only)",
    operation_class=FileBytes,
    security=[{"node": [], "nodeSecret": []}],
    request_max_body_size=None,
    status_code=201,
    responses=examples.answer(
        201, Stored, _STORED, "File and record are on disk.", problems=(409, 411, 413, 422, 507)
    )
    | {200: examples.answer(200, Stored, _STORED, "It was stored already.")[200]},
)
async def store_artifact(
    path: FromPath[Path],
    request: AnyRequest,
    services: Given,
    node_id: NodeId = "",
    secret: NodeSecret = "",
    sha256: Annotated[str, HeaderParameter(name="X-Content-Sha256", max_length=200)] = "",
    run_id: Annotated[str, HeaderParameter(name="X-Run-Id", max_length=64)] = "",
    task_id: Annotated[str, HeaderParameter(name="X-Task-Id", max_length=64)] = "",
    step_id: Annotated[str, HeaderParameter(name="X-Step-Id", max_length=600)] = "",
    device_serial: Annotated[str, HeaderParameter(name="X-Device-Serial", max_length=127)] = "",
) -> Response[Stored]:
    """The path is that of `doai.artifact_path`; a node writes only under its own name."""
    try:
        await check_node(services.reader, node_id, secret)
        where = parse_artifact_path(str(path).lstrip("/"))
        _check_path(where, node_id=node_id, run_id=run_id, device_serial=device_serial)
        announced = announced_by(request, sha256, size_max_bytes=ARTIFACT_BYTES_MAX)
        record = _record(where, announced, request, task_id, step_id)
        known = await services.reader.artifact(str(where))
        if known is not None and known.sha256 != announced.sha256:
            raise ConflictError(
                f"{where} is stored with other bytes, and a stored artifact never changes: use another name"
            )
    except UserError:
        await drain(request)
        raise
    return await _store(services, request, where, announced, record, known)


async def _store(
    services: Services,
    request: AnyRequest,
    where: ArtifactPath,
    announced: Announced,
    record: RecordArtifact,
    known: ArtifactRow | None,
) -> Response[Stored]:
    await services.artifacts.store(where, announced, received(request))
    stored = Stored(path=str(where), sha256=announced.sha256, size_bytes=announced.size_bytes)
    if known is not None:
        return Response(stored, status_code=200)
    done = await services.command(
        record,
        f"task/{record.task_id}",
        actor=f"node/{where.node_id}",
        interface="http",
        idempotency_key=record_key(record),
        origin=Origin(role=Role.NODE.value, address=address_of(request)),
    )
    ids = {
        "run_id": record.run_id,
        "node_id": record.node_id,
        "device_serial": record.device_serial,
        "task_id": record.task_id,
    }
    _log.info("artifact stored: %s (%d bytes)", where, announced.size_bytes, extra=ids)
    return Response(stored, status_code=201, headers=done.headers)


def _shown_as(where: ArtifactPath) -> str:
    """By the path's extension, which was checked; what a node calls its bytes decides nothing in a browser."""
    media_type = media_type_of(where.extension)
    if media_type == _NOT_SHOWN:
        return OF_BYTES
    return f"{media_type}; charset=utf-8" if media_type in _SHOWN_AS_TEXT else media_type


def _check_path(where: ArtifactPath, *, node_id: str, run_id: str, device_serial: str) -> None:
    if where.node_id != node_id:
        raise Forbidden(f"node {node_id} writes only below its own name, not below {where.node_id}")
    for header, told, found in (
        ("X-Run-Id", run_id, where.run_id),
        ("X-Device-Serial", device_serial, where.device_serial),
    ):
        if told != found:
            raise UserError(
                f"{header} is {told[:130]!r} and the path says {found!r}: they must agree", code="bad_request"
            )


def _record(
    where: ArtifactPath, announced: Announced, request: AnyRequest, task_id: str, step_id: str
) -> RecordArtifact:
    if _TASK_ID.fullmatch(task_id) is None:
        raise UserError(f"X-Task-Id can not be {task_id[:64]!r}: it must be the id of a task", code="bad_request")
    step = unquote(step_id)
    if not step or len(step) > _TEXT_MAX or not step.isprintable():
        raise UserError("X-Step-Id must be the id of a step, percent-encoded", code="bad_request")
    return RecordArtifact(
        path=str(where),
        sha256=announced.sha256,
        size_bytes=announced.size_bytes,
        node_id=where.node_id,
        device_serial=where.device_serial,
        run_id=where.run_id,
        task_id=task_id,
        step_id=step,
        media_type=request.headers.get("Content-Type", "application/octet-stream")[:_TEXT_MAX],
    )
