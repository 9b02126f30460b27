"""Logs of phones: operators look, nodes bring lines while somebody looks; nothing is stored (step 14)."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from typing import Annotated, Any, Final
from urllib.parse import unquote

import msgspec
from litestar import Request, get, put
from litestar.params import FromPath, HeaderParameter, QueryParameter
from litestar.response import Stream

from doai.admin import examples
from doai.admin.access import OPERATOR, Caller, check_node
from doai.admin.connections import cut_of
from doai.admin.logcats import PAGE_LINES_MAX, PIECE_BYTES_MAX, LineKind, LogcatLine, LogcatPiece
from doai.admin.routes.bodies import FileBytes
from doai.admin.routes.parameters import POSITION_MAX, AnyRequest, Given, Who, not_found
from doai.admin.routes.uploads import received
from doai.admin.services import Services
from doai.admin.views import View
from doai.errors import DoaiError, UserError

WAIT_S: Final = 4.0
"""A viewer waits so long for a line, and then asks again: shorter than its lease."""
NODE_WAIT_S: Final = 20.0
"""A node waits so long for somebody to look; one request of a node in so many seconds is what this costs."""
RETRY_MS: Final = 2000
"""After which a browser connects again to a stream that broke."""
_FAILURE: Final = "text/plain"
_LINE: Final = LogcatLine(
    n=1795285843934001,
    kind=LineKind.LINE,
    text="11-22 09:17:23.934  1234  1250 I ActivityTaskManager: START u0 {cmp=com.example/.Main}",
)

_log: Final = logging.getLogger(__name__)


class LogcatPage(View, frozen=True, kw_only=True):
    """Lines of a phone's log, oldest first."""

    begun: int
    """Another one than in the answer before: the log is followed anew, and lines may be repeated."""
    after: int
    """Ask for what follows this."""
    items: list[LogcatLine]


class WantedLogcats(View, frozen=True, kw_only=True):
    """Whose logs a node is to bring."""

    serials: list[str]


class LogcatTaken(View, frozen=True, kw_only=True):
    """Answer to lines of a log."""

    wanted: bool
    """Whether somebody still looks: bring what follows."""


After = Annotated[
    int, QueryParameter(ge=0, le=POSITION_MAX, description="`after` of the answer before: waits for what follows")
]
Lines = Annotated[int, QueryParameter(ge=1, le=PAGE_LINES_MAX, description="lines at most")]


@get(
    "/devices/{serial:str}/logcat",
    opt={"needs": OPERATOR},
    tags=["fleet"],
    summary="Read the log of a device as it is written",
    responses=examples.answer(
        200,
        LogcatPage,
        LogcatPage(begun=_LINE.n - 1, after=_LINE.n, items=[_LINE]),
        "The newest lines; or those behind `after`, none when none came within 4 seconds.",
        problems=(404,),
    ),
)
async def read_logcat(
    serial: FromPath[str], services: Given, caller: Who, after: After = 0, limit: Lines = 200
) -> LogcatPage:
    """Each question is a lease of six seconds in which the node follows the log; it may hold personal data."""
    await _look(services, caller, serial)
    tail = await services.logcats.newer(serial, after, limit=limit, wait_s=WAIT_S)
    if tail is None:
        return LogcatPage(begun=0, after=0, items=[])
    return LogcatPage(begun=tail.begun, after=tail.after, items=tail.lines)


