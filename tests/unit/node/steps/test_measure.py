"""media.measure on the simulated phone: stalls that were ordered are the truth."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from doai.errors import ErrorClass
from doai.phone.faults import Fault, FaultOrder
from doai.phone.media import START_BUFFERING_S
from doai.phone.profiles import PROFILES
from tests.unit.node.steps.conftest import Bench, PhoneDevice

TUBE = "com.google.android.youtube"
URL = "https://www.youtube.com/watch?v=doai-test-1"


def order(phone: Any, at_media_s: float, duration_s: float | None) -> None:
    wish = FaultOrder(Fault.MEDIA_STALLS, duration_s=duration_s, at_media_s=at_media_s)
    phone.device.phone.order(wish, trio.current_time())


async def test_a_good_play_has_its_start_and_no_stalls(phone: Any, autojump_clock: MockClock) -> None:
    played = await phone.do("media.measure", url=URL, package=TUBE, seconds=10)
    assert played.started_ms == pytest.approx(START_BUFFERING_S * 1000, abs=60), (
        "and not when it was first looked at"
    )
    assert played.watched_ms == played.played_ms == 10_000
    assert (played.stalls, played.stalled_ms, played.problem) == (0, 0, "")
    assert played.looks == pytest.approx(22, abs=1)
    assert played.look_gap_ms == pytest.approx(500, abs=60)
    assert not any(word in " ".join(phone.device.commands) for word in ("input", "tap", "swipe")), "it only looks"


async def test_resolution_where_the_phone_tells(phone: Any, autojump_clock: MockClock) -> None:
    played = await phone.do("media.measure", url=URL, package=TUBE, seconds=1)
    assert (played.width_px, played.height_px) == phone.device.phone.video_px
    newer = Bench(PhoneDevice(30))
    newer.device.phone.profile = next(profile for profile in PROFILES if profile.sdk == 34)
    assert (await newer.do("media.measure", url=URL, package=TUBE, seconds=1)).width_px is None


async def test_stalls_that_were_ordered_are_counted(phone: Any, autojump_clock: MockClock) -> None:
    for at_s, for_s in ((2.0, 1.5), (4.0, 0.3), (6.0, 2.0)):
        order(phone, at_s, for_s)
    played = await phone.do("media.measure", url=URL, package=TUBE, seconds=15, stalls_max=2)
    assert played.stalls == 3
    assert played.stalled_ms == pytest.approx(3800, abs=5)
    assert played.problem == f"{TUBE} stalled 3 times (3.8 s in all) within 15 s; at most 2 are allowed."


@settings(max_examples=25)
@given(st.lists(st.tuples(st.floats(1.1, 4.0), st.floats(0.3, 3.0)), max_size=6))
def test_whatever_is_ordered_is_what_is_measured(plan: list[tuple[float, float]]) -> None:
    async def play() -> Any:
        phone = Bench(PhoneDevice(33))
        position_s = 0.0
        for after_s, for_s in plan:
            position_s += after_s
            order(phone, position_s, for_s)
        seconds = 4 + round(position_s + sum(for_s for _, for_s in plan))
        played = await phone.do("media.measure", url=URL, package=TUBE, seconds=seconds)
        app = phone.device.phone.window.player_app  # type: ignore[attr-defined]
        assert app is not None
        assert app.player is not None
        return played, app.player.playback(trio.current_time()).stalls

    played, truth = trio.run(play, clock=MockClock(autojump_threshold=0))
    assert played.stalls == truth == len(plan)
    assert played.stalled_ms == pytest.approx(1000 * sum(for_s for _, for_s in plan), abs=5 + len(plan))


async def test_a_player_that_never_starts_is_said(phone: Any, autojump_clock: MockClock) -> None:
    order(phone, 0.0, None)
    error = await phone.fail("media.measure", url=URL, package=TUBE, seconds=5, start_within="3s")
    assert (error.failure.error_class, error.code) == (ErrorClass.APP, "playback_not_started")
    assert "does not play the video 3s after it was opened: it is buffering" in str(error)


async def test_an_address_that_the_app_does_not_open(phone: Any, autojump_clock: MockClock) -> None:
    error = await phone.fail("media.measure", url="https://example.com/v.mp4", package="com.nobody", seconds=5)
    assert error.code in {"no_handler", "app_not_installed"}
    with pytest.raises(msgspec.ValidationError, match="url"):
        await phone.do("media.measure", url="not an address", package=TUBE)


@pytest.mark.parametrize(("act", "words"), [("pause", "it is paused"), ("stop", "it is stopped")])
async def test_a_play_that_ends_early_has_its_numbers_and_a_problem(
    phone: Any, autojump_clock: MockClock, act: str, words: str
) -> None:
    async with trio.open_nursery() as nursery:

        async def interrupt() -> None:
            await trio.sleep(3)
            player = phone.device.phone.window.player_app.player
            getattr(player, act)(trio.current_time())

        nursery.start_soon(interrupt)
        played = await phone.do("media.measure", url=URL, package=TUBE, seconds=10)
    assert words in played.problem
    assert played.played_ms == pytest.approx(2000, abs=600)
    assert played.stalls == 0
