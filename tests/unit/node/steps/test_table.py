"""The table: a function for every built-in step, and a whole recipe on the simulated phone."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from doai.node.steps.table import STEPS
from doai.workflow.steps import BUILT_IN


def test_every_built_in_step_is_performed_and_no_other() -> None:
    assert STEPS.keys() == {name for name, step_type in BUILT_IN.items() if not step_type.nests}


async def test_log_in_on_the_simulated_phone(phone: Any, autojump_clock: MockClock) -> None:
    ready = await phone.do("device.bootstrap")
    assert (ready.sdk, ready.screen_width) == (phone.device.phone.profile.sdk, phone.device.phone.profile.width_px)
    assert 0 < ready.battery_percent <= 100
    started = await phone.do("app.launch", package="com.example.login")
    assert started.activity == "com.example.login.LoginActivity"
    await phone.do("ui.tap", id="username")
    await phone.do("ui.text", text="wrong name")
    await phone.do("ui.text", text="demo", clear=True)
    await phone.do("ui.tap", id="com.example.login:id/password")
    await phone.do("ui.text", text="secret")
    await phone.do("ui.key", key="ESCAPE")
    await phone.do("ui.tap", text="Login")
    seen = await phone.do("ui.wait_for", text_matches="^Welcome, demo")
    assert seen.bounds[2] > seen.bounds[0]
    shot = await phone.do("screen.capture", name="end")
    assert (shot.width, shot.height) == (ready.screen_width, ready.screen_height)
    assert phone.context.kept[shot.artifact].startswith(b"\x89PNG")
    await phone.do("artifact.upload", artifact=shot.artifact)
    assert phone.context.spooled == [shot.artifact]
    await phone.do("app.stop", package="com.example.login")
    error = await phone.fail("ui.assert_visible", text="Welcome, demo")
    assert error.code == "element_not_found"


async def test_a_video_on_the_simulated_phone(phone: Any, autojump_clock: MockClock) -> None:
    opened = await phone.do("app.open_url", url="https://www.youtube.com/watch?v=doai-test-1&t=1's")
    assert opened.package == "com.google.android.youtube"
    played = await phone.do("media.wait_playing", seconds=5)
    assert played.stalls == 0
    assert played.played_ms + played.stalled_ms == pytest.approx(5000, abs=50)


async def test_a_stall_on_the_simulated_phone_is_counted(phone: Any, autojump_clock: MockClock) -> None:
    await phone.do(
        "app.open_url", url="https://www.youtube.com/watch?v=doai-test-1", package="com.google.android.youtube"
    )
    await phone.do("media.wait_playing", seconds=1)
    player = phone.device.phone.window.player_app.player
    async with trio.open_nursery() as nursery:

        async def stall_later() -> None:
            await trio.sleep(3)
            player.stall(trio.current_time(), 2.0)

        nursery.start_soon(stall_later)
        played = await phone.do("media.wait_playing", seconds=10)
    assert played.stalls == 1
    assert 1500 <= played.stalled_ms <= 2600
