"""One check: makes a run for each video and time, waits for them, reads the report (step 14).

Done again, by this process or another, it finds the runs that it made: each is made under a key of the task and its
number, and its id is kept in the bot's state. So no play is counted twice, whenever the bot is killed.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import msgspec

from doai.bots import CommandRefused, Context, GiveUp
from doai.bots.playback.report import CheckReport, report_of
from doai.bots.playback.wish import Play, PlaybackCheck, check_wish, longest_play_s, plays_of
from doai.bots.results import patient
from doai.changes.plays import PlayGroup
from doai.errors import Fault

KIND: Final = "playback.check"
WORKFLOW: Final = "playback-measure"
"""The recipe that comes with doai: one play, measured on the phone's host."""
HOURS: Final = 24 * 30
"""How far back the report looks: a task that waited for a bot all this time is found."""


class Check:
    """A task of kind playback.check."""

    def __init__(self, wish: PlaybackCheck, ctx: Context) -> None:
        self._wish = wish
        self._ctx = ctx

    async def perform(self) -> CheckReport:
        """Let the phones play; return what came of it. Raises GiveUp for what can not be."""
        check_wish(self._wish)
        ctx, key = self._ctx, state_key(self._ctx.task_id)
        run_ids: list[str] = await ctx.state.get(key, [], type=list[str])
        expires_in_s = float(self._wish.reach_seconds)
        for play in plays_of(self._wish):
            if play.number >= len(run_ids):
                run_ids = [*run_ids, await self._start(play, expires_in_s)]
                await ctx.state.put(key, run_ids)
            # What comes later waits for what comes before on the same phone.
            expires_in_s += longest_play_s(self._wish, play)
        for run_id in run_ids:
            await ctx.wait_end(run_id)
        found = await patient(ctx.query)("/plays/report", check=ctx.task_id, by="model", hours=HOURS)
        await ctx.state.drop(key)
        report = report_of(msgspec.convert(found["items"], list[PlayGroup]), run_ids, more=found["more"])
        if report.more:
            ctx.log.warning("the check has more plays than one report adds up: only the newest %d", report.plays)
        return report

    async def _start(self, play: Play, expires_in_s: float) -> str:
        wish = self._wish
        params: dict[str, Any] = {
            "url": play.video.url,
            "title": play.video.title,
            "content": f"video-{hashlib.sha256(play.video.url.encode()).hexdigest()[:16]}",
            "package": wish.app,
            "seconds": play.watch_s,
            "start_within": f"{wish.start_within_seconds}s",
            "stalls_max": wish.stalls_max,
            "check": self._ctx.task_id,
            "repeat": play.repeat,
        }
        try:
            created = await self._ctx.start_run(
                WORKFLOW,
                on=wish.targets,
                params=params,
                queue=wish.queue,
                expires_in_s=expires_in_s,
                key=f"{KIND}:{self._ctx.task_id}:{play.number}",
            )
        except CommandRefused as error:
            if error.problem.fault is not Fault.USER:
                raise
            raise GiveUp(error.problem.message) from None
        self._ctx.log.info("run %s plays %s", created.run_id, play.video.title or play.video.url)
        return created.run_id


def state_key(task_id: str) -> str:
    """Return the key under which the ids of a check's runs are kept."""
    return f"check/{task_id}"
