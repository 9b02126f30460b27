"""media.wait_playing (step 8)."""

from __future__ import annotations

import trio

from doai.errors import ErrorClass, StepError
from doai.node.steps.base import StepContext, step_failed
from doai.node.steps.media_session import GOES_ON, MediaSession, Playback, Watch, choose_session, parse_sessions
from doai.workflow.duration import parse_duration
from doai.workflow.steps import PlayingOutputs, WaitPlaying


async def wait_playing(arguments: WaitPlaying, context: StepContext) -> PlayingOutputs:
    """Wait until media plays, then watch it.

    A pause counts as a stall while it lasts, because apps pause for a moment between an advertisement and the
    video; playback that has paused or ended when the time is over fails the step.
    """
    every_s = parse_duration(arguments.every)
    began = trio.current_time()
    first = await _wait_start(context, parse_duration(arguments.start_within), every_s)
    started = trio.current_time()
    watch = Watch(first, started)
    until = started + arguments.seconds
    while (now := trio.current_time()) < until:
        await trio.sleep(min(every_s, until - now))
        session = choose_session(await _sessions(context), first.package)
        if session is None:
            raise _ended(first.package, "its media session is gone", watch)
        watch.see(session, trio.current_time())
        if session.state is Playback.ERROR:
            raise _ended(first.package, "it reports an error", watch)
    if watch.last.state not in GOES_ON:
        raise _ended(first.package, f"it is {watch.last.state.name.lower()}", watch)
    if arguments.stalls_max is not None and watch.stalls > arguments.stalls_max:
        raise step_failed(
            ErrorClass.APP,
            "too_many_stalls",
            f"Playback in {first.package} stalled {watch.stalls} times ({watch.stalled_s:.1f} s in all) within "
            f"{arguments.seconds} s; at most {arguments.stalls_max} are allowed.",
        )
    return PlayingOutputs(
        started_ms=round((started - began) * 1000),
        played_ms=round(watch.played_s * 1000),
        stalls=watch.stalls,
        stalled_ms=round(watch.stalled_s * 1000),
    )


async def _wait_start(context: StepContext, within_s: float, every_s: float) -> MediaSession:
    until = trio.current_time() + within_s
    while True:
        session = choose_session(await _sessions(context))
        if session is not None and session.state is Playback.PLAYING:
            return session
        if trio.current_time() + every_s > until:
            state = (
                "no app has a media session"
                if session is None
                else (f"{session.package} is {session.state.name.lower()}")
            )
            raise step_failed(
                ErrorClass.APP, "playback_not_started", f"Nothing plays after {within_s:g} s: {state}."
            )
        await trio.sleep(every_s)


async def _sessions(context: StepContext) -> list[MediaSession]:
    return parse_sessions((await context.device.shell("dumpsys media_session")).text)


def _ended(package: str, why: str, watch: Watch) -> StepError:
    return step_failed(
        ErrorClass.APP,
        "playback_ended",
        f"Playback in {package} did not go on ({why}); until then it played {watch.played_s:.1f} s and stalled "
        f"{watch.stalls} times.",
    )
