"""Logs of phones: operators look, nodes bring lines while somebody looks; nothing is stored (step 14)."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from typing import Annotated, Any, Final

import msgspec
from litestar import Request, get, put
from litestar.params import FromPath, HeaderParameter, QueryParameter
from litestar.response import Stream

from doai.admin import examples
from doai.admin.access import OPERATOR, Caller, check_node, while_let_in
from doai.admin.connections import cut_of
from doai.admin.logcats import PAGE_LINES_MAX, PIECE_BYTES_MAX, LineKind, LogcatLine, LogcatPiece
from doai.admin.routes import looking
from doai.admin.routes.bodies import FileBytes
from doai.admin.routes.looking import Have
from doai.admin.routes.parameters import POSITION_MAX, AnyRequest, Given, NodeId, NodeSecret, Who
from doai.admin.routes.uploads import received
from doai.admin.services import Services
from doai.admin.views import View
from doai.errors import DoaiError, UserError

RETRY_MS: Final = 2000
"""After which a browser connects again to a stream that broke."""
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
    tail = await services.logcats.newer(serial, after, limit=limit, wait_s=looking.WAIT_S)
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
        services.feed.sent(while_let_in(request, blocks), cut_of(request)),
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
            tail = await services.logcats.newer(serial, after, limit=limit, wait_s=looking.WAIT_S)
            if tail is None:
                continue
            after, limit = tail.after, PAGE_LINES_MAX
            frames = [b"id: %d\ndata: %b\n\n" % (line.n, msgspec.json.encode(line)) for line in tail.lines]
            yield b"".join(frames) or b": still here\n\n"


async def _look(services: Services, caller: Caller, serial: str) -> None:
    await looking.look(services, caller, serial, services.logcats.looking, "reads the log")


@get(
    "/api/v1/logcats",
    tags=["fleet"],
    summary="Whose logs are read (nodes)",
    security=[{"node": [], "nodeSecret": []}],
    responses=examples.answer(200, looking.WantedDevices, looking.WANTED, "Devices of this node.", problems=(401,)),
)
async def wanted_logcats(
    services: Given,
    node_id: NodeId = "",
    secret: NodeSecret = "",
    have: Have = "",
) -> looking.WantedDevices:
    """Answers as soon as one is wanted that the node does not bring already, else after 20 seconds."""
    return await looking.wanted(services, node_id, secret, have, services.logcats.looking)


@put(
    "/api/v1/logcats/{serial:str}",
    tags=["fleet"],
    summary="Bring lines of a log that is read (nodes)",
    security=[{"node": [], "nodeSecret": []}],
    operation_class=FileBytes,
    request_max_body_size=PIECE_BYTES_MAX,
    responses=examples.answer(
        200, looking.Taken, looking.TAKEN, "They are shown to those who look.", problems=(401, 413)
    ),
)
async def bring_logcat(
    serial: FromPath[str],
    request: AnyRequest,
    services: Given,
    node_id: NodeId = "",
    secret: NodeSecret = "",
) -> looking.Taken:
    """As JSON ``missing``, a number, and ``lines``; or as text/plain the sentence why there are none."""
    await check_node(services.reader, node_id, secret)
    body = b"".join([part async for part in received(request)])
    if (reason := looking.reason_of(request, body)) is not None:
        return looking.Taken(wanted=await services.logcats.failed(node_id, serial, reason))
    try:
        piece = msgspec.json.decode(body, type=LogcatPiece)
    except msgspec.MsgspecError as error:
        raise UserError(f"this is no piece of a log: {error}", code="bad_request") from None
    return looking.Taken(wanted=await services.logcats.put(node_id, serial, piece))
