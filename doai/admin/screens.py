"""Screens that somebody looks at now: the newest picture of each, in memory only (step 14)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import msgspec

from doai.admin.looking import Looking
from doai.errors import DoaiError, Fault

PICTURE_BYTES_MAX: Final = 512 * 1024
"""Of one picture as a node sends it; a screen of 1080 x 2400 made smaller has some 60 KB."""


class NoPicture(DoaiError):
    """The node could not take a picture; the message says why."""

    code = "screen_unavailable"
    fault = Fault.DEVICE


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """The newest picture of a screen."""

    n: int
    """Grows with every picture, of any screen, also over a restart of the program."""
    body: bytes
    at_ms: int
    """When it came here."""


class _Screen:
    """One device whose screen is looked at."""

    def __init__(self) -> None:
        self.picture: Picture | None = None
        self.failure = ""
        """Why there is no picture; empty = there is one, or none came yet."""
        self.failures = 0
        self.told = 0
        """How many of them somebody was told of."""

    def has_failed(self, since: int) -> bool:
        return bool(self.failure) and self.failures > since

    def has(self, after: int, since: int) -> bool:
        return self.has_failed(since) or (self.picture is not None and self.picture.n > after)


class Screens:
    """All that are looked at; lives in one asyncio loop."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.looking = Looking("screens", _Screen, monotonic)
        self._n = time.time_ns() // 1_000_000

    async def newer(self, serial: str, after: int, *, wait_s: float) -> Picture | None:
        """Return the newest picture behind ``after``, waiting for it; None when none came.

        Raises NoPicture, to all who wait; to who comes later with the next one, unless nobody waited.
        """
        begun = self.looking.content(serial)
        since = begun.told if begun is not None else 0

        def has_one() -> bool:
            screen = self.looking.content(serial)
            return screen is not begun or screen is None or screen.has(after, since)

        await self.looking.until(has_one, wait_s)
        screen = self.looking.content(serial)
        if screen is not begun or screen is None or not screen.has(after, since):
            return None
        if screen.has_failed(since):
            screen.told = screen.failures
            raise NoPicture(screen.failure)
        return screen.picture

    async def put(self, node_id: str, serial: str, body: bytes, at_ms: int) -> bool:
        """Take a picture in the place of the one before; returns whether another is wanted."""
        screen = self.looking.asked(node_id, serial)
        if screen is None:
            return False
        self._n += 1
        screen.picture, screen.failure = Picture(n=self._n, body=body, at_ms=at_ms), ""
        await self.looking.tell()
        return True

    async def failed(self, node_id: str, serial: str, reason: str) -> bool:
        """There is no picture, and why; returns whether it is tried again."""
        screen = self.looking.asked(node_id, serial)
        if screen is None:
            return False
        screen.failure, screen.failures = reason, screen.failures + 1
        await self.looking.tell()
        return True
