"""A driver that fails takes its own phones with it, is named, and begins again; others never notice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from doai.backoff import Backoff
from doai.drivers.base import DeviceChange, Driver, DriverNotice, Proof
from doai.drivers.fake.driver import FakeDriver
from doai.errors import ErrorClass, Failure, StepError, StoreError
from doai.node import driver_watch
from doai.node.driver_watch import DriverWatch
from tests.unit.node.test_shell import Host


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver_watch, "AGAIN", Backoff(first_s=0.01, longest_s=0.01))


class Frail(FakeDriver):
    """Fails when it is told to."""

    def __init__(self, serial: str) -> None:
        super().__init__(serials=[serial])
        self.breaks: trio.Event = trio.Event()
        self.error: Exception = RuntimeError("a bug of whoever wrote this driver")
        self.begun = 0

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        self.begun += 1
        async with super().run(), trio.open_nursery() as nursery:
            nursery.start_soon(self._fail)
            yield
            nursery.cancel_scope.cancel()

    async def _fail(self) -> None:
        await self.breaks.wait()
        self.breaks = trio.Event()
        raise self.error


async def test_phones_of_a_driver_that_failed_are_away_until_it_runs_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    host, frail = Host(tmp_path, 1), Frail("OTHER1")
    with trio.fail_after(90):
        async with host.broker() as broker, host.node(frail):
            await broker.wait(lambda: sorted(broker.online()) == ["FAKE0001", "OTHER1"])
            frail.breaks.set()
            await broker.wait(lambda: broker.online().count("OTHER1") == 2)
            gone = [payload for name, payload in broker.facts if name == "device.offline"]
            notices = [payload for name, payload in broker.facts if name == "system.alert"]
    assert [each.serial for each in gone] == ["OTHER1"]
    assert "a bug of whoever wrote this driver" in gone[0].reason
    assert [each.code for each in notices] == ["driver_failed"]
    assert "the driver fake failed" in caplog.text
    assert frail.begun == 2


class Listener:
    """Counts."""

    def __init__(self) -> None:
        self.ran = 0
        self.failures: list[str] = []
        self.error: Exception | None = None

    def driver_runs(self, driver: Driver) -> None:
        self.ran += 1

    def driver_said(self, driver: Driver, item: DeviceChange | Proof | DriverNotice) -> None:
        if self.error is not None:
            raise self.error

    def driver_failed(self, driver: Driver, notice: DriverNotice) -> None:
        self.failures.append(notice.message)


class Never(FakeDriver):
    """Does not even begin."""

    error: Exception = StepError(
        Failure(error_class=ErrorClass.INFRASTRUCTURE, code="x", message="no server: start it")
    )

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        raise self.error
        yield


async def test_what_a_driver_says_at_its_first_start_ends_the_program_and_a_bug_does_not() -> None:
    listener, never = Listener(), Never(count=1)
    with pytest.raises(StepError, match="no server"):
        await DriverWatch(never, listener, lambda: 0.5).run()
    assert (listener.ran, listener.failures) == (0, [])
    never.error = ZeroDivisionError("division by zero")
    with trio.fail_after(90):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(DriverWatch(never, listener, lambda: 0.5).run)
            while len(listener.failures) < 3:  # noqa: ASYNC110 - it begins again and again
                await trio.sleep(0.001)
            nursery.cancel_scope.cancel()
    assert listener.ran == 1, "nobody waits for it"
    assert "ZeroDivisionError: division by zero" in listener.failures[0]


@pytest.mark.parametrize("error", [StoreError("the disk is gone: look at it"), AssertionError("a bug of the core")])
async def test_what_is_not_the_drivers_fault_is_not_taken_for_it(error: Exception) -> None:
    listener = Listener()
    listener.error = error
    with trio.fail_after(90), pytest.RaisesGroup(type(error), flatten_subgroups=True):
        await DriverWatch(FakeDriver(count=1), listener, lambda: 0.5).run()
    assert listener.failures == []
