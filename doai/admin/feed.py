"""New events for whoever watches: read once for all who are level with the log (step 14).

`run` follows the log's end and keeps what it read in a window. A watcher inside of it gets bytes that were made for
all of its filter; one who is further behind reads pages of its own until it is there. Nobody waits for anybody: a
watcher holds one block at a time, falls out of the window when it is slow, and is cut when it takes nothing.

Watchers are told in turns, some at each look: what fifty of them cost is many short moments of the processor and
not one long one, which a task beside them would have to wait for.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import Final, NamedTuple

from doai.admin.window import EVENTS_MAX, Wanted, Window, event_frame
from doai.errors import DoaiError, StoreUnavailable
from doai.store.reader import StoreReader

LOOK_S: Final = 0.08
"""Between two looks at the log's end while somebody watches: one row of an index."""
TURNS_A_LOOK: Final = 4
"""Watchers are told in so many portions after each look: of fifty some 0.5 ms of the processor each."""
TURNS: Final = 2 * TURNS_A_LOOK
"""Each watcher is told after each second look: it has an event within 3 * LOOK_S of its commit."""
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
        look_s: float = LOOK_S,
        taken_max_s: float = TAKEN_MAX_S,
        page: int = PAGE,
        kept: int = EVENTS_MAX,
    ) -> None:
        self._reader = reader
        self._look_s = look_s
        self._taken_max_s = taken_max_s
        self._page = page
        self._window = Window(kept)
        self._watchers = 0
        self._followers = 0
        """Watchers who want events, not positions only."""
        self._is_level = False
        """Whether the window is followed; else it begins at the log's end."""
        self._watched = asyncio.Event()
        self._joined = itertools.count()
        self._turns = [asyncio.Event() for _ in range(TURNS)]
        """Those who wait for theirs; never set for longer than it takes to wake them."""
        self._told = [0] * TURNS
        """The window's end when they were last told."""
        self._ended = asyncio.Event()
        self._failed: StoreUnavailable | None = None
        self._failures = 0

    @property
    def is_closed(self) -> bool:
        """Whether every stream ends."""
        return self._ended.is_set()

    async def run(self) -> None:
        """Look for news while somebody watches, until cancelled."""
        pause_s, turns = self._look_s / (TURNS_A_LOOK + 1), itertools.cycle(range(TURNS))
        while True:
            await self._watched.wait()
            await self._look()
            await asyncio.sleep(pause_s)
            for turn in itertools.islice(turns, TURNS_A_LOOK):
                if self._told[turn] != self._window.end:
                    self._tell(turn)
                await asyncio.sleep(pause_s)

    async def _look(self) -> None:
        try:
            if self._is_level:
                await self._read_news()
            else:
                self._window.move_to(await self._reader.last_position())
                self._is_level = self._followers > 0
        except StoreUnavailable as error:
            self._failures += 1
            if self._failures == 1:
                _log.warning("the event log can not be read, it is tried again: %s", error)
            if self._failures >= LOOKS_FAILED:
                self._failed = error
                self._tell_all()
        else:
            self._failures, self._failed = 0, None

    async def _read_news(self) -> None:
        while True:
            page = await self._reader.events(after=self._window.end, limit=self._page)
            if page.last_position < self._window.end:  # a store that was put back ends earlier
                self._window.move_to(page.last_position)
            elif page.next_after > self._window.end:
                self._window.add(page.next_after, page.events)
            if page.next_after >= page.last_position:
                return

    def _tell(self, turn: int) -> None:
        self._told[turn] = self._window.end
        self._turns[turn].set()
        self._turns[turn].clear()

    def _tell_all(self) -> None:
        for turn in range(TURNS):
            self._tell(turn)

    async def close(self) -> None:
        """End all streams, for a stop of the program."""
        self._ended.set()
        self._tell_all()

    @contextmanager
    def watching(self, *, events: bool = True) -> Iterator[int]:
        """Count as a watcher, of events or of positions only, and yield its turn; raises TooManyWatchers."""
        if self._watchers >= WATCHERS_MAX:
            raise TooManyWatchers(f"{WATCHERS_MAX} streams are open already: close some, or ask for pages")
        self._watchers += 1
        self._followers += events
        self._watched.set()
        try:
            yield next(self._joined) % TURNS
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
        """Return the newest position, the known one at least, after ``wait_s``; at once when every stream ends."""
        await self._wait(self._ended, self._ended.is_set, wait_s)
        return max(known, self._window.end)

    async def part(self, after: int, wanted: Wanted, turn: int, *, wait_s: float) -> Part:
        """Return what follows a position; waits up to ``wait_s`` for the turn that has it, then returns nothing.

        Raises StoreUnavailable when the log can not be read.
        """
        if after >= self._window.end:
            await self._wait(
                self._turns[turn],
                lambda: self._window.end > after or self._failed is not None or self.is_closed,
                wait_s,
            )
        if self.is_closed:
            return Part(b"", after, max(after, self._window.end))
        if after >= self._window.end:
            if self._failed is not None:
                raise StoreUnavailable(str(self._failed))
            return Part(b"", after, max(after, self._window.end))
        found = self._window.block(wanted, after, self._page)
        if found is not None:
            return Part(found.bytes, found.end, self._window.end)
        page = await self._reader.events(
            after=after, pattern=wanted.pattern, subject=wanted.subject, limit=self._page
        )
        if page.next_after <= after:  # the log was put back to an earlier end, which the next look sees
            await self._wait(self._turns[turn], lambda: self._window.end <= after or self.is_closed, wait_s)
        return Part(b"".join(map(event_frame, page.events)), page.next_after, page.last_position)

    async def _wait(self, told: asyncio.Event, is_so: Callable[[], bool], wait_s: float) -> None:
        try:
            async with asyncio.timeout(wait_s):
                while not is_so():
                    await told.wait()
        except TimeoutError:
            return
