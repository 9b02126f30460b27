"""Whoever watches whatever, from whenever, however slowly: each matching event once, in order."""

from __future__ import annotations

import asyncio
import re

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from doai.admin.feed import Feed
from doai.admin.window import Wanted, Window
from doai.errors import StoreUnavailable
from doai.topics import matches
from tests.unit.admin.test_feed import Log, run, subject_of, view

TYPES = ("task.started", "task.failed", "run.created", "step.started", "")
"""The last: a position whose event was removed."""
PATTERNS = (None, "task.*", "*.started", "**", "run.created", "task.failed")


class Viewer(msgspec.Struct, frozen=True):
    """Somebody who watches."""

    joins_at: int
    """Number of events that are there by then."""
    behind: int
    """How many of them it has not seen."""
    wanted: Wanted
    slowness: int
    """Turns of the loop that it takes for a block."""


VIEWERS = st.builds(
    Viewer,
    joins_at=st.integers(0, 60),
    behind=st.integers(0, 60),
    wanted=st.builds(Wanted, st.sampled_from(PATTERNS), st.sampled_from((None, "task/0", "task/1"))),
    slowness=st.sampled_from((0, 1, 3, 40)),
)


def expected(types: list[str], wanted: Wanted, after: int) -> list[int]:
    return [
        position
        for position, kind in enumerate(types, 1)
        if position > after
        and kind
        and matches(wanted.pattern or "**", kind)
        and wanted.subject in (None, subject_of(position))
    ]


@settings(max_examples=60, deadline=None)
@given(
    types=st.lists(st.sampled_from(TYPES), min_size=1, max_size=60),
    steps=st.lists(st.integers(1, 12), min_size=1, max_size=60),
    viewers=st.lists(VIEWERS, min_size=1, max_size=6),
    failing=st.sets(st.integers(1, 40), max_size=6),
    page=st.integers(1, 9),
    kept=st.integers(0, 20),
)
def test_everybody_gets_exactly_what_matches_once_and_in_order(
    types: list[str], steps: list[int], viewers: list[Viewer], failing: set[int], page: int, kept: int
) -> None:
    seen: dict[int, list[int]] = {}
    begun: dict[int, int] = {}

    async def watch(number: int, viewer: Viewer, log: Log, feed: Feed) -> None:
        while len(log.types) < min(viewer.joins_at, len(types)):  # noqa: ASYNC110 - turns of the loop, no clock
            await asyncio.sleep(0)
        after = begun[number] = max(0, len(log.types) - viewer.behind)
        found = seen.setdefault(number, [])
        with feed.watching() as turn:
            while after < len(types):
                try:
                    part = await feed.part(after, viewer.wanted, turn, wait_s=20)
                except StoreUnavailable:
                    await asyncio.sleep(0)  # it comes back with its last id
                    continue
                assert part.after > after
                assert part.newest >= part.after
                after = part.after
                found += map(int, re.findall(rb"^id: (\d+)$", part.block, re.MULTILINE))
                for _ in range(viewer.slowness):
                    await asyncio.sleep(0)

    async def scenario(log: Log, feed: Feed) -> None:
        log.failing = failing
        watching = [asyncio.create_task(watch(n, viewer, log, feed)) for n, viewer in enumerate(viewers)]
        left = iter(steps)
        while len(log.types) < len(types):
            log.types = types[: len(log.types) + next(left, 5)]
            for _ in range(len(log.types) % 7):
                await asyncio.sleep(0)
        await asyncio.gather(*watching)

    run(scenario, page=page, kept=kept)
    assert seen == {n: expected(types, viewer.wanted, begun[n]) for n, viewer in enumerate(viewers)}


@settings(deadline=None)
@given(
    ends=st.lists(st.integers(1, 8), min_size=1, max_size=12),
    after=st.integers(0, 100),
    events_max=st.integers(0, 12),
    wanted=st.builds(Wanted, st.sampled_from(PATTERNS), st.sampled_from((None, "task/0"))),
)
def test_a_window_has_no_gap_and_holds_no_more_than_it_may(
    ends: list[int], after: int, events_max: int, wanted: Wanted
) -> None:
    window, types = Window(10), []
    for count in ends:
        begin = len(types)
        types += [TYPES[n % 4] for n in range(begin, begin + count)]
        window.add(len(types), [view(n, kind) for n, kind in enumerate(types[begin:], begin + 1)])
    assert len(types) - window.begin <= max(10, ends[-1])
    after = window.begin + after % max(1, window.end - window.begin + 1)
    blocks, first = [], after
    while (block := window.block(wanted, after, events_max)) is not None:
        assert after < block.end
        assert window.block(wanted, after, events_max) is block
        blocks.append(block.bytes)
        after = block.end
    assert after == window.end
    assert [int(n) for n in re.findall(rb"^id: (\d+)$", b"".join(blocks), re.MULTILINE)] == expected(
        types, wanted, first
    )
