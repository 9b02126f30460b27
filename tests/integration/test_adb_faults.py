"""Every fault that an adb driver must survive, each a test by its name: real adb server, simulated phones."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from doai.drivers.adb.client import AdbClient, AdbError
from doai.drivers.adb.config import AdbConfig
from doai.drivers.adb.driver import AdbDriver
from doai.drivers.adb.server import find_adb
from doai.drivers.base import DeviceChange, DriverNotice
from doai.drivers.feed import Item
from doai.drivers.png import whole_png
from doai.errors import ConfigError, ErrorClass, StepError
from doai.phone.faults import Fault
from doai.phone.phone import Phone
from doai.phone.shelf import Shelf, open_shelf
from doai.ports import free_port
from doai.states import DeviceState
from tests.apk.builder import make_apk

WITHIN_S = 90.0
TEXT = "marker 0123456789 0123456789 0123456789"


class Bench:
    """One driver with its phones, and all that it told."""

    def __init__(self, driver: AdbDriver, shelf: Shelf, changes: AsyncIterator[Item]) -> None:
        self.driver = driver
        self.shelf = shelf
        self._changes = changes

    @property
    def phone(self) -> Phone:
        return self.shelf.phones[0]

    async def told(self, serial: str, state: DeviceState) -> DeviceChange:
        """Wait until the driver told this, since the last time it was asked."""
        with trio.fail_after(WITHIN_S):
            async for item in self._changes:
                if isinstance(item, DeviceChange) and (item.serial, item.state) == (serial, state):
                    return item
        raise AssertionError

    async def noticed(self, code: str) -> DriverNotice:
        with trio.fail_after(WITHIN_S):
            async for item in self._changes:
                if isinstance(item, DriverNotice) and item.code == code:
                    return item
        raise AssertionError

    async def works(self, serial: str) -> None:
        """Wait until a command works; only connection errors may come before."""
        with trio.fail_after(WITHIN_S):
            while True:
                try:
                    assert (await self.driver.device(serial).shell("echo works")).text == "works"
                    return
                except StepError as error:
                    assert error.failure.error_class in {ErrorClass.DEVICE, ErrorClass.INFRASTRUCTURE}
                    await trio.sleep(0.02)

    async def wait_sockets_closed(self) -> None:
        """All but the one that tracks; a probe may be under way for a moment."""
        with trio.fail_after(WITHIN_S):
            while self.driver.statistics().open_sockets > 1:  # noqa: ASYNC110 - a figure
                await trio.sleep(0.01)


@asynccontextmanager
async def open_bench(
    home: Path,
    *,
    count: int = 1,
    order: Callable[[Shelf], None] | None = None,
    online: int | None = None,
    answers_within_s: float = WITHIN_S,
) -> AsyncIterator[Bench]:
    """Open phones and their driver; one that takes longer for a sign of life, twice, is told to be silent."""
    async with open_shelf(count=count, seed=1, reboot_s=0.3) as shelf:
        if order is not None:
            order(shelf)
        config = AdbConfig(
            server_port=free_port(),
            usb=False,
            home=str(home),
            connect=[f"127.0.0.1:{phone.port}" for phone in shelf.phones],
            probe_every_s=0.4,
            probe_timeout_s=answers_within_s,
            probe_misses=2,
            reconnect_after_offline_s=1.0,
        )
        driver = AdbDriver(config)
        async with driver.run():
            bench = Bench(driver, shelf, driver.changes())
            for phone in shelf.phones[: count if online is None else online]:
                await bench.works(phone.serial)
            yield bench
        assert driver.statistics().open_sockets == 0
        assert driver.statistics().server_pid is None
        with pytest.raises(AdbError):
            await AdbClient(config.server_port).version()


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for the adb key of all tests: making one takes a while."""
    return tmp_path_factory.getbasetemp()


@asynccontextmanager
async def one_phone(home: Path, *, answers_within_s: float = WITHIN_S) -> AsyncIterator[Bench]:
    before = set(threading.enumerate())
    with trio.fail_after(WITHIN_S * 2):
        async with open_bench(home, answers_within_s=answers_within_s) as bench:
            yield bench
            await bench.wait_sockets_closed()
    # Trio keeps idle threads for some seconds; the driver itself starts none.
    assert [thread for thread in set(threading.enumerate()) - before if not thread.name.startswith("Trio")] == []


