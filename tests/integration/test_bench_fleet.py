"""The benchmark of large fleets in a short form: right counts, sensible lines. Nothing is timed."""

from __future__ import annotations

import pytest

from bench import fleet
from bench.fleet import Measured


@pytest.mark.slow
async def test_a_run_on_all_devices_of_several_nodes_is_counted() -> None:
    measured = await fleet.measure(20, 2, 0.1, a_node=10)
    assert (measured.devices, measured.tasks) == (20, 40)
    assert measured.idle_mib > 0


@pytest.mark.slow
async def test_a_run_in_slots_is_compared_with_their_arithmetic() -> None:
    seconds = await fleet.measure_slots(50, 0.05, a_node=25)
    line = fleet.slots_line(50, seconds, 0.05, a_node=25)
    assert seconds >= 2 * 0.05  # 25 devices in 20 slots are two turns
    assert line.ratio is not None


def test_a_large_fleet_is_compared_with_a_small_one() -> None:
    small, large = (
        Measured(devices=devices, idle_share=0.0, idle_mib=50.0, tasks=100, run_s=2.0, broker_us=100.0 * devices)
        for devices in (1, 2)
    )
    found = {line.name: line for line in fleet.lines([small, large])}
    assert found["fleet.devices_2.run_cpu"].ratio == 0.5
    assert found["fleet.devices_1.idle_memory"].ratio == 5.0
    assert found["fleet.devices_1.run"].value == 50.0
