"""What people say of devices: one at a time, or many at once and then all or none (steps 1 and 14)."""

from __future__ import annotations

from typing import Annotated, Final

from litestar import Response, patch, post
from litestar.openapi.spec import Example
from litestar.params import Body, FromPath

from doai.admin import examples
from doai.admin.access import OPERATOR
from doai.admin.routes.parameters import Given, Who
from doai.admin.views import View
from doai.messages.commands import DescribeDevices, DeviceDescription, DevicesDescribed


class Said(View, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is said of a device; what is null or left out stays as it is, an empty text or list takes away."""

    label: str | None = None
    shelf: str | None = None
    notes: str | None = None
    tags: list[str] | None = None
    """Beside those of its node."""
    groups: list[str] | None = None


class SaidOf(Said, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The same, of this device."""

    serial: str


class SaidOfMany(View, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Devices, at most 500."""

    devices: list[SaidOf]
    check_only: bool = False
    """Say what would be refused, and change nothing."""


_ONE: Final = {"label": "S21 no. 7", "shelf": "A3-12", "tags": ["lab"], "groups": ["night"]}
_DONE: Final = DevicesDescribed(described=1, changed=1)
_ONE_BODY = Annotated[Said, Body(examples=[Example(value=_ONE)])]
_MANY_BODY = Annotated[
    SaidOfMany, Body(examples=[Example(value={"devices": [{"serial": "R58M12ABCDE", **_ONE}], "checkOnly": True})])
]


@patch(
    "/devices/{serial:str}",
    opt={"needs": OPERATOR},
    tags=["fleet"],
    summary="Say which phone a device is",
    responses=examples.answer(200, DevicesDescribed, _DONE, "It is taken down.", problems=(422,)),
)
async def describe_device(
    serial: FromPath[str], services: Given, caller: Who, data: _ONE_BODY
) -> Response[DevicesDescribed]:
    """Label, place on the shelf, notes, tags, groups."""
    command = DescribeDevices(devices=[_description(serial, data)])
    done = await services.command_of(caller, command, f"device/{serial[:130]}")
    return Response(done.result, headers=done.headers)


@post(
    "/devices/descriptions",
    status_code=200,
    opt={"needs": OPERATOR},
    tags=["fleet"],
    summary="Describe many devices, or none of them",
    responses=examples.answer(200, DevicesDescribed, _DONE, "All are taken down.", problems=(422,)),
)
async def describe_devices(services: Given, caller: Who, data: _MANY_BODY) -> Response[DevicesDescribed]:
    """`details` of the problem has every mistake, each beginning with the serial."""
    said = [_description(each.serial, each) for each in data.devices]
    command = DescribeDevices(devices=said, check_only=data.check_only)
    done = await services.command_of(caller, command, "devices")
    return Response(done.result, headers=done.headers)


def _description(serial: str, said: Said) -> DeviceDescription:
    return DeviceDescription(
        serial=serial, label=said.label, shelf=said.shelf, notes=said.notes, tags=said.tags, groups=said.groups
    )