@pytest.fixture
async def bench(home: Path) -> AsyncIterator[Bench]:
    async with one_phone(home) as bench:
        yield bench


@pytest.fixture
async def impatient(home: Path) -> AsyncIterator[Bench]:
    """One whose driver waits for less than a second before it calls a phone silent."""
    async with one_phone(home, answers_within_s=0.4) as bench:
        yield bench


async def failing(call: Awaitable[object]) -> StepError:
    with trio.fail_after(WITHIN_S), pytest.raises(StepError) as caught:
        await call
    assert "SIM0001" in caught.value.failure.message
    return caught.value


async def cancelled(call: Callable[[], Awaitable[object]]) -> None:
    """The call does not end by itself; its caller ends it, exactly then."""
    with trio.fail_after(WITHIN_S):
        with trio.move_on_after(0.5) as scope:
            await call()
        assert scope.cancelled_caught


CUT = {"output_incomplete", "device_offline"}


async def test_reset_mid_output(bench: Bench) -> None:
    bench.phone.order(Fault.RESET_MID_OUTPUT, match="marker")
    error = await failing(bench.driver.device("SIM0001").shell(f"echo {TEXT}"))
    assert error.failure.error_class is ErrorClass.DEVICE
    assert error.failure.code in CUT
    await bench.works("SIM0001")


async def test_reset_mid_screenshot(bench: Bench) -> None:
    bench.phone.order(Fault.RESET_MID_OUTPUT, match="screencap", after_bytes=400)
    error = await failing(bench.driver.device("SIM0001").screenshot())
    assert error.failure.code in CUT
    await bench.works("SIM0001")
    assert whole_png(await bench.driver.device("SIM0001").screenshot())


async def test_reset_on_open(bench: Bench) -> None:
    bench.phone.order(Fault.RESET_ON_OPEN, match="marker")
    error = await failing(bench.driver.device("SIM0001").shell(f"echo {TEXT}"))
    assert error.failure.code in CUT
    await bench.works("SIM0001")


async def test_open_never_answered(bench: Bench) -> None:
    bench.phone.order(Fault.OPEN_UNANSWERED, match="marker")
    await cancelled(lambda: bench.driver.device("SIM0001").shell(f"echo {TEXT}"))
    assert (await bench.driver.device("SIM0001").shell("echo next")).text == "next"


async def test_silent_phone(impatient: Bench) -> None:
    """The state stays `device` in adb; the driver finds out by asking, and ends the calls that wait."""
    impatient.phone.order(Fault.SILENT)
    error = await failing(impatient.driver.device("SIM0001").shell(f"echo {TEXT}"))
    assert error.failure.code == "device_unresponsive"
    told = await impatient.told("SIM0001", DeviceState.UNRESPONSIVE)
    assert "does not answer" in told.reason
    # Called again while it is silent: ends too, and not by the caller's patience.
    assert (await failing(impatient.driver.device("SIM0001").screenshot())).failure.code == "device_unresponsive"
    impatient.phone.clear(Fault.SILENT)
    back = await impatient.told("SIM0001", DeviceState.ONLINE)
    assert back.info is not None
    await impatient.works("SIM0001")


async def test_dribbled_output(bench: Bench) -> None:
    bench.phone.order(Fault.DRIBBLE, match="marker", delay_s=0.005)
    assert (await bench.driver.device("SIM0001").shell(f"echo {TEXT}")).text == TEXT


async def test_output_that_stops(bench: Bench) -> None:
    bench.phone.order(Fault.OUTPUT_STOPS, match="marker")
    await cancelled(lambda: bench.driver.device("SIM0001").shell(f"echo {TEXT}"))
    assert (await bench.driver.device("SIM0001").shell("echo next")).text == "next"


async def test_garbage(bench: Bench) -> None:
    bench.phone.order(Fault.GARBAGE, match="marker")
    error = await failing(bench.driver.device("SIM0001").shell(f"echo {TEXT}"))
    assert error.failure.code in CUT | {"output_garbled"}
    await bench.works("SIM0001")


