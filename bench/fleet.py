"""fleet: 1,000, 10,000 and 20,000 fake devices, 100 a node, in one process: idle, and a run on all of them.

The nodes are those of bench/bare_node.py with heartbeats, which list every device. Idle is looked at over two
heartbeats of each node. A run on all has one task a device; the reference of its broker CPU is the run on 1,000.
Then tasks of some seconds, no more on a node than it has slots, in one run on 10,000: when it ends beside slots'
arithmetic.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Final

import msgspec
import trio

from bench.bare_node import SLOTS
from bench.programs import Fleet, cpu_s, open_programs
from bench.report import Line
from bench.task import RECIPE
from doai.limits import HEARTBEAT_S
from doai.messages.commands import CREATE_RUN, CreateRun, TargetKind, Targets

SIZES: Final = (1_000, 10_000, 20_000)
A_NODE: Final = 100
IDLE_S: Final = 2 * HEARTBEAT_S
RUNS: Final = {1_000: 20, 10_000: 2, 20_000: 1}
"""As many tasks are made of each, so that the CPU of each is that of as many."""
SLOTS_DEVICES: Final = 10_000
SLOTS_TASK_S: Final = 5.0
"""As a short task of a phone takes: 2,000 slots end 400 a second."""
GOAL_CPU: Final = round(1 / 1.15, 2)
"""CPU a task of the smallest to that of a larger fleet."""
GOAL_SLOTS: Final = round(1 / 1.3, 2)
"""Slots' arithmetic to the time that a run took."""
GOAL_SHARE: Final = 0.15
GOAL_MIB: Final = 250.0
GOAL_DEVICES: Final = 10_000
"""The fleet that the goals of an idle one are for; for the others they are only a scale."""
LOOK_S: Final = 0.2


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What one fleet came to."""

    devices: int
    idle_share: float
    """Of one core, of the broker."""
    idle_mib: float
    tasks: int
    run_s: float
    """From the first submit to the end of the last run."""
    broker_us: float
    """CPU of the broker a task."""


def run() -> Iterator[Line]:
    """Yield CPU and memory of an idle fleet, and what a run on all costs; takes some 3 minutes."""
    found = [trio.run(measure, devices, RUNS[devices], IDLE_S) for devices in SIZES]
    yield from lines(found)
    yield slots_line(SLOTS_DEVICES, trio.run(measure_slots, SLOTS_DEVICES, SLOTS_TASK_S), SLOTS_TASK_S)


async def measure(devices: int, runs: int, idle_s: float, a_node: int = A_NODE) -> Measured:
    """Look at an idle fleet for some seconds, then at runs on all of it; every count is checked."""
    async with open_programs(Fleet(devices=devices, nodes=devices // a_node, bare=True)) as programs:
        workflow = await programs.store_workflow(RECIPE)
        broker = programs.children["broker"].pid
        cpu, began = cpu_s(broker), time.perf_counter()
        await trio.sleep(idle_s)
        idle_share = (cpu_s(broker) - cpu) / (time.perf_counter() - began)
        idle_mib = programs.rss_mib()["broker"]
        cpu, began = cpu_s(broker), time.perf_counter()
        for _ in range(runs):
            targets = Targets(kind=TargetKind.ALL)
            await programs.client.command(CREATE_RUN, CreateRun(workflow=workflow, targets=targets))
        await programs.store.wait_runs_ended()
        run_s = time.perf_counter() - began
        tasks = devices * runs
        broker_us = (cpu_s(broker) - cpu) / tasks * 1e6
        programs.store.verify(tasks, runs)
    return Measured(
        devices=devices, idle_share=idle_share, idle_mib=idle_mib, tasks=tasks, run_s=run_s, broker_us=broker_us
    )


async def measure_slots(devices: int, task_s: float, a_node: int = A_NODE) -> float:
    """Run one task of ``task_s`` on every device, in slots; return the seconds from the submit to the run's end."""
    fleet = Fleet(devices=devices, nodes=devices // a_node, bare=True, task_s=task_s, in_slots=True)
    async with open_programs(fleet) as programs:
        workflow = await programs.store_workflow(RECIPE)
        began = time.perf_counter()
        targets = Targets(kind=TargetKind.ALL)
        await programs.client.command(CREATE_RUN, CreateRun(workflow=workflow, targets=targets))
        await programs.store.wait_runs_ended(LOOK_S)
        seconds = time.perf_counter() - began
        programs.store.verify(devices, 1)
    return seconds


def slots_line(devices: int, seconds: float, task_s: float, a_node: int = A_NODE) -> Line:
    """Return the line of a run beside what its slots need at least."""
    turns = math.ceil(a_node / SLOTS)
    return Line(
        name=f"fleet.devices_{devices}.run_in_slots",
        value=round(seconds, 2),
        unit="s",
        ratio=round(turns * task_s / seconds, 3),
        against=f"slots' arithmetic: {a_node} devices in {SLOTS} slots, {turns} x {task_s:g} s",
        goal=GOAL_SLOTS,
    )


def lines(found: list[Measured]) -> Iterator[Line]:
    """Yield the lines of fleets, smallest first."""
    smallest = found[0]
    for each in found:
        name = f"fleet.devices_{each.devices}"
        share = max(each.idle_share, 1e-4)
        yield Line(
            name=f"{name}.idle_cpu",
            value=round(100 * each.idle_share, 2),
            unit="% of a core",
            ratio=round(GOAL_SHARE / share, 3),
            against=f"goal of {GOAL_SHARE:.0%}; heartbeats every {HEARTBEAT_S:g} s",
            goal=1.0 if each.devices == GOAL_DEVICES else None,
        )
        yield Line(
            name=f"{name}.idle_memory",
            value=round(each.idle_mib, 1),
            unit="MiB",
            ratio=round(GOAL_MIB / each.idle_mib, 3),
            against=f"goal of {GOAL_MIB:g} MiB",
            goal=1.0 if each.devices == GOAL_DEVICES else None,
        )
        yield Line(
            name=f"{name}.run_cpu",
            value=round(each.broker_us, 1),
            unit="us/task",
            ratio=round(smallest.broker_us / max(each.broker_us, 1e-3), 3),
            against=f"on {smallest.devices} devices: {smallest.broker_us:.4g} us/task",
            goal=GOAL_CPU if each is not smallest else None,
        )
        yield Line(name=f"{name}.run", value=round(each.tasks / each.run_s, 1), unit="tasks/s")
