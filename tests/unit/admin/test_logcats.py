"""Logs of phones that are read: lines in order with none lost in silence, bounds, and nothing that stays."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

import pytest

from doai.admin.logcats import LINES_MAX, STREAMS_MAX, LineKind, LogcatPiece, Logcats, Tail
from doai.admin.looking import LEASE_S, TooManyLook
from tests.unit.admin.watching import LONG_S, Clock, run


async def read(logcats: Logcats, after: int = 0, limit: int = 100, wait_s: float = 0.0) -> Tail:
    tail = await logcats.newer("A", after, limit=limit, wait_s=wait_s)
    assert tail is not None
    return tail


def told(tail: Tail) -> list[str | int]:
    return [line.missing or line.text for line in tail.lines]


def test_lines_reach_whoever_waits_and_each_is_told_once() -> None:
    async def scenario() -> None:
        logcats = Logcats(Clock())
        assert await logcats.looking.look("A", "n1", "user/kim")
        assert not await logcats.looking.look("A", "n1", "user/kim"), "that kim reads is said once"
        assert await logcats.looking.look("A", "n1", "user/lee"), "and that lee reads, too"
        waiting = asyncio.create_task(read(logcats, wait_s=LONG_S))
        assert await logcats.put("n1", "A", LogcatPiece(lines=["one", "two"]))
        first = await waiting
        assert told(first) == ["one", "two"]
        assert told(await read(logcats, first.after)) == []
        assert await logcats.put("n1", "A", LogcatPiece(missing=7, lines=["three"]))
        assert told(await read(logcats, first.after)) == [7, "three"]
        assert told(await read(logcats, limit=1)) == ["three"], "who comes anew gets the newest"
        assert (await read(logcats, first.after)).after == first.after + 8

    run(scenario())


def test_who_was_away_too_long_is_told_how_many_lines_are_missing() -> None:
    async def scenario() -> None:
        logcats = Logcats(Clock())
        await logcats.looking.look("A", "n1", "user/kim")
        await logcats.put("n1", "A", LogcatPiece(lines=["one", "two"]))
        begun = (await read(logcats)).begun
        await logcats.put("n1", "A", LogcatPiece(lines=[str(n) for n in range(LINES_MAX)]))
        assert told(await read(logcats, begun + 1, limit=3)) == [1, "0", "1"]
        after, texts = begun + 1, list[str | int]()
        while part := await read(logcats, after, limit=500):
            if not part.lines:
                break
            texts += told(part)
            after = part.after
        assert texts == [1, *(str(n) for n in range(LINES_MAX))]

    run(scenario())


def test_a_reason_is_told_once_until_there_is_another_one() -> None:
    async def scenario() -> None:
        logcats = Logcats(Clock())
        await logcats.looking.look("A", "n1", "user/kim")
        for reason in ("it is offline", "it is offline", "it is silent"):
            assert await logcats.failed("n1", "A", reason)
        assert [(line.kind, line.text) for line in (await read(logcats)).lines] == [
            (LineKind.PROBLEM, "it is offline"),
            (LineKind.PROBLEM, "it is silent"),
        ]

    run(scenario())


def test_when_nobody_reads_any_more_the_node_is_told_and_the_lines_are_gone() -> None:
    async def scenario() -> None:
        clock = Clock()
        logcats = Logcats(clock)
        await logcats.looking.look("A", "n1", "user/kim")
        assert await logcats.put("n1", "A", LogcatPiece(lines=["secret"]))
        assert not await logcats.put("n2", "A", LogcatPiece(lines=["of another node"]))
        old = await read(logcats)
        clock.now_s += LEASE_S
        assert not await logcats.put("n1", "A", LogcatPiece(lines=["late"]))
        assert not await logcats.failed("n1", "A", "late")
        assert await logcats.newer("A", 0, limit=1, wait_s=LONG_S) is None
        assert await logcats.looking.look("A", "n1", "user/kim"), "who comes back is said again"
        await logcats.put("n1", "A", LogcatPiece(lines=["new"]))
        again = await read(logcats, old.after)
        assert told(again) == ["new"], "a number of before is no place in this one"
        assert again.begun > old.after

    run(scenario())


def test_only_so_many_streams_are_open() -> None:
    logcats = Logcats(Clock())
    with ExitStack() as streams:
        for _ in range(STREAMS_MAX):
            logcats.check_room()
            streams.enter_context(logcats.streaming())
        with pytest.raises(TooManyLook):
            logcats.check_room()
    logcats.check_room()
