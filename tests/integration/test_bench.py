"""The benchmarks work in a short form: real daemons, right counts, sensible lines. Nothing is timed."""

from __future__ import annotations

import math

import pytest

from bench.programs import Fleet, open_programs
from bench.store_view import CountsWrong
from bench.task import latency_lines, measure_latency, measure_throughput, throughput_lines

pytestmark = pytest.mark.slow


async def test_a_burst_of_tasks_is_counted_and_compared_with_its_own_rows() -> None:
    measured = await measure_throughput(60, 20, devices=20)
    assert measured.tasks == 60
    # Of each task: its row, three changes of state, six events, an attempt; and of each run four rows.
    assert measured.floor.tasks == 60
    assert measured.floor.rows_a_task == pytest.approx(11 + 4 * 3 / 60)
    assert set(measured.cpu_us) == {"broker", "node", "client"}
    rate, *cpu = throughput_lines(measured, 20)
    assert rate.ratio is not None
    assert rate.value > 0
    assert [line.name.rpartition(".")[2] for line in cpu] == ["broker", "node", "client"]


async def test_an_open_loop_sees_every_result() -> None:
    measured = await measure_latency(50, 0.4, devices=5)
    assert len(measured.stored_ms) == 20
    assert all(0 < ms < math.inf for ms in measured.stored_ms)
    kept, p50, p99 = latency_lines(measured)
    assert kept.unit == "tasks/s"
    assert 0 < p50.value <= p99.value


async def test_a_store_without_what_was_asked_for_is_told() -> None:
    async with open_programs(Fleet(devices=1)) as programs:
        with pytest.raises(CountsWrong, match="tasks 0 instead of 1"):
            programs.store.verify(1, 1)
