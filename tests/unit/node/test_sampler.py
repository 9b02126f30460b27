"""One sample of a device: what it says, or why it says nothing; beside a step that runs on it."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from doai.clock import Now
from doai.drivers.base import Driver
from doai.drivers.failures import device_offline
from doai.drivers.fake.driver import FakeDriver
from doai.drivers.fake.scripts import Script
from doai.limits import SAMPLE_TIMEOUT_S
from doai.messages.samples import DeviceHealth
from doai.node.sampler import sample_health


class TrioClock:
    def now(self) -> Now:
        return Now(trio.current_time(), 1_700_000_000_000)


async def sample(driver: Driver, serial: str = "F1") -> DeviceHealth:
    return await sample_health(lambda _: driver, serial, TrioClock(), "node-1")


async def test_a_phone_says_how_it_is_while_a_step_runs_on_it(autojump_clock: MockClock) -> None:
    driver = FakeDriver(serials=["F1"])
    async with driver.run(), trio.open_nursery() as nursery:
        nursery.start_soon(driver.device("F1", tag="task/1/step/1").shell, "sleep 600")
        await trio.testing.wait_all_tasks_blocked()
        health = await sample(driver)
        assert (health.serial, health.problem, health.battery_health) == ("F1", "", "good")
        assert health.battery_temp_c == 30.0
        assert health.cpu_percent is not None
        assert health.uptime_s is not None
        assert health.sampled_at_ms == 1_700_000_000_000
        nursery.cancel_scope.cancel()


async def test_a_phone_that_is_not_there_is_told(autojump_clock: MockClock) -> None:
    def nobody(serial: str) -> Driver:
        raise device_offline(serial)

    health = await sample_health(nobody, "F9", TrioClock(), "node-1")
    assert health.problem
    assert health.battery_percent is None


async def test_a_phone_that_never_answers_is_told_after_a_while(autojump_clock: MockClock) -> None:
    driver = FakeDriver(serials=["F1"])
    async with driver.run():
        driver.script(Script(pattern="dumpsys battery", hang=True))
        health = await sample(driver)
    assert health.problem == "Device F1 did not answer within 10 s: look at its screen and its cable."
    assert health.took_ms == pytest.approx(SAMPLE_TIMEOUT_S * 1000, abs=50)


async def test_a_bug_of_a_driver_costs_the_sample_alone(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(serial: str) -> Driver:
        raise KeyError(serial)

    health = await sample_health(broken, "F1", TrioClock(), "node-1")
    assert health.problem == "Reading how device F1 is raised KeyError: see the node's log."
    [record] = caplog.records
    assert record.exc_info is not None
