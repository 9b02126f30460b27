"""What a check comes to: the outputs of a task of kind playback.check (step 14).

It has no numbers of its own: the plays are rows of the store (`GET /plays?check=ID`), and this is their report as
the API adds it up.
"""

from __future__ import annotations

import msgspec

from doai.changes.plays import PlayGroup


class CheckReport(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What came of a check."""

    plays: int
    passed: int
    stalls: int
    models: list[PlayGroup]
    run_ids: list[str]
    """In the order of the videos, all of them once, then again."""
    more: bool = False
    """The numbers are of the newest plays alone: there are more than one report adds up."""


def report_of(lines: list[PlayGroup], run_ids: list[str], *, more: bool) -> CheckReport:
    """Return the report with its sums."""
    return CheckReport(
        plays=sum(line.plays for line in lines),
        passed=sum(line.passed for line in lines),
        stalls=sum(line.stalls for line in lines),
        models=lines,
        run_ids=run_ids,
        more=more,
    )
