"""When each device of a node is read, for whoever ordered samples: evenly spread, some at once at most (step 14).

Each device has its own moment of the interval, by its place among the serials of the node; the moment at which the
first one's comes differs from node to node. One whose turn comes while it is still being read, or waits to be, is
passed over until its next.
"""

from __future__ import annotations

from collections import deque
from zlib import crc32

from doai.limits import SAMPLE_AT_ONCE_MAX, SAMPLE_EVERY_MAX_S, SAMPLE_EVERY_MIN_S
from doai.messages.samples import SampleOrder
from doai.node.core.devices import Devices


class Sampling:
    """The plan of one node."""

    def __init__(self, devices: Devices, node_id: str) -> None:
        self._devices = devices
        self._phase = crc32(node_id.encode()) / 2**32
        self._every_s = 0.0
        self._at_once = 1
        self._next_s: dict[str, float] = {}
        self._waiting: deque[str] = deque()
        self._reading: dict[str, None] = {}
        self._due_s: float | None = None

    def order(self, order: SampleOrder, now_s: float) -> None:
        """Read so often from now on, or (0) not at all."""
        every_s = min(max(order.every_s, SAMPLE_EVERY_MIN_S), SAMPLE_EVERY_MAX_S) if order.every_s > 0 else 0.0
        self._at_once = min(max(1, order.at_once), SAMPLE_AT_ONCE_MAX)
        if every_s != self._every_s:
            self._every_s = every_s
            self._next_s.clear()
            self._waiting.clear()
        self.plan(now_s)

    def plan(self, now_s: float) -> None:
        """Give each device its moment: after an order, and when there is another device."""
        serials = self._devices.serials() if self._every_s else []
        if len(serials) != len(self._next_s):
            self._next_s = {
                serial: self._first_s((place / len(serials) + self._phase) % 1.0, now_s)
                for place, serial in enumerate(sorted(serials))
            }
        self._due_s = min(self._next_s.values(), default=None)

    def _first_s(self, share: float, now_s: float) -> float:
        """Return the next moment of those who have this share of the interval before theirs."""
        moment_s = share * self._every_s
        return now_s + (moment_s - now_s) % self._every_s

    def due_s(self) -> float | None:
        """Return when `tick` has something to do."""
        return self._due_s

    def tick(self, now_s: float) -> list[str]:
        """Return the serials to be read now."""
        if self._due_s is None or now_s < self._due_s:
            return []
        for serial, at_s in self._next_s.items():
            if at_s > now_s:
                continue
            missed = (now_s - at_s) // self._every_s
            self._next_s[serial] = at_s + (missed + 1) * self._every_s
            if serial not in self._reading and serial not in self._waiting and self._devices.is_here(serial):
                self._waiting.append(serial)
        self._due_s = min(self._next_s.values(), default=None)
        return self._begin()

    def read(self, serial: str) -> list[str]:
        """One was read, or did not answer; return those to be read now."""
        self._reading.pop(serial, None)
        return self._begin()

    def forget(self, serials: list[str]) -> None:
        """Those were not read after all: nobody is there to hear of it, so that there is no order any more."""
        for serial in serials:
            self._reading.pop(serial, None)
        self._every_s = 0.0
        self._waiting.clear()
        self._next_s.clear()
        self._due_s = None

    def _begin(self) -> list[str]:
        begun: list[str] = []
        while self._waiting and len(self._reading) < self._at_once:
            serial = self._waiting.popleft()
            if self._devices.is_here(serial):
                self._reading[serial] = None
                begun.append(serial)
        return begun
