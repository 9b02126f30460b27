"""Devices reserved for a person, and given back (steps 1 and 14)."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from litestar import Response, post
from litestar.openapi.spec import Example
from litestar.params import Body, FromPath

from doai import limits
from doai.admin import examples
from doai.admin.access import OPERATOR
from doai.admin.routes.parameters import Given, Who
from doai.admin.views import View
from doai.messages.holds import DeviceHold, HoldDevice, UnholdDevice


class HoldWish(View, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long, and why."""

    for_s: float = limits.HOLD_S
    """From now on; at most a week."""
    reason: Annotated[str, msgspec.Meta(max_length=500)] = ""
    """Empty, of a device that you hold already = as before."""


class UnholdWish(View, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why, and whether also from another person."""

    reason: Annotated[str, msgspec.Meta(max_length=500)] = ""
    force: bool = False


_HELD: Final = DeviceHold(
    serial="R58M12ABCDE",
    held=True,
    by="user/ann",
    until_ms=examples.AT_MS + 3_600_000,
    reason="its cable is changed",
    tasks_left=1,
)
_BACK: Final = DeviceHold(serial="R58M12ABCDE", held=False)
_HOLD_BODY = Annotated[
    HoldWish | None, Body(examples=[Example(value={"forS": 3600, "reason": "its cable is changed"})])
]
_UNHOLD_BODY = Annotated[UnholdWish | None, Body(examples=[Example(value={"reason": "it has a new cable"})])]


@post(
    "/devices/{serial:str}/hold",
    status_code=200,
    opt={"needs": OPERATOR},
    tags=["fleet"],
    summary="Reserve a device for yourself",
    responses=examples.answer(200, DeviceHold, _HELD, "It is given no tasks.", problems=(404, 409, 422)),
)
async def hold_device(
    serial: FromPath[str], services: Given, caller: Who, data: _HOLD_BODY = None
) -> Response[DeviceHold]:
    """What its node has of it ends. Again: until another time. 409 while it is held for somebody else."""
    wish = data or HoldWish()
    command = HoldDevice(serial=serial, for_s=wish.for_s, reason=wish.reason)
    done = await services.command_of(caller, command, f"device/{serial[:130]}")
    return Response(done.result, headers=done.headers)


@post(
    "/devices/{serial:str}/unhold",
    status_code=200,
    opt={"needs": OPERATOR},
    tags=["fleet"],
    summary="Give a device back that you reserved",
    responses=examples.answer(200, DeviceHold, _BACK, "It is given tasks.", problems=(404, 409)),
)
async def unhold_device(
    serial: FromPath[str], services: Given, caller: Who, data: _UNHOLD_BODY = None
) -> Response[DeviceHold]:
    """409 when it is not held, or, without `force`, when it is held for somebody else."""
    wish = data or UnholdWish()
    command = UnholdDevice(serial=serial, reason=wish.reason, force=wish.force)
    done = await services.command_of(caller, command, f"device/{serial[:130]}")
    return Response(done.result, headers=done.headers)
