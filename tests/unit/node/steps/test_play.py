"""The arithmetic of a play: whatever a player is let do, what is added up from looks at it is what it did."""

from __future__ import annotations

from typing import Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from doai.node.steps.media_session import MediaSession, Playback
from doai.node.steps.play import STALL_MS_MIN, Play, began_at_s, video_size

BOOT_MS: Final = 90_000
"""What the phone's clock says when the test's says 0."""
LOOK_S: Final = 0.5
GAP_S: Final = 2 * LOOK_S + 0.1
"""Between stalls: a look falls into each gap, whatever its phase."""


class Stall(msgspec.Struct, frozen=True):
    after_s: float
    """Of playing."""
    for_s: float


Plan = list[Stall]
plans = st.lists(st.builds(Stall, st.floats(GAP_S, 6.0), st.floats(STALL_MS_MIN / 1000 + 0.01, 4.0)), max_size=8)
"""Each stall costs enough to be seen also by who does not look while it lasts."""


def at(plan: Plan, now_s: float, *, fresh: bool, says_stalls: bool) -> MediaSession:
    """Return what an app says: what is true now (fresh), or when it last had something to say."""
    begun_s, position_s, stalls = 0.0, 0.0, False
    for stall in plan:
        if now_s < begun_s + stall.after_s:
            break
        begun_s, position_s, stalls = begun_s + stall.after_s, position_s + stall.after_s, True
        if now_s < begun_s + stall.for_s:
            break
        begun_s, stalls = begun_s + stall.for_s, False
    said_s = now_s if fresh else begun_s
    if not stalls:
        position_s += said_s - begun_s
    return MediaSession(
        package="a",
        active=True,
        state=Playback.BUFFERING if stalls and says_stalls else Playback.PLAYING,
        position_ms=round(position_s * 1000),
        updated_ms=BOOT_MS + round(said_s * 1000),
        speed=1.0,
    )


def watch(plan: Plan, looks_s: list[float], *, fresh: bool, says_stalls: bool = True) -> Play:
    first, *rest = looks_s
    play = Play(at(plan, first, fresh=fresh, says_stalls=says_stalls), first)
    for now_s in rest:
        play.see(at(plan, now_s, fresh=fresh, says_stalls=says_stalls), now_s)
    play.end()
    return play


def looks(plan: Plan, phase_s: float, every_s: float = LOOK_S) -> list[float]:
    """Return when to look, until some seconds after the last stall."""
    end_s = sum(stall.after_s + stall.for_s for stall in plan) + 2 * GAP_S
    return [phase_s + every_s * number for number in range(int((end_s - phase_s) / every_s) + 2)]


def lost_ms(plan: Plan) -> float:
    return sum(stall.for_s for stall in plan) * 1000


@given(plans, st.floats(0.0, LOOK_S), st.booleans())
def test_stalls_and_their_length_are_those_of_the_plan(plan: Plan, phase_s: float, fresh: bool) -> None:
    play = watch(plan, looks(plan, phase_s), fresh=fresh)
    assert play.stalls == len(plan)
    assert play.stalled_ms == pytest.approx(lost_ms(plan), abs=2.0 * len(plan) + 0.1)
    assert play.played_ms == pytest.approx(play.watched_ms - lost_ms(plan), abs=2.0 * len(plan) + 0.1)


@given(plans, st.floats(0.0, LOOK_S))
def test_an_app_that_says_it_plays_while_it_stands_still_is_found_out(plan: Plan, phase_s: float) -> None:
    slow = [Stall(stall.after_s, stall.for_s + 2 * LOOK_S) for stall in plan]
    play = watch(slow, looks(slow, phase_s), fresh=True, says_stalls=False)
    # What is lost in a look's time and is less than a stall at the edges of one is not counted.
    assert play.stalled_ms == pytest.approx(lost_ms(slow), abs=2 * STALL_MS_MIN * len(plan) + 5.0)
    assert play.stalls == len(plan)


