"""The benchmarks of recovery and of the link in a short form: real daemons, right counts. Nothing is timed."""

from __future__ import annotations

import pytest

from bench import link, recovery
from bench.programs import Fleet

pytestmark = pytest.mark.slow


async def test_a_killed_broker_is_found_again_and_the_backlog_goes_on() -> None:
    seen = await recovery.measure_broker_kill(3000, devices=10)
    assert set(seen) == {"ready", "node_welcome", "first_result", "first_result_of_new_task"}
    assert seen["node_welcome"] <= seen["first_result_of_new_task"]
    assert recovery.line("broker.first_result", seen["first_result"]).ratio is not None


async def test_a_killed_node_starts_its_devices_again() -> None:
    seen = await recovery.measure_node_kill(Fleet(devices=4, phones=True), wait_late=False)
    assert set(seen) == {"ready", "first_start", "all_devices_at_work"}


async def test_starts_are_compared_with_a_straight_line() -> None:
    starts = await recovery.measure_starts([100, 200, 400], finished=128)
    lines = {line.name: line for line in recovery.start_lines(starts)}
    assert list(lines) == [
        f"recovery.start.{name}.cpu" for name in ("open_100", "open_200", "open_400", "finished")
    ]
    assert lines["recovery.start.open_400.cpu"].ratio is not None
    assert lines["recovery.start.finished.cpu"].ratio is not None


async def test_facts_of_several_nodes_are_counted_and_compared_with_their_own_rows() -> None:
    measured = await link.measure(3, 3000)
    assert measured.facts == 3000
    rows, broker_cpu, nodes_cpu = link.lines(3, [measured])
    assert [line.name for line in (rows, broker_cpu, nodes_cpu)] == [
        f"link.nodes_3.{name}" for name in ("rows", "broker_cpu", "nodes_cpu")
    ]
    assert rows.ratio is not None
    assert rows.value > 0
