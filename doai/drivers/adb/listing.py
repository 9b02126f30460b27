"""What the adb server lists, and what a device tells of itself, as data (step 9)."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from doai.drivers.base import DeviceInfo

_ATTRIBUTE: Final = re.compile(r"\s(usb|product|model|device|transport_id):")
_USB: Final = re.compile(r"\susb:(\S+)")
_SIZE: Final = re.compile(r"(\d+)x(\d+)")

IDENTITY_COMMAND: Final = (
    "getprop ro.serialno; getprop ro.boot.serialno; getprop ro.product.model; getprop ro.product.manufacturer; "
    "getprop ro.build.version.sdk; getprop ro.build.version.release; wm size"
)
"""All of DeviceInfo in one round trip: a line each, then the screen's size (the override comes last)."""
_IDENTITY_LINES: Final = 6


class ListedDevice(msgspec.Struct, frozen=True):
    """One line of ``host:devices-l``."""

    address: str
    """The adb serial: ``127.0.0.1:5601``, or what USB says."""
    state: str
    """``device``, ``offline``, ``unauthorized``, ``authorizing``, ``recovery``, ``no permissions (...)`` ..."""
    transport_id: int
    usb_path: str = ""
    """Where on USB it is, e.g. ``1-4.2``; empty = on the network."""


def parse_listing(text: str) -> list[ListedDevice]:
    """Read the text of ``host:devices-l``; lines without a transport id are left out: they can not be addressed."""
    found: list[ListedDevice] = []
    for line in text.splitlines():
        address, _, rest = line.partition("\t" if "\t" in line else " ")
        _, _, number = rest.rpartition("transport_id:")
        if not address or not number.strip().isdigit():
            continue
        # The state may hold spaces ("no permissions; see [http://...]"): it ends at the first attribute.
        attribute = _ATTRIBUTE.search(" " + rest)
        state = rest[: max(0, attribute.start() - 1)] if attribute else rest
        usb = _USB.search(rest)
        found.append(ListedDevice(address, state.strip(), int(number), usb[1] if usb else ""))
    return found


def parse_identity(output: str, address: str) -> DeviceInfo | None:
    """Read the output of IDENTITY_COMMAND; None when it is too short to be an answer.

    A device without ro.serialno goes by ro.boot.serialno, else by its address.
    """
    lines = [line.strip() for line in output.splitlines()]
    if len(lines) < _IDENTITY_LINES:
        return None
    own, boot, model, manufacturer, sdk, android = lines[:_IDENTITY_LINES]
    sizes = [match for line in lines[_IDENTITY_LINES:] if (match := _SIZE.search(line)) is not None]
    return DeviceInfo(
        serial=own or boot or address,
        connection=address,
        model=model,
        manufacturer=manufacturer,
        sdk=int(sdk) if sdk.isascii() and sdk.isdigit() else 0,
        android=android,
        screen=(int(sizes[-1][1]), int(sizes[-1][2])) if sizes else (0, 0),
    )
