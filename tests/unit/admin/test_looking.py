"""Who looks at what: one that moves keeps its place, and nodes hear of wishes only, not of what others bring."""

from __future__ import annotations

import asyncio

from doai.admin.looking import WATCHED_MAX, Looking
from tests.unit.admin.watching import LONG_S, Clock, run


def test_a_device_that_went_to_another_node_is_looked_at_there_also_when_no_other_may_be() -> None:
    async def scenario() -> None:
        looking = Looking("logs", list[str], Clock())
        for n in range(WATCHED_MAX):
            await looking.look(f"A{n}", f"n{n}", "user/kim")
        assert await looking.look("A0", "n99", "user/kim")
        assert looking.asked("n0", "A0") is None
        assert looking.asked("n99", "A0") == []

    run(scenario())


def test_what_is_brought_wakes_no_node_that_waits_for_a_wish() -> None:
    async def scenario() -> None:
        clock = Clock()
        looking = Looking("logs", list[str], clock)
        async with asyncio.TaskGroup() as nodes:
            waiting = [nodes.create_task(looking.wanted(f"n{n}", frozenset(), wait_s=LONG_S)) for n in range(20)]
            for _ in waiting:
                await asyncio.sleep(0)
            clock.asked = 0
            for _ in range(5):
                await looking.tell()
                await asyncio.sleep(0)
            assert clock.asked == 0, "no node looked whether it is wanted"
            await looking.look("A", "n7", "user/kim")
            assert await waiting[7] == ["A"]
            await looking.close()

    run(scenario())
