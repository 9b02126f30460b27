"""memory: resident memory of broker and node after 10,000 tasks, on adb's phones too, and growth over 100,000."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec
import trio

from bench import adb, task
from bench.programs import Fleet, open_programs
from bench.report import Line
from doai.messages.commands import CREATE_RUN, CreateRun, TargetKind, Targets

TASKS: Final = 10_000
ADB_TASKS: Final = 200
DEVICES: Final = 100
GROWTH_TASKS: Final = (20_000, 100_000)
"""All that is kept of ended tasks by number is full by the first of them."""
GROWTH_FLEET: Final = Fleet(devices=400, nodes=4, bare=True)
OPEN_RUNS: Final = 4
GOAL_MIB: Final = {"broker": 80.0, "node": 120.0}


class Memory(msgspec.Struct, frozen=True):
    """Resident memory of each process in MiB."""

    idle: dict[str, float]
    """All devices are online and nothing ran yet."""
    after: dict[str, float]
    """After the last task."""


def run() -> Iterator[Line]:
    """Yield the memory after 10,000 tasks on fake devices and after 200 on simulated phones; takes some 30 s."""
    yield from lines("fake", trio.run(measure, TASKS, Fleet(devices=DEVICES), task.RECIPE), TASKS)
    fleet = Fleet(devices=DEVICES, phones=True)
    yield from lines("adb", trio.run(measure, ADB_TASKS, fleet, adb.RECIPE), ADB_TASKS)
    yield growth_line(trio.run(measure_growth, GROWTH_TASKS, GROWTH_FLEET))


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


async def measure_growth(points: tuple[int, ...], fleet: Fleet) -> list[tuple[int, float]]:
    """Run tasks, some runs on all devices at a time; return the MiB of the broker at each number of tasks."""
    found: list[tuple[int, float]] = []
    async with open_programs(fleet) as programs:
        workflow = await programs.store_workflow(task.RECIPE)
        targets = Targets(kind=TargetKind.DEVICES, serials=programs.serials)
        runs = 0
        for point in points:
            while runs * len(programs.serials) < point:
                for _ in range(OPEN_RUNS):
                    await programs.client.command(CREATE_RUN, CreateRun(workflow=workflow, targets=targets))
                runs += OPEN_RUNS
                await programs.store.wait_runs_ended()
            found.append((runs * len(programs.serials), programs.rss_mib()["broker"]))
        programs.store.verify(runs * len(programs.serials), runs)
    return found


def growth_line(found: list[tuple[int, float]]) -> Line:
    """Return the line of the broker's memory at the last number of tasks, against that at the first."""
    (first, first_mib), (last, last_mib) = found[0], found[-1]
    return Line(
        name="memory.growth.broker",
        value=round(last_mib, 1),
        unit="MiB",
        ratio=round(first_mib / last_mib, 3),
        against=f"after {first} tasks: {first_mib:.1f} MiB; this is after {last}",
    )
