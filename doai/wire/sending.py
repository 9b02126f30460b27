"""One connection of a peer to the broker: what it sends, in order, as the socket takes it (step 11)."""

from __future__ import annotations

from collections import deque

import trio

from doai.codec import Kind, kind_of
from doai.wire.base import Dealer, WouldBlock


class Sending:
    """The dealer of one epoch, with the frames that wait for it. Credit bounds how many there are."""

    def __init__(self, epoch: int, dealer: Dealer) -> None:
        self.epoch = epoch
        self._dealer = dealer
        self._waiting: deque[tuple[bytes, bytes]] = deque()
        self._news = trio.Event()
        self._sent = trio.lowlevel.ParkingLot()

    def send(self, header: bytes, body: bytes) -> None:
        """Send now, or as soon as the socket takes it."""
        if kind_of(header) == Kind.BYE:
            self._dealer.send_last(header, body)
            return
        if not self._waiting:
            try:
                self._dealer.send_nowait(header, body)
            except WouldBlock:
                pass
            else:
                return
        self._waiting.append((header, body))
        self._news.set()

    async def run_sending(self) -> None:
        """Send what could not be sent at once, until cancelled."""
        while True:
            while self._waiting:
                await self._dealer.send(*self._waiting[0])
                self._waiting.popleft()
            self._sent.unpark_all()
            self._news = trio.Event()
            await self._news.wait()

    async def wait_sent(self) -> None:
        """Return when no frame waits; `run_sending` must be running."""
        while self._waiting:
            await self._sent.park()
