"""Devices and nodes taken out of service by a person, and back (steps 1 and 14)."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from litestar import Response, post
from litestar.openapi.spec import Example
from litestar.params import Body, FromPath

from doai.admin import examples
from doai.admin.access import OPERATOR
from doai.admin.routes.parameters import Given, Who
from doai.admin.views import View
from doai.messages.commands import QuarantineDevice, QuarantineNode, ReleaseDevice, ReleaseNode, Service
from doai.states import ServiceState


class QuarantineWish(View, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long, and why."""

    for_s: float | None = None
    """Then it is tried with one task at a time; null = until it is released."""
    reason: Annotated[str, msgspec.Meta(max_length=500)] = ""


class ReleaseWish(View, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why."""

    reason: Annotated[str, msgspec.Meta(max_length=500)] = ""


_OUT: Final = Service(name="R58M12ABCDE", state=ServiceState.QUARANTINED, until_ms=examples.AT_MS + 600_000)
_BACK: Final = Service(name="R58M12ABCDE", state=ServiceState.IN_SERVICE)
_WHY_OUT: Final = Example(value={"forS": 600, "reason": "its cable is changed"})
_WHY_BACK: Final = Example(value={"reason": "it has a new cable"})
_OUT_BODY = Annotated[QuarantineWish | None, Body(examples=[_WHY_OUT])]
_BACK_BODY = Annotated[ReleaseWish | None, Body(examples=[_WHY_BACK])]


@post(
    "/devices/{serial:str}/quarantine",
    status_code=200,
    opt={"needs": OPERATOR},
    tags=["fleet"],
    summary="Give a device no tasks",
    responses=examples.answer(200, Service, _OUT, "It is given none.", problems=(404, 422)),
)
async def quarantine_device(
    serial: FromPath[str], services: Given, caller: Who, data: _OUT_BODY = None
) -> Response[Service]:
    """What it holds goes on. Again: with another term."""
    wish = data or QuarantineWish()
    command = QuarantineDevice(serial=serial, for_s=wish.for_s, reason=wish.reason)
    done = await services.command_of(caller, command, f"device/{serial[:130]}")
    return Response(done.result, headers=done.headers)


@post(
    "/devices/{serial:str}/release",
    status_code=200,
    opt={"needs": OPERATOR},
    tags=["fleet"],
    summary="Give a quarantined device tasks as before",
    responses=examples.answer(200, Service, _BACK, "It is given tasks.", problems=(404, 409)),
)
async def release_device(
    serial: FromPath[str], services: Given, caller: Who, data: _BACK_BODY = None
) -> Response[Service]:
    """409 when it is not quarantined."""
    command = ReleaseDevice(serial=serial, reason=data.reason if data else "")
    done = await services.command_of(caller, command, f"device/{serial[:130]}")
    return Response(done.result, headers=done.headers)


@post(
    "/nodes/{node_id:str}/quarantine",
    status_code=200,
    opt={"needs": OPERATOR},
    tags=["fleet"],
    summary="Give the devices of a node no tasks",
    responses=examples.answer(200, Service, _OUT, "It is given none.", problems=(404, 422)),
)
async def quarantine_node(
    node_id: FromPath[str], services: Given, caller: Who, data: _OUT_BODY = None
) -> Response[Service]:
    """What they hold goes on. Again: with another term."""
    wish = data or QuarantineWish()
    command = QuarantineNode(node_id=node_id, for_s=wish.for_s, reason=wish.reason)
    done = await services.command_of(caller, command, f"node/{node_id[:63]}")
    return Response(done.result, headers=done.headers)


@post(
    "/nodes/{node_id:str}/release",
    status_code=200,
    opt={"needs": OPERATOR},
    tags=["fleet"],
    summary="Give a quarantined node tasks as before",
    responses=examples.answer(200, Service, _BACK, "It is given tasks.", problems=(404, 409)),
)
async def release_node(
    node_id: FromPath[str], services: Given, caller: Who, data: _BACK_BODY = None
) -> Response[Service]:
    """409 when it is not quarantined."""
    command = ReleaseNode(node_id=node_id, reason=data.reason if data else "")
    done = await services.command_of(caller, command, f"node/{node_id[:63]}")
    return Response(done.result, headers=done.headers)
