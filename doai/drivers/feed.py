"""What drivers tell about devices, fanned out to readers; bounded, newest state wins (step 9)."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import AsyncIterator
from typing import Final

import trio

from doai.drivers.base import DeviceChange, DriverNotice, Proof, ProofKind
from doai.states import DeviceState

CHANGES_KEPT_MAX: Final = 10_000
"""Changes and notices that wait for one reader before they are thinned out: 500 devices, 20 changes each."""
NOTICES_KEPT_MAX: Final = 1_000
"""Notices that survive thinning out; the newest."""

Item = DeviceChange | Proof | DriverNotice


class Feed:
    """Holds the newest change of each device and hands everything to its readers."""

    def __init__(self) -> None:
        self._current: dict[str, DeviceChange] = {}
        # Weak: a reader that is dropped without a word must not be fed for ever.
        self._readers: weakref.WeakSet[Reader] = weakref.WeakSet()

    def current(self, serial: str) -> DeviceChange | None:
        """Return the newest change of a device, None when it was never seen."""
        return self._current.get(serial)

    def publish(self, item: Item) -> None:
        """Hand an item to every reader; never blocks."""
        if isinstance(item, DeviceChange):
            self._current[item.serial] = item
        for reader in self._readers:
            reader.put(item)

    def read(self) -> Reader:
        """Return a reader that begins with the devices that are there now."""
        present = [change for change in self._current.values() if change.state is not DeviceState.OFFLINE]
        reader = Reader(present)
        self._readers.add(reader)
        return reader


class Reader(AsyncIterator[Item]):
    """One reader's place in the feed. Proofs are newest-wins: they wait behind changes, one of a kind a device."""

    def __init__(self, present: list[DeviceChange]) -> None:
        self._changes: deque[DeviceChange | DriverNotice] = deque(present)
        self._proofs: dict[tuple[str, ProofKind], Proof] = {}
        self._news = trio.Event()

    def put(self, item: Item) -> None:
        """Keep an item until it is read."""
        if isinstance(item, Proof):
            self._proofs[item.serial, item.kind] = item
        else:
            if len(self._changes) >= CHANGES_KEPT_MAX:
                self._thin_out()
            self._changes.append(item)
        self._news.set()

    def _thin_out(self) -> None:
        newest: dict[str, DeviceChange] = {}
        notices: deque[DriverNotice] = deque(maxlen=NOTICES_KEPT_MAX)
        for item in self._changes:
            if isinstance(item, DeviceChange):
                newest[item.serial] = item
            else:
                notices.append(item)
        self._changes = deque([*notices, *newest.values()])

    async def __anext__(self) -> Item:
        await trio.lowlevel.checkpoint()  # A long backlog must not hold up the loop.
        while not self._changes and not self._proofs:
            self._news = trio.Event()
            await self._news.wait()
        if self._changes:
            return self._changes.popleft()
        return self._proofs.pop(next(iter(self._proofs)))