async def test_garbage_output(bench: Bench) -> None:
    bench.phone.order(Fault.GARBAGE_OUTPUT, match="marker")
    error = await failing(bench.driver.device("SIM0001").shell(f"echo {TEXT}"))
    assert error.failure.code in {"output_garbled", "output_incomplete"}
    assert (await bench.driver.device("SIM0001").shell("echo next")).text == "next"


async def test_auth_for_ever(bench: Bench) -> None:
    bench.phone.order(Fault.AUTH_FOREVER)
    told = await bench.told("SIM0001", DeviceState.UNAUTHORIZED)
    assert "accept" in told.reason
    with pytest.raises(StepError) as caught:
        bench.driver.device("SIM0001")
    assert caught.value.failure.code == "device_unauthorized"
    bench.phone.clear(Fault.AUTH_FOREVER)
    await bench.told("SIM0001", DeviceState.ONLINE)
    await bench.works("SIM0001")


async def test_tcp_open_without_cnxn(bench: Bench) -> None:
    bench.phone.order(Fault.NO_CNXN)
    await bench.told("SIM0001", DeviceState.OFFLINE)
    with pytest.raises(StepError) as caught:
        bench.driver.device("SIM0001")
    assert caught.value.failure.code == "device_offline"
    bench.phone.clear(Fault.NO_CNXN)
    await bench.told("SIM0001", DeviceState.ONLINE)
    await bench.works("SIM0001")


async def test_port_gone(bench: Bench) -> None:
    bench.phone.order(Fault.PORT_GONE)
    await bench.told("SIM0001", DeviceState.OFFLINE)
    bench.phone.clear(Fault.PORT_GONE)
    await bench.told("SIM0001", DeviceState.ONLINE)
    await bench.works("SIM0001")


async def test_a_device_that_the_server_gave_up_is_connected_again(bench: Bench) -> None:
    """The server forgets a device after 60 s; a disconnect leaves it in the same state at once."""
    client = AdbClient(bench.driver.config.server_port)
    await client.disconnect_device(f"127.0.0.1:{bench.phone.port}")
    await bench.told("SIM0001", DeviceState.OFFLINE)
    await bench.told("SIM0001", DeviceState.ONLINE)
    await bench.works("SIM0001")


async def test_server_killed(home: Path) -> None:
    with trio.fail_after(WITHIN_S * 2):
        async with open_bench(home, count=3) as bench:
            serials = [phone.serial for phone in bench.shelf.phones]
            first = bench.driver.statistics().server_pid
            assert first is not None
            errors: list[StepError] = []

            async def long_command() -> None:
                errors.append(await failing_anywhere(bench.driver.device("SIM0001").shell("sleep 600 # marker")))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(long_command)
                with trio.fail_after(WITHIN_S):
                    while not any("marker" in entry.command for entry in bench.phone.journal.entries()):  # noqa: ASYNC110
                        await trio.sleep(0.01)
                os.kill(first, signal.SIGKILL)
            assert errors[0].failure.error_class is ErrorClass.INFRASTRUCTURE
            assert errors[0].failure.code == "adb_server_down"
            await bench.noticed("adb_server_restarted")
            for serial in serials:
                await bench.works(serial)
            again = bench.driver.statistics()
            assert again.server_pid not in {None, first}
            assert again.server_starts == 2


async def failing_anywhere(call: Awaitable[object]) -> StepError:
    with pytest.raises(StepError) as caught:
        await call
    return caught.value


async def test_storage_full(bench: Bench, tmp_path: Path) -> None:
    bench.phone.order(Fault.STORAGE_FULL)
    device = bench.driver.device("SIM0001")
    error = await failing(device.push(b"x" * 2_000_000, "/sdcard/large.bin"))
    assert (error.failure.code, error.failure.error_class) == ("storage_full", ErrorClass.DEVICE)
    apk = tmp_path / "app.apk"
    apk.write_bytes(make_apk("com.example.new"))
    assert (await failing(device.install(str(apk)))).failure.code == "storage_full"
    bench.phone.clear(Fault.STORAGE_FULL)
    await device.push(b"x" * 2_000_000, "/sdcard/large.bin")
    await device.install(str(apk))