@given(plans, st.floats(1.0, 30.0), st.booleans())
def test_who_looks_seldom_knows_how_long_and_never_counts_too_many(plan: Plan, every_s: float, fresh: bool) -> None:
    # The last look is long after the last stall.
    times = [*looks(plan, 0.0, every_s), sum(stall.after_s + stall.for_s for stall in plan) + every_s + GAP_S]
    play = watch(plan, sorted(times), fresh=fresh)
    assert play.stalled_ms == pytest.approx(lost_ms(plan), abs=2.0 * len(plan) + 0.1)
    assert play.stalls <= len(plan)
    assert bool(play.stalls) == bool(plan)


def seen(state: Playback, position_ms: int, updated_ms: int, speed: float = 1.0) -> MediaSession:
    return MediaSession(
        package="a", active=True, state=state, position_ms=position_ms, updated_ms=updated_ms, speed=speed
    )


def test_a_stall_that_has_not_ended_counts_as_far_as_it_was_seen() -> None:
    play = Play(seen(Playback.PLAYING, 0, 0), 0.0)
    play.see(seen(Playback.BUFFERING, 900, 1000), 1.0)
    play.see(seen(Playback.BUFFERING, 900, 3000), 3.0)
    play.end()
    assert (play.stalls, play.stalled_ms) == (1, 2100.0)


def test_a_pause_is_no_stall() -> None:
    play = Play(seen(Playback.PLAYING, 0, 0), 0.0)
    play.see(seen(Playback.PAUSED, 1000, 1000), 1.0)
    play.see(seen(Playback.PAUSED, 1000, 1000), 2.0)
    play.see(seen(Playback.PLAYING, 1000, 2500), 3.0)
    play.end()
    assert (play.stalls, play.stalled_ms, play.paused_ms, play.played_ms) == (0, 0, 2000, 1000)


def test_the_next_video_begins_at_its_beginning_and_nothing_was_lost() -> None:
    play = Play(seen(Playback.PLAYING, 14_000, 0), 0.0)
    play.see(seen(Playback.PLAYING, 200, 1000), 1.0)
    play.see(seen(Playback.BUFFERING, 300, 2000), 2.0)
    play.see(seen(Playback.PLAYING, 90_000, 3000), 3.0)
    play.end()
    assert (play.stalls, play.stalled_ms) == (1, 1000.0), "as seen: where it went on says nothing"


@pytest.mark.parametrize(
    ("position_ms", "began"), [(300, 9.7), (500, 9.5), (501, 10.0), (60_000, 10.0), (-1, 10.0)]
)
def test_the_position_tells_when_it_began(position_ms: int, began: float) -> None:
    assert began_at_s(seen(Playback.PLAYING, position_ms, 5), 10.0, 9.5) == pytest.approx(began)


def test_the_largest_picture_in_the_video_surface_of_the_app_is_its_size() -> None:
    layers = (
        "+ BufferStateLayer (com.tube/com.tube.Watch#7) uid=1\n      activeBuffer=[1080x2340:1088,RGBA_8888]\n"
        "+ BufferStateLayer (SurfaceView[com.tube/com.tube.Watch](BLAST)#8) uid=1\n"
        "      format= 1, activeBuffer=[1280x 720:1280,Unknown 0x7fa30c06], tr=[0.00]\n"
        "+ BufferStateLayer (SurfaceView[com.other/com.other.A](BLAST)#9) uid=1\n"
        "      activeBuffer=[3840x2160:3840,RGBA_8888]\n"
        "+ BufferStateLayer (Background for SurfaceView[com.tube/com.tube.Watch]#10) uid=1\n"
        "      activeBuffer=[   0x   0:   0,Unknown/None]\n"
    )
    assert video_size(layers, "com.tube") == (1280, 720)
    assert video_size(layers, "com.third") is None
    assert video_size("RequestedLayerState{SurfaceView[com.tube/x]#71}\n", "com.tube") is None
