"""recovery: how long a killed broker or node is missed, with open tasks in the store, and what a start costs.

Broker and node are processes; SIGKILL ends them in the middle of tasks. Times are those of an observer who asks the
store: the node was welcomed when the store says so, a result is there when its event is in the log.
"""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec
import trio

from bench.backlog import fill_store
from bench.mesh_client import open_mesh_client
from bench.programs import (
    NODE,
    TICKS_PER_S,
    Fleet,
    broker_settings,
    cpu_s,
    device_settings,
    node_settings,
    start_program,
)
from bench.report import Line, limited
from bench.store_view import StoreView, open_store_view
from doai.cli.child import Child
from doai.messages.commands import ADD_KEY, STORE_WORKFLOW, AddKey, StoreWorkflow
from doai.ports import free_port
from doai.wire.keys import load_or_make_keypair

RECIPE: Final = "workflow: nap\nsteps:\n  - {id: nap, use: wait, with: {for: 200ms}}\n"
BACKLOG: Final = 100_000
SIZES: Final = (1_000, 10_000, BACKLOG)
ROUNDS: Final = 3
DEVICES: Final = 100
PHONES: Final = 20
UNDER_WAY: Final = 100
"""Results before a kill: the load is there."""
LOOK_S: Final = 0.005
WITHIN_S: Final = 120.0
GOALS_S: Final[Mapping[str, float]] = {
    "broker.first_result": 3.0,
    "node.not_proven": 15.0,
    "node.first_start": 5.0,
    "node.phones.first_start": 5.0,
}


class Daemons:
    """A broker and a node that end and come back; `open_daemons` makes it."""

    def __init__(self, folder: Path, settings: dict[str, dict[str, object]]) -> None:
        self.folder = folder
        self.settings = settings
        self.children: dict[str, Child] = {}
        self.workflow = ""
        self.devices = 0

    @property
    def store_path(self) -> Path:
        """Of the broker."""
        return self.folder / "broker" / "broker.db"

    async def start(self, name: str) -> float:
        """Start a program, with the ports that it had before; return the seconds until it was ready."""
        began = time.perf_counter()
        child = await start_program(self.children, self.folder, name, self.settings[name])
        took_s = time.perf_counter() - began
        if name == "broker":
            self.settings["broker"]["endpoint"] = child.ready["X_DOAI_ENDPOINT"]
        return took_s

    async def kill(self, name: str) -> None:
        """SIGKILL it and wait for its end."""
        os.kill(self.children[name].pid, signal.SIGKILL)
        await self.children[name].wait()

    async def stop(self, name: str) -> None:
        """SIGTERM it and wait for its end."""
        await self.children[name].stop()


@asynccontextmanager
async def open_daemons(fleet: Fleet) -> AsyncIterator[Daemons]:
    """Yield daemons of which none runs: the broker knows the node's key, its devices and the recipe."""
    with tempfile.TemporaryDirectory(prefix="doai-bench-") as name:
        folder = Path(name)
        daemons = Daemons(folder, {"broker": broker_settings(folder), "node": node_settings(folder, fleet)})
        daemons.devices = fleet.devices
        try:
            await _set_up(daemons, fleet)
            yield daemons
        finally:
            with trio.CancelScope(shield=True):
                for child in reversed(daemons.children.values()):
                    await child.stop()


async def _set_up(daemons: Daemons, fleet: Fleet) -> None:
    folder = daemons.folder
    await daemons.start("broker")
    ready = daemons.children["broker"].ready
    endpoint, server_key = ready["X_DOAI_ENDPOINT"], ready["X_DOAI_PUBLIC_KEY"]
    daemons.settings["node"] |= await device_settings(daemons.children, folder, fleet, free_port())
    daemons.settings["node"] |= {"endpoint": endpoint, "broker_public_key": server_key}
    admin = load_or_make_keypair(folder / "broker" / "keys" / "admin.key")
    public = load_or_make_keypair(folder / "node" / "keys" / "node.key").public
    async with open_mesh_client(endpoint, admin, server_key) as client:
        await client.command(ADD_KEY, AddKey(name=NODE, role="node", public_key=public))
        stored = await client.command(STORE_WORKFLOW, StoreWorkflow(source=RECIPE))
    daemons.workflow = f"{stored['name']}@{stored['version']}"
    await daemons.start("node")
    with open_store_view(daemons.store_path) as store, trio.fail_after(WITHIN_S):
        await store.wait_devices(daemons.devices)
    await daemons.stop("node")
    await daemons.stop("broker")


