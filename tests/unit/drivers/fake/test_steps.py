"""The built-in steps pass on the fake driver as they do on a phone, so that whole workflows do."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio.testing

from doai.drivers.base import Device
from doai.drivers.fake.driver import FakeDriver
from doai.errors import StepError
from doai.node.steps.base import ArtifactRef
from doai.node.steps.table import STEPS
from doai.workflow.steps import BUILT_IN


class Context:
    """As much of a StepContext as device steps use."""

    step_id = "step-1"

    def __init__(self, device: Device) -> None:
        self.device = device
        self.kept: list[bytes] = []

    async def keep_artifact(
        self, data: bytes, *, extension: str, media_type: str, name: str | None = None
    ) -> ArtifactRef:
        self.kept.append(data)
        digest = hashlib.sha256(data).hexdigest()
        reference = f"{name or 'shot'}.{extension}"
        return ArtifactRef(
            name=reference, sha256=digest, size_bytes=len(data), media_type=media_type, path=reference
        )

    async def spool_artifact(self, reference: str) -> ArtifactRef:
        raise AssertionError("not a device step")

    async def file(self, reference: str) -> Path:
        raise AssertionError("no step here asks for a file")

    def log(self, message: str, /, **fields: object) -> None:
        """Steps may say what they do."""

    async def do(self, step: str, **arguments: object) -> Any:
        return await STEPS[step](msgspec.convert(arguments, BUILT_IN[step].arguments), self)


@pytest.fixture
def context() -> Context:
    driver = FakeDriver(count=1, seed=1)
    return Context(driver.device("FAKE0001", tag="task/1.1/step/1"))


async def test_a_login_with_a_screenshot(context: Context, autojump_clock: trio.testing.MockClock) -> None:
    ready = await context.do("device.bootstrap")
    assert ready.sdk > 0
    await context.do("app.stop", package="com.example.login")
    await context.do("app.launch", package="com.example.login")
    await context.do("ui.tap", id="username")
    await context.do("ui.text", text="demo", clear=True)
    await context.do("ui.tap", id="password")
    await context.do("ui.text", text="secret", clear=True)
    await context.do("ui.tap", id="login")
    welcome = await context.do("ui.wait_for", id="welcome", within="20s")
    assert "demo" in welcome.text
    shot = await context.do("screen.capture")
    assert (shot.width, shot.height) == (ready.screen_width, ready.screen_height)
    assert len(context.kept) == 1
    with pytest.raises(StepError):
        await context.do("ui.assert_visible", id="no_such_thing")


async def test_a_video_that_plays(context: Context, autojump_clock: trio.testing.MockClock) -> None:
    await context.do("device.bootstrap")
    await context.do("app.open_url", url="https://www.youtube.com/watch?v=doai-test-1")
    played = await context.do("media.wait_playing", seconds=20)
    assert played.played_ms >= 20_000
    assert played.stalls == 0
    await context.do("ui.key", key="BACK")
    assert (await context.do("device.shell", command="echo done")).stdout.strip() == "done"
