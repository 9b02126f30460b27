"""Screens that somebody looks at now: who wants which, and the newest picture of each, in memory only (step 14).

A viewer's question is a lease of some seconds; while it lives, the node of the device is told to take pictures,
and puts each in the place of the one before. When nobody asks any more the node is told to end, and the picture
is gone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

import msgspec

from doai.errors import DoaiError, Fault

LEASE_S: Final = 6.0
"""So long after the last question pictures are taken: a page asks once a second, over a slow line less often."""
WATCHED_MAX: Final = 32
"""Screens of a whole fleet at once; each costs some 100 KB a second of a line."""
WATCHED_PER_NODE_MAX: Final = 4
"""A picture is some 100 ms of a host's processor and of the phone's."""
PICTURE_BYTES_MAX: Final = 512 * 1024
"""Of one picture as a node sends it; a screen of 1080 x 2400 made smaller has some 60 KB."""


class TooManyScreens(DoaiError):
    """As many screens are looked at as may be."""

    code = "busy"


class NoPicture(DoaiError):
    """The node could not take a picture; the message says why."""

    code = "screen_unavailable"
    fault = Fault.DEVICE


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """The newest picture of a screen."""

    n: int
    """Grows with every picture, of any screen."""
    body: bytes
    at_ms: int
    """When it came here."""


class _Screen:
    """One device whose screen is looked at."""

    def __init__(self, node_id: str) -> None:
        self.node_id = node_id
        self.until_s = 0.0
        self.picture: Picture | None = None
        self.failure = ""


class Screens:
    """All that are looked at; lives in one asyncio loop."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._screens: dict[str, _Screen] = {}
        self._news = asyncio.Condition()
        self._n = 0
        self._closed = False

    async def look(self, serial: str, node_id: str) -> bool:
        """Begin or renew the lease of a device's screen; returns whether it is a new one. Raises TooManyScreens."""
        self._forget()
        known = self._screens.get(serial)
        is_new = known is None or known.node_id != node_id
        if is_new:
            of_node = sum(1 for screen in self._screens.values() if screen.node_id == node_id)
            if len(self._screens) >= WATCHED_MAX or of_node >= WATCHED_PER_NODE_MAX:
                raise TooManyScreens(
                    f"{of_node} screens of node {node_id} and {len(self._screens)} in all are looked at already: "
                    f"at most {WATCHED_PER_NODE_MAX} and {WATCHED_MAX} at once, close one"
                )
            known = self._screens[serial] = _Screen(node_id)
        assert known is not None
        known.until_s = self._monotonic() + LEASE_S
        if is_new:
            await self._tell()
        return is_new

    async def newer(self, serial: str, after: int, *, wait_s: float) -> Picture | None:
        """Return the newest picture behind ``after``, waiting for it; None when none came. Raises NoPicture."""
        try:
            async with asyncio.timeout(wait_s), self._news:
                await self._news.wait_for(lambda: self._closed or self._has(serial, after))
        except TimeoutError:
            return None
        screen = self._screens.get(serial)
        if screen is None:
            return None
        if screen.failure:
            reason, screen.failure = screen.failure, ""
            raise NoPicture(reason)
        return screen.picture

    async def wanted(self, node_id: str, have: frozenset[str], *, wait_s: float) -> list[str]:
        """Return the devices of a node whose screens are wanted, as soon as there is one that it does not have."""
        try:
            async with asyncio.timeout(wait_s), self._news:
                await self._news.wait_for(lambda: self._closed or bool(set(self._of(node_id)) - have))
        except TimeoutError:
            pass
        return self._of(node_id)

    async def put(self, node_id: str, serial: str, body: bytes, at_ms: int) -> bool:
        """Take a picture in the place of the one before; returns whether another is wanted."""
        screen = self._asked(node_id, serial)
        if screen is None:
            return False
        self._n += 1
        screen.picture, screen.failure = Picture(n=self._n, body=body, at_ms=at_ms), ""
        await self._tell()
        return True

    async def failed(self, node_id: str, serial: str, reason: str) -> bool:
        """There is no picture, and why; returns whether it is tried again."""
        screen = self._asked(node_id, serial)
        if screen is None:
            return False
        screen.failure = reason
        await self._tell()
        return True

    async def close(self) -> None:
        """End all waiting, for a stop of the program."""
        self._closed = True
        await self._tell()

    def _has(self, serial: str, after: int) -> bool:
        screen = self._screens.get(serial)
        return screen is None or bool(screen.failure) or (screen.picture is not None and screen.picture.n > after)

    def _asked(self, node_id: str, serial: str) -> _Screen | None:
        self._forget()
        screen = self._screens.get(serial)
        return screen if screen is not None and screen.node_id == node_id else None

    def _of(self, node_id: str) -> list[str]:
        self._forget()
        return [serial for serial, screen in self._screens.items() if screen.node_id == node_id]

    def _forget(self) -> None:
        now_s = self._monotonic()
        for serial in [serial for serial, screen in self._screens.items() if screen.until_s <= now_s]:
            del self._screens[serial]

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()
