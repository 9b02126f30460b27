"""Every promise of doai.drivers.base, kept by all drivers: adb (real server, simulated phones), xiaowei (scripted
vendor's program, simulated phones) and fake."""

from __future__ import annotations

import shlex
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import trio

from doai.drivers.adb.config import AdbConfig
from doai.drivers.adb.driver import AdbDriver
from doai.drivers.base import (
    CommandOutput,
    Device,
    DeviceChange,
    DeviceInfo,
    Driver,
    Follows,
    InstallOptions,
    Proof,
    ProofKind,
)
from doai.drivers.fake.driver import FakeDriver
from doai.drivers.feed import Item
from doai.drivers.png import picture_size, whole_png
from doai.drivers.xiaowei.config import XiaoweiConfig
from doai.drivers.xiaowei.driver import XiaoweiDriver
from doai.errors import ErrorClass, LocalProtocolError, StepError
from doai.node.sampler import TAG as SAMPLE_TAG
from doai.node.steps.health import read_health
from doai.phone.faults import Fault
from doai.phone.shelf import Shelf, open_shelf
from doai.phone.vendor import open_vendor
from doai.ports import free_port
from doai.states import DeviceState
from tests.apk.builder import make_apk

WITHIN_S = 90.0
TAG = "01TASK/1.7/shot/1"
OFTEN = {"probe_every_s": 0.1, "probe_timeout_s": 0.5, "probe_misses": 2}


class Fleet:
    """A driver, its devices, and how to disturb them."""

    def __init__(self, driver: Driver, serials: list[str]) -> None:
        self.driver = driver
        self.serials = serials

    @property
    def device(self) -> Device:
        return self.driver.device(self.serials[0])

    def vanish(self, serial: str) -> None:
        raise AssertionError

    def appear(self, serial: str) -> None:
        raise AssertionError

    def silence(self, serial: str) -> None:
        raise AssertionError

    def journal(self, serial: str) -> list[tuple[str, str]]:
        """(tag, command), oldest first."""
        raise AssertionError


class ShelfFleet(Fleet):
    def __init__(self, driver: Driver, shelf: Shelf) -> None:
        super().__init__(driver, [phone.serial for phone in shelf.phones])
        self.shelf = shelf

    def vanish(self, serial: str) -> None:
        self.shelf.phone(serial).power_off()

    def appear(self, serial: str) -> None:
        self.shelf.phone(serial).power_on()

    def silence(self, serial: str) -> None:
        self.shelf.phone(serial).order(Fault.SILENT, count=None)

    def journal(self, serial: str) -> list[tuple[str, str]]:
        return [
            (
                f"{entry.step.task_id}/{entry.step.token}/{entry.step.step_id}/{entry.step.try_number}"
                if entry.step is not None
                else "",
                entry.command,
            )
            for entry in self.shelf.phone(serial).journal.entries()
        ]


class XiaoweiFleet(ShelfFleet):
    def journal(self, serial: str) -> list[tuple[str, str]]:
        """The commands without what the driver puts around them."""
        return [
            (tag, shlex.split(line)[2] if line.startswith("sh -c ") else line)
            for tag, line in super().journal(serial)
        ]


class FakeFleet(Fleet):
    def __init__(self, driver: FakeDriver) -> None:
        super().__init__(driver, driver.serials)
        self.fake = driver

    def vanish(self, serial: str) -> None:
        self.fake.vanish(serial)

    def appear(self, serial: str) -> None:
        self.fake.appear(serial)

    def silence(self, serial: str) -> None:
        self.fake.set_state(serial, DeviceState.UNRESPONSIVE)

    def journal(self, serial: str) -> list[tuple[str, str]]:
        return [(entry.tag, entry.command) for entry in self.fake.journal if entry.serial == serial]


@asynccontextmanager
async def open_adb(count: int, home: Path, *, often: bool = False) -> AsyncIterator[Fleet]:
    """Have a driver that is yet to run; ``often``: its phones are asked for signs of life all the time."""
    async with open_shelf(count=count, seed=1) as shelf:
        addresses = [f"127.0.0.1:{phone.port}" for phone in shelf.phones]
        config = AdbConfig(server_port=free_port(), usb=False, home=str(home), connect=addresses)
        driver = AdbDriver(msgspec.structs.replace(config, **(OFTEN if often else {})))
        yield ShelfFleet(driver, shelf)
        assert driver.statistics().open_sockets == 0
        assert driver.statistics().server_pid is None


