"""Live screens: operators look, nodes bring pictures while somebody looks; nothing is stored (step 14)."""

from __future__ import annotations

from typing import Annotated, Final

from litestar import Response, get, put
from litestar.params import FromPath, QueryParameter

from doai.admin import examples
from doai.admin.access import OPERATOR, check_node
from doai.admin.routes import looking
from doai.admin.routes.bodies import FileBytes
from doai.admin.routes.looking import Have
from doai.admin.routes.parameters import AnyRequest, Given, NodeId, NodeSecret, Who, now_ms
from doai.admin.routes.uploads import DRAINED_BYTES_MAX, received
from doai.admin.screens import PICTURE_BYTES_MAX
from doai.errors import UserError

JPEG: Final = "image/jpeg"


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
    await looking.look(services, caller, serial, services.screens.looking, "looks at the screen")
    picture = await services.screens.newer(serial, after, wait_s=looking.WAIT_S)
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
    responses=examples.answer(200, looking.WantedDevices, looking.WANTED, "Devices of this node.", problems=(401,)),
)
async def wanted_screens(
    services: Given,
    node_id: NodeId = "",
    secret: NodeSecret = "",
    have: Have = "",
) -> looking.WantedDevices:
    """Answers as soon as one is wanted that the node does not bring already, else after 20 seconds."""
    return await looking.wanted(services, node_id, secret, have, services.screens.looking)


@put(
    "/api/v1/screens/{serial:str}",
    tags=["fleet"],
    summary="Bring a picture of a screen that is looked at (nodes)",
    security=[{"node": [], "nodeSecret": []}],
    operation_class=FileBytes,
    request_max_body_size=None,  # what reads it has its own bound
    responses=examples.answer(
        200, looking.Taken, looking.TAKEN, "It is shown to those who look.", problems=(401, 413, 422)
    ),
)
async def bring_screen(
    serial: FromPath[str],
    request: AnyRequest,
    services: Given,
    node_id: NodeId = "",
    secret: NodeSecret = "",
) -> looking.Taken:
    """A JPEG; or as text/plain the sentence why there is none."""
    await check_node(services.reader, node_id, secret)
    body = await _picture(request)
    if (reason := looking.reason_of(request, body)) is not None:
        return looking.Taken(wanted=await services.screens.failed(node_id, serial, reason))
    if not body.startswith(b"\xff\xd8\xff"):
        raise UserError("a picture of a screen is a JPEG, and this begins as none", code="not_a_picture")
    return looking.Taken(wanted=await services.screens.put(node_id, serial, body, now_ms()))


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
