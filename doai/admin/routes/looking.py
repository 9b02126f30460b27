"""What operators look at and nodes bring: the questions that screens and logs of phones share (step 14)."""

from __future__ import annotations

import logging
from typing import Annotated, Any, Final
from urllib.parse import unquote

from litestar.params import QueryParameter

from doai.admin.access import Caller, check_node
from doai.admin.looking import Looking
from doai.admin.routes.fleet import known_serials
from doai.admin.routes.parameters import AnyRequest, not_found, now_ms
from doai.admin.services import Services
from doai.admin.views import View
from doai.store.device_reader import DeviceFilter

WAIT_S: Final = 4.0
"""A viewer waits so long for something newer, and then asks again: shorter than its lease."""
NODE_WAIT_S: Final = 20.0
"""A node waits so long for somebody to look; one request of a node in so many seconds is what this costs."""
_REASON: Final = "text/plain"
_REASON_BYTES_MAX: Final = 500

_log: Final = logging.getLogger(__name__)


class WantedDevices(View, frozen=True, kw_only=True):
    """Of which devices a node is to bring this."""

    serials: list[str]


class Taken(View, frozen=True, kw_only=True):
    """Answer to what a node brought."""

    wanted: bool
    """Whether somebody still looks: bring what follows."""


WANTED: Final = WantedDevices(serials=["R58M12ABCDE"])
TAKEN: Final = Taken(wanted=True)
Have = Annotated[str, QueryParameter(max_length=2000, description="serials that it brings, by commas")]


async def look(services: Services, caller: Caller, serial: str, looking: Looking[Any], said: str) -> None:
    """Begin or renew what a viewer's question is: a lease of some seconds. ``said`` is for the log, once a viewer.

    Asked for again and again while somebody looks. Raises NotFoundError and TooManyLook.
    """
    squares = await services.reader.fleet.squares(DeviceFilter(serials=(serial,)), now_ms(), limit=1)
    if not squares:
        raise not_found("device", serial, "devices", await known_serials(services.reader))
    if await looking.look(serial, squares[0].node_id, caller.actor):
        _log.info("%s %s of %s", caller.actor, said, serial, extra={"device_serial": serial})


async def wanted(services: Services, node_id: str, secret: str, have: str, looking: Looking[Any]) -> WantedDevices:
    """Answer a node as soon as a device is looked at that it does not bring already, else after 20 seconds."""
    await check_node(services.reader, node_id, secret)
    known = frozenset(unquote(serial) for serial in have.split(",") if serial)
    return WantedDevices(serials=await looking.wanted(node_id, known, wait_s=NODE_WAIT_S))


def reason_of(request: AnyRequest, body: bytes) -> str | None:
    """Return the sentence why there is nothing, where a node brought that in place of something."""
    if not request.headers.get("Content-Type", "").startswith(_REASON):
        return None
    return body[:_REASON_BYTES_MAX].decode("utf-8", "replace")
