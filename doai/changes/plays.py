"""Plays: one row a task that played a video, read from what such tasks store anyway; and their report (step 14).

There is no table of plays: a play is a task of the recipe ``playback-measure``, and each number of its row is an
output, a parameter or the state of that task. It goes when the run goes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from doai.states import TaskState

PLAY_WORKFLOW: Final = "playback-measure"
"""The recipe whose tasks are plays."""


class Measured(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What the recipe reports of a play that began; null = it did not begin, or was stopped before."""

    started_ms: int | None = None
    watched_ms: int | None = None
    stalls: int | None = None
    stalled_ms: int | None = None
    width_px: int | None = None
    height_px: int | None = None
    look_gap_ms: int | None = None
    """Longest time in which nobody looked: stalls nearer to each other may be counted as one."""
    problem: str = ""


class Played(msgspec.Struct, frozen=True, kw_only=True):
    """What a play was asked for: the parameters of its run."""

    url: str = ""
    title: str = ""
    check: str = ""
    """Task of the bot that asked for it; empty = somebody ran the recipe."""
    repeat: int = 1


class PlayRow(msgspec.Struct, frozen=True, kw_only=True):
    """One play that has ended."""

    task_id: str
    run_id: str
    device_serial: str
    model: str
    """Of the device as it is known now; empty = it is not."""
    state: TaskState
    ended_at_ms: int
    wish: Played
    measured: Measured
    failure: str
    """One sentence; empty = it passed."""
    screenshot: str
    """Path of the artifact; empty = there is none, or not yet."""


class PlayFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which plays; None = any."""

    check: str | None = None
    run_id: str | None = None
    device: str | None = None
    model: str | None = None
    url: str | None = None


class PlayGroup(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Plays of one model, device or video, added up; the numbers are of those that began, null when none did."""

    name: str
    """Of the model, the serial, or the address."""
    plays: int
    passed: int
    started: int
    """Of how many the numbers below are."""
    start_p50_ms: int | None
    start_p95_ms: int | None
    stalls: int
    stalls_per_play: float | None
    stalled_share: float | None
    """Of the time watched; 0 to 1."""
    devices: int


def group_plays(plays: Iterable[PlayRow], by: str) -> list[PlayGroup]:
    """Add plays up by ``model``, ``device`` or ``video`` (its address), in the order of names."""
    groups: dict[str, list[PlayRow]] = {}
    for play in plays:
        groups.setdefault(_name_of(play, by), []).append(play)
    return [_group(name, rows) for name, rows in sorted(groups.items())]


def _name_of(play: PlayRow, by: str) -> str:
    return {"model": play.model, "device": play.device_serial, "video": play.wish.url}[by]


def _group(name: str, rows: Sequence[PlayRow]) -> PlayGroup:
    begun = [row.measured for row in rows if row.measured.started_ms is not None]
    starts = sorted(measured.started_ms or 0 for measured in begun)
    stalls = sum(measured.stalls or 0 for measured in begun)
    watched_ms = sum(measured.watched_ms or 0 for measured in begun)
    stalled_ms = sum(measured.stalled_ms or 0 for measured in begun)
    return PlayGroup(
        name=name,
        plays=len(rows),
        passed=sum(row.state is TaskState.PASSED for row in rows),
        started=len(begun),
        start_p50_ms=percentile(starts, 0.5),
        start_p95_ms=percentile(starts, 0.95),
        stalls=stalls,
        stalls_per_play=stalls / len(begun) if begun else None,
        stalled_share=stalled_ms / watched_ms if watched_ms else None,
        devices=len({row.device_serial for row in rows}),
    )


def percentile(ordered: Sequence[int], share: float) -> int | None:
    """Return the smallest value that such a share of the sorted values does not exceed; None of nothing."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None