@asynccontextmanager
async def open_xiaowei(count: int, home: Path, *, often: bool = False) -> AsyncIterator[Fleet]:
    async with open_shelf(count=count, seed=1) as shelf, open_vendor(shelf.phones) as vendor:
        folder = home / "files for phones"
        config = XiaoweiConfig(url=vendor.url, folder=str(folder), list_every_s=0.05)
        driver = XiaoweiDriver(msgspec.structs.replace(config, **(OFTEN if often else {})))
        yield XiaoweiFleet(driver, shelf)
        assert vendor.overlaps == 0
        assert driver.statistics().open_sockets == 0
        assert not list(folder.iterdir())


@asynccontextmanager
async def open_fake(count: int, home: Path, *, often: bool = False) -> AsyncIterator[Fleet]:
    yield FakeFleet(FakeDriver(count=count, seed=1))


DRIVERS = {"adb": open_adb, "xiaowei": open_xiaowei, "fake": open_fake}


@pytest.fixture(params=list(DRIVERS.values()), ids=list(DRIVERS))
async def fleet(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fleet]:
    with trio.fail_after(WITHIN_S * 2):
        async with request.param(2, tmp_path_factory.getbasetemp()) as fleet, fleet.driver.run():
            await wait_state(fleet, fleet.serials[0], DeviceState.ONLINE)
            await wait_state(fleet, fleet.serials[1], DeviceState.ONLINE)
            yield fleet


async def wait_state(fleet: Fleet, serial: str, state: DeviceState) -> DeviceChange:
    return await next_state(fleet.driver.changes(), serial, state)


async def next_state(changes: AsyncIterator[Item], serial: str, state: DeviceState) -> DeviceChange:
    with trio.fail_after(WITHIN_S):
        async for item in changes:
            if isinstance(item, DeviceChange) and (item.serial, item.state) == (serial, state):
                return item
    raise AssertionError


async def test_output_streams_and_exit_code_come_apart(fleet: Fleet) -> None:
    output = await fleet.device.shell("echo out; echo err >&2; exit 7")
    assert (output.stdout, output.stderr, output.exit_code) == (b"out\n", b"err\n", 7)
    assert output.text == "out"


async def test_an_unknown_command_is_an_answer(fleet: Fleet) -> None:
    output = await fleet.device.shell("no-such-program")
    assert output.exit_code == 127
    assert b"not found" in output.stderr


async def test_a_command_gets_its_input_and_its_end(fleet: Fleet) -> None:
    data = bytes(range(256)) * 1000
    assert (await fleet.device.shell("cat", stdin=data)).stdout == data
    assert (await fleet.device.shell("cat")).stdout == b""


async def test_large_binary_output_is_whole(fleet: Fleet) -> None:
    data = bytes(range(256)) * 8192
    await fleet.device.push(data, "/sdcard/Download/large.bin")
    output = await fleet.device.shell("cat /sdcard/Download/large.bin")
    assert output.stdout == data


async def test_screenshot_is_a_whole_picture_of_the_screen(fleet: Fleet) -> None:
    info = (await wait_state(fleet, fleet.serials[0], DeviceState.ONLINE)).info
    assert isinstance(info, DeviceInfo)
    picture = await fleet.device.screenshot()
    assert whole_png(picture) == picture
    assert picture_size(picture) == info.screen


@pytest.mark.parametrize("size", [0, 1, 65536, 300_001])
async def test_a_file_comes_back_as_it_went(fleet: Fleet, size: int) -> None:
    data = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    await fleet.device.push(data, "/sdcard/new/folder/file.bin", mode=0o600)
    assert await fleet.device.pull("/sdcard/new/folder/file.bin") == data


async def test_a_file_that_is_not_there_is_the_users_mistake(fleet: Fleet) -> None:
    with pytest.raises(StepError) as caught:
        await fleet.device.pull("/sdcard/none.bin")
    assert caught.value.failure.code == "no_such_file"
    assert caught.value.failure.error_class is ErrorClass.USER
    assert fleet.serials[0] in caught.value.failure.message


async def test_an_app_is_installed_and_removed(fleet: Fleet, tmp_path: Path) -> None:
    apk = tmp_path / "app.apk"
    apk.write_bytes(make_apk("com.example.new", padding_bytes=100_000))
    await fleet.device.install(str(apk))
    listed = await fleet.device.shell("pm list packages com.example.new")
    assert listed.text == "package:com.example.new"
    assert b"doai" not in (await fleet.device.shell("ls /data/local/tmp")).stdout
    await fleet.device.uninstall("com.example.new")
    assert (await fleet.device.shell("pm list packages com.example.new")).text == ""


async def test_a_file_of_this_host_comes_back_as_it_went(fleet: Fleet, tmp_path: Path) -> None:
    path = tmp_path / "large.bin"
    path.write_bytes(bytes(range(256)) * 6000)
    await fleet.device.push_file(str(path), "/sdcard/new/large.bin", mode=0o600)
    assert await fleet.device.pull("/sdcard/new/large.bin") == path.read_bytes()
    with pytest.raises(StepError) as caught:
        await fleet.device.push_file(str(tmp_path / "missing.bin"), "/sdcard/new/large.bin")
    assert caught.value.failure.code == "no_such_file"


