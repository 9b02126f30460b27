"""media.measure: opens a video and measures how it plays (step 8).

It only opens the address and looks: nothing is touched, and the app is told nothing but what to play.
"""

from __future__ import annotations

import trio

from doai.errors import ErrorClass
from doai.node.steps.app import start_view
from doai.node.steps.base import StepContext, step_failed
from doai.node.steps.media_session import GOES_ON, MediaSession, Playback, choose_session, parse_sessions
from doai.node.steps.play import Play, began_at_s, video_size
from doai.workflow.duration import parse_duration
from doai.workflow.steps import Measure, MeasureOutputs


class _Looks:
    """Looks at an app's media session again and again."""

    def __init__(self, context: StepContext, package: str, every_s: float) -> None:
        self._context = context
        self._package = package
        self._every_s = every_s
        self.count = 0
        self.gap_s = 0.0
        self.last_s = trio.current_time()

    async def next(self, until_s: float) -> MediaSession | None:
        """Wait until the next look is due, ``until_s`` at the latest; return what it found."""
        due_s = min(until_s, self.last_s + self._every_s if self.count else self.last_s)
        await trio.sleep_until(due_s)
        report = await self._context.device.shell("dumpsys media_session")
        session = choose_session(parse_sessions(report.text), self._package)
        now_s = trio.current_time()
        self.gap_s = max(self.gap_s, now_s - self.last_s)
        self.count += 1
        self.last_s = now_s
        return session


async def measure(arguments: Measure, context: StepContext) -> MeasureOutputs:
    """Open a video, wait until it plays, watch it, and tell what was seen.

    A play that begins is told with its numbers however bad it is; one that does not begin fails the step.
    """
    looks = _Looks(context, arguments.package, parse_duration(arguments.every))
    opened_s = looks.last_s
    await start_view(context, arguments.url, arguments.package)
    first, started_s = await _start(looks, arguments, opened_s)
    play = Play(first, looks.last_s, started_s)
    problem = await _watch(looks, play, started_s + arguments.seconds)
    play.end()
    if not problem and arguments.stalls_max is not None and play.stalls > arguments.stalls_max:
        problem = (
            f"{arguments.package} stalled {play.stalls} times ({play.stalled_ms / 1000:.1f} s in all) within "
            f"{arguments.seconds} s; at most {arguments.stalls_max} are allowed."
        )
    layers = await context.device.shell("dumpsys SurfaceFlinger | grep -E '^[+] |activeBuffer='")
    size = video_size(layers.text, arguments.package)
    return MeasureOutputs(
        started_ms=round((started_s - opened_s) * 1000),
        watched_ms=round(play.watched_ms),
        played_ms=round(play.played_ms),
        stalls=play.stalls,
        stalled_ms=round(play.stalled_ms),
        width_px=size[0] if size else None,
        height_px=size[1] if size else None,
        looks=looks.count,
        look_gap_ms=round(looks.gap_s * 1000),
        problem=problem,
    )


async def _start(looks: _Looks, arguments: Measure, opened_s: float) -> tuple[MediaSession, float]:
    """Return the first report that it plays, and when it began."""
    until_s = opened_s + parse_duration(arguments.start_within)
    while True:
        before_s = looks.last_s
        session = await looks.next(until_s)
        if session is not None and session.state is Playback.PLAYING:
            return session, began_at_s(session, looks.last_s, before_s)
        if looks.last_s >= until_s:
            state = "it has no media session" if session is None else f"it is {session.state.name.lower()}"
            raise step_failed(
                ErrorClass.APP,
                "playback_not_started",
                f"{arguments.package} does not play the video {arguments.start_within} after it was opened: "
                f"{state}.",
            )


async def _watch(looks: _Looks, play: Play, until_s: float) -> str:
    """Look until the time is over; return why it did not go on so long, empty = it did."""
    package = play.last.package
    while looks.last_s < until_s:
        session = await looks.next(until_s)
        if session is None:
            return f"{package} did not go on after {play.watched_ms / 1000:.1f} s: its media session is gone."
        play.see(session, looks.last_s)
        if session.state is Playback.ERROR:
            return f"{package} did not go on after {play.watched_ms / 1000:.1f} s: it reports an error."
    if play.last.state not in GOES_ON:
        state = play.last.state.name.lower()
        return f"{package} did not go on after {play.watched_ms / 1000:.1f} s: it is {state}."
    return ""
