"""Runs that a bot waits for: their end is told, and found where it was not told."""

from __future__ import annotations

from collections.abc import Callable

import trio
from trio.testing import MockClock

from doai.bots import Bot, Context
from doai.bots.results import TOLD_LOOK_S, RunWaits
from doai.bots.testing import running
from doai.messages.events import RunCompleted, SystemNotice
from doai.states import Outcome


def notice(text: str) -> SystemNotice:
    return SystemNotice(code="test", message=text, subject="")


def run_page(ended: list[str], looks: list[float]) -> Callable[[object], dict[str, object]]:
    """Return the page of a run that is over once something is in ``ended``; ``looks``: when it was asked for."""

    def page(query: object) -> dict[str, object]:
        looks.append(trio.current_time())
        outcome = ended[0] if ended else None
        return {"workflow": "reboot", "version": "1", "outcome": outcome, "counts": {}}

    return page


def runner(results: list[tuple[str, float]]) -> Bot:
    bot = Bot("runner")

    @bot.on("system.alert", timeout="3h")
    async def check(event: SystemNotice, ctx: Context) -> None:
        result = await ctx.run("reboot", on="R1")
        results.append((result.outcome, trio.current_time()))

    return bot


def run_completed(run_id: str) -> tuple[str, str, RunCompleted]:
    told = RunCompleted(run_id=run_id, workflow="reboot@1", outcome=Outcome.PASSED, counts={})
    return "run.completed", f"run/{run_id}", told


async def test_the_end_of_a_run_is_told_and_not_asked_for_again_and_again(autojump_clock: MockClock) -> None:
    results: list[tuple[str, float]] = []
    ended: list[str] = []
    looks: list[float] = []
    async with running(runner(results)) as mesh:
        await mesh.event("system.alert", "node/n1", notice("x"), settle=False)
        await mesh.broker.wait(lambda: bool(mesh.broker.runs))
        [run_id] = mesh.broker.runs
        mesh.pages[f"/runs/{run_id}"] = run_page(ended, looks)
        await mesh.advance(30.0)
        assert len(looks) <= 2, "once, and when the broker said that it tells ends"
        await mesh.event(*run_completed("another"), settle=False)
        await mesh.advance(1.0)
        before = len(looks)
        ended.append("passed")
        ended_s = trio.current_time()
        await mesh.event(*run_completed(run_id))
    assert before <= 2, "the end of another run is none of its business"
    assert results == [("passed", ended_s)]


async def test_a_run_that_ends_while_the_connection_is_lost_is_found(autojump_clock: MockClock) -> None:
    results: list[tuple[str, float]] = []
    ended: list[str] = []
    looks: list[float] = []
    async with running(runner(results)) as mesh:
        await mesh.event("system.alert", "node/n1", notice("x"), settle=False)
        await mesh.broker.wait(lambda: bool(mesh.broker.runs))
        [run_id] = mesh.broker.runs
        mesh.pages[f"/runs/{run_id}"] = run_page(ended, looks)
        await mesh.advance(5.0)
        mesh.cut()
        ended.append("failed")
        cut_s = trio.current_time()
        await mesh.settle()
    [(outcome, found_s)] = results
    assert outcome == "failed"
    assert found_s - cut_s < TOLD_LOOK_S, "the new connection had it looked at"


async def test_a_run_that_ended_before_the_process_was_started_again_is_found(autojump_clock: MockClock) -> None:
    results: list[tuple[str, float]] = []
    ended: list[str] = []
    async with running(runner(results)) as mesh:
        await mesh.event("system.alert", "node/n1", notice("x"), settle=False)
        await mesh.broker.wait(lambda: bool(mesh.broker.runs))
        [run_id] = mesh.broker.runs
        mesh.pages[f"/runs/{run_id}"] = run_page(ended, [])
        await mesh.kill()
        ended.append("passed")
        await mesh.start()
        await mesh.settle()
        assert list(mesh.broker.runs) == [run_id], "the same run, by its key"
    assert [outcome for outcome, _ in results] == ["passed"]


async def test_where_a_broker_does_not_tell_ends_the_run_is_looked_at(autojump_clock: MockClock) -> None:
    waits = RunWaits(lambda: waits.followed("there is no subscription 'runs'"))
    looks = 0

    async def has_ended() -> bool:
        nonlocal looks
        looks += 1
        return looks == 6

    began_s = trio.current_time()
    await waits.wait("r1", has_ended)
    assert trio.current_time() - began_s < 10.0
