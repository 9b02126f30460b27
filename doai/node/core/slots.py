"""Slots: the right to execute now, given to eligible devices in turn (step 7)."""

from __future__ import annotations

from collections import OrderedDict


class Slots:
    """Round-robin over devices that have something to do and may do it; a device takes one slot at a time."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._rotation: OrderedDict[str, None] = OrderedDict()
        self._busy: set[str] = set()

    @property
    def running(self) -> int:
        """Slots in use."""
        return len(self._busy)

    def is_busy(self, serial: str) -> bool:
        """Whether a task has this device."""
        return serial in self._busy

    def offer(self, serial: str) -> None:
        """The device is eligible: it joins the end of the rotation, if it is not in it and not busy."""
        if serial not in self._busy:
            self._rotation.setdefault(serial)

    def withdraw(self, serial: str) -> None:
        """The device is not eligible any more."""
        self._rotation.pop(serial, None)

    def take(self) -> str | None:
        """Give a free slot to the device whose turn it is; None when there is no slot or no device."""
        if len(self._busy) >= self.count or not self._rotation:
            return None
        serial, _ = self._rotation.popitem(last=False)
        self._busy.add(serial)
        return serial

    def free(self, serial: str) -> None:
        """The device's task does not need it any more."""
        self._busy.discard(serial)