async def test_options_of_an_installation_reach_the_device(fleet: Fleet, tmp_path: Path) -> None:
    apk = tmp_path / "app.apk"
    apk.write_bytes(make_apk("com.example.new", version_code=2, permissions=("android.permission.CAMERA",)))
    await fleet.device.install(str(apk), InstallOptions(grant_permissions=True))
    given = await fleet.device.shell("dumpsys package com.example.new | grep granted=")
    assert given.text.strip().startswith("android.permission.CAMERA: granted=true")
    apk.write_bytes(make_apk("com.example.new", test_only=True))
    for options in (InstallOptions(test_only=True), InstallOptions(downgrade=True)):
        with pytest.raises(StepError):
            await fleet.device.install(str(apk), options)
    await fleet.device.install(str(apk), InstallOptions(downgrade=True, test_only=True))
    await fleet.device.uninstall("com.example.new")


async def test_a_refused_removal_and_a_missing_app_file_have_names(fleet: Fleet, tmp_path: Path) -> None:
    with pytest.raises(StepError) as caught:
        await fleet.device.uninstall("com.example.never.installed")
    assert caught.value.failure.code.startswith("delete_failed")
    with pytest.raises(StepError) as caught:
        await fleet.device.uninstall("com.example; reboot")
    assert caught.value.failure.code == "bad_package"
    with pytest.raises(StepError) as caught:
        await fleet.device.install(str(tmp_path / "missing.apk"))
    assert caught.value.failure.code == "no_such_file"


async def test_a_cancelled_command_ends_at_once_and_the_device_goes_on(fleet: Fleet) -> None:
    device = fleet.device
    with trio.fail_after(WITHIN_S):
        with trio.move_on_after(0.2) as scope:
            await device.shell("sleep 600")
        assert scope.cancelled_caught
        assert (await device.shell("echo still here")).text == "still here"


async def test_a_device_is_read_beside_a_command_that_runs(fleet: Fleet) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(fleet.device.shell, "sleep 60")
        with trio.fail_after(WITHIN_S):
            outputs = await read_health(fleet.driver.device(fleet.serials[0], tag=SAMPLE_TAG))
        nursery.cancel_scope.cancel()
    assert outputs.battery_celsius is not None
    assert outputs.cpu_percent is not None
    assert outputs.uptime_s is not None


async def test_a_device_that_vanishes_ends_its_calls_and_works_when_it_is_back(fleet: Fleet) -> None:
    serial = fleet.serials[0]
    device = fleet.driver.device(serial)
    changes = fleet.driver.changes()
    caught: list[StepError] = []

    async def call() -> None:
        with pytest.raises(StepError) as error:
            await device.shell("sleep 600")
        caught.append(error.value)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(call)
        with trio.fail_after(WITHIN_S):
            while not any(command == "sleep 600" for _, command in fleet.journal(serial)):  # noqa: ASYNC110
                await trio.sleep(0.01)
        fleet.vanish(serial)
    assert caught[0].failure.error_class is ErrorClass.DEVICE
    assert caught[0].failure.code in {"device_offline", "output_incomplete"}
    gone = await next_state(changes, serial, DeviceState.OFFLINE)
    assert gone.info is None
    assert gone.reason
    with pytest.raises(StepError) as refused:
        fleet.driver.device(serial)
    assert refused.value.failure.code == "device_offline"
    assert (await fleet.driver.device(fleet.serials[1]).shell("echo other")).text == "other"
    fleet.appear(serial)
    await wait_state(fleet, serial, DeviceState.ONLINE)
    assert (await device.shell("echo back")).text == "back"


async def fail_when_online(fleet: Fleet) -> None:
    async with fleet.driver.run():
        await wait_state(fleet, fleet.serials[0], DeviceState.ONLINE)
        raise ZeroDivisionError


