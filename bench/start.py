"""start: from nothing to the first result: broker, node with fake devices, a run; against bare interpreters.

The reference is two bare interpreters, one after the other, that import what broker and node are made of: what no
program of this kind can be faster than. Both alternate within one run.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Final

import msgspec
import trio

from bench.programs import Fleet, open_programs
from bench.report import ROOT, Line, compared
from bench.task import RECIPE
from doai.messages.commands import CREATE_RUN, CreateRun, TargetKind, Targets

ROUNDS: Final = 3
LIBRARIES: Final = "import apsw, msgspec, trio, zmq, yaml"
POLL_S: Final = 0.002
WITHIN_S: Final = 120.0


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """One start; seconds from nothing."""

    welcome_s: float
    """Broker and node run, and all devices are online."""
    result_s: float
    """The result of a task is in the store."""
    bare_s: float


def run() -> Iterator[Line]:
    """Yield seconds to all devices and to the first result; takes some 15 s."""
    yield from lines([trio.run(measure) for _ in range(ROUNDS)])


async def measure(devices: int = 10) -> Started:
    """Start everything, run one task, and start the bare interpreters."""
    began = time.perf_counter()
    async with open_programs(Fleet(devices=devices)) as programs:
        welcome_s = time.perf_counter() - began
        workflow = await programs.store_workflow(RECIPE)
        targets = Targets(kind=TargetKind.DEVICES, serials=programs.serials[:1])
        await programs.client.command(CREATE_RUN, CreateRun(workflow=workflow, targets=targets))
        with trio.fail_after(WITHIN_S):
            while not programs.store.number("SELECT count(*) FROM tasks WHERE state = 'passed'"):  # noqa: ASYNC110
                await trio.sleep(POLL_S)
        result_s = time.perf_counter() - began
        programs.store.verify(1, 1)
    return Started(welcome_s=welcome_s, result_s=result_s, bare_s=await trio.to_thread.run_sync(start_bare))


def start_bare() -> float:
    """Return the seconds of two interpreters, one after the other, that import the libraries and end."""
    began = time.perf_counter()
    for _ in range(2):
        subprocess.run([sys.executable, "-c", LIBRARIES], cwd=ROOT, check=True, timeout=WITHIN_S)
    return time.perf_counter() - began


def lines(starts: list[Started]) -> Iterator[Line]:
    """Yield the lines of some starts."""
    bare = [start.bare_s for start in starts]
    against = "two bare interpreters with the same libraries"
    yield compared("start.devices_online", "s", [start.welcome_s for start in starts], bare, against, "less")
    yield compared("start.first_result", "s", [start.result_s for start in starts], bare, against, "less")
