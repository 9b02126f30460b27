"""Waiting for a ZeroMQ socket on trio without losing a wake-up (steps 1, 5, 11).

A socket's descriptor is edge-triggered: it becomes readable when ZeroMQ's threads have news, and any call on
the socket may take that news in without a word. So nobody waits before EVENTS was read and found wanting, and
after every call made while somebody waits EVENTS is read again.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

import trio
import zmq

_EVENTS = int(zmq.EVENTS)


class Readiness:
    """Who waits for one socket. The first waiter watches the descriptor, the others are woken by it."""

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        self._descriptor = int(socket.get(zmq.FD))
        self._get = cast("Callable[[int], int]", socket.get)
        self._watching: trio.CancelScope | None = None
        self._woken = False
        """Who waits will look again, and need not be told of what happens until then."""
        self._others = trio.lowlevel.ParkingLot()
        self._wanted: list[int] = []

    async def wait(self, mask: int) -> None:
        """Return as soon as one of the events (POLLIN, POLLOUT) is there; always a checkpoint."""
        if self._get(_EVENTS) & mask:
            await trio.lowlevel.checkpoint()
            return
        while True:
            await self._pause(mask, math.inf)
            if self._get(_EVENTS) & mask:
                return

    async def wait_briefly(self, mask: int, timeout_s: float) -> None:
        """Return as soon as one of the events is there, there is other news, or the time is over."""
        if self._get(_EVENTS) & mask:
            await trio.lowlevel.checkpoint()
        else:
            await self._pause(mask, timeout_s)

    async def _pause(self, mask: int, timeout_s: float) -> None:
        self._wanted.append(mask)
        try:
            if self._watching is None:
                await self._watch(timeout_s)
            else:
                with trio.move_on_after(timeout_s):
                    await self._others.park()
        finally:
            self._wanted.remove(mask)

    async def _watch(self, timeout_s: float) -> None:
        try:
            self._woken = False
            with trio.CancelScope(deadline=trio.current_time() + timeout_s) as self._watching:
                await trio.lowlevel.wait_readable(self._descriptor)
        finally:
            self._watching = None
            self._others.unpark_all()

    def notify(self) -> None:
        """To be called after a call on the socket: wakes the waiters if what they wait for came in with it."""
        if self._wanted and not self._woken:
            events = self._get(_EVENTS)
            if any(events & mask for mask in self._wanted):
                self.wake()

    def wake(self) -> None:
        """Let every waiter look again."""
        if self._watching is not None:
            self._woken = True
            self._watching.cancel()

    def close(self) -> None:
        """To be called before the socket is closed: whoever still waits gets trio.ClosedResourceError."""
        trio.lowlevel.notify_closing(self._descriptor)
