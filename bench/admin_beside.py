"""Whether people who look slow tasks: the same load in turn without and with viewers of an admin's event stream.

Broker, node and admin are the real programs; viewers are one process of their own, tasks come at a fixed rate, each
of some eight events. Windows follow each other as A B B A, so that what else the machine does meets both; the
interval is that of a bootstrap over pairs of windows.
"""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import msgspec
import trio

from bench.programs import Fleet, Programs, open_programs, start_program
from bench.report import ROOT, Line
from bench.task import RECIPE, observe, submit_at_rate

GOAL: Final = 1.1
"""With viewers the 99th percentile is at most so many times that without."""
DRAIN_S: Final = 30.0
READY_S: Final = 60.0
RESAMPLED: Final = 2000


class Beside(msgspec.Struct, frozen=True, kw_only=True):
    """How much is measured."""

    pairs: int
    window_s: float
    tasks_per_s: int
    viewers: int
    devices: int


FULL: Final = Beside(pairs=24, window_s=5.0, tasks_per_s=62, viewers=50, devices=100)
SMALL: Final = Beside(pairs=1, window_s=0.3, tasks_per_s=20, viewers=3, devices=10)


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """What one window came to."""

    stored_ms: list[float]
    """From the time at which a task was due to be sent, to its result on disk as others see it."""
    events_per_s: float
    """Of the log."""
    seen_per_s: float
    """By the viewer who saw least; 0 = there was none."""
    broker_us: float
    """CPU of the broker, a task."""


def beside_lines(wanted: Beside) -> Iterator[Line]:
    """Yield what viewers cost; takes some five minutes for FULL."""
    without, beside = trio.run(measure_beside, wanted)
    calm, busy = _p99(without), _p99(beside)
    low, high = interval(without, beside)
    load = f"{wanted.pairs} pairs of windows of {wanted.window_s:g} s, load average {os.getloadavg()[0]:.1f}"
    yield Line(name="admin.beside.p99", value=round(busy, 2), unit="ms", ratio=round(calm / busy, 3),
               against=f"without viewers: {calm:.2f} ms; {busy / calm:.2f} times, with 95 % {low:.2f} to {high:.2f}"
               f" (goal: {GOAL:g}); {load}", goal=round(1 / GOAL, 2))  # fmt: skip
    calm, busy = _median(without), _median(beside)
    yield Line(name="admin.beside.p50", value=round(busy, 2), unit="ms", ratio=round(calm / busy, 3),
               against=f"without viewers: {calm:.2f} ms")  # fmt: skip
    calm, busy = (statistics.median(each.broker_us for each in windows) for windows in (without, beside))
    ratio = round(calm / busy, 3) if busy else None
    yield Line(name="admin.beside.cpu.broker", value=round(busy, 1), unit="us/task", ratio=ratio,
               against=f"without viewers: {calm:.1f} us/task")  # fmt: skip
    told = statistics.median(each.events_per_s for each in beside)
    seen = statistics.median(each.seen_per_s for each in beside)
    against = f"of the log, {wanted.viewers} viewers: {told:.0f} events/s"
    yield Line(name="admin.beside.events", value=round(seen, 1), unit="events/s a viewer",
               ratio=round(seen / told, 3), against=against)  # fmt: skip


