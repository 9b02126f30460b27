"""New events for whoever watches, over a log in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import ExitStack, suppress
from typing import Any, cast

import msgspec
import pytest

from doai.admin.dashboard.live import EARLY_S, follow_with_beats
from doai.admin.feed import TURNS, WATCHERS_MAX, Feed, TooManyWatchers
from doai.admin.routes.events import follow
from doai.admin.window import Wanted
from doai.codec import raw
from doai.envelope import Envelope
from doai.errors import StoreUnavailable
from doai.store.views import EventPage, EventView
from doai.topics import matches


class Log:
    """An event log as the reader shows it."""

    def __init__(self) -> None:
        self.types: list[str] = []
        """By position; "" = it was removed."""
        self.pages = 0
        """Read, those with nothing not counted."""
        self.failing: set[int] = set()
        """Numbers of the questions that are not answered."""
        self._questions = 0
        self.was_asked = asyncio.Event()
        self.broken = False

    async def last_position(self) -> int:
        self._check()
        self.was_asked.set()
        return len(self.types)

    async def events(
        self, *, after: int, limit: int, pattern: str | None = None, subject: str | None = None
    ) -> EventPage:
        self._check()
        taken = [(n, kind) for n, kind in enumerate(self.types[after : after + limit], after + 1)]
        self.pages += bool(taken)
        found = [
            view(position, kind)
            for position, kind in taken
            if kind and matches(pattern or "**", kind) and subject in (None, subject_of(position))
        ]
        return EventPage(events=found, next_after=after + len(taken), last_position=len(self.types))

    def _check(self) -> None:
        self._questions += 1
        if self.broken or self._questions in self.failing:
            raise StoreUnavailable("the disk is away")


def subject_of(position: int) -> str:
    return f"task/{position % 3}"


def view(position: int, kind: str) -> EventView:
    envelope = Envelope(
        event_id=f"e{position}",
        type=kind,
        subject=subject_of(position),
        source="x/y",
        trace_id="0" * 32,
        occurred_at_ms=0,
        payload=raw({}),
    )
    return EventView(position=position, recorded_at_ms=0, envelope=envelope)


def run(scenario: Callable[[Log, Feed], Awaitable[None]], **sizes: Any) -> None:
    async def main() -> None:
        log: Any = Log()
        feed = Feed(log, look_s=0.002, **sizes)
        running = asyncio.create_task(feed.run())
        try:
            async with asyncio.timeout(90):
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


def test_watchers_who_are_level_share_one_reading_and_the_same_bytes() -> None:
    async def scenario(log: Log, feed: Feed) -> None:
        streams = [stream(feed, pattern="task.*") for _ in range(20)]
        for each in streams:
            await anext(each)
        waiting = [asyncio.ensure_future(anext(each)) for each in streams]
        log.was_asked.clear()
        await log.was_asked.wait()
        read = log.pages
        log.types = ["task.started"] * 50
        blocks = await asyncio.gather(*waiting)
        assert log.pages == read + 1
        assert positions(blocks[0]) == list(range(1, 51))
        assert all(block is blocks[0] for block in blocks)
        for each in streams:
            await each.aclose()

    run(scenario)


def test_who_wants_beats_only_has_no_event_read() -> None:
    async def scenario(log: Log, feed: Feed) -> None:
        log.types = ["task.started"] * 5
        with feed.watching(events=False):
            assert await feed.newest(4, wait_s=0) >= 4
        assert log.pages == 0

    run(scenario)


def test_a_log_that_was_put_back_to_an_earlier_end_is_followed_from_there() -> None:
    async def scenario(log: Log, feed: Feed) -> None:
        log.types = ["task.started"] * 9
        following = stream(feed, after=3)
        await anext(following)
        assert positions(await anext(following)) == [4, 5, 6, 7, 8, 9]
        log.types = ["task.started"] * 4
        early = stream(feed, after=3)
        await anext(early)
        assert positions(await anext(early)) == [4]
        log.types += ["run.created"]
        assert positions(await anext(early)) == [5]
        await following.aclose()
        await early.aclose()

    run(scenario)


def test_streams_are_bounded() -> None:
    async def scenario(_: Log, feed: Feed) -> None:
        feed._watchers = WATCHERS_MAX
        with pytest.raises(TooManyWatchers):
            await anext(stream(feed))

    run(scenario)


def test_watchers_are_told_in_turns_not_all_at_once() -> None:
    async def main() -> None:
        feed = Feed(cast(Any, Log()))
        with ExitStack() as watching:
            turns = [watching.enter_context(feed.watching()) for _ in range(2 * TURNS)]
            parts = [asyncio.create_task(feed.part(0, Wanted(), turn, wait_s=20)) for turn in turns]
            await asyncio.sleep(0)
            feed._window.add(1, [view(1, "task.started")])
            feed._tell(turns[3])
            async with asyncio.timeout(20):
                done, waiting = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
                assert done == {parts[3], parts[3 + TURNS]}
                await feed.close()
                await asyncio.wait(waiting)

    asyncio.run(main())


def test_a_beat_that_is_nearly_due_goes_with_the_events() -> None:
    async def scenario(log: Log, feed: Feed) -> None:
        log.types = ["task.started"] * 3
        with feed.watching() as turn:
            assert (await feed.part(0, Wanted(), turn, wait_s=20)).newest == 3  # below nothing is waited for
        for beat_s, beats in ((EARLY_S, 1), (60.0, 0)):
            following = follow_with_beats(feed, 0, 3, None, None, str, events=True, beat_s=beat_s)
            assert b"retry" in await anext(following)
            assert b"event: beat" in await anext(following)
            block = await anext(following)
            assert block.count(b"event: beat") == beats
            assert b"\n\nid: 3\nevent: beat" in block or not beats
            assert positions(block.partition(b"event: beat")[0]) == [1, 2, 3]
            await following.aclose()

    run(scenario)
