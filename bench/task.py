"""task: durable tasks from submit to stored result, over broker, node and client as processes with CURVE and FULL.

The recipe is one step that does nothing, on 100 fake devices and 20 slots; the node's outbox is on. After every
measurement the store is checked: each task passed once, no place of the log is empty; after a burst the broker is
killed before, and started again. Latencies are told as multiples of a durable write of the same time, too.
"""

from __future__ import annotations

import math
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import msgspec
import trio

from bench.disk import DurableWrite, durable_write, durable_writes
from bench.frames_floor import Frames, measure_frames
from bench.programs import Fleet, Programs, open_programs
from bench.report import Line, limited
from bench.store_floor import Floor, measure_floor, write_one_by_one
from bench.store_view import open_store_view
from doai.messages.commands import CREATE_RUN, CreateRun, TargetKind, Targets

RECIPE: Final = "workflow: nothing\nsteps:\n  - {id: nothing, use: wait, with: {for: 0ms}}\n"
MANY: Final = 4000
SINGLE_IN_FLIGHT: Final = 2000
"""Runs of one task without a reply: the broker takes 5,000 frames a second of one key, 10,000 at once."""
LATENCY_S: Final = 3.0
RATES: Final = (100, 1000)
FLEET: Final = Fleet(devices=100)
BARE_NODES: Final = (1, 4, 16)
REAL_NODES: Final = (4, 16)
"""Beside one; each is a process that starts for a second."""
DEVICES_A_NODE: Final = 25
GOAL_RATE: Final = 12_000.0
"""Tasks a second with many in flight, on two cores that have nothing else to do."""
GOAL_FLOOR: Final = 0.5
"""Of the broker's CPU a task, the floor's share: at most twice the floor."""
GOALS_MS: Final = {1000: {"p50": 4.0, "p99": 15.0}}
"""From submit to the stored result, by rate."""
IN_TURN: Final = 300
"""Tasks with one in flight."""
OBSERVE_EVERY_S: Final = 0.001
DRAIN_MAX_S: Final = 20.0
"""Results may be stored so long after the last submit; a rate that can not be kept ends here."""
MS: Final = 1e3


class Throughput(msgspec.Struct, frozen=True):
    """What one burst of tasks came to."""

    tasks: int
    seconds: float
    cpu_us: dict[str, float]
    """CPU of each process, a task."""
    floor: Floor
    """The same rows by bare executemany."""
    frames: Frames | None = None
    """Between the broker and all others; None = they were not counted."""
    frames_s: float = 0.0
    """CPU of a bare loop for as many of the same sizes."""


class Latency(msgspec.Struct, frozen=True):
    """What an open loop of single tasks came to."""

    rate: int
    stored_ms: list[float]
    """From the time at which a task was due to be sent, to its result on disk as an observer sees it; sorted."""
    done_in_time: int
    """Results stored before the last submit."""
    seconds: float
    """From the first submit to the last."""
    write: DurableWrite
    """Before and after, on the same disk."""


def run() -> Iterator[Line]:
    """Yield tasks/s and CPU with many in flight and with one, then latencies at fixed rates; takes 2 minutes."""
    bursts: dict[str, Throughput] = {}
    for per_run in (100, 1):
        bursts[f"runs_of_{per_run}"] = trio.run(measure_throughput, MANY, per_run)
    for nodes in REAL_NODES:
        fleet = Fleet(devices=DEVICES_A_NODE * nodes, nodes=nodes)
        bursts[f"nodes_{nodes}"] = trio.run(measure_throughput, MANY, 100, fleet)
    for nodes in BARE_NODES:
        fleet = Fleet(devices=16 * DEVICES_A_NODE, nodes=nodes, bare=True)
        bursts[f"bare_nodes_{nodes}"] = trio.run(measure_throughput, 2 * MANY, 100, fleet)
    for shape, measured in bursts.items():
        yield from throughput_lines(measured, shape)
    yield best_line(bursts)
    yield from in_turn_lines(trio.run(measure_in_turn, IN_TURN))
    for rate in RATES:
        yield from latency_lines(trio.run(measure_latency, rate, LATENCY_S))


# --- many in flight -------------------------------------------------------------------------------------------


