"""Workers: one task for many tries, and nothing of one try is left for the next."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from doai.node.workers import Workers


class Bench:
    """Performs functions; keeps what came of them, and which task of the event loop performed each."""

    def __init__(self) -> None:
        self.results: list[str] = []
        self.tasks: list[trio.lowlevel.Task] = []
        self.workers: Workers[Any, str] = Workers(self.perform, self.cut_off, self.done)
        self.send, self.receive = trio.open_memory_channel[str](10)

    async def perform(self, function: Any) -> str:
        self.tasks.append(trio.lowlevel.current_task())
        return str(await function())

    def cut_off(self, function: Any, error: Exception | None) -> str:
        return f"cut off: {error!r}"

    def done(self, result: str) -> None:
        if result == "refuse":
            raise OSError("refused")
        self.send.send_nowait(result)


async def at_once() -> str:
    await trio.lowlevel.checkpoint()
    return "passed"


@pytest.fixture
async def bench(nursery: trio.Nursery) -> Bench:
    made = Bench()
    await nursery.start(made.workers.run)
    return made


async def test_one_task_serves_one_try_after_the_other(bench: Bench, autojump_clock: Any) -> None:
    for _ in range(3):
        bench.workers.start(at_once, 5.0)
        assert await bench.receive.receive() == "passed"
        await trio.testing.wait_all_tasks_blocked()
        await trio.sleep(100)  # the time of the one before does not count for the next
    assert len(set(bench.tasks)) == 1
    bench.workers.start(at_once, 5.0)
    bench.workers.start(at_once, 5.0)
    assert [await bench.receive.receive() for _ in range(2)] == ["passed"] * 2
    assert len(set(bench.tasks)) == 2


async def test_a_try_that_was_cut_off_takes_nothing_from_the_next(bench: Bench, autojump_clock: Any) -> None:
    bench.workers.start(trio.sleep_forever, 5.0)
    assert await bench.receive.receive() == "cut off: None"
    bench.workers.start(trio.sleep_forever, 5.0).cancel()
    assert await bench.receive.receive() == "cut off: None"
    bench.workers.start(at_once, 5.0)
    assert await bench.receive.receive() == "passed"
    assert len(set(bench.tasks)) == 1


async def test_a_cancel_that_comes_with_the_end_is_not_the_next_ones(bench: Bench, autojump_clock: Any) -> None:
    async def ends_late() -> str:
        scope.cancel()
        return "passed"

    scope = bench.workers.start(ends_late, 5.0)
    assert await bench.receive.receive() == "passed"
    bench.workers.start(at_once, 5.0)
    assert await bench.receive.receive() == "passed"


async def test_what_is_raised_beside_a_cancel_is_told(bench: Bench, autojump_clock: Any) -> None:
    async def raises() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise KeyError("x")

    async def two() -> str:
        async with trio.open_nursery() as inner:
            inner.start_soon(raises)
            await trio.sleep_forever()
        return "never"

    bench.workers.start(two, 5.0)
    assert "KeyError" in await bench.receive.receive()
    bench.workers.start(at_once, 5.0)
    assert await bench.receive.receive() == "passed"


async def test_what_takes_the_results_may_end_everything() -> None:
    async def refuse() -> str:
        return "refuse"

    async def all_of_it() -> None:
        bench = Bench()
        async with trio.open_nursery() as nursery:
            await nursery.start(bench.workers.run)
            bench.workers.start(refuse, 5.0)

    with pytest.raises(ExceptionGroup) as caught:
        await all_of_it()
    assert caught.group_contains(OSError, match="refused")