async def observe(began_s: float, questions: Mapping[str, Callable[[], bool]]) -> dict[str, float]:
    """Ask again and again until all are true; return when each first was, in seconds after ``began_s``."""
    seen: dict[str, float] = {}
    with trio.fail_after(WITHIN_S):
        while len(seen) < len(questions):
            for name, is_true in questions.items():
                if name not in seen and is_true():
                    seen[name] = time.perf_counter() - began_s
            await trio.sleep(LOOK_S)
    return seen


def run() -> Iterator[Line]:
    """Yield the times after kills, then the costs of a start; takes some 90 s."""
    broker = trio.run(measure_broker_kill, BACKLOG)
    yield from (line(f"broker.{name}", seconds) for name, seconds in broker.items())
    node = trio.run(measure_node_kill, Fleet(devices=DEVICES), True)
    yield from (line(f"node.{name}", seconds) for name, seconds in node.items())
    phones = trio.run(measure_node_kill, Fleet(devices=PHONES, phones=True), False)
    yield from (line(f"node.phones.{name}", seconds) for name, seconds in phones.items())
    yield from start_lines(trio.run(measure_starts, SIZES))


def line(name: str, seconds: float) -> Line:
    """Return the line of one time; the ratio is goal to time, where there is a goal."""
    goal_s = GOALS_S.get(name)
    if goal_s is None:
        return Line(name=f"recovery.{name}", value=round(seconds, 3), unit="s")
    return limited(f"recovery.{name}", "s", seconds, goal_s, digits=3)


# --- kills ----------------------------------------------------------------------------------------------------


