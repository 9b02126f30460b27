"""The benchmarks work in a short form: real daemons, right counts, sensible lines. Nothing is timed."""

from __future__ import annotations

import math

import pytest

from bench import adb, memory
from bench.programs import Fleet, open_programs
from bench.store_view import CountsWrong
from bench.task import (
    RECIPE,
    best_line,
    in_turn_lines,
    latency_lines,
    measure_in_turn,
    measure_latency,
    measure_throughput,
    throughput_lines,
)
from doai.phone.journal import JournalEntry, StepTag

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("fleet", [Fleet(devices=20), Fleet(devices=20, nodes=2, bare=True)], ids=["real", "bare"])
async def test_a_burst_of_tasks_is_counted_and_compared_with_its_own_rows(fleet: Fleet) -> None:
    measured = await measure_throughput(60, 20, fleet)
    assert measured.tasks == 60
    # Of each task: its row, two changes of it or three, six events, an attempt, its name among those that ended;
    # and of each run four rows. A start and an end of one millisecond are one change.
    assert measured.floor.tasks == 60
    assert 660 <= round(measured.floor.rows_a_task * 60) - 4 * 3 <= 720
    assert set(measured.cpu_us) == {"broker", "node", "client"}
    rate, *cpu = throughput_lines(measured, "short")
    assert rate.ratio is not None
    assert rate.value > 0
    assert [line.name.rpartition(".")[2] for line in cpu] == ["broker", "node", "client"]
    assert best_line({"short": measured}).goal == 1.0


async def test_tasks_in_turn_wait_for_each_other() -> None:
    measured = await measure_in_turn(5, Fleet(devices=2))
    line, *acked = in_turn_lines(measured)
    assert measured.tasks == len(measured.acked_ms) == 5
    assert line.ratio is not None
    assert [each.unit for each in acked] == ["ms", "durable writes", "ms", "durable writes"]


async def test_an_open_loop_sees_every_result() -> None:
    measured = await measure_latency(50, 0.4, devices=5)
    assert len(measured.stored_ms) == 20
    assert all(0 < ms < math.inf for ms in measured.stored_ms)
    kept, p50, p50_writes, p99, _ = latency_lines(measured)
    assert kept.unit == "tasks/s"
    assert p50_writes.value > 0
    assert 0 < p50.value <= p99.value


async def test_a_store_without_what_was_asked_for_is_told() -> None:
    async with open_programs(Fleet(devices=1)) as programs:
        with pytest.raises(CountsWrong, match="tasks 0 instead of 1"):
            programs.store.verify(1, 1)


async def test_phones_are_driven_by_a_run_and_by_the_same_calls_alone() -> None:
    [measured] = await adb.measure(phones=3, rounds=1, slots=2)
    assert measured.calls >= 3 * adb.STEPS
    assert 0 < measured.occupied <= 1
    assert set(measured.cpu_ms) == {"broker", "node", "phones", "adb", "bare"}
    occupied, against_bare, *_ = adb.lines([measured], 3)
    assert against_bare.name == "adb.phones_3.run"
    assert occupied.unit == "share"
    assert against_bare.ratio is not None


def test_slots_that_are_empty_while_phones_wait_are_seen() -> None:
    # Two slots, four phones: the second slot stands still for 10 of 30 ms; what comes after 30 ms does not count.
    spans = [adb.Span(0, 20), adb.Span(0, 10), adb.Span(20, 30), adb.Span(20, 50)]
    assert adb.occupied_share(spans, 2) == pytest.approx(50 / 60)


def test_only_what_tasks_sent_is_sent_again() -> None:
    step = StepTag("task", "1.1", "tap", "1")
    entries = [
        JournalEntry("SIM1", number, 0.0, 0, 1, "shell,v2", command, "", tag)
        for number, (command, tag) in enumerate(
            [("input tap 1 2", step), ("getprop", None), ("screencap -p", step)]
        )
    ]
    assert adb.recorded_calls(entries) == {"SIM1": ["input tap 1 2", "screencap -p"]}
    with pytest.raises(adb.CallsDiffer, match="sync on SIM1"):
        adb.recorded_calls([JournalEntry("SIM1", 1, 0.0, 0, 1, "sync", "", "", step)])


async def test_memory_is_taken_after_all_tasks() -> None:
    measured = await memory.measure(40, Fleet(devices=20), RECIPE)
    assert set(measured.after) == {"broker", "node"}
    broker, node = memory.lines("fake", measured, 40)
    assert broker.value > 0
    assert node.ratio is not None


async def test_growth_is_taken_between_two_numbers_of_tasks() -> None:
    measured = await memory.measure_growth((20, 60), Fleet(devices=10, nodes=2, bare=True), settle_s=0.0)
    assert [tasks for tasks, _ in measured.mib] == [40, 80]
    assert memory.growth_line(measured.mib).ratio is not None
    assert measured.start_cpu_s > 0
    after, start, rate = memory.long_lines(measured, measured)
    assert (after.name, start.name) == ("memory.long.broker_after_80", "memory.long.start_after_80.cpu")
    assert (start.ratio, rate.unit) == (1.0, "tasks/s")
