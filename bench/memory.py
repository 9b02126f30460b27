"""memory: resident memory of broker and node after 10,000 tasks, on adb's phones too, and growth over 100,000.

`--long` is the growth alone, over 1,000,000 tasks, and what a start of the broker takes after them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

import msgspec
import trio

from bench import adb, task
from bench.programs import Fleet, Programs, cpu_s, open_programs
from bench.report import Line
from doai.messages.commands import CREATE_RUN, CreateRun, TargetKind, Targets

TASKS: Final = 10_000
ADB_TASKS: Final = 200
DEVICES: Final = 100
GROWTH_TASKS: Final = (20_000, 100_000)
"""All that is kept of ended tasks by number is full by the first of them."""
GROWTH_FLEET: Final = Fleet(devices=400, nodes=4, bare=True)
OPEN_RUNS: Final = 4
LONG_TASKS: Final = (50_000, 250_000, 500_000, 750_000, 1_000_000)
LONG_LESS: Final = 10_000
"""Finished tasks of the start that the one after all of them is compared with."""
LONG_SETTLE_S: Final = 70.0
"""A start counts anew what ended since the last row of the statistics, of a minute; then that is nothing."""
STARTS: Final = 3
GOAL_FLAT: Final = 0.95
"""Memory after the first number of tasks to that after the last; less is growth."""
GOAL_START: Final = 0.9
"""The same of a start's CPU: what differs less is noise."""
GOAL_MIB: Final = {"broker": 80.0, "node": 120.0}


class Memory(msgspec.Struct, frozen=True):
    """Resident memory of each process in MiB."""

    idle: dict[str, float]
    """All devices are online and nothing ran yet."""
    after: dict[str, float]
    """After the last task."""


class Growth(msgspec.Struct, frozen=True):
    """What many tasks did to one broker."""

    mib: list[tuple[int, float]]
    """Finished tasks, resident memory of the broker then."""
    start_cpu_s: float
    """Of a start after the last of them, until it serves; the least of some. 0 when none was made."""
    seconds: float
    """From the first submit to the last end."""


def run() -> Iterator[Line]:
    """Yield the memory after 10,000 tasks on fake devices and after 200 on simulated phones; takes some 30 s."""
    yield from lines("fake", trio.run(measure, TASKS, Fleet(devices=DEVICES), task.RECIPE), TASKS)
    fleet = Fleet(devices=DEVICES, phones=True)
    yield from lines("adb", trio.run(measure, ADB_TASKS, fleet, adb.RECIPE), ADB_TASKS)
    yield growth_line(trio.run(measure_growth, GROWTH_TASKS, GROWTH_FLEET).mib)


def run_long() -> Iterator[Line]:
    """Yield the growth over 1,000,000 tasks, and a start after them beside one after few; takes some 15 minutes."""
    few = trio.run(measure_growth, (LONG_LESS,), GROWTH_FLEET, LONG_SETTLE_S)
    yield from long_lines(few, trio.run(measure_growth, LONG_TASKS, GROWTH_FLEET, LONG_SETTLE_S))


def lines(driver: str, measured: Memory, tasks: int) -> Iterator[Line]:
    """Yield the lines of one measurement; a ratio of 1 or more is within the goal."""
    for process, goal_mib in GOAL_MIB.items():
        value = measured.after[process]
        yield Line(
            name=f"memory.{driver}.{process}",
            value=round(value, 1),
            unit="MiB",
            ratio=round(goal_mib / value, 3),
            against=f"goal of {goal_mib:g} MiB after {tasks} tasks; {measured.idle[process]:.1f} MiB before them",
            goal=1.0,
        )


async def measure(tasks: int, fleet: Fleet, recipe: str) -> Memory:
    """Run the tasks, each run on all devices once, all runs at once."""
    async with open_programs(fleet) as programs:
        workflow = await programs.store_workflow(recipe)
        idle = programs.rss_mib()
        runs = tasks // len(programs.serials)
        targets = Targets(kind=TargetKind.DEVICES, serials=programs.serials)
        for _ in range(runs):
            await programs.client.command(CREATE_RUN, CreateRun(workflow=workflow, targets=targets))
        await programs.store.wait_runs_ended()
        programs.store.verify(runs * len(programs.serials), runs)
        return Memory(idle, programs.rss_mib())


async def measure_growth(points: tuple[int, ...], fleet: Fleet, settle_s: float | None = None) -> Growth:
    """Run tasks, some runs on all devices at a time, and look at the broker's memory at each number of tasks.

    With ``settle_s``, so long after the last the broker is killed and started again, some times.
    """
    found: list[tuple[int, float]] = []
    start_cpu_s = 0.0
    async with open_programs(fleet) as programs:
        workflow = await programs.store_workflow(task.RECIPE)
        targets = Targets(kind=TargetKind.DEVICES, serials=programs.serials)
        runs, began = 0, time.perf_counter()
        for point in points:
            while runs * len(programs.serials) < point:
                for _ in range(OPEN_RUNS):
                    await programs.client.command(CREATE_RUN, CreateRun(workflow=workflow, targets=targets))
                runs += OPEN_RUNS
                await programs.store.wait_runs_ended()
            found.append((runs * len(programs.serials), programs.rss_mib()["broker"]))
        seconds = time.perf_counter() - began
        if settle_s is not None:
            await trio.sleep(settle_s)
            start_cpu_s = min([await _start_cpu_s(programs) for _ in range(STARTS)])
        programs.store.verify(runs * len(programs.serials), runs)
    return Growth(found, start_cpu_s, seconds)


async def _start_cpu_s(programs: Programs) -> float:
    await programs.kill("broker")
    await programs.children["broker"].start()
    return cpu_s(programs.children["broker"].pid)


def growth_line(mib: list[tuple[int, float]]) -> Line:
    """Return the line of the broker's memory at the last number of tasks, against that at the first."""
    (first, first_mib), (last, last_mib) = mib[0], mib[-1]
    return Line(
        name="memory.growth.broker",
        value=round(last_mib, 1),
        unit="MiB",
        ratio=round(first_mib / last_mib, 3),
        against=f"after {first} tasks: {first_mib:.1f} MiB; this is after {last}",
        goal=GOAL_FLAT,
    )


def long_lines(few: Growth, many: Growth) -> Iterator[Line]:
    """Yield the lines of many tasks: memory at each number, against the first, and a start after them."""
    for index in range(1, len(many.mib)):
        line = growth_line([many.mib[0], many.mib[index]])
        yield msgspec.structs.replace(line, name=f"memory.long.broker_after_{many.mib[index][0]}")
    tasks, less = many.mib[-1][0], few.mib[-1][0]
    yield Line(
        name=f"memory.long.start_after_{tasks}.cpu",
        value=round(many.start_cpu_s, 3),
        unit="s",
        ratio=round(few.start_cpu_s / many.start_cpu_s, 3),
        against=f"a start after {less} finished tasks: {few.start_cpu_s:.3g} s of CPU",
        goal=GOAL_START,
    )
    yield Line(name="memory.long.rate", value=round(tasks / many.seconds, 1), unit="tasks/s")
