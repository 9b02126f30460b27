"""New events for whoever watches: one look at the log's end for all, pages for each (step 14)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from doai.errors import DoaiError, StoreUnavailable
from doai.store.reader import StoreReader
from doai.store.views import EventPage

POLL_S: Final = 0.25
"""Between two looks at the log's end while somebody watches: one row of an index."""
PAGE: Final = 200
"""Events sent to one watcher at once, some 100 KB."""
WATCHERS_MAX: Final = 256
"""Each costs a page of memory and a share of four connections to the store."""

_log: Final = logging.getLogger(__name__)


class TooManyWatchers(DoaiError):
    """No further stream can be opened now."""

    code = "busy"


class Feed:
    """Tells watchers of new positions; `run` must be running."""

    def __init__(self, reader: StoreReader, *, poll_s: float = POLL_S) -> None:
        self._reader = reader
        self._poll_s = poll_s
        self._last = 0
        self._watchers = 0
        self._watched = asyncio.Event()
        self._hurry = asyncio.Event()
        self._news = asyncio.Condition()
        self._closed = False
        self._readable = True

    @property
    def is_closed(self) -> bool:
        """Whether every stream ends."""
        return self._closed

    async def run(self) -> None:
        """Look for news while somebody watches, until cancelled."""
        while True:
            await self._watched.wait()
            last = await self._look()
            if last != self._last:
                async with self._news:
                    self._last = last
                    self._news.notify_all()
            self._hurry.clear()
            try:
                async with asyncio.timeout(self._poll_s):
                    await self._hurry.wait()
            except TimeoutError:
                continue

    async def _look(self) -> int:
        try:
            last = await self._reader.last_position()
        except StoreUnavailable as error:
            if self._readable:
                _log.warning("the event log can not be read, it is tried again: %s", error)
            self._readable = False
            return self._last
        self._readable = True
        return last

    def wake(self) -> None:
        """Something was changed: look now."""
        self._hurry.set()

    async def close(self) -> None:
        """End all streams, for a stop of the program."""
        async with self._news:
            self._closed = True
            self._news.notify_all()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Count as a watcher; raises TooManyWatchers."""
        if self._watchers >= WATCHERS_MAX:
            raise TooManyWatchers(f"{WATCHERS_MAX} streams are open already: close some, or ask for pages")
        self._watchers += 1
        self._watched.set()
        try:
            yield
        finally:
            self._watchers -= 1
            if not self._watchers:
                self._watched.clear()

    async def newest(self, known: int, *, wait_s: float) -> int:
        """Return the newest position as soon as it is another than a known one; waits up to ``wait_s``."""
        try:
            async with asyncio.timeout(wait_s), self._news:
                await self._news.wait_for(lambda: self._closed or self._last > known)
        except TimeoutError:
            return max(known, self._last)
        return max(known, self._last)

    async def page(self, after: int, *, pattern: str | None, subject: str | None, wait_s: float) -> EventPage:
        """Return what follows a position; waits for it up to ``wait_s``, and then returns an empty page."""
        page = await self._reader.events(after=after, pattern=pattern, subject=subject, limit=PAGE)
        if page.events or page.next_after < page.last_position or self._closed:
            return page
        try:
            async with asyncio.timeout(wait_s), self._news:
                await self._news.wait_for(lambda: self._closed or self._last > page.last_position)
        except TimeoutError:
            return page
        return await self._reader.events(after=page.next_after, pattern=pattern, subject=subject, limit=PAGE)
