"""A peer's way to the broker, one connection at a time: opened, heard, explained, closed (step 11)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol

import trio

from doai.wire.base import Dealer
from doai.wire.sending import Sending

LAST_WORDS_S: Final = 0.05
"""Between the end of a connection and the next: what had arrived is taken within this, should the host be busy."""
EXPLAIN_EVERY_S: Final = 5.0
"""While nobody answers, it is looked this often whether there is a new reason to tell."""
_log: Final = logging.getLogger(__name__)

OpenDealer = Callable[[], AbstractAsyncContextManager[Dealer]]
"""Opens a new connection to the broker."""


class Listener(Protocol):
    """Whoever is told what happens to the connection of an epoch."""

    def opened(self, epoch: int) -> None:
        """The socket is connected."""
        ...

    async def heard(self, epoch: int, frames: Sequence[tuple[bytes, bytes]]) -> bool:
        """Take headers and bodies that came together; return whether the broker has taken the peer in."""
        ...

    def lost(self, epoch: int) -> None:
        """The connection is of no more use."""
        ...

    def explained(self, why: str) -> None:
        """There is a new reason for which nobody answers, one sentence."""
        ...


class Connecting:
    """The connection of the newest epoch; one that is opened ends the one before."""

    def __init__(self, open_dealer: OpenDealer, listener: Listener) -> None:
        self._open_dealer = open_dealer
        self._listener = listener
        self._scope: trio.CancelScope | None = None
        self._sending: Sending | None = None
        self._told_why = ""

    def open(self, nursery: trio.Nursery, epoch: int) -> None:
        """Begin to connect."""
        if self._scope is not None:
            self._scope.cancel()
        self._scope = trio.CancelScope()
        nursery.start_soon(self._connect, epoch, self._scope)

    def send(self, epoch: int, header: bytes, body: bytes) -> None:
        """Send a frame in its turn; of an epoch that is over it goes nowhere."""
        if self._sending is not None and self._sending.epoch == epoch:
            self._sending.send(header, body)

    async def wait_sent(self) -> None:
        """Return when no frame waits, at once when there is no connection."""
        if self._sending is not None:
            await self._sending.wait_sent()

    async def _connect(self, epoch: int, scope: trio.CancelScope) -> None:
        with scope:
            async with self._open_dealer() as dealer:
                self._sending = sending = Sending(epoch, dealer)
                try:
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(sending.run_sending)
                        nursery.start_soon(self._receive, epoch, dealer)
                        nursery.start_soon(self._greet, epoch, dealer)
                        await dealer.wait_ended()
                        # What arrived before the end is taken first: FENCED may be among it.
                        await trio.sleep(LAST_WORDS_S)
                        nursery.cancel_scope.cancel()
                    self._listener.lost(epoch)
                finally:
                    if self._sending is sending:
                        self._sending = None
                    self._explain(dealer)

    async def _greet(self, epoch: int, dealer: Dealer) -> None:
        met = False
        while not met:
            with trio.move_on_after(EXPLAIN_EVERY_S):
                await dealer.wait_up()
                met = True
            if not met:
                self._explain(dealer)
        self._listener.opened(epoch)

    async def _receive(self, epoch: int, dealer: Dealer) -> None:
        while True:
            if await self._listener.heard(epoch, await dealer.receive()):
                self._told_why = ""
            for malformed in dealer.take_malformed():
                _log.warning("the broker sent something that is no frame: %s", malformed.reason)

    def _explain(self, dealer: Dealer) -> None:
        why = dealer.explain()
        if why is not None and why != self._told_why:
            self._told_why = why
            self._listener.explained(why)