async def measure_broker_kill(backlog: int, devices: int = DEVICES) -> dict[str, float]:
    """Kill the broker under load and start it at once: seconds from its start."""
    async with open_daemons(Fleet(devices=devices)) as daemons:
        fill_store(daemons.store_path, daemons.workflow, open_tasks=backlog)
        await daemons.start("broker")
        await daemons.start("node")
        with open_store_view(daemons.store_path) as store:
            await _wait_results(store, min(UNDER_WAY, backlog // 2))
            await daemons.kill("broker")
            position, connected_at_ms = store.last_position(), _connected_at_ms(store)
            seen: dict[str, float] = {}
            began = time.perf_counter()

            async def look() -> None:
                seen.update(
                    await observe(
                        began,
                        {
                            "node_welcome": lambda: _connected_at_ms(store) > connected_at_ms,
                            "first_result": lambda: _has(store, position, "task.completed"),
                            "first_result_of_new_task": lambda: _has_result_of_new_task(store, position),
                        },
                    )
                )

            async with trio.open_nursery() as nursery:
                nursery.start_soon(look)
                ready_s = await daemons.start("broker")
    return {"ready": ready_s, **seen}


async def measure_node_kill(fleet: Fleet, wait_late: bool) -> dict[str, float]:
    """Kill the node under load; seconds until it counts as not proven, then from its start to its first task."""
    async with open_daemons(fleet) as daemons:
        fill_store(daemons.store_path, daemons.workflow, open_tasks=100 * fleet.devices)
        await daemons.start("broker")
        await daemons.start("node")
        seen: dict[str, float] = {}
        with open_store_view(daemons.store_path) as store:
            await _wait_results(store, UNDER_WAY)
            began = time.perf_counter()
            await daemons.kill("node")
            if wait_late:
                late = "SELECT count(*) FROM nodes WHERE state <> 'online'"
                seen |= await observe(began, {"not_proven": lambda: store.number(late) > 0})
            position = store.last_position()
            began = time.perf_counter()

            async def look() -> None:
                seen.update(
                    await observe(
                        began,
                        {
                            "first_start": lambda: _has(store, position, "task.started"),
                            "all_devices_at_work": lambda: _started(store, position) >= min(fleet.devices, 20),
                        },
                    )
                )

            async with trio.open_nursery() as nursery:
                nursery.start_soon(look)
                seen["ready"] = await daemons.start("node")
    return seen


async def _wait_results(store: StoreView, count: int) -> None:
    position = 0
    ended = 0
    with trio.fail_after(WITHIN_S):
        while ended < count:
            position, more = store.ended_after(position)
            ended += len(more)
            await trio.sleep(LOOK_S)


def _connected_at_ms(store: StoreView) -> int:
    return store.number("SELECT max(connected_at_ms) FROM nodes")


def _has(store: StoreView, position: int, event_type: str) -> bool:
    sql = "SELECT EXISTS (SELECT 1 FROM events WHERE position > ? AND type = ?)"
    return bool(store.number(sql, (position, event_type)))


def _has_result_of_new_task(store: StoreView, position: int) -> bool:
    sql = (
        "SELECT EXISTS (SELECT 1 FROM events AS e JOIN events AS d ON d.subject = e.subject "
        "AND d.position > ?1 AND d.type = 'task.dispatched' WHERE e.position > ?1 AND e.type = 'task.completed')"
    )
    return bool(store.number(sql, (position,)))


def _started(store: StoreView, position: int) -> int:
    sql = "SELECT count(DISTINCT subject) FROM events WHERE position > ? AND type = 'task.started'"
    return store.number(sql, (position,))


# --- starts ---------------------------------------------------------------------------------------------------


class Start(msgspec.Struct, frozen=True, order=True):
    """What one start of the broker took until READY."""

    cpu_s: float
    """In its process: what a busy host does not change."""
    seconds: float


class Starts(msgspec.Struct, frozen=True):
    """The fastest starts of stores of different sizes."""

    open: dict[int, Start]
    """By open tasks."""
    finished: Start
    """As many open tasks as in the smallest, and finished ones."""


async def measure_starts(sizes: Sequence[int], finished: int = BACKLOG) -> Starts:
    """Start the broker over stores with so many open tasks, and over the smallest with finished ones besides."""
    found: dict[int, Start] = {}
    async with open_daemons(Fleet(devices=DEVICES)) as daemons:
        there = 0
        for size in sorted(sizes):
            fill_store(daemons.store_path, daemons.workflow, open_tasks=size - there)
            there = size
            found[size] = await _fastest_start(daemons)
    async with open_daemons(Fleet(devices=DEVICES)) as daemons:
        fill_store(daemons.store_path, daemons.workflow, open_tasks=min(sizes), finished_tasks=finished)
        return Starts(found, await _fastest_start(daemons))


async def _fastest_start(daemons: Daemons) -> Start:
    taken = []
    for _ in range(ROUNDS):
        seconds = await daemons.start("broker")
        taken.append(Start(cpu_s(daemons.children["broker"].pid), seconds))
        await daemons.stop("broker")
    return min(taken)


def start_lines(starts: Starts) -> Iterator[Line]:
    """Yield what open tasks cost a start, each size against a straight line, and what finished ones cost."""
    smallest, *larger = sorted(starts.open)
    yield _start_line(f"open_{smallest}", starts.open[smallest])
    # Nearly all of the smallest start is the program itself: what more tasks cost begins there.
    base_s = starts.open[smallest].cpu_s
    costs = {size: max(starts.open[size].cpu_s - base_s, 1 / TICKS_PER_S) for size in larger}
    for before, size in zip([None, *larger], larger, strict=False):
        if before is None:
            yield _start_line(f"open_{size}", starts.open[size])
            continue
        linear_s = costs[before] * (size - smallest) / (before - smallest)
        yield msgspec.structs.replace(
            _start_line(f"open_{size}", starts.open[size]),
            ratio=round(linear_s / costs[size], 3),
            against=f"as much CPU for each task more as up to {before}: {base_s + linear_s:.3g} s of CPU",
        )
    yield msgspec.structs.replace(
        _start_line("finished", starts.finished),
        ratio=round(base_s / starts.finished.cpu_s, 3),
        against=f"without finished tasks: {base_s:.3g} s of CPU",
    )


def _start_line(name: str, start: Start) -> Line:
    return Line(name=f"recovery.start.{name}.cpu", value=round(start.cpu_s, 3), unit="s")