@pytest.mark.parametrize(
    ("reason", "error_class"),
    [
        ("INSTALL_FAILED_VERSION_DOWNGRADE", ErrorClass.USER),
        ("INSTALL_FAILED_INSUFFICIENT_STORAGE", ErrorClass.DEVICE),
        ("INSTALL_PARSE_FAILED_NO_CERTIFICATES", ErrorClass.USER),
        ("INSTALL_FAILED_INTERNAL_ERROR", ErrorClass.APP),
    ],
)
async def test_install_failures_by_name(bench: Bench, tmp_path: Path, reason: str, error_class: ErrorClass) -> None:
    apk = tmp_path / "app.apk"
    apk.write_bytes(make_apk("com.example.new"))
    bench.phone.order(Fault.INSTALL_FAILS, text=reason)
    error = await failing(bench.driver.device("SIM0001").install(str(apk)))
    assert (error.failure.code, error.failure.error_class) == (reason.lower(), error_class)
    await bench.driver.device("SIM0001").install(str(apk))


async def test_screen_off(bench: Bench) -> None:
    bench.phone.order(Fault.SCREEN_OFF)
    device = bench.driver.device("SIM0001")
    assert whole_png(await device.screenshot())
    assert (await device.shell("echo awake")).text == "awake"


async def test_phone_reboots_mid_task(bench: Bench) -> None:
    bench.phone.order(Fault.REBOOT_MID_TASK)
    error = await failing_anywhere(keep_calling(bench.driver))
    assert error.failure.error_class is ErrorClass.DEVICE
    await bench.told("SIM0001", DeviceState.OFFLINE)
    await bench.told("SIM0001", DeviceState.ONLINE)
    await bench.works("SIM0001")


async def keep_calling(driver: AdbDriver) -> None:
    """A probe may be what makes the phone reboot: the task's next call sees it all the same."""
    device = driver.device("SIM0001")
    while True:
        await device.shell(f"echo {TEXT}")


async def test_same_serial_on_one_node(home: Path) -> None:
    def same(shelf: Shelf) -> None:
        shelf.phones[1].order(Fault.SAME_SERIAL, text="SIM0001")

    with trio.fail_after(WITHIN_S * 2):
        async with open_bench(home, count=2, order=same, online=1) as bench:
            notice = await bench.noticed("device_serial_twice")
            assert notice.serial == "SIM0001"
            assert all(f"127.0.0.1:{phone.port}" in notice.message for phone in bench.shelf.phones)
            await bench.works("SIM0001")
            # The one that is used goes: the other takes its place.
            first = await online_info(bench.driver)
            used = next(phone for phone in bench.shelf.phones if first.endswith(f":{phone.port}"))
            used.power_off()
            while (await bench.told("SIM0001", DeviceState.ONLINE)).info.connection == first:  # type: ignore
                pass
            await bench.works("SIM0001")


async def online_info(driver: AdbDriver) -> str:
    """How the device is addressed now."""
    async for item in driver.changes():
        if isinstance(item, DeviceChange) and item.info is not None:
            return item.info.connection
    raise AssertionError


async def test_same_serial_on_two_nodes(home: Path) -> None:
    """Each node's driver tells what it sees; which of them works is decided by who hears both."""

    def same(shelf: Shelf) -> None:
        shelf.phones[0].order(Fault.SAME_SERIAL, text="SIM9999")

    with trio.fail_after(WITHIN_S * 2):
        async with (
            open_bench(home, order=same, online=0) as first,
            open_bench(home, order=same, online=0) as second,
        ):
            await first.works("SIM9999")
            await second.works("SIM9999")


async def test_a_call_is_cancelled_while_the_server_hangs(bench: Bench) -> None:
    pid = bench.driver.statistics().server_pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        await cancelled(lambda: bench.driver.device("SIM0001").shell(f"echo {TEXT}"))
    finally:
        os.kill(pid, signal.SIGCONT)
    await bench.works("SIM0001")


