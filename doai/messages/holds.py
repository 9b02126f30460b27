"""Payloads of the commands that reserve a device for a person (steps 1 and 2)."""

from __future__ import annotations

from typing import Final

from doai import limits
from doai.envelope import Message

HOLD_DEVICE: Final = "device.hold"
UNHOLD_DEVICE: Final = "device.unhold"


class HoldDevice(Message, frozen=True, kw_only=True):
    """Reserve a device for who asks: what it has of tasks ends, none is given after. Answer: DeviceHold.

    Again, by the same person: it lasts so long from now. While it is held for another person it is refused.
    """

    serial: str
    for_s: float = limits.HOLD_S
    reason: str = ""
    """Empty on the second time = as before."""


class UnholdDevice(Message, frozen=True, kw_only=True):
    """Give a device back before its hold ends. Answer: DeviceHold."""

    serial: str
    reason: str = ""
    force: bool = False
    """Also when it is held for another person."""


class DeviceHold(Message, frozen=True, kw_only=True):
    """Answer to both: how the device stands now."""

    serial: str
    held: bool
    by: str = ""
    until_ms: int | None = None
    reason: str = ""
    tasks_left: int = 0
    """Tasks that its node still has: the device is the person's when they have ended."""
