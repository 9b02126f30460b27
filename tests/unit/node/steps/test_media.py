"""media.wait_playing and the reading of media sessions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from doai.errors import ErrorClass
from doai.node.steps.media_session import MediaSession, Playback, Watch, choose_session, parse_sessions

Make = Callable[[dict[str, Any]], Any]


def session(
    state: str, *, package: str = "com.tube", active: bool = True, position: int = 0, updated: int = 0
) -> str:
    return (
        f"    Player {package}/Player (userId=0)\n      ownerPid=1, ownerUid=10187, userId=0\n"
        f"      package={package}\n"
        f"      active={str(active).lower()}\n      flags=7\n      state=PlaybackState {{state={state}, "
        f"position={position}, buffered position=0, speed=1.0, updated={updated}, actions=823, custom actions=[], "
        "active item id=-1, error=null}\n      audioAttrs=AudioAttributes: usage=USAGE_MEDIA\n"
        "      metadata: size=4, description=state=PlaybackState, x, null\n"
    )


@pytest.mark.parametrize("state", ["3", "PLAYING(3)"])
def test_both_forms_of_the_state_are_read(state: str) -> None:
    assert parse_sessions(session(state, position=-1, updated=77)) == [
        MediaSession(
            package="com.tube", active=True, state=Playback.PLAYING, position_ms=-1, updated_ms=77, speed=1.0
        )
    ]


def test_a_session_without_a_state_is_none() -> None:
    report = "  package=com.a\n  active=true\n  state=null\n" + session("2") + session("99", package="com.c")
    assert [(one.package, one.state) for one in parse_sessions(report)] == [
        ("com.tube", Playback.PAUSED),
        ("com.c", Playback.NONE),
    ]
    assert parse_sessions("") == []


def test_the_active_session_nearest_to_playing_is_watched() -> None:
    report = (
        session("2", package="com.a")
        + session("3", package="com.b", active=False)
        + session("6", package="com.c")
        + session("3", package="com.d")
    )
    chosen = choose_session(parse_sessions(report))
    assert chosen is not None
    assert chosen.package == "com.d"
    paused = choose_session(parse_sessions(report), "com.a")
    assert paused is not None
    assert paused.state is Playback.PAUSED
    assert choose_session([], "com.a") is None


def seen(state: Playback, position_ms: int, updated_ms: int, speed: float = 1.0) -> MediaSession:
    return MediaSession(
        package="a", active=True, state=state, position_ms=position_ms, updated_ms=updated_ms, speed=speed
    )


def test_an_app_that_reports_nothing_new_goes_on_playing() -> None:
    watch = Watch(seen(Playback.PLAYING, 100, 5), 0.0)
    watch.see(seen(Playback.PLAYING, 100, 5), 10.0)
    assert (watch.played_s, watch.stalls) == (10.0, 0)


def test_a_position_reported_anew_that_did_not_move_is_a_stall() -> None:
    watch = Watch(seen(Playback.PLAYING, 100, 5), 0.0)
    watch.see(seen(Playback.PLAYING, 100, 2005), 2.0)
    watch.see(seen(Playback.PLAYING, 100, 3005), 3.0)
    watch.see(seen(Playback.PLAYING, 900, 4005), 4.0)
    assert (watch.played_s, watch.stalled_s, watch.stalls) == (1.0, 3.0, 1)


def test_buffering_is_one_stall_however_often_it_is_seen() -> None:
    watch = Watch(seen(Playback.PLAYING, 0, 0), 0.0)
    for now_s, state in enumerate(
        (Playback.BUFFERING, Playback.BUFFERING, Playback.PLAYING, Playback.BUFFERING), 1
    ):
        watch.see(seen(state, now_s, now_s), float(now_s))
    assert (watch.played_s, watch.stalled_s, watch.stalls) == (1.0, 3.0, 2)


async def test_start_and_play_are_timed(scripted: Make, autojump_clock: MockClock) -> None:
    reports = ["", session("6"), session("6")]
    bench = scripted({"": lambda _: reports.pop(0) if reports else session("3")})
    done = await bench.do("media.wait_playing", seconds=10, every="1s")
    assert done.started_ms == pytest.approx(3000, abs=50)
    assert done.played_ms == pytest.approx(10_000, abs=100)
    assert (done.stalls, done.stalled_ms) == (0, 0)


@pytest.mark.parametrize(
    ("report", "words"), [("", "no app has a media session"), (session("2"), "com.tube is paused")]
)
async def test_nothing_that_plays_is_said_in_time(
    scripted: Make, autojump_clock: MockClock, report: str, words: str
) -> None:
    began = trio.current_time()
    error = await scripted({"": report}).fail("media.wait_playing", start_within="5s")
    assert (error.failure.error_class, error.code) == (ErrorClass.APP, "playback_not_started")
    assert words in str(error)
    assert trio.current_time() - began <= 5.0


@pytest.mark.parametrize(
    ("end", "words"),
    [("", "gone"), (session("7"), "error"), (session("1"), "stopped"), (session("PAUSED(2)"), "paused")],
)
async def test_playback_that_ends_early_fails(
    scripted: Make, autojump_clock: MockClock, end: str, words: str
) -> None:
    reports = [session("3"), session("3")]
    error = await scripted({"": lambda _: reports.pop(0) if reports else end}).fail(
        "media.wait_playing", seconds=10
    )
    assert (error.failure.error_class, error.code) == (ErrorClass.APP, "playback_ended")
    assert words in str(error)


async def test_more_stalls_than_allowed_fail(scripted: Make, autojump_clock: MockClock) -> None:
    states = ["3", "6", "3", "6", "3"]
    rules = {"": lambda _: session(states.pop(0) if states else "3")}
    error = await scripted(rules).fail("media.wait_playing", seconds=10, every="1s", stalls_max=1)
    assert error.code == "too_many_stalls"
    assert "stalled 2 times (2.0 s in all)" in str(error)
