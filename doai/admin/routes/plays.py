"""Plays: how videos played on devices, a row a play, and added up by model, device or video (step 14)."""

from __future__ import annotations

import enum
from typing import Annotated, Final

from litestar import get
from litestar.params import QueryParameter

from doai.admin import examples
from doai.admin.access import VIEWER
from doai.admin.routes.parameters import Cursor, Given, Limit, now_ms
from doai.admin.views import View
from doai.changes.plays import PlayFilter, PlayGroup, PlayRow, group_plays
from doai.store.play_reader import PlayReader

REPORT_PLAYS_MAX: Final = 10_000
"""Plays that one report adds up: the newest. 0.3 s of a busy machine of two cores."""
_PAGE: Final = 500
_HOUR_MS: Final = 3_600_000

Hours = Annotated[int, QueryParameter(ge=1, le=24 * 366, description="of runs made so long ago at most")]
Check = Annotated[str | None, QueryParameter(max_length=64, description="task of the bot that asked for the plays")]
RunId = Annotated[str | None, QueryParameter(max_length=64, description="of this run")]
Device = Annotated[str | None, QueryParameter(max_length=130, description="on this device")]
Model = Annotated[str | None, QueryParameter(max_length=130, description="on devices of this model")]
Video = Annotated[str | None, QueryParameter(max_length=2048, description="of the video with this address")]


class GroupBy(enum.Enum):
    """What plays are added up by."""

    MODEL = "model"
    DEVICE = "device"
    VIDEO = "video"


class PlayJson(View, frozen=True, kw_only=True):
    """One play that has ended; null = not told: it did not begin, or the device does not tell."""

    task_id: str
    run_id: str
    check: str
    """Task of the bot that asked for it; empty = somebody ran the recipe."""
    device: str
    model: str
    url: str
    title: str
    repeat: int
    outcome: str
    """passed, failed, cancelled, expired or unknown."""
    started_ms: int | None
    """From the command to open the video until it played."""
    watched_ms: int | None
    stalls: int | None
    stalled_ms: int | None
    width_px: int | None
    height_px: int | None
    look_gap_ms: int | None
    """Longest time in which nobody looked: stalls nearer to each other may be counted as one."""
    screenshot: str
    """Path of the artifact; empty = none is stored."""
    failure: str
    """One sentence; empty = it passed."""
    ended_at_ms: int


class PlayPage(View, frozen=True, kw_only=True):
    """The newest first."""

    items: list[PlayJson]
    next: str | None


class PlayReport(View, frozen=True, kw_only=True):
    """By name."""

    items: list[PlayGroup]
    plays: int
    """That were added up."""
    more: bool
    """There are older ones that were not."""


_EXAMPLE: Final = PlayJson(
    task_id=examples.TASK_ID,
    run_id=examples.RUN_ID,
    check="",
    device="R58M12ABCDE",
    model="SM-G991N",
    url="https://www.youtube.com/watch?v=doai-test-1",
    title="test card",
    repeat=1,
    outcome="passed",
    started_ms=1240,
    watched_ms=20_000,
    stalls=1,
    stalled_ms=800,
    width_px=1920,
    height_px=1080,
    look_gap_ms=530,
    screenshot=f"c/node-1/R58M12ABCDE/{examples.RUN_ID}/shot.png",
    failure="",
    ended_at_ms=examples.AT_MS,
)
_GROUP: Final = PlayGroup(
    name="SM-G991N",
    plays=40,
    passed=39,
    started=39,
    start_p50_ms=1240,
    start_p95_ms=2110,
    stalls=4,
    stalls_per_play=4 / 39,
    stalled_share=0.004,
    devices=20,
)


@get(
    "/plays",
    opt={"needs": VIEWER},
    tags=["plays"],
    summary="Plays of videos",
    responses=examples.answer(200, PlayPage, PlayPage(items=[_EXAMPLE], next=None), "The newest first."),
)
async def list_plays(
    services: Given,
    hours: Hours = 24,
    check: Check = None,
    run_id: RunId = None,
    device: Device = None,
    model: Model = None,
    url: Video = None,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> PlayPage:
    """A play is a task of the recipe playback-measure that has ended; it is kept as long as its run."""
    wanted = PlayFilter(check=check, run_id=run_id, device=device, model=model, url=url)
    page = await services.reader.plays.plays(
        wanted, since_ms=now_ms() - hours * _HOUR_MS, cursor=cursor or None, limit=limit
    )
    return PlayPage(items=[play_json(row) for row in page.items], next=page.next_cursor)


@get(
    "/plays/report",
    opt={"needs": VIEWER},
    tags=["plays"],
    summary="Plays added up",
    responses=examples.answer(200, PlayReport, PlayReport(items=[_GROUP], plays=40, more=False), "By name."),
)
async def report_plays(
    services: Given,
    by: Annotated[GroupBy, QueryParameter(description="what a row is of")] = GroupBy.MODEL,
    hours: Hours = 24,
    check: Check = None,
    run_id: RunId = None,
    device: Device = None,
    model: Model = None,
    url: Video = None,
) -> PlayReport:
    """Of the newest 10,000 plays."""
    wanted = PlayFilter(check=check, run_id=run_id, device=device, model=model, url=url)
    rows, more = await _newest(services.reader.plays, wanted, now_ms() - hours * _HOUR_MS)
    return PlayReport(items=group_plays(rows, by.value), plays=len(rows), more=more)


async def _newest(reader: PlayReader, wanted: PlayFilter, since_ms: int) -> tuple[list[PlayRow], bool]:
    rows: list[PlayRow] = []
    cursor: str | None = None
    while len(rows) < REPORT_PLAYS_MAX:
        page = await reader.plays(wanted, since_ms=since_ms, cursor=cursor, limit=_PAGE)
        rows += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
    return rows, cursor is not None


def play_json(row: PlayRow) -> PlayJson:
    """Return a play as the API shows it."""
    measured = row.measured
    return PlayJson(
        task_id=row.task_id,
        run_id=row.run_id,
        check=row.wish.check,
        device=row.device_serial,
        model=row.model,
        url=row.wish.url,
        title=row.wish.title,
        repeat=row.wish.repeat,
        outcome=row.state.value,
        started_ms=measured.started_ms,
        watched_ms=measured.watched_ms,
        stalls=measured.stalls,
        stalled_ms=measured.stalled_ms,
        width_px=measured.width_px,
        height_px=measured.height_px,
        look_gap_ms=measured.look_gap_ms,
        screenshot=row.screenshot,
        failure=row.failure,
        ended_at_ms=row.ended_at_ms,
    )
