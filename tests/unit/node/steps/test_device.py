"""device.bootstrap and device.shell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from trio.testing import MockClock

from doai.drivers.base import CommandOutput
from doai.errors import ErrorClass
from doai.node.steps.device import READY_WITHIN_S, SHELL_OUTPUT_BYTES_MAX, parse_screen_size

Make = Callable[[dict[str, Any]], Any]
MARK = "\n--doai-section--\n"
GOOD = {
    "prepare": "",
    "power": "  mWakefulness=Awake",
    "keyguard": "    showing=false\n    secure=true",
    "properties": "Pixel 7\n34\n14",
    "battery": "Current Battery Service state:\n  level: 43\n  scale: 50",
    "size": "Physical size: 1080x2400\nOverride size: 720x1600",
}


def answer(**changed: str) -> str:
    return MARK.join((GOOD | changed).values())


async def test_bootstrap_is_one_round_trip(scripted: Make) -> None:
    bench = scripted({"": answer()})
    done = await bench.do("device.bootstrap")
    assert (done.model, done.sdk, done.android) == ("Pixel 7", 34, "14")
    assert (done.battery_percent, done.screen_width, done.screen_height) == (86, 720, 1600)
    (command,) = bench.device.commands
    for part in ("input keyevent 224", "wm dismiss-keyguard", "stay_on_while_plugged_in 7", "input keyevent 3"):
        assert part in command


async def test_what_is_not_wanted_is_not_done(scripted: Make) -> None:
    bench = scripted({"": answer()})
    await bench.do("device.bootstrap", stay_awake=False, home=False)
    assert "stay_on" not in bench.device.commands[0]
    assert "input keyevent 3;" not in bench.device.commands[0]


async def test_a_keyguard_that_goes_away_is_waited_for(scripted: Make, autojump_clock: MockClock) -> None:
    answers = [answer(keyguard="  showing=true"), answer(power="mWakefulness=Asleep"), answer()]
    bench = scripted({"": lambda _: answers.pop(0)})
    await bench.do("device.bootstrap")
    assert len(bench.device.commands) == 3


@pytest.mark.parametrize(
    ("changed", "code", "words"),
    [
        ({"keyguard": "  showing=true\n  secure=true"}, "device_locked", "PIN"),
        ({"power": "mWakefulness=Dozing"}, "screen_off", "Dozing"),
    ],
)
async def test_a_device_that_does_not_get_ready_is_said(
    scripted: Make, autojump_clock: MockClock, changed: dict[str, str], code: str, words: str
) -> None:
    error = await scripted({"": answer(**changed)}).fail("device.bootstrap")
    assert (error.failure.error_class, error.code) == (ErrorClass.DEVICE, code)
    assert words in str(error)
    assert autojump_clock.current_time() <= READY_WITHIN_S


@pytest.mark.parametrize("part", ["properties", "battery", "size"])
async def test_a_device_that_is_still_starting_is_said(scripted: Make, part: str) -> None:
    assert (await scripted({"": answer(**{part: ""})}).fail("device.bootstrap")).code == "device_not_ready"
    assert (await scripted({"": ""}).fail("device.bootstrap")).code == "device_not_ready"


async def test_bootstrap_wakes_the_simulated_phone(phone: Any, autojump_clock: MockClock) -> None:
    phone.device.phone.power.set_screen(False, 0.0)
    await phone.do("device.bootstrap")
    assert phone.device.phone.power.screen_on
    assert len(phone.device.commands) == 1


async def test_shell_gives_what_the_command_wrote(scripted: Make) -> None:
    bench = scripted({"ls": CommandOutput(b"a\nb\n", b"warned\r\n", 1)})
    done = await bench.do("device.shell", command="ls", exit_codes=[0, 1])
    assert (done.stdout, done.stderr, done.exit_code) == ("a\nb", "warned", 1)


async def test_another_exit_code_fails_with_what_was_said(scripted: Make) -> None:
    error = await scripted({"ls": CommandOutput(b"", b"ls: x:\n\tno such " + b"y" * 9999, 2)}).fail(
        "device.shell", command="ls"
    )
    assert (error.failure.error_class, error.code) == (ErrorClass.APP, "exit_code")
    assert "exit code 2 (expected 0); it said: ls: x: no such yyy" in str(error)


async def test_an_output_that_is_too_large_is_refused(scripted: Make) -> None:
    bench = scripted({"": b"x" * (SHELL_OUTPUT_BYTES_MAX + 1)})
    assert (await bench.fail("device.shell", command="logcat -d")).code == "output_too_large"


def test_the_override_is_the_size_that_counts() -> None:
    assert parse_screen_size("Physical size: 1080x2400") == (1080, 2400)
    assert parse_screen_size(GOOD["size"]) == (720, 1600)
    assert parse_screen_size("") is None
