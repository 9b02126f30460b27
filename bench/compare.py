"""What changed between two commits beyond the noise: own checkouts, interleaved rounds, a bootstrap interval.

Both commits are measured by the benchmark of the second one (``--own``: each by its own), in temporary folders, in
the order A B B A, so that what else the machine does meets both. A figure has changed where three things hold: the
interval in which the ratio of the medians lies with 95 % does not contain 1, the ranks of the values say so too (by
chance in at most 5 %), and the difference is larger than what two checkouts of one commit show.
"""

from __future__ import annotations

import itertools
import math
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from bench.report import ROOT, Line
from doai.errors import DoaiError

DRAWS: Final = 2000
ORDERS_MAX: Final = 20_000
"""As many orders of two series are gone through; of more (from 9 rounds on) some are drawn."""
ROUNDS: Final = 5
ROUNDS_TOLD: Final = 4
"""Of fewer nothing is said: by chance two series of the same are apart in 33 % of two rounds, in 10 % of three,
in 3 % of four (2 of all orders in which their values can come)."""
CHANCE: Final = 0.05
"""So often may the ranks of values that differ in nothing lie as far apart as these."""
SAME: Final = 0.02
"""Two checkouts of one commit differed by up to 1.1 % in all rounds of a run (where things lie in memory, in what
order they are read): `bin/bench compare HEAD HEAD --of codec`."""
TIMEOUT_S: Final = 900.0
"""Of one round of one side."""


class NotComparable(DoaiError):
    """A commit is not known, or its benchmark did not run."""

    code = "not_comparable"


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of both commits."""

    name: str
    unit: str
    before: float
    after: float
    """Medians."""
    ratio: float
    """Of the medians, so that above 1 is better."""
    low: float
    high: float
    """The ratio lies between them with 95 %."""
    chance: float
    """How often ranks that mean nothing lie so far apart, 0 to 1."""
    rounds: int
    """Of each side."""

    @property
    def verdict(self) -> str:
        """One word: better, worse, - where it may be noise, or ? where the rounds are too few to tell."""
        if self.rounds < ROUNDS_TOLD:
            return "?"
        if self.chance > CHANCE or abs(self.ratio - 1) < SAME or self.low <= 1 <= self.high:
            return "-"
        return "better" if self.ratio > 1 else "worse"


def compare(before: str, after: str, benchmark: str, rounds: int, *, own: bool = False) -> list[Difference]:
    """Measure both commits in turn; raises NotComparable."""
    with tempfile.TemporaryDirectory(prefix="doai-compare-") as name:
        folders = [check_out(commit, Path(name) / side) for commit, side in ((before, "a"), (after, "b"))]
        if not own:
            shutil.rmtree(folders[0] / "bench")
            shutil.copytree(folders[1] / "bench", folders[0] / "bench")
            shutil.copy(folders[1] / "doai" / "cli" / "bench.py", folders[0] / "doai" / "cli" / "bench.py")
        found: tuple[list[list[Line]], list[list[Line]]] = ([], [])
        for turn in range(rounds):
            for side in (0, 1) if turn % 2 == 0 else (1, 0):
                found[side].append(measure(folders[side], benchmark))
                print(f"round {turn + 1} of {rounds}: {(before, after)[side]}", file=sys.stderr, flush=True)
    return list(differences(*found))


def check_out(commit: str, folder: Path) -> Path:
    """Put the files of a commit into a folder of its own; ``.`` is the checkout as it is now, with its changes."""
    folder.mkdir()
    if commit == ".":
        for name in ("bench", "doai"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        return folder
    try:
        archive = subprocess.run(
            ["git", "archive", "--format=tar", commit], cwd=ROOT, capture_output=True, check=True
        )
    except subprocess.CalledProcessError as error:
        raise NotComparable(f"git has no commit {commit!r} here: {error.stderr.decode().strip()}") from error
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)
    return folder


def measure(folder: Path, benchmark: str) -> list[Line]:
    """Run the benchmark in a checkout, with this interpreter and its packages; return its lines."""
    command = [sys.executable, "-m", "doai.cli.bench", benchmark, "--json", "--no-history"]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    if done.returncode:
        told = done.stderr.strip().splitlines()
        raise NotComparable(f"{benchmark} did not run in {folder.name}: {told[-1] if told else done.returncode}")
    return [msgspec.json.decode(line, type=Line) for line in done.stdout.splitlines()]


def differences(before: Sequence[Sequence[Line]], after: Sequence[Sequence[Line]]) -> Iterator[Difference]:
    """Yield every figure that both sides have, in the order of the second."""
    old, new = _series(before), _series(after)
    for (name, unit), values in new.items():
        others = old.get((name, unit))
        if others is None or min(*others, *values, 0.0) < 0 or not all(others) or not all(values):
            continue  # a figure that can be nothing has no ratio
        ratio = _better(unit, statistics.median(others), statistics.median(values))
        low, high = interval(others, values, unit)
        yield Difference(
            name=name,
            unit=unit,
            before=statistics.median(others),
            after=statistics.median(values),
            ratio=ratio,
            low=low,
            high=high,
            chance=chance_of(others, values),
            rounds=min(len(others), len(values)),
        )


def interval(before: Sequence[float], after: Sequence[float], unit: str) -> tuple[float, float]:
    """Return the 2.5 % and 97.5 % points of the ratio of medians of series drawn again from both."""
    draw = random.Random(0).choices
    ratios = sorted(
        _better(
            unit,
            statistics.median(draw(before, k=len(before))),
            statistics.median(draw(after, k=len(after))),
        )
        for _ in range(DRAWS)
    )
    return ratios[DRAWS // 40], ratios[-DRAWS // 40]


def chance_of(before: Sequence[float], after: Sequence[float]) -> float:
    """Return in what share of all orders of the values the two lie at least as far apart (Mann-Whitney)."""
    every = sorted([*before, *after])
    rank = {value: every.index(value) + (every.count(value) - 1) / 2 for value in every}
    middle = len(before) * (len(every) - 1) / 2
    apart = abs(sum(rank[value] for value in before) - middle)
    ranks = [rank[value] for value in every]
    if math.comb(len(ranks), len(before)) > ORDERS_MAX:
        shuffled = random.Random(0)
        orders = [shuffled.sample(ranks, k=len(before)) for _ in range(DRAWS)]
    else:
        orders = [list(order) for order in itertools.combinations(ranks, len(before))]
    return sum(abs(sum(order) - middle) >= apart for order in orders) / len(orders)


def table(found: Sequence[Difference]) -> str:
    """Return the differences for a person."""
    rows = [("figure", "before", "after", "unit", "ratio", "95 %", "")]
    rows += [
        (
            each.name,
            f"{each.before:g}",
            f"{each.after:g}",
            each.unit,
            f"{each.ratio:.3f}",
            f"{each.low:.3f}-{each.high:.3f}",
            each.verdict,
        )
        for each in found
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(7)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _series(rounds: Sequence[Sequence[Line]]) -> dict[tuple[str, str], list[float]]:
    found: dict[tuple[str, str], list[float]] = {}
    for lines in rounds:
        for line in lines:
            found.setdefault((line.name, line.unit), []).append(line.value)
    return found


def _better(unit: str, before: float, after: float) -> float:
    more_is_better = unit.endswith("/s") or unit == "share"
    return after / before if more_is_better else before / after
