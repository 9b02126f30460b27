"""The playback-bot itself: what it is called for (step 14)."""

from __future__ import annotations

from typing import Final

import msgspec

from doai import __version__
from doai.bots import Bot, CommandRefused, Context
from doai.bots.playback.check import KIND, WORKFLOW, Check, state_key
from doai.bots.playback.report import CheckReport
from doai.bots.playback.wish import PlaybackCheck

bot = Bot(
    "playback-bot",
    title="Lets phones play your videos and measures start-up and stalls",
    type="playback",
    version=__version__,
    capabilities=[KIND],
    max_tasks=4,
)


PAGE: Final = 100
OTHER_RUN: Final = "other-run"
"""Key of the newest run seen that is no check: a large one that is cancelled tells of each of its tasks."""


class Cancelled(msgspec.Struct, frozen=True, rename="camel"):
    """A task that was cancelled."""

    task_id: str
    run_id: str


@bot.task(KIND, name="check")
async def check(wish: PlaybackCheck, ctx: Context) -> CheckReport:
    """Let phones play videos, and report how that went."""
    return await Check(wish, ctx).perform()


@bot.on("task.cancelled", name="cancel")
async def cancel(event: Cancelled, ctx: Context) -> None:
    """End the plays of a check that was cancelled."""
    if await ctx.state.get(OTHER_RUN) == event.run_id:
        return
    run = await ctx.query(f"/runs/{event.run_id}")
    if run["workflow"] != KIND:
        await ctx.state.put(OTHER_RUN, event.run_id)
        return
    cursor: str | None = None
    while True:
        page = await ctx.query("/runs", workflow=WORKFLOW, state="active", limit=PAGE, cursor=cursor)
        for play in page["items"]:
            if play["params"].get("check") == event.task_id:
                await _cancel_run(play["runId"], event.task_id, ctx)
        cursor = page["next"]
        if cursor is None:
            break
    await ctx.state.drop(state_key(event.task_id))


async def _cancel_run(run_id: str, task_id: str, ctx: Context) -> None:
    try:
        await ctx.cancel_run(run_id, reason=f"check {task_id} was cancelled")
    except CommandRefused as error:
        ctx.log.info("run %s of check %s: %s", run_id, task_id, error)