async def measure_throughput(tasks: int, per_run: int, fleet: Fleet = FLEET) -> Throughput:
    """Submit all tasks as fast as the broker takes them, in runs of ``per_run`` devices, and wait for all.

    Then the broker is killed, what its file has is counted, and again once it has been started anew.
    """
    async with open_programs(fleet) as programs:
        workflow = await programs.store_workflow(RECIPE)
        await _submit(programs, workflow, len(programs.serials), per_run)  # warm
        await programs.store.wait_runs_ended()
        warm = programs.store.last_position()
        frames_before = await programs.frames()
        cpu, began = programs.cpu_s(), time.time()
        runs = await _submit(programs, workflow, tasks, per_run)
        await programs.store.wait_runs_ended()
        used = {name: (after - cpu[name]) / tasks * 1e6 for name, after in programs.cpu_s().items()}
        ended_ms = programs.store.number(
            "SELECT max(recorded_at_ms) FROM events WHERE position > ? AND type = 'task.completed'", (warm,)
        )
        frames_after = await programs.frames()
        warm_runs = math.ceil(len(programs.serials) / per_run)
        await programs.kill("broker")
        for start in (False, True):
            if start:
                await programs.children["broker"].start()
            with open_store_view(programs.folder / "broker" / "broker.db") as store:
                store.verify(tasks + len(programs.serials), runs + warm_runs)
        with tempfile.TemporaryDirectory(prefix="doai-bench-") as folder:
            floor = measure_floor(programs.store, warm, Path(folder))
    frames = None if frames_before is None or frames_after is None else frames_after.since(frames_before)
    frames_s = 0.0 if frames is None else await trio.to_thread.run_sync(measure_frames, frames)
    return Throughput(tasks, ended_ms / 1000 - began, used, floor, frames, frames_s)


async def _submit(programs: Programs, workflow: str, tasks: int, per_run: int) -> int:
    """Submit the tasks, return the number of runs once each is acknowledged."""
    serials = programs.serials
    limit = trio.CapacityLimiter(SINGLE_IN_FLIGHT)
    runs = 0
    async with trio.open_nursery() as nursery:
        for first in range(0, tasks, per_run):
            chosen = [serials[number % len(serials)] for number in range(first, min(first + per_run, tasks))]
            payload = CreateRun(workflow=workflow, targets=Targets(kind=TargetKind.DEVICES, serials=chosen))
            runs += 1
            key = object()
            await limit.acquire_on_behalf_of(key)
            answer = await programs.client.submit(CREATE_RUN, payload)

            async def acknowledged(answer: object = answer, key: object = key) -> None:
                await answer.result()  # type: ignore[attr-defined]
                limit.release_on_behalf_of(key)

            nursery.start_soon(acknowledged)
    return runs


def throughput_lines(measured: Throughput, shape: str) -> Iterator[Line]:
    """Yield the lines of one burst."""
    name = f"task.burst.{shape}"
    floor = measured.floor
    rate, floor_rate = measured.tasks / measured.seconds, floor.tasks / floor.seconds
    yield Line(
        name=f"{name}.rate",
        value=round(rate, 1),
        unit="tasks/s",
        ratio=round(rate / floor_rate, 4),
        against=f"bare executemany of the {floor.rows_a_task:.1f} row writes a task made in the broker's store:"
        f" {floor_rate:.6g} tasks/s",
    )
    for process, cpu_us in measured.cpu_us.items():
        rows_us, frames_us = floor.cpu_s / floor.tasks * 1e6, measured.frames_s / measured.tasks * 1e6
        against = f"the same rows: {rows_us:.4g} us/task"
        if measured.frames is not None:
            count = (measured.frames.taken + measured.frames.sent) / measured.tasks
            against += f"; the same {count:.2g} frames a task by a bare loop: {frames_us:.3g}"
        yield Line(
            name=f"{name}.cpu.{process}",
            value=round(cpu_us, 1),
            unit="us/task",
            ratio=round((rows_us + frames_us) / cpu_us, 4) if process == "broker" and cpu_us else None,
            against=against if process == "broker" else "",
            goal=GOAL_FLOOR if process == "broker" else None,
        )


