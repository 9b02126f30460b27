"""A handler that holds the event loop is named from outside it, with the place, and ended at its limit."""

from __future__ import annotations

import threading

import pytest
import trio
import trio.testing

from doai.bots import Bot, Context
from doai.bots.core.work import Cause, Work
from doai.bots.loop_watch import LoopWatch

SOON_S = 0.05
NEVER_S = 60.0


async def test_who_holds_the_loop_is_named_and_ended(caplog: pytest.LogCaptureFixture) -> None:
    bot = Bot("stuck")
    ended = threading.Event()
    said: list[str] = []

    @bot.every("1s")
    async def hold(ctx: object) -> None:
        assert ended.wait(NEVER_S), "nobody noticed"

    @bot.every("1s")
    async def innocent(ctx: Context) -> None: ...

    def end(sentence: str) -> None:
        said.append(sentence)
        ended.set()

    calls = [
        Work(handler=name, cause=Cause.TIME, subject="", timeout_s=timeout_s)
        for name, timeout_s in (("hold", 2 * SOON_S), ("innocent", NEVER_S))
    ]
    watch = LoopWatch(bot, lambda: calls, end, tell_after_s=SOON_S, turn_s=SOON_S / 5)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch.run)
        await trio.testing.wait_all_tasks_blocked()
        await bot.handlers["hold"].function(None)
        nursery.cancel_scope.cancel()
    assert said == ["hold held the event loop for more than 0.1 s: the bot is ended"]
    # A busy machine may hold the loop up before the handler does: then that is told first.
    told = [record.getMessage() for record in caplog.records if "stands still" in record.getMessage()]
    [of_handler] = [line for line in told if ", in hold: " in line]
    assert "ended.wait(NEVER_S)" in of_handler
