"""The committer: batches by turns of the loop, order of effects, modes, failures, checkpoints at idle moments."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import pytest
import trio
import trio.testing

from doai import limits
from doai.errors import LocalProtocolError, StoreError
from doai.store.committer import Committer, WriterMode
from doai.store.disk_wait import DiskWait, Spent
from doai.store.pipeline import Pipeline


class ListWriter:
    """A writer of ints into a list, that tells where it ran."""

    def __init__(self) -> None:
        self.commits: list[list[int]] = []
        self.threads: list[int] = []
        self.log_bytes = 0
        self.error: Exception | None = None
        self.checkpointed = 0

    def load(self) -> list[int]:
        return [op for ops in self.commits for op in ops]

    def commit(self, ops: Sequence[int]) -> None:
        if self.error is not None:
            raise self.error
        self.threads.append(threading.get_ident())
        self.commits.append(list(ops))

    def checkpoint(self) -> None:
        self.checkpointed += 1
        self.log_bytes = 0

    def close(self) -> None:
        """Nothing is open."""


class Clock:
    """At each look so much time has passed, in which nobody worked: a commit waits that long for the disk."""

    def __init__(self, step_s: float) -> None:
        self.now_s = 0.0
        self.step_s = step_s

    def __call__(self) -> Spent:
        self.now_s += self.step_s
        return Spent(self.now_s, 0.0, 0.0)


def make(
    writer: ListWriter,
    release: Callable[[object], None],
    mode: WriterMode = WriterMode.INLINE,
    commit_s: float = 0.0001,
    batch_ops_max: int = 256,
) -> Committer[int, object]:
    pipeline: Pipeline[int, object] = Pipeline(batch_ops_max=batch_ops_max)
    return Committer(pipeline, writer, release, mode=mode, disk_wait=DiskWait(Clock(commit_s)))


async def test_one_turn_of_the_loop_is_one_batch() -> None:
    writer, left = ListWriter(), list[object]()
    committer = make(writer, left.append)
    with trio.fail_after(90):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(committer.run)
            committer.submit([], ["now"])
            assert left == ["now"]
            committer.submit([1], ["a"])
            committer.submit([2, 3], ["b"])
            committer.submit([], ["c"])
            assert left == ["now"]
            await committer.wait_idle()
            nursery.cancel_scope.cancel()
    assert writer.commits == [[1, 2, 3]]
    assert left == ["now", "a", "b", "c"]


@pytest.mark.parametrize("mode", [WriterMode.INLINE, WriterMode.THREAD])
async def test_an_effect_that_submits_leaves_first(mode: WriterMode) -> None:
    writer, left = ListWriter(), list[object]()

    def release(effect: object) -> None:
        left.append(effect)
        if effect == "a":
            committer.submit([], ["of a"])
            committer.submit([9], ["later"])

    committer = make(writer, release, mode)
    with trio.fail_after(90):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(committer.run)
            committer.submit([1], ["a", "b"])
            await committer.wait_idle()
            nursery.cancel_scope.cancel()
    assert left == ["a", "b", "of a", "later"]
    assert writer.commits == [[1], [9]]


async def run_turns(committer: Committer[int, object], turns: int, ops: int = 1) -> None:
    with trio.fail_after(90):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(committer.run)
            for turn in range(turns):
                for op in range(ops):
                    committer.submit([turn * ops + op], [])
                await committer.wait_idle()
            nursery.cancel_scope.cancel()


async def test_adaptive_is_inline_while_the_disk_is_fast() -> None:
    writer = ListWriter()
    await run_turns(make(writer, lambda _: None, WriterMode.ADAPTIVE, commit_s=0.0005), 40)
    assert set(writer.threads) == {threading.get_ident()}


async def test_adaptive_leaves_the_loop_when_the_disk_is_slow() -> None:
    writer = ListWriter()
    committer = make(writer, lambda _: None, WriterMode.ADAPTIVE, commit_s=0.002)
    await run_turns(committer, 40)
    assert writer.threads[0] == threading.get_ident()
    assert writer.threads[-1] != threading.get_ident()
    assert committer.statistics().other_commits == 32
    assert writer.load() == list(range(40))


async def test_brief_work_is_done_in_the_loop_while_the_disk_is_fast() -> None:
    writer = ListWriter()
    committer = make(writer, lambda _: None, WriterMode.ADAPTIVE, commit_s=0.002)
    assert await committer.with_writer(threading.get_ident, brief=True) == threading.get_ident()
    assert await committer.with_writer(threading.get_ident) != threading.get_ident()
    await run_turns(committer, 40)
    assert await committer.with_writer(threading.get_ident, brief=True) != threading.get_ident()


async def test_adaptive_stays_in_the_loop_however_much_waits_while_the_disk_is_fast() -> None:
    writer = ListWriter()
    committer = make(writer, lambda _: None, WriterMode.ADAPTIVE, batch_ops_max=4, commit_s=0.0)
    await run_turns(committer, 20, ops=8)
    assert committer.statistics().other_commits == 0
    assert writer.load() == list(range(160))


@pytest.mark.parametrize("mode", list(WriterMode))
async def test_a_failed_commit_ends_the_run_and_shows_nothing(mode: WriterMode) -> None:
    writer, left = ListWriter(), list[object]()
    committer = make(writer, left.append, mode)
    writer.error = StoreError("the disk is full", code="disk_full")
    committer.submit([1], ["a"])
    with trio.fail_after(90), pytest.raises(StoreError, match="full"):
        await committer.run()
    assert left == []
    with pytest.raises(LocalProtocolError):
        committer.submit([], ["b"])


async def test_commits_keep_apart_and_the_first_after_a_quiet_moment_waits_for_nothing(
    autojump_clock: trio.testing.MockClock,
) -> None:
    writer, left = ListWriter(), list[tuple[float, object]]()
    committer: Committer[int, object] = Committer(
        Pipeline(), writer, lambda effect: left.append((trio.current_time(), effect)), apart_s=lambda: 1.0
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(committer.run)
        began_s = trio.current_time()
        for at_s, op in ((0.0, 1), (0.25, 2), (0.5, 3), (4.0, 4), (4.5, 5)):
            await trio.sleep_until(began_s + at_s)
            committer.submit([op], [op])
        await committer.wait_idle()
        nursery.cancel_scope.cancel()
    assert writer.commits == [[1], [2, 3], [4], [5]]
    assert [(at_s - began_s, effect) for at_s, effect in left] == [(0, 1), (1, 2), (1, 3), (4, 4), (5, 5)]


async def test_commits_are_not_kept_apart_when_enough_waits(autojump_clock: trio.testing.MockClock) -> None:
    writer, left = ListWriter(), list[tuple[float, object]]()
    committer: Committer[int, object] = Committer(
        Pipeline(),
        writer,
        lambda effect: left.append((trio.current_time(), effect)),
        apart_s=lambda: 1.0,
        enough_ops=2,
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(committer.run)
        began_s = trio.current_time()
        for at_s, ops in ((0.0, [1]), (0.25, [2]), (0.5, [3]), (0.75, [4, 5]), (1.0, [6])):
            await trio.sleep_until(began_s + at_s)
            committer.submit(ops, ops)
        await committer.wait_idle()
        nursery.cancel_scope.cancel()
    assert writer.commits == [[1], [2, 3], [4, 5], [6]]
    at_s = {effect: at_s - began_s for at_s, effect in left}
    assert at_s == {1: 0, 2: 0.5, 3: 0.5, 4: 0.75, 5: 0.75, 6: 1.75}


async def test_the_log_is_copied_at_an_idle_moment(autojump_clock: trio.testing.MockClock) -> None:
    writer = ListWriter()
    committer = make(writer, lambda _: None)
    writer.log_bytes = limits.WAL_CHECKPOINT_BYTES
    async with trio.open_nursery() as nursery:
        nursery.start_soon(committer.run)
        committer.submit([1], [])
        await committer.wait_idle()
        assert writer.checkpointed == 0
        await trio.sleep(limits.CHECKPOINT_IDLE_S * 2)
        await committer.with_writer(writer.load)  # behind the checkpoint, whose thread the clock does not know
        assert writer.checkpointed == 1
        nursery.cancel_scope.cancel()


async def test_the_log_is_copied_at_its_bound_although_work_waits() -> None:
    writer = ListWriter()
    committer = make(writer, lambda _: None, batch_ops_max=1)
    writer.log_bytes = limits.WAL_BYTES_MAX
    await run_turns(committer, 1, ops=3)
    assert writer.checkpointed == 1
    assert committer.statistics().checkpoints == 1


async def test_work_with_the_writer_runs_between_commits() -> None:
    writer = ListWriter()
    committer = make(writer, lambda _: None, WriterMode.THREAD)
    with trio.fail_after(90):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(committer.run)
            committer.submit([1, 2], [])
            await committer.wait_idle()
            assert await committer.with_writer(writer.load) == [1, 2]
            nursery.cancel_scope.cancel()
