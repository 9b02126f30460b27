"""Screens that are looked at: a lease that ends, a node that is told at once, bounds, and nothing that stays."""

from __future__ import annotations

import asyncio

import pytest

from doai.admin.looking import LEASE_S, WATCHED_MAX, WATCHED_PER_NODE_MAX, TooManyLook
from doai.admin.screens import NoPicture, Screens
from tests.unit.admin.watching import LONG_S, Clock, run


def test_a_node_is_told_as_soon_as_somebody_looks_and_pictures_reach_whoever_waits() -> None:
    async def scenario() -> None:
        screens = Screens(Clock())
        told = asyncio.create_task(screens.looking.wanted("n1", frozenset(), wait_s=LONG_S))
        assert await screens.looking.look("A", "n1", "user/kim")
        assert await told == ["A"]
        assert not await screens.looking.look("A", "n1", "user/kim"), "the lease is renewed, it is no new one"
        seen = asyncio.create_task(screens.newer("A", 0, wait_s=LONG_S))
        assert await screens.put("n1", "A", b"one", 7)
        picture = await seen
        assert picture is not None
        assert (picture.body, picture.at_ms) == (b"one", 7)
        assert await screens.newer("A", picture.n, wait_s=0.0) is None, "there is no newer one"
        assert await screens.looking.wanted("n1", frozenset({"A"}), wait_s=0.0) == ["A"]
        assert await screens.looking.wanted("n2", frozenset(), wait_s=0.0) == []

    run(scenario())


def test_when_nobody_asks_any_more_the_node_is_told_and_the_picture_is_gone() -> None:
    async def scenario() -> None:
        clock = Clock()
        screens = Screens(clock)
        await screens.looking.look("A", "n1", "user/kim")
        assert await screens.put("n1", "A", b"one", 7)
        clock.now_s += LEASE_S
        assert not await screens.put("n1", "A", b"two", 8)
        assert not await screens.failed("n1", "A", "no")
        assert await screens.looking.wanted("n1", frozenset(), wait_s=0.0) == []
        assert await screens.newer("A", 0, wait_s=0.0) is None

    run(scenario())


def test_a_node_brings_pictures_of_its_own_devices_only() -> None:
    async def scenario() -> None:
        screens = Screens(Clock())
        await screens.looking.look("A", "n1", "user/kim")
        assert not await screens.put("n2", "A", b"of another", 7)
        assert await screens.looking.look("A", "n2", "user/kim"), "the phone went to another node: that one is told"
        assert not await screens.put("n1", "A", b"late", 7)

    run(scenario())


def test_why_there_is_no_picture_is_told_once_and_it_is_tried_again() -> None:
    async def scenario() -> None:
        screens = Screens(Clock())
        await screens.looking.look("A", "n1", "user/kim")
        assert await screens.failed("n1", "A", "device A is offline")
        with pytest.raises(NoPicture, match="device A is offline"):
            await screens.newer("A", 0, wait_s=LONG_S)
        assert await screens.newer("A", 0, wait_s=0.0) is None

    run(scenario())


def test_why_there_is_no_picture_is_told_to_all_who_wait() -> None:
    async def scenario() -> None:
        screens = Screens(Clock())
        for actor in ("user/kim", "user/lee"):
            await screens.looking.look("A", "n1", actor)
        waiting = [asyncio.create_task(screens.newer("A", 0, wait_s=LONG_S)) for _ in range(3)]
        await asyncio.sleep(0)
        assert await screens.failed("n1", "A", "device A is offline")
        told = await asyncio.gather(*waiting, return_exceptions=True)
        assert [str(each) for each in told] == ["device A is offline"] * 3
        later = asyncio.create_task(screens.newer("A", 0, wait_s=LONG_S))
        await asyncio.sleep(0)
        assert await screens.failed("n1", "A", "it is still")
        with pytest.raises(NoPicture, match="it is still"):
            await later

    run(scenario())


def test_only_so_many_are_looked_at() -> None:
    async def scenario() -> None:
        screens = Screens(Clock())
        for n in range(WATCHED_PER_NODE_MAX):
            await screens.looking.look(f"A{n}", "n1", "user/kim")
        with pytest.raises(TooManyLook, match="n1"):
            await screens.looking.look("B", "n1", "user/kim")
        assert not await screens.looking.look("A0", "n1", "user/kim"), "those who look already go on"
        for n in range(WATCHED_MAX - WATCHED_PER_NODE_MAX):
            await screens.looking.look(f"C{n}", f"m{n}", "user/kim")
        with pytest.raises(TooManyLook):
            await screens.looking.look("D", "m99", "user/kim")

    run(scenario())


def test_a_stop_ends_all_waiting() -> None:
    async def scenario() -> None:
        screens = Screens(Clock())
        await screens.looking.look("A", "n1", "user/kim")
        waiting = asyncio.create_task(screens.newer("A", 0, wait_s=LONG_S))
        node = asyncio.create_task(screens.looking.wanted("n1", frozenset({"A"}), wait_s=LONG_S))
        await asyncio.sleep(0)
        await screens.looking.close()
        assert await waiting is None
        assert await node == ["A"]

    run(scenario())
