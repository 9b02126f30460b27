"""New events for whoever watches, over a log in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import msgspec
import pytest

from doai.admin.feed import WATCHERS_MAX, Feed, TooManyWatchers
from doai.admin.routes.events import follow
from doai.codec import raw
from doai.envelope import Envelope
from doai.errors import StoreUnavailable
from doai.store.views import EventPage, EventView
from doai.topics import matches


class Log:
    """An event log as the reader shows it."""

    def __init__(self) -> None:
        self.types: list[str] = []
        self.was_asked = asyncio.Event()
        self.broken = False

    async def last_position(self) -> int:
        self._check()
        self.was_asked.set()
        return len(self.types)

    async def events(self, *, after: int, pattern: str | None, subject: str | None, limit: int) -> EventPage:
        self._check()
        taken = list(enumerate(self.types[after : after + limit], after + 1))
        found = [view(position, kind) for position, kind in taken if pattern is None or matches(pattern, kind)]
        return EventPage(events=found, next_after=after + len(taken), last_position=len(self.types))

    def _check(self) -> None:
        if self.broken:
            raise StoreUnavailable("the disk is away")


def view(position: int, kind: str) -> EventView:
    envelope = Envelope(
        event_id=f"e{position}",
        type=kind,
        subject="task/1",
        source="x/y",
        trace_id="0" * 32,
        occurred_at_ms=0,
        payload=raw({}),
    )
    return EventView(position=position, recorded_at_ms=0, envelope=envelope)


def run(scenario: Callable[[Log, Feed], Awaitable[None]]) -> None:
    async def main() -> None:
        log: Any = Log()
        feed = Feed(log, poll_s=0.005)
        running = asyncio.create_task(feed.run())
        try:
            async with asyncio.timeout(20):
                await scenario(log, feed)
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running

    asyncio.run(main())


def stream(
    feed: Feed, after: int = 0, pattern: str | None = None, keep_alive_s: float = 60.0
) -> AsyncGenerator[bytes, None]:
    return follow(feed, after, pattern, None, keep_alive_s=keep_alive_s)


def positions(block: bytes) -> list[int]:
    lines = block.decode().splitlines()
    return [msgspec.json.decode(line[6:])["position"] for line in lines if line.startswith("data: ")]


def test_what_is_there_then_what_comes_and_nothing_twice() -> None:
    async def scenario(log: Log, feed: Feed) -> None:
        log.types = ["task.started"] * 450
        found: list[int] = []
        following = stream(feed, after=10)
        assert await anext(following) == b"retry: 2000\n\n"
        while len(found) < 440:
            found += positions(await anext(following))
        waiting = asyncio.ensure_future(anext(following))
        log.types += ["task.started"] * 3
        found += positions(await waiting)
        assert found == list(range(11, 454))
        await following.aclose()

    run(scenario)


def test_a_filter_passes_only_what_it_names() -> None:
    async def scenario(log: Log, feed: Feed) -> None:
        log.types = ["task.started", "run.created"] * 3
        following = stream(feed, pattern="run.*")
        await anext(following)
        assert positions(await anext(following)) == [2, 4, 6]
        await following.aclose()

    run(scenario)


def test_a_silent_stream_says_that_it_lives_and_moves_its_reader_on() -> None:
    async def scenario(log: Log, feed: Feed) -> None:
        log.types = ["task.started"] * 5
        following = stream(feed, pattern="run.*", keep_alive_s=0.001)
        await anext(following)
        assert await anext(following) == b": still here\nid: 5\n\n"
        await following.aclose()

    run(scenario)


def test_closing_ends_every_stream() -> None:
    async def scenario(_: Log, feed: Feed) -> None:
        async def read() -> list[bytes]:
            return [block async for block in stream(feed)]

        readers = [asyncio.create_task(read()) for _ in range(5)]
        while feed._watchers != 5:  # noqa: ASYNC110 - the feed has no event for its own tests
            await asyncio.sleep(0)
        await feed.close()
        assert await asyncio.gather(*readers) == [[b"retry: 2000\n\n"]] * 5

    run(scenario)


def test_nobody_watches_nobody_asks_the_store() -> None:
    async def scenario(log: Log, feed: Feed) -> None:
        following = stream(feed)
        await anext(following)
        await log.was_asked.wait()
        await following.aclose()
        assert not feed._watched.is_set()

    run(scenario)


def test_a_store_that_can_not_be_read_ends_the_stream_so_that_its_reader_asks_again() -> None:
    async def scenario(log: Log, feed: Feed) -> None:
        log.broken = True
        blocks = [block async for block in stream(feed)]
        assert blocks[-1].startswith(b": the store can not be read")

    run(scenario)


def test_streams_are_bounded() -> None:
    async def scenario(_: Log, feed: Feed) -> None:
        feed._watchers = WATCHERS_MAX
        with pytest.raises(TooManyWatchers):
            await anext(stream(feed))

    run(scenario)