@pytest.mark.parametrize("name", DRIVERS)
async def test_a_driver_that_is_entered_again_watches_its_phones(
    name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with trio.fail_after(WITHIN_S * 2):
        async with DRIVERS[name](1, tmp_path_factory.getbasetemp(), often=True) as fleet:
            [serial] = fleet.serials
            with pytest.RaisesGroup(ZeroDivisionError, flatten_subgroups=True):
                await fail_when_online(fleet)
            async with fleet.driver.run():
                await wait_state(fleet, serial, DeviceState.ONLINE)
                fleet.silence(serial)
                await wait_state(fleet, serial, DeviceState.UNRESPONSIVE)


async def test_changes_tell_what_is_there_and_then_what_happens(fleet: Fleet) -> None:
    first = fleet.driver.changes()
    seen: dict[str, DeviceChange] = {}
    with trio.fail_after(WITHIN_S):
        while len(seen) < 2:
            item = await anext(first)
            if isinstance(item, DeviceChange):
                seen[item.serial] = item
        assert set(seen) == set(fleet.serials)
        for change in seen.values():
            assert change.state is DeviceState.ONLINE
            assert change.info is not None
            assert change.info.serial == change.serial
            assert change.info.model
            assert change.info.manufacturer
            assert change.info.sdk > 0
            assert change.info.android
        fleet.vanish(fleet.serials[1])
        while True:
            item = await anext(first)
            if isinstance(item, DeviceChange):
                break
        assert (item.serial, item.state) == (fleet.serials[1], DeviceState.OFFLINE)
        fleet.appear(fleet.serials[1])
        while True:
            item = await anext(first)
            if isinstance(item, DeviceChange):
                break
        assert (item.serial, item.state) == (fleet.serials[1], DeviceState.ONLINE)


async def test_an_answer_is_a_proof(fleet: Fleet) -> None:
    changes = fleet.driver.changes()
    serial = fleet.serials[0]
    async with trio.open_nursery() as nursery:

        async def keep_calling() -> None:
            while True:
                await fleet.device.shell("true")
                await trio.sleep(0.5)

        nursery.start_soon(keep_calling)
        with trio.fail_after(WITHIN_S):
            while await anext(changes) != Proof(serial, ProofKind.ANSWER):
                pass
        nursery.cancel_scope.cancel()


async def test_the_tag_goes_before_every_command(fleet: Fleet, tmp_path: Path) -> None:
    serial = fleet.serials[0]
    device = fleet.driver.device(serial, tag=TAG)
    await device.shell("echo tagged")
    await device.screenshot()
    journal = fleet.journal(serial)
    assert (TAG, "echo tagged") in journal
    assert (TAG, "screencap -p") in journal
    with pytest.raises(LocalProtocolError):
        fleet.driver.device(serial, tag="a; reboot")


async def test_an_unknown_serial_is_offline(fleet: Fleet) -> None:
    with pytest.raises(StepError) as caught:
        fleet.driver.device("NOBODY")
    assert caught.value.failure.code == "device_offline"
    assert caught.value.failure.error_class is ErrorClass.DEVICE
    assert "NOBODY" in caught.value.failure.message


async def test_a_device_says_its_serial(fleet: Fleet) -> None:
    assert fleet.device.serial == fleet.serials[0]
    assert (await fleet.device.shell("getprop ro.serialno")).text == fleet.serials[0]
    assert fleet.driver.name in {"adb", "fake", "xiaowei"}


@pytest.fixture(params=[open_adb, open_fake], ids=["adb", "fake"])
async def follower(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Fleet]:
    """Of the drivers that can follow a command; the vendor's program tells of one when it is over."""
    with trio.fail_after(WITHIN_S * 2):
        async with request.param(1, tmp_path_factory.getbasetemp()) as fleet, fleet.driver.run():
            await wait_state(fleet, fleet.serials[0], DeviceState.ONLINE)
            yield fleet


async def followed(fleet: Fleet, command: str, take: Callable[[bytes], None]) -> CommandOutput:
    device = fleet.device
    assert isinstance(device, Follows)
    return await device.follow(command, take)


async def test_what_is_followed_comes_in_order_and_then_its_end(follower: Fleet) -> None:
    pieces: list[bytes] = []
    output = await followed(follower, "echo one; echo two; echo err >&2; exit 7", pieces.append)
    assert b"".join(pieces) == b"one\ntwo\n"
    assert (output.stdout, output.stderr, output.exit_code) == (b"", b"err\n", 7)


async def test_a_log_is_followed_while_commands_run_beside_it(follower: Fleet) -> None:
    came, begun, seen = bytearray(), trio.Event(), trio.Event()

    def take(data: bytes) -> None:
        came.extend(data)
        begun.set()
        if b"ActivityTaskManager: START u0" in came:
            seen.set()

    with trio.fail_after(WITHIN_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(followed, follower, "logcat -T 1 -v threadtime", take)
            await begun.wait()
            assert (await follower.device.shell("am start -n com.android.settings/.Settings")).exit_code == 0
            await seen.wait()
            nursery.cancel_scope.cancel()


async def test_a_phone_that_goes_ends_what_follows_it(follower: Fleet) -> None:
    with trio.fail_after(WITHIN_S), pytest.raises(StepError) as caught:
        await followed(follower, "logcat -T 1", lambda _: follower.vanish(follower.serials[0]))
    assert caught.value.failure.code in {"device_offline", "output_incomplete"}