@get(
    "/devices/{serial:str}/logcat/stream",
    opt={"needs": OPERATOR},
    tags=["fleet"],
    summary="Follow the log of a device (server-sent events)",
    media_type="text/event-stream",
    responses=examples.answer(
        200,
        LogcatLine,
        _LINE,
        "`data` of each line; its `id` is its number.",
        problems=(404,),
        media_type="text/event-stream",
    ),
)
async def stream_logcat(
    serial: FromPath[str],
    services: Given,
    caller: Who,
    request: Request[Any, Any, Any],
    after: After = 0,
    limit: Lines = 200,
    last_event_id: Annotated[
        str | None,
        HeaderParameter(
            name="Last-Event-ID", pattern=r"^\d{1,16}$", description="sent by browsers: go on behind this line"
        ),
    ] = None,
) -> Stream:
    """The node follows the log for as long as the stream is read; it begins with the newest ``limit`` lines."""
    await _look(services, caller, serial)
    services.logcats.check_room()
    blocks = _follow(services, caller, serial, int(last_event_id or after), limit)
    return Stream(
        services.feed.sent(blocks, cut_of(request)),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def _follow(
    services: Services, caller: Caller, serial: str, after: int, limit: int
) -> AsyncGenerator[bytes, None]:
    with services.logcats.streaming():
        yield b"retry: %d\n\n" % RETRY_MS
        while not services.logcats.looking.closed:
            try:
                await _look(services, caller, serial)
            except DoaiError as error:  # the head of the answer is sent: the next try of the client gets it
                _log.info("the log of %s is followed no more: %s", serial, error, extra={"device_serial": serial})
                return
            tail = await services.logcats.newer(serial, after, limit=limit, wait_s=WAIT_S)
            if tail is None:
                continue
            after, limit = tail.after, PAGE_LINES_MAX
            frames = [b"id: %d\ndata: %b\n\n" % (line.n, msgspec.json.encode(line)) for line in tail.lines]
            yield b"".join(frames) or b": still here\n\n"


async def _look(services: Services, caller: Caller, serial: str) -> None:
    view = await services.reader.device(serial)
    if view is None:
        raise not_found("device", serial, "devices")
    if await services.logcats.looking.look(serial, view.row.node_id, caller.actor):
        _log.info("%s reads the log of %s", caller.actor, serial, extra={"device_serial": serial})


@get(
    "/api/v1/logcats",
    tags=["fleet"],
    summary="Whose logs are read (nodes)",
    security=[{"node": [], "nodeSecret": []}],
    responses=examples.answer(
        200, WantedLogcats, WantedLogcats(serials=["R58M12ABCDE"]), "Devices of this node.", problems=(401,)
    ),
)
async def wanted_logcats(
    services: Given,
    node_id: Annotated[str, HeaderParameter(name="X-Node-Id", max_length=63)] = "",
    secret: Annotated[str, HeaderParameter(name="X-Node-Auth", max_length=500)] = "",
    have: Annotated[str, QueryParameter(max_length=2000, description="serials that it brings, by commas")] = "",
) -> WantedLogcats:
    """Answers as soon as one is wanted that the node does not bring already, else after 20 seconds."""
    await check_node(services.reader, node_id, secret)
    known = frozenset(unquote(serial) for serial in have.split(",") if serial)
    return WantedLogcats(serials=await services.logcats.looking.wanted(node_id, known, wait_s=NODE_WAIT_S))


@put(
    "/api/v1/logcats/{serial:str}",
    tags=["fleet"],
    summary="Bring lines of a log that is read (nodes)",
    security=[{"node": [], "nodeSecret": []}],
    operation_class=FileBytes,
    request_max_body_size=PIECE_BYTES_MAX,
    responses=examples.answer(
        200, LogcatTaken, LogcatTaken(wanted=True), "They are shown to those who look.", problems=(401, 413)
    ),
)
async def bring_logcat(
    serial: FromPath[str],
    request: AnyRequest,
    services: Given,
    node_id: Annotated[str, HeaderParameter(name="X-Node-Id", max_length=63)] = "",
    secret: Annotated[str, HeaderParameter(name="X-Node-Auth", max_length=500)] = "",
) -> LogcatTaken:
    """As JSON ``missing``, a number, and ``lines``; or as text/plain the sentence why there are none."""
    await check_node(services.reader, node_id, secret)
    body = b"".join([part async for part in received(request)])
    if request.headers.get("Content-Type", "").startswith(_FAILURE):
        reason = body[:500].decode("utf-8", "replace")
        return LogcatTaken(wanted=await services.logcats.failed(node_id, serial, reason))
    try:
        piece = msgspec.json.decode(body, type=LogcatPiece)
    except msgspec.MsgspecError as error:
        raise UserError(f"this is no piece of a log: {error}", code="bad_request") from None
    return LogcatTaken(wanted=await services.logcats.put(node_id, serial, piece))
