"""Labels to print and stick on phones: a QR code of the phone's page, its serial and its name (step 14)."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

import msgspec
import segno
from litestar import Response, get

from doai.admin.access import VIEWER
from doai.admin.dashboard.devices import filter_of
from doai.admin.dashboard.visit import PageRequest, Visiting
from doai.store.device_reader import DeviceFilter

LABELS_MAX: Final = 200
"""On one page: eight sheets of paper."""


class Label(msgspec.Struct, frozen=True, kw_only=True):
    """One label."""

    serial: str
    name: str
    """What a person calls the phone; its model where nobody said anything."""
    shelf: str
    url: str
    svg: str
    """The QR code of the address, made of our own bytes only."""


@get("/devices/labels", opt={"needs": VIEWER})
async def labels_page(request: PageRequest, visit: Visiting) -> Response[str]:
    """Of the devices that are named, or else of those that the filters mean."""
    serials = tuple(str(serial) for serial in request.query_params.getall("serial", []))
    picked = DeviceFilter(serials=serials) if serials and visit.given("all") != "yes" else filter_of(visit.query)
    fleet = visit.services.reader.fleet
    page = await fleet.page(picked, visit.at_ms, limit=LABELS_MAX)
    base = (visit.services.public_url or str(request.base_url)).rstrip("/")
    labels = []
    for view in page.items:
        row, said = view.row, view.row.description
        url = f"{base}/devices/{quote(row.serial, safe='')}"
        name = (said.label if said else "") or row.model or row.serial
        labels.append(
            Label(serial=row.serial, name=name, shelf=said.shelf if said else "", url=url, svg=qr_svg(url))
        )
    left = await fleet.count(picked, visit.at_ms) - len(labels) if page.next_cursor else 0
    return await visit.page("labels.html", labels=labels, left=left)


def qr_svg(text: str) -> str:
    """Return a QR code as an SVG element that grows with its place; a seventh of it may be dirty."""
    return segno.make(text, error="m", micro=False).svg_inline(
        omitsize=True, border=2, svgclass=None, lineclass=None
    )