async def measure_beside(wanted: Beside) -> tuple[list[Window], list[Window]]:
    """Return the windows without viewers, and those with."""
    async with open_programs(Fleet(devices=wanted.devices)) as programs:
        folder = programs.folder
        settings = {
            "data_dir": str(folder / "broker"),
            "endpoint": programs.children["broker"].ready["X_DOAI_ENDPOINT"],
            "port": 0,
            "first_token_file": str(folder / "token"),
            "backup_every_h": 0,
            "retention_every_h": 0,
        }
        admin = await start_program(programs.children, folder, "admin", settings)
        with trio.fail_after(READY_S):
            while not (folder / "token").exists():  # noqa: ASYNC110 - a file of another process
                await trio.sleep(0.05)
        token = (folder / "token").read_text().strip()
        address = admin.ready["X_DOAI_URL"].partition("//")[2]
        workflow = await programs.store_workflow(RECIPE)
        await _window(programs, workflow, wanted, None)  # warm
        found: tuple[list[Window], list[Window]] = ([], [])
        for pair in range(wanted.pairs):
            for looked_at in (False, True) if pair % 2 == 0 else (True, False):
                async with _viewers(address, token, wanted.viewers if looked_at else 0) as viewers:
                    found[looked_at].append(await _window(programs, workflow, wanted, viewers))
        return found


@asynccontextmanager
async def _viewers(address: str, token: str, count: int) -> AsyncIterator[trio.Process | None]:
    """Have so many look, as soon as all of them do."""
    if not count:
        yield None
        return
    command = [sys.executable, "-m", "bench.viewers", *address.split(":"), str(count)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DOAI_")}
    process = await trio.lowlevel.open_process(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, env=environment
    )
    try:
        if await _asked(process, token) != "on":
            raise RuntimeError("the viewers did not come: see above")
        yield process
    finally:
        process.terminate()
        with trio.CancelScope(shield=True):
            await process.wait()


async def _asked(process: trio.Process, line: str) -> str:
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("the viewers have no pipes")
    answer = b""
    with trio.fail_after(READY_S):
        await process.stdin.send_all(f"{line}\n".encode())
        while not answer.endswith(b"\n"):
            part = await process.stdout.receive_some()
            if not part:
                raise RuntimeError("the viewers ended: see above")
            answer += part
    return answer.decode().strip()


async def _window(programs: Programs, workflow: str, wanted: Beside, viewers: trio.Process | None) -> Window:
    due_s: dict[str, float] = {}
    seen_s: dict[str, float] = {}
    count = max(1, round(wanted.tasks_per_s * wanted.window_s))
    position, cpu_s, began = programs.store.last_position(), programs.cpu_s(), time.perf_counter()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(observe, programs, seen_s, count)
        await submit_at_rate(programs, workflow, wanted.tasks_per_s, count, began, due_s)
        nursery.cancel_scope.deadline = trio.current_time() + DRAIN_S
    took_s = time.perf_counter() - began
    events = programs.store.last_position() - position
    used_s = programs.cpu_s()["broker"] - cpu_s["broker"]
    seen = int(await _asked(viewers, "")) if viewers is not None else 0
    if len(seen_s) < count:
        raise RuntimeError(f"{count - len(seen_s)} of {count} tasks had no result within {DRAIN_S:g} s")
    stored_ms = [(seen_s[task] - due) * 1e3 for task, due in due_s.items()]
    return Window(
        stored_ms=stored_ms,
        events_per_s=events / took_s,
        seen_per_s=seen / took_s,
        broker_us=used_s / count * 1e6,
    )


def interval(without: Sequence[Window], beside: Sequence[Window]) -> tuple[float, float]:
    """Return where the ratio of the 99th percentiles lies with 95 %: pairs of windows are drawn anew."""
    chance, pairs = random.Random(1), range(len(without))
    ratios = []
    for _ in range(RESAMPLED):
        drawn = chance.choices(pairs, k=len(pairs))
        ratios.append(_p99([beside[n] for n in drawn]) / _p99([without[n] for n in drawn]))
    ratios.sort()
    return ratios[int(0.025 * RESAMPLED)], ratios[int(0.975 * RESAMPLED)]


def _p99(windows: Sequence[Window]) -> float:
    together = sorted(each for window in windows for each in window.stored_ms)
    return together[min(len(together) - 1, int(0.99 * len(together)))]


def _median(windows: Sequence[Window]) -> float:
    return statistics.median(each for window in windows for each in window.stored_ms)
