"""What a benchmark prints: one line a figure, as JSON for programs and as a table for people."""

from __future__ import annotations

import statistics
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

ROOT = Path(__file__).resolve().parent.parent


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One figure."""

    name: str
    value: float
    unit: str
    ratio: float | None = None
    """``value`` against the value of the reference measured in the same run, larger is better; None without one."""
    against: str = ""
    """What the reference is and what it measured."""
    goal: float | None = None
    """The ratio that is wanted; None where none is."""
    commit: str = ""


WRITTEN = ("bench/history.jsonl", "bench/report.md", "bench/report")
"""What the runs before wrote: no other code is measured because of it."""


def current_commit() -> str:
    """Return the short commit of the checkout, with a + if the code differs from it; empty outside a checkout."""
    commands = (
        ["git", "describe", "--always", "--exclude=*"],
        ["git", "status", "--porcelain", "--untracked-files=no", "--", ".", *(f":!{path}" for path in WRITTEN)],
    )
    try:
        commit, changed = (
            subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
            for command in commands
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return f"{commit}+" if changed else commit


def compared(
    name: str,
    unit: str,
    ours: Sequence[float],
    bare: Sequence[float],
    against: str,
    better: str,
    goal: float | None = None,
) -> Line:
    """Return the line of two interleaved series, by their medians; ``better`` is ``more`` or ``less``."""
    value, reference = statistics.median(ours), statistics.median(bare)
    ratio = value / reference if better == "more" else reference / value
    return Line(
        name=name,
        value=round(value, 3),
        unit=unit,
        ratio=round(ratio, 3),
        against=f"{against}: {reference:.6g} {unit}",
        goal=goal,
    )


def limited(name: str, unit: str, value: float, most: float, *, more: str = "", digits: int = 2) -> Line:
    """Return the line of a figure that is to be at most ``most``: its ratio is limit to figure."""
    return Line(
        name=name,
        value=round(value, digits),
        unit=unit,
        ratio=round(most / value, 3),
        against="; ".join(filter(None, [f"goal of {most:g} {unit}", more])),
        goal=1.0,
    )


def goal_text(ratio: float | None, goal: float | None) -> str:
    """Return the wanted ratio and whether it was reached; nothing where none is wanted."""
    if goal is None or ratio is None:
        return ""
    return f"{goal:g} {'reached' if ratio >= goal else 'missed'}"


def table(lines: Iterable[Line]) -> str:
    """Return the lines for a person."""
    rows = [("figure", "value", "unit", "ratio", "goal", "against")]
    rows += [
        (
            line.name,
            f"{line.value:g}",
            line.unit,
            "" if line.ratio is None else f"{line.ratio:.2f}",
            goal_text(line.ratio, line.goal),
            line.against,
        )
        for line in lines
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