async def test_push_and_pull_are_cancelled_at_once(bench: Bench) -> None:
    device = bench.driver.device("SIM0001")
    await device.push(bytes(3_000_000), "/sdcard/large.bin")
    bench.phone.order(Fault.OPEN_UNANSWERED, count=None, match="sync")
    await cancelled(lambda: device.push(bytes(3_000_000), "/sdcard/large.bin"))
    await cancelled(lambda: device.pull("/sdcard/large.bin"))
    bench.phone.clear(Fault.OPEN_UNANSWERED)
    assert len(await device.pull("/sdcard/large.bin")) == 3_000_000


async def test_fifty_abandoned_calls_leave_nothing(bench: Bench) -> None:
    device = bench.driver.device("SIM0001")
    with trio.move_on_after(1.0) as abandoned:
        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(device.shell, "sleep 600")
    assert abandoned.cancelled_caught
    await bench.wait_sockets_closed()
    await bench.works("SIM0001")


async def test_a_server_that_runs_is_used_and_left_alone(home: Path) -> None:
    with trio.fail_after(WITHIN_S):
        async with open_bench(home) as bench:
            port = bench.driver.config.server_port
            for start_server in (True, False):
                guest = AdbDriver(AdbConfig(server_port=port, start_server=start_server, usb=False))
                changes = guest.changes()
                async with guest.run():
                    async for item in changes:
                        if isinstance(item, DeviceChange) and item.state is DeviceState.ONLINE:
                            break
                    assert (await guest.device("SIM0001").shell("echo guest")).text == "guest"
                    assert guest.statistics().server_pid is None
                assert await AdbClient(port).version() > 30


async def test_no_server_and_none_may_be_started() -> None:
    driver = AdbDriver(AdbConfig(server_port=free_port(), start_server=False))
    with trio.fail_after(WITHIN_S), pytest.RaisesGroup(StepError) as caught:
        async with driver.run():
            raise AssertionError
    error = caught.value.exceptions[0]
    assert isinstance(error, StepError)
    assert error.failure.code == "adb_server_down"
    assert error.failure.error_class is ErrorClass.INFRASTRUCTURE


async def test_a_server_that_can_not_start_says_why(tmp_path: Path) -> None:
    program = tmp_path / "adb"
    program.write_text("#!/bin/sh\necho 'no such luck' >&2\nexit 3\n")
    program.chmod(0o755)
    driver = AdbDriver(AdbConfig(server_port=free_port(), adb_path=str(program)))
    with trio.fail_after(WITHIN_S), pytest.RaisesGroup(StepError) as caught:
        async with driver.run():
            raise AssertionError
    assert "code 3" in str(caught.value.exceptions[0])
    assert "no such luck" in str(caught.value.exceptions[0])
    with pytest.raises(ConfigError, match="adb_path"):
        AdbDriver(AdbConfig(adb_path=str(tmp_path / "missing")))


ORPHAN_MAKER = """
import sys, os, trio
from doai.drivers.adb.config import AdbConfig
from doai.drivers.adb.driver import AdbDriver

async def main():
    driver = AdbDriver(AdbConfig(server_port=int(sys.argv[1]), usb=False, home=sys.argv[2]))
    async with driver.run():
        print(driver.statistics().server_pid, flush=True)
        os.kill(os.getpid(), 9)

trio.run(main)
"""


async def test_the_server_of_a_killed_node_is_replaced(home: Path) -> None:
    port = free_port()
    with trio.fail_after(WITHIN_S):
        ended = await trio.run_process(
            [sys.executable, "-c", ORPHAN_MAKER, str(port), str(home)], capture_stdout=True, check=False
        )
        orphan = int(ended.stdout)
        assert await AdbClient(port).version() > 30
        driver = AdbDriver(AdbConfig(server_port=port, usb=False, home=str(home)))
        changes = driver.changes()
        async with driver.run():
            notice = await anext(changes)
            assert isinstance(notice, DriverNotice)
            assert (notice.code, driver.statistics().server_starts) == ("adb_server_orphan", 1)
            assert driver.statistics().server_pid != orphan
        with pytest.raises(AdbError):
            await AdbClient(port).version()


def test_the_adb_program_is_found_without_importing_adbutils() -> None:
    code = "import sys; import doai.drivers.adb.driver as d; d.AdbDriver(); assert 'adbutils' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert find_adb(AdbConfig()).endswith("adb")
