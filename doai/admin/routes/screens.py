"""Live screens: operators look, nodes bring pictures while somebody looks; nothing is stored (step 14)."""

from __future__ import annotations

import logging
from typing import Annotated, Final
from urllib.parse import unquote

from litestar import Response, get, put
from litestar.params import FromPath, HeaderParameter, QueryParameter

from doai.admin import examples
from doai.admin.access import OPERATOR, check_node
from doai.admin.routes.bodies import FileBytes
from doai.admin.routes.fleet import known_serials
from doai.admin.routes.parameters import AnyRequest, Given, Who, not_found, now_ms
from doai.admin.routes.uploads import DRAINED_BYTES_MAX, received
from doai.admin.screens import PICTURE_BYTES_MAX
from doai.admin.views import View
from doai.errors import UserError
from doai.store.device_reader import DeviceFilter

WAIT_S: Final = 4.0
"""A viewer waits so long for a newer picture, and then asks again: shorter than its lease."""
NODE_WAIT_S: Final = 20.0
"""A node waits so long for somebody to look; one request of a node in so many seconds is what this costs."""
JPEG: Final = "image/jpeg"
_FAILURE: Final = "text/plain"

_log: Final = logging.getLogger(__name__)


class WantedScreens(View, frozen=True, kw_only=True):
    """What a node is to bring pictures of."""

    serials: list[str]


class ScreenTaken(View, frozen=True, kw_only=True):
    """Answer to a picture."""

    wanted: bool
    """Whether somebody still looks: bring another one."""


@get(
    "/devices/{serial:str}/screen",
    opt={"needs": OPERATOR},
    tags=["fleet"],
    summary="Look at the screen of a device",
    responses=examples.answer(
        200,
        bytes,
        "(a JPEG)",
        "The newest picture; `X-Picture` is its number. 204: none came yet, ask again.",
        problems=(404, 502, 503),
        media_type=JPEG,
    ),
)
async def look(
    serial: FromPath[str],
    services: Given,
    caller: Who,
    after: Annotated[
        int, QueryParameter(ge=0, le=2**53, description="`X-Picture` of the one before: waits for a newer one")
    ] = 0,
) -> Response[bytes | None]:
    """Each question is a lease of six seconds in which the node takes pictures, at most three in two seconds."""
    squares = await services.reader.fleet.squares(DeviceFilter(serials=(serial,)), now_ms(), limit=1)
    if not squares:
        raise not_found("device", serial, "devices", await known_serials(services.reader))
    _, _, _, node_id = squares[0]
    if await services.screens.looking.look(serial, node_id, caller.actor):
        _log.info("%s looks at the screen of %s", caller.actor, serial, extra={"device_serial": serial})
    picture = await services.screens.newer(serial, after, wait_s=WAIT_S)
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    if picture is None:
        return Response(None, status_code=204, headers=headers)
    headers |= {"X-Picture": str(picture.n), "X-Taken-At-Ms": str(picture.at_ms)}
    return Response(picture.body, media_type=JPEG, headers=headers)


@get(
    "/api/v1/screens",
    tags=["fleet"],
    summary="Which screens are looked at (nodes)",
    security=[{"node": [], "nodeSecret": []}],
    responses=examples.answer(
        200, WantedScreens, WantedScreens(serials=["R58M12ABCDE"]), "Devices of this node.", problems=(401,)
    ),
)
async def wanted_screens(
    services: Given,
    node_id: Annotated[str, HeaderParameter(name="X-Node-Id", max_length=63)] = "",
    secret: Annotated[str, HeaderParameter(name="X-Node-Auth", max_length=500)] = "",
    have: Annotated[str, QueryParameter(max_length=2000, description="serials that it brings, by commas")] = "",
) -> WantedScreens:
    """Answers as soon as one is wanted that the node does not bring already, else after 20 seconds."""
    await check_node(services.reader, node_id, secret)
    known = frozenset(unquote(serial) for serial in have.split(",") if serial)
    return WantedScreens(serials=await services.screens.looking.wanted(node_id, known, wait_s=NODE_WAIT_S))


@put(
    "/api/v1/screens/{serial:str}",
    tags=["fleet"],
    summary="Bring a picture of a screen that is looked at (nodes)",
    security=[{"node": [], "nodeSecret": []}],
    operation_class=FileBytes,
    request_max_body_size=None,  # what reads it has its own bound
    responses=examples.answer(
        200, ScreenTaken, ScreenTaken(wanted=True), "It is shown to those who look.", problems=(401, 413, 422)
    ),
)
async def bring_screen(
    serial: FromPath[str],
    request: AnyRequest,
    services: Given,
    node_id: Annotated[str, HeaderParameter(name="X-Node-Id", max_length=63)] = "",
    secret: Annotated[str, HeaderParameter(name="X-Node-Auth", max_length=500)] = "",
) -> ScreenTaken:
    """A JPEG; or as text/plain the sentence why there is none."""
    await check_node(services.reader, node_id, secret)
    body = await _picture(request)
    if request.headers.get("Content-Type", "").startswith(_FAILURE):
        reason = body[:500].decode("utf-8", "replace")
        return ScreenTaken(wanted=await services.screens.failed(node_id, serial, reason))
    if not body.startswith(b"\xff\xd8\xff"):
        raise UserError("a picture of a screen is a JPEG, and this begins as none", code="not_a_picture")
    return ScreenTaken(wanted=await services.screens.put(node_id, serial, body, now_ms()))


async def _picture(request: AnyRequest) -> bytes:
    """Return the body; of one that is too large the rest is read, too, so that its sender sees the answer."""
    parts, size_bytes = [], 0
    async for part in received(request):
        size_bytes += len(part)
        if size_bytes <= PICTURE_BYTES_MAX:
            parts.append(part)
        elif size_bytes > DRAINED_BYTES_MAX:
            break
    if size_bytes > PICTURE_BYTES_MAX:
        raise UserError(
            f"a picture of a screen has {PICTURE_BYTES_MAX // 1024} KiB at most: make it smaller", code="too_large"
        )
    return b"".join(parts)
