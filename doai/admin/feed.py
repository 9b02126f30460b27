"""New events for whoever watches: read once for all who are level with the log (step 14).

`run` follows the log's end and keeps what it read in a window. A watcher inside of it gets bytes that were made for
all of its filter; one who is further behind reads pages of its own until it is there. Nobody waits for anybody: a
watcher holds one block at a time, falls out of the window when it is slow, and is cut when it takes nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import Final, NamedTuple

from doai.admin.window import EVENTS_MAX, Wanted, Window, event_frame
from doai.errors import DoaiError, StoreUnavailable
from doai.store.reader import StoreReader

POLL_S: Final = 0.25
"""Between two looks at the log's end while somebody watches: one row of an index."""
PAGE: Final = 200
"""Events sent to one watcher at once, some 100 KB."""
WATCHERS_MAX: Final = 256
"""Each costs a block of memory, and a share of four connections to the store while it is behind."""
TAKEN_MAX_S: Final = 20.0
"""A watcher that has not taken a block by then is cut: it comes back with its last id."""
LOOKS_FAILED: Final = 2
"""After so many in a row the streams of events end."""

_log: Final = logging.getLogger(__name__)


class TooManyWatchers(DoaiError):
    """No further stream can be opened now."""

    code = "busy"


class Part(NamedTuple):
    """What a watcher gets next."""

    block: bytes
    """Empty = nothing that it wants."""
    after: int
    """Everything up to here was looked at."""
    newest: int
    """Newest position of the log that is known."""


class Feed:
    """Tells watchers of new events and positions; `run` must be running."""

    def __init__(
        self,
        reader: StoreReader,
        *,
        poll_s: float = POLL_S,
        taken_max_s: float = TAKEN_MAX_S,
        page: int = PAGE,
        kept: int = EVENTS_MAX,
    ) -> None:
        self._reader = reader
        self._poll_s = poll_s
        self._taken_max_s = taken_max_s
        self._page = page
        self._window = Window(kept)
        self._watchers = 0
        self._followers = 0
        """Watchers who want events, not positions only."""
        self._is_level = False
        """Whether the window is followed; else it begins at the log's end."""
        self._watched = asyncio.Event()
        self._hurry = asyncio.Event()
        self._news = asyncio.Condition()
        self._closed = False
        self._failed: StoreUnavailable | None = None
        self._failures = 0

    @property
    def is_closed(self) -> bool:
        """Whether every stream ends."""
        return self._closed

    async def run(self) -> None:
        """Look for news while somebody watches, until cancelled."""
        while True:
            await self._watched.wait()
            self._hurry.clear()
            await self._look()
            try:
                async with asyncio.timeout(self._poll_s):
                    await self._hurry.wait()
            except TimeoutError:
                continue

    async def _look(self) -> None:
        try:
            last = await self._reader.last_position()
            if not self._is_level or last < self._window.end:  # a store that was put back ends earlier
                self._is_level = self._followers > 0
                await self._tell(lambda: self._window.move_to(last))
            while self._window.end < last:
                page = await self._reader.events(after=self._window.end, limit=self._page)
                if page.next_after <= self._window.end:
                    break
                await self._tell(lambda: self._window.add(page.next_after, page.events))  # noqa: B023 - called here
        except StoreUnavailable as error:
            self._failures += 1
            if self._failures == 1:
                _log.warning("the event log can not be read, it is tried again: %s", error)
            if self._failures >= LOOKS_FAILED:
                self._failed = error
                await self._tell(lambda: None)
        else:
            self._failures, self._failed = 0, None

    async def _tell(self, change: Callable[[], None]) -> None:
        async with self._news:
            change()
            self._news.notify_all()

    def wake(self) -> None:
        """Something was changed: look now."""
        self._hurry.set()

    async def close(self) -> None:
        """End all streams, for a stop of the program."""
        self._closed = True
        await self._tell(lambda: None)

    @contextmanager
    def watching(self, *, events: bool = True) -> Iterator[None]:
        """Count as a watcher, of events or of positions only; raises TooManyWatchers."""
        if self._watchers >= WATCHERS_MAX:
            raise TooManyWatchers(f"{WATCHERS_MAX} streams are open already: close some, or ask for pages")
        self._watchers += 1
        self._followers += events
        self._watched.set()
        self._hurry.set()
        try:
            yield
        finally:
            self._watchers -= 1
            self._followers -= events
            if not self._followers:
                self._is_level = False
            if not self._watchers:
                self._watched.clear()
                self._failures, self._failed = 0, None

    async def sent(
        self, blocks: AsyncGenerator[bytes, None], cut: Callable[[], None]
    ) -> AsyncGenerator[bytes, None]:
        """Yield the same blocks; ``cut`` is called once one is not taken in time."""
        loop = asyncio.get_running_loop()
        async with aclosing(blocks):
            async for block in blocks:
                timer = loop.call_later(self._taken_max_s, cut)
                try:
                    yield block
                finally:
                    timer.cancel()

    async def newest(self, known: int, *, wait_s: float) -> int:
        """Return the newest position as soon as it is another than a known one; waits up to ``wait_s``."""
        await self._wait(lambda: self._window.end > known, wait_s)
        return max(known, self._window.end)

    async def part(self, after: int, wanted: Wanted, *, wait_s: float) -> Part:
        """Return what follows a position; waits for it up to ``wait_s``, and then returns nothing.

        Raises StoreUnavailable when the log can not be read.
        """
        if after >= self._window.end:
            await self._wait(lambda: self._window.end > after or self._failed is not None, wait_s)
        if self._closed:
            return Part(b"", after, max(after, self._window.end))
        if after >= self._window.end:
            if self._failed is not None:
                raise StoreUnavailable(str(self._failed))
            return Part(b"", after, max(after, self._window.end))
        batch = self._window.batch(after)
        if batch is not None:
            return Part(batch.block(wanted, after), batch.end, self._window.end)
        page = await self._reader.events(
            after=after, pattern=wanted.pattern, subject=wanted.subject, limit=self._page
        )
        if page.next_after <= after:  # the log was put back to an earlier end, which the next look sees
            await self._wait(lambda: self._window.end <= after, wait_s)
        return Part(b"".join(map(event_frame, page.events)), page.next_after, page.last_position)

    async def _wait(self, news: Callable[[], bool], wait_s: float) -> None:
        try:
            async with asyncio.timeout(wait_s), self._news:
                await self._news.wait_for(lambda: self._closed or news())
        except TimeoutError:
            return