def best_line(bursts: dict[str, Throughput]) -> Line:
    """Return the line of the burst with the most tasks a second, beside what is wanted."""
    rates = {shape: measured.tasks / measured.seconds for shape, measured in bursts.items()}
    shape = max(rates, key=rates.__getitem__)
    return Line(
        name="task.burst.best.rate",
        value=round(rates[shape], 1),
        unit="tasks/s",
        ratio=round(rates[shape] / GOAL_RATE, 4),
        against=f"goal of {GOAL_RATE:,.0f} tasks/s; this is {shape}",
        goal=1.0,
    )


# --- a window of unfinished tasks -----------------------------------------------------------------------------


async def measure_window(tasks: int, window: int, fleet: Fleet = FLEET) -> float:
    """Submit runs of a tenth of the window, never more unfinished tasks than the window; return the seconds."""
    per_run = max(1, window // 10)
    async with open_programs(fleet) as programs:
        store, serials = programs.store, programs.serials
        workflow = await programs.store_workflow(RECIPE)
        await _submit(programs, workflow, len(serials), len(serials))  # warm
        await store.wait_runs_ended()
        position, ended = store.last_position(), 0
        began = time.perf_counter()
        for first in range(0, tasks, per_run):
            while first + per_run - ended > window:
                position, newly = store.ended_after(position)
                ended += len(newly)
                await trio.sleep(OBSERVE_EVERY_S)
            chosen = [serials[number % len(serials)] for number in range(first, first + per_run)]
            targets = Targets(kind=TargetKind.DEVICES, serials=chosen)
            await programs.client.submit(CREATE_RUN, CreateRun(workflow=workflow, targets=targets))
        while ended < tasks:
            position, newly = store.ended_after(position)
            ended += len(newly)
            await trio.sleep(OBSERVE_EVERY_S)
        seconds = time.perf_counter() - began
        await store.wait_runs_ended()
        store.verify(tasks + len(serials), tasks // per_run + 1)
    return seconds


# --- one in flight --------------------------------------------------------------------------------------------


class InTurn(msgspec.Struct, frozen=True):
    """What submits that wait for each other came to, and the same number of bare commits of a row."""

    tasks: int
    seconds: float
    """Until the last submit was acknowledged."""
    acked_ms: list[float]
    """From each submit to its ack."""
    bare_s: float
    write: DurableWrite
    """Before and after, on the same disk."""


async def measure_in_turn(tasks: int, fleet: Fleet = FLEET) -> InTurn:
    """Submit tasks one by one, each once the one before is acknowledged; the reference is one row a commit."""
    async with open_programs(fleet) as programs:
        workflow = await programs.store_workflow(RECIPE)
        acked_ms: list[float] = []
        writes = durable_writes(programs.folder)
        began = before = time.perf_counter()
        for number in range(tasks):
            serial = programs.serials[number % len(programs.serials)]
            targets = Targets(kind=TargetKind.DEVICES, serials=[serial])
            await programs.client.command(CREATE_RUN, CreateRun(workflow=workflow, targets=targets))
            now = time.perf_counter()
            acked_ms.append((now - before) * MS)
            before = now
        seconds = before - began
        await programs.store.wait_runs_ended()
        programs.store.verify(tasks, tasks)
        writes += durable_writes(programs.folder)
    with tempfile.TemporaryDirectory(prefix="doai-bench-") as folder:
        bare_s = write_one_by_one(Path(folder) / "bare.db", tasks)
    return InTurn(tasks, seconds, acked_ms, bare_s, durable_write(writes))


def in_turn_lines(measured: InTurn) -> Iterator[Line]:
    """Yield the lines of one in flight."""
    rate, bare_rate = measured.tasks / measured.seconds, measured.tasks / measured.bare_s
    yield Line(
        name="task.in_turn",
        value=round(rate, 1),
        unit="tasks/s",
        ratio=round(rate / bare_rate, 4),
        against=f"one row a commit (FULL): {bare_rate:.6g} commits/s",
    )
    yield from quantile_lines("task.in_turn.acked", measured.acked_ms, measured.write)


# --- at a fixed rate ------------------------------------------------------------------------------------------


async def measure_latency(rate: int, seconds: float, devices: int = 100) -> Latency:
    """Submit single tasks at a fixed rate, whatever comes back, and watch the store for their results."""
    async with open_programs(Fleet(devices=devices)) as programs:
        workflow = await programs.store_workflow(RECIPE)
        await _submit(programs, workflow, len(programs.serials), len(programs.serials))  # warm
        await programs.store.wait_runs_ended()
        count = round(rate * seconds)
        due_s: dict[str, float] = {}
        seen_s: dict[str, float] = {}
        writes = durable_writes(programs.folder)
        began = time.perf_counter()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(observe, programs, seen_s, count)
            await submit_at_rate(programs, workflow, rate, count, began, due_s)
            last_submit = time.perf_counter()
            nursery.cancel_scope.deadline = trio.current_time() + DRAIN_MAX_S
        await programs.store.wait_runs_ended()
        programs.store.verify(count + len(programs.serials), count + 1)
        writes += durable_writes(programs.folder)
    # A result that no observer saw in time is as late as can be: the rate was not kept.
    stored = sorted((seen_s.get(task, math.inf) - due) * MS for task, due in due_s.items())
    in_time = sum(seen <= last_submit for seen in seen_s.values())
    return Latency(rate, stored, in_time, last_submit - began, durable_write(writes))


async def submit_at_rate(
    programs: Programs,
    workflow: str,
    rate: int,
    count: int,
    began: float,
    due_s: dict[str, float],
    *,
    queue: str = "default",
) -> None:
    """Submit single tasks at a fixed rate; ``due_s`` gets when each was due to be sent, by task."""
    async with trio.open_nursery() as nursery:
        for number in range(count):
            due = began + number / rate
            ahead = due - time.perf_counter()
            if ahead > 0:
                await trio.sleep(ahead)
            targets = Targets(kind=TargetKind.DEVICES, serials=[programs.serials[number % len(programs.serials)]])
            create = CreateRun(workflow=workflow, targets=targets, queue=queue)
            answer = await programs.client.submit(CREATE_RUN, create)

            async def acknowledged(answer: object = answer, due: float = due) -> None:
                [task_id] = (await answer.result())["taskIds"]  # type: ignore[attr-defined]
                due_s[task_id] = due

            nursery.start_soon(acknowledged)


async def observe(programs: Programs, seen_s: dict[str, float], count: int) -> None:
    """Note when each task's result is in the store for others to see."""
    position = programs.store.last_position()
    while len(seen_s) < count:
        position, ended = programs.store.ended_after(position)
        now = time.perf_counter()
        for task_id in ended:
            seen_s[task_id] = now
        await trio.sleep(OBSERVE_EVERY_S)


def latency_lines(measured: Latency) -> Iterator[Line]:
    """Yield the lines of one rate."""
    name = f"task.at_{measured.rate}_s"
    kept = measured.done_in_time / measured.seconds
    yield Line(
        name=f"{name}.kept",
        value=round(kept, 1),
        unit="tasks/s",
        ratio=round(kept / measured.rate, 4),
        against=f"submitted: {measured.rate} tasks/s",
    )
    yield from quantile_lines(f"{name}.stored", measured.stored_ms, measured.write, GOALS_MS.get(measured.rate, {}))


def quantile_lines(
    name: str, taken_ms: list[float], write: DurableWrite, goals_ms: Mapping[str, float] = MappingProxyType({})
) -> Iterator[Line]:
    """Yield median and 99th percentile of some times, in ms and as multiples of a durable write of the same run."""
    cuts = statistics.quantiles(taken_ms, n=100, method="inclusive")
    for label, value, write_ms in (("p50", cuts[49], write.p50_ms), ("p99", cuts[98], write.p99_ms)):
        goal_ms = goals_ms.get(label)
        if goal_ms is None:
            yield Line(name=f"{name}.{label}", value=round(value, 2), unit="ms")
        else:
            yield limited(f"{name}.{label}", "ms", value, goal_ms)
        yield Line(
            name=f"{name}.{label}.writes",
            value=round(value / write_ms, 2),
            unit="durable writes",
            against=f"a page appended and synced, {label}: {write_ms:.3g} ms",
        )
