"""A phone without a socket, for the tests of the model and its shell."""

from collections.abc import Callable

import pytest

from doai.phone.device import Device
from doai.phone.profiles import PROFILES
from doai.phone.shell import Finished, run_at_once


@pytest.fixture
def device() -> Device:
    return Device(
        serial="SIM0001",
        profile=PROFILES[0],
        tags=("lab", "wifi"),
        now_s=0.0,
        wall_offset_s=1_700_000_000.0,
    )


@pytest.fixture
def sh(device: Device) -> Callable[..., Finished]:
    """Runs a command line on the device at a time (100 s after boot unless said)."""

    def run(line: str, now_s: float = 100.0, stdin: bytes = b"") -> Finished:
        return run_at_once(device, line, now_s, stdin)

    return run
