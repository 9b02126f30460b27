"""device.reboot: a phone that goes and comes back, and those that do not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from doai.drivers import failures
from doai.drivers.base import CommandOutput
from doai.errors import ErrorClass

Make = Callable[[dict[str, Any]], Any]
MARK = "\n--doai-section--\n"


def state(uptime_s: float, booted: str = "1") -> str:
    return f"{uptime_s:.2f} 1.0{MARK}{booted}"


def gone(_: str) -> str:
    raise failures.device_offline("PHONE-1", "no cable")


async def test_the_simulated_phone_comes_back_started(phone: Any, autojump_clock: MockClock) -> None:
    await phone.do("app.launch", package="com.example.login")
    await trio.sleep(3600)
    done = await phone.do("device.reboot")
    assert phone.device.phone.boots == 2
    assert 1000 <= done.rebooted_ms < 5000
    assert (await phone.do("device.health")).foreground_app == "com.android.launcher3"


async def test_a_phone_that_is_still_starting_is_waited_for(scripted: Make, autojump_clock: MockClock) -> None:
    looks: list[Any] = [gone, gone, state(0.5, ""), state(1.5, ""), state(2.5)]

    def look(command: str) -> str:
        answer = looks.pop(0)
        return str(answer(command) if callable(answer) else answer)

    bench = scripted({"boot_completed": look, "proc/uptime": "900.00 1", "reboot": gone})
    assert (await bench.do("device.reboot")).rebooted_ms == pytest.approx(5000, abs=100)


@pytest.mark.parametrize(
    ("look", "words"),
    [
        (lambda _: gone(""), "no cable"),
        (lambda _: state(950.0), "still runs as before"),
        (lambda _: state(0.5, ""), "Android is still starting"),
    ],
)
async def test_a_phone_that_does_not_come_back_is_said(
    scripted: Make, autojump_clock: MockClock, look: Any, words: str
) -> None:
    bench = scripted({"boot_completed": look, "proc/uptime": "900.00 1", "reboot": ""})
    error = await bench.fail("device.reboot", within="20s")
    assert (error.failure.error_class, error.code) == (ErrorClass.DEVICE, "reboot_not_seen")
    assert words in str(error)
    assert autojump_clock.current_time() <= 21


async def test_a_phone_without_its_uptime_must_have_been_away(scripted: Make, autojump_clock: MockClock) -> None:
    looks: list[Any] = [MARK + "1", gone, MARK + "1"]

    def look(command: str) -> str:
        answer = looks.pop(0)
        return str(answer(command) if callable(answer) else answer)

    bench = scripted({"boot_completed": look, "proc/uptime": "Permission denied", "reboot": ""})
    await bench.do("device.reboot")
    assert looks == []


async def test_a_phone_that_refuses(scripted: Make) -> None:
    bench = scripted({"proc/uptime": "1.0 1", "reboot": CommandOutput(b"", b"Operation not permitted", 1)})
    error = await bench.fail("device.reboot")
    assert (error.failure.error_class, error.code) == (ErrorClass.DEVICE, "reboot_refused")
