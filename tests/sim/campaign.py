"""Many seeds: speed, faults by kind, coverage, and for every failure the command that replays it (all steps)."""

from __future__ import annotations

import gc
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Final

import coverage
import msgspec

from tests.sim.scenario import ALWAYS_ON, FAULT_WEIGHTS
from tests.sim.simulation import Verdict, simulate

ROOT: Final = Path(__file__).resolve().parents[2]
COVERED: Final = ("doai/broker/core", "doai/node/core", "doai/link")
_MEMORY: Final = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""Power is never cut here, so real files need no disk that is slow to sync; tests/power cuts it."""
AT_ONCE: Final = 4
"""Seeds that a process takes at a time: at the end none waits long for another."""
FAULTS_DUE_AFTER: Final = 100
"""A campaign of this many seeds must have seen every kind of fault."""


class Report(msgspec.Struct, kw_only=True):
    """What a campaign came to."""

    verdicts: list[Verdict]
    wall_s: float
    cpu_s: float
    """Of all processes; on a busy machine more than a wall second goes by meanwhile."""
    coverage_percent: float | None = None
    missing: list[str] = []

    @property
    def faults(self) -> Counter[str]:
        """How often each kind happened."""
        total: Counter[str] = Counter()
        for verdict in self.verdicts:
            total.update(verdict.faults)
        return total

    @property
    def failures(self) -> list[Verdict]:
        """Seeds that broke a rule."""
        return [verdict for verdict in self.verdicts if verdict.kind]

    def never_fired(self) -> list[str]:
        """Return the kinds of fault that a campaign of this size must have seen and has not."""
        if len(self.verdicts) < FAULTS_DUE_AFTER:
            return []
        return sorted(kind for kind in (*FAULT_WEIGHTS, *ALWAYS_ON) if not self.faults[kind])


def run_seed(seed: int, scale: float = 1.0) -> Verdict:
    """Run one seed, with a folder for the worlds that use real files."""
    gc.disable()  # a world is short and its garbage goes with it; collected between worlds
    try:
        with tempfile.TemporaryDirectory(prefix="doai-sim-", dir=_MEMORY) as folder:
            return simulate(seed, folder=Path(folder), scale=scale)
    finally:
        gc.collect(0)  # of the world alone: what was there before it is older than what it made
        gc.enable()


def _run_part(seeds: Sequence[int], scale: float, data_file: str) -> list[Verdict]:
    if not data_file:
        return [run_seed(seed, scale) for seed in seeds]
    # The data file of each part is its own: the parts are combined afterwards.
    part = coverage.Coverage(
        data_file=f"{data_file}.{os.getpid()}.{seeds[0]}",
        branch=True,
        include=[f"{ROOT / folder}/*" for folder in COVERED],
        config_file=False,
    )
    part.start()
    try:
        return [run_seed(seed, scale) for seed in seeds]
    finally:
        part.stop()
        part.save()


def _cpu_s() -> float:
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def _parts(seeds: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for start in range(0, len(seeds), size):
        yield seeds[start : start + size]


def run_campaign(seeds: Sequence[int], *, jobs: int = 1, scale: float = 1.0, measure: bool = False) -> Report:
    """Run these seeds in so many processes; ``measure`` the branches they take (that makes it slower)."""
    began_s, cpu_before_s = time.perf_counter(), _cpu_s()
    with tempfile.TemporaryDirectory(prefix="doai-sim-coverage-") as folder:
        data_file = f"{folder}/data" if measure else ""
        verdicts: list[Verdict] = []
        if jobs == 1:
            verdicts += _run_part(seeds, scale, data_file)
        else:
            with ProcessPoolExecutor(jobs) as executor:
                parts = list(_parts(seeds, max(1, min(AT_ONCE, len(seeds) // jobs))))
                for part in executor.map(_run_part, parts, [scale] * len(parts), [data_file] * len(parts)):
                    verdicts += part
        report = Report(verdicts=verdicts, wall_s=time.perf_counter() - began_s, cpu_s=_cpu_s() - cpu_before_s)
        if measure:
            _measure(report, data_file)
    return report


def _measure(report: Report, data_file: str) -> None:
    total = coverage.Coverage(
        data_file=data_file,
        branch=True,
        include=[f"{ROOT / folder}/*" for folder in COVERED],
        config_file=False,
    )
    total.combine([str(path) for path in Path(data_file).parent.glob("data.*")])
    covered = possible = 0
    for path in sorted(total.get_data().measured_files()):
        analysis = total._analyze(path)
        covered += analysis.numbers.n_executed_branches
        possible += analysis.numbers.n_branches
        arcs = [(line, to) for line, others in analysis.missing_branch_arcs().items() for to in others]
        if arcs:
            name = Path(path).relative_to(ROOT)
            missed = ", ".join(f"{line}->{to if to > 0 else 'end'}" for line, to in sorted(arcs))
            report.missing.append(f"{name}: {missed}")
    report.coverage_percent = 100.0 * covered / possible if possible else None
