"""What a check comes to: the outputs of a task of kind playback.check (step 14).

It has no numbers of its own: the plays are rows of the store (`GET /plays?check=ID`), and this is their report as
the API adds it up.
"""

from __future__ import annotations

import msgspec


class ModelLine(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Plays on phones of one model; null where none began."""

    name: str
    devices: int
    plays: int
    passed: int
    started: int
    start_p50_ms: int | None
    start_p95_ms: int | None
    stalls: int
    stalls_per_play: float | None
    stalled_share: float | None


class CheckReport(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What came of a check."""

    plays: int
    passed: int
    stalls: int
    models: list[ModelLine]
    run_ids: list[str]
    """In the order of the videos, all of them once, then again."""


def report_of(lines: list[ModelLine], run_ids: list[str]) -> CheckReport:
    """Return the report with its sums."""
    return CheckReport(
        plays=sum(line.plays for line in lines),
        passed=sum(line.passed for line in lines),
        stalls=sum(line.stalls for line in lines),
        models=lines,
        run_ids=run_ids,
    )
