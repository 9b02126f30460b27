"""The history of figures: one line a run of a benchmark, with its commit and the kind of machine it ran on.

A line has what two runs need to be compared, and nothing that names a host, a user or a place.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from bench.report import ROOT, Line, current_commit
from doai.envelope import utc_datetime

PATH: Final = ROOT / "bench" / "history.jsonl"
_CPU_INFO: Final = Path("/proc/cpuinfo")


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """What figures depend on besides the code."""

    cpu: str
    cores: int
    """That this process may use."""
    python: str
    system: str
    load: float
    """Processes that wanted to run in the minute before, per core: above 1 the machine had other things to do."""


class Figure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of a run, without what the run has once."""

    name: str
    value: float
    unit: str
    ratio: float | None = None
    goal: float | None = None
    """The ratio that was wanted."""
    against: str = ""
    """What the reference was and what it measured."""


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One run of one benchmark."""

    at: str
    commit: str
    benchmark: str
    machine: Machine
    figures: list[Figure]


def machine() -> Machine:
    """Look at this machine."""
    cores = len(os.sched_getaffinity(0))
    return Machine(
        cpu=_cpu(),
        cores=cores,
        python=platform.python_version(),
        system=f"{platform.system()} {platform.release().partition('-')[0]}",
        load=round(os.getloadavg()[0] / cores, 2),
    )


def _cpu() -> str:
    try:
        text = _CPU_INFO.read_text()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.machine()


def append(benchmark: str, lines: Sequence[Line], began: Machine, path: Path = PATH) -> Run:
    """Add the line of a run that has ended; ``began``: the machine before the run made its own load."""
    run = Run(
        at=utc_datetime(time.time_ns() // 1_000_000).isoformat(timespec="seconds"),
        commit=current_commit(),
        benchmark=benchmark,
        machine=began,
        figures=[
            Figure(
                name=line.name,
                value=line.value,
                unit=line.unit,
                ratio=line.ratio,
                goal=line.goal,
                against=line.against,
            )
            for line in lines
        ],
    )
    with path.open("ab") as file:  # one write: two runs that end at once do not mix
        file.write(msgspec.json.encode(run) + b"\n")
    return run


def load(path: Path = PATH) -> list[Run]:
    """Return all runs, oldest first; none where there is no file yet."""
    if not path.exists():
        return []
    decode = msgspec.json.Decoder(Run).decode
    return [decode(line) for line in path.read_bytes().splitlines() if line]
