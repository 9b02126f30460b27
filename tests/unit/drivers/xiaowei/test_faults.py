"""Every fault of the vendor's program by its name: no answer is taken for another's, nothing unproven for done."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import msgspec
import pytest
import trio

from doai.drivers.base import Device, DeviceChange, DriverNotice
from doai.drivers.failures import UNOBSERVED
from doai.drivers.feed import Item
from doai.drivers.xiaowei.config import RETIRED_MAX, XiaoweiConfig
from doai.drivers.xiaowei.driver import XiaoweiDriver
from doai.errors import ConfigError, ErrorClass, StepError
from doai.phone.faults import Fault
from doai.phone.phone import Phone
from doai.phone.shelf import open_shelf
from doai.phone.vendor import Vendor, VendorFault, open_vendor
from doai.states import DeviceState

WITHIN_S = 90.0
ACT = "echo done >>/sdcard/acts.txt; echo acted"
TAG = "01TASK/1.1/act/1"


class Site:
    """One phone behind the vendor's program, and the driver."""

    def __init__(self, vendor: Vendor, driver: XiaoweiDriver) -> None:
        self.vendor = vendor
        self.driver = driver
        self.changes = driver.changes()

    @property
    def phone(self) -> Phone:
        return self.vendor.phones[0]

    @property
    def device(self) -> Device:
        return self.driver.device(self.phone.serial, tag=TAG)

    def acts(self) -> int:
        """How often the phone was told to act."""
        return sum(entry.step is not None and "acts.txt" in entry.command for entry in self.phone.journal.entries())

    async def next(self, wanted: Callable[[Item], bool]) -> Item:
        with trio.fail_after(WITHIN_S):
            while not wanted(item := await anext(self.changes)):
                pass
            return item

    async def state(self, state: DeviceState) -> DeviceChange:
        item = await self.next(lambda item: isinstance(item, DeviceChange) and item.state is state)
        assert isinstance(item, DeviceChange)
        return item

    async def notice(self, code: str) -> DriverNotice:
        item = await self.next(lambda item: isinstance(item, DriverNotice) and item.code == code)
        assert isinstance(item, DriverNotice)
        return item

    async def failure_of(self, call: Callable[[], Awaitable[object]]) -> StepError:
        with trio.fail_after(WITHIN_S), pytest.raises(StepError) as caught:
            await call()
        return caught.value

    async def goes_on(self) -> None:
        """The next commands get their own answers, and the phone acted once or not at all until now."""
        with trio.fail_after(WITHIN_S):
            for number in range(3):
                assert (await self.device.shell(f"echo mine-{number}")).text == f"mine-{number}"
        assert self.vendor.overlaps == 0


async def until(condition: Callable[[], bool]) -> None:
    with trio.fail_after(WITHIN_S):
        while not condition():  # noqa: ASYNC110 - nothing tells of it
            await trio.sleep(0.01)


@asynccontextmanager
async def opened(folder: Path, **settings: float) -> AsyncIterator[Site]:
    with trio.fail_after(WITHIN_S * 3):
        async with open_shelf(count=1, seed=1) as shelf, open_vendor(shelf.phones) as vendor:
            driver = driver_of(vendor, folder, **settings)
            site = Site(vendor, driver)
            async with driver.run():
                await site.state(DeviceState.ONLINE)
                yield site
            assert driver.statistics().open_sockets == 0


def driver_of(vendor: Vendor, folder: Path, **settings: float) -> XiaoweiDriver:
    fields = {"list_every_s": 0.05, "connections": 2, "settle_s": 0.1, **settings}
    return XiaoweiDriver(msgspec.convert({"url": vendor.url, "folder": str(folder), **fields}, XiaoweiConfig))


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with opened(tmp_path) as site:
        yield site


@pytest.mark.parametrize(
    ("fault", "code", "acts"),
    [
        (VendorFault.WRONG_CODE, "output_garbled", 1),
        (VendorFault.GARBAGE, "output_garbled", 1),
        (VendorFault.TRUNCATED, "output_incomplete", 1),
        (VendorFault.REFUSED, "xiaowei_refused", 0),
        (VendorFault.CLAIMED, "output_incomplete", 0),
        (VendorFault.DROPPED_BEFORE, "xiaowei_cut", 0),
        (VendorFault.DROPPED_AFTER, "xiaowei_cut", 1),
    ],
    ids=lambda value: value.value if isinstance(value, VendorFault) else None,
)
async def test_an_answer_that_proves_nothing_leaves_the_outcome_unknown(
    site: Site, fault: VendorFault, code: str, acts: int
) -> None:
    site.vendor.order(fault, match="acts.txt")
    error = await site.failure_of(lambda: site.device.shell(ACT))
    assert error.code == code
    assert error.code in UNOBSERVED
    assert error.failure.error_class in {ErrorClass.DEVICE, ErrorClass.INFRASTRUCTURE}
    assert site.phone.serial in str(error)
    assert site.acts() == acts
    await site.goes_on()
    assert site.acts() == acts


async def give_up(site: Site, when: Callable[[], bool]) -> None:
    """Begin to act, and stop waiting for it when a condition holds."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(site.device.shell, ACT)
        await until(when)
        nursery.cancel_scope.cancel()


async def test_late(site: Site) -> None:
    """The late answer is counted and thrown away; the next command has its own."""
    site.vendor.order(VendorFault.LATE, match="acts.txt")
    await give_up(site, lambda: site.acts() == 1)
    await site.goes_on()
    site.vendor.let_late_go()
    await until(lambda: site.driver.statistics().late_answers == 1)
    assert site.acts() == 1
    await site.goes_on()
    assert site.driver.statistics().stray_answers == 0


async def test_never(site: Site) -> None:
    """More requests without an answer than there are connections: the next command still goes."""
    site.vendor.order(VendorFault.NEVER, match="acts.txt", count=20)
    for number in range(1, 21):
        await give_up(site, lambda number=number: site.acts() == number)
        await site.goes_on()
    assert site.driver.statistics().open_sockets <= RETIRED_MAX + 3


async def test_anothers(site: Site) -> None:
    """Another's answer comes instead of ours: it is not ours, and ours is waited for."""
    site.vendor.order(VendorFault.ANOTHERS, match="acts.txt")
    await give_up(site, lambda: site.driver.statistics().stray_answers == 1)
    await site.goes_on()


async def test_anothers_first(site: Site) -> None:
    site.vendor.order(VendorFault.ANOTHERS_FIRST, match="acts.txt")
    with trio.fail_after(WITHIN_S):
        assert (await site.device.shell(ACT)).text == "acted"
    assert site.driver.statistics().stray_answers == 1
    await site.goes_on()


async def test_what_nobody_asked_for(site: Site) -> None:
    await site.device.shell("true")
    said = await site.vendor.say_anothers() + await site.vendor.say_anothers()
    assert said >= 4
    await until(lambda: site.driver.statistics().stray_answers == said)
    await site.goes_on()


@pytest.mark.parametrize(
    "fault",
    [VendorFault.ANOTHERS, VendorFault.GARBAGE, VendorFault.WRONG_CODE, VendorFault.DROPPED_AFTER],
    ids=lambda fault: fault.value,
)
async def test_a_list_that_is_none_takes_no_phone_away(tmp_path: Path, fault: VendorFault) -> None:
    async with opened(tmp_path, list_timeout_s=1.0) as site:
        site.vendor.order(fault, action="list")
        await until(lambda: site.vendor.struck == [fault])
        before = len(site.vendor.requests)
        await until(lambda: sum(asked["action"] == "list" for asked in site.vendor.requests[before:]) > 2)
        await site.goes_on()
        assert site.driver.statistics().connects > 1


async def test_a_program_that_hangs_is_told_and_comes_back(tmp_path: Path) -> None:
    async with opened(tmp_path, list_timeout_s=1.0) as site:
        site.vendor.order(VendorFault.NEVER, action="list", count=None)
        assert "restart it" in (await site.notice("xiaowei_hung")).message
        assert (await site.state(DeviceState.OFFLINE)).reason
        with pytest.raises(StepError) as caught:
            assert site.device
        assert caught.value.code == "xiaowei_down"
        site.vendor.clear()
        await site.state(DeviceState.ONLINE)
        await site.goes_on()


async def test_a_program_that_ends_leaves_the_command_unknown_and_comes_back(tmp_path: Path) -> None:
    caught: list[StepError] = []
    with trio.fail_after(WITHIN_S * 3):
        async with open_shelf(count=1, seed=1) as shelf, trio.open_nursery() as nursery:
            vendor, stop = await nursery.start(run_vendor, shelf.phones, 0)
            driver = driver_of(vendor, tmp_path)
            site = Site(vendor, driver)
            async with driver.run():
                await site.state(DeviceState.ONLINE)

                async def act() -> None:
                    caught.append(await site.failure_of(lambda: site.device.shell(f"{ACT}; sleep 600")))

                nursery.start_soon(act)
                await until(lambda: site.acts() > 0)
                stop.cancel()
                notice = await site.notice("xiaowei_down")
                assert "start it on this host" in notice.message
                await site.state(DeviceState.OFFLINE)
                await until(lambda: bool(caught))
                assert [error.code for error in caught] == ["xiaowei_cut"]
                site.vendor, _ = await nursery.start(run_vendor, shelf.phones, vendor.port)
                await site.state(DeviceState.ONLINE)
                await site.goes_on()
                assert site.acts() == 1
            nursery.cancel_scope.cancel()


async def run_vendor(
    phones: list[Phone], port: int, task_status: trio.TaskStatus[tuple[Vendor, trio.CancelScope]]
) -> None:
    with trio.CancelScope() as scope:
        async with open_vendor(phones, port=port) as vendor:
            task_status.started((vendor, scope))
            await trio.sleep_forever()


async def test_a_silent_phone_is_unresponsive_and_ends_its_calls(tmp_path: Path) -> None:
    async with opened(tmp_path, probe_every_s=0.1, probe_timeout_s=0.2, probe_misses=2) as site:
        site.phone.order(Fault.SILENT, count=None)
        error = await site.failure_of(lambda: site.device.shell(ACT))
        assert error.code == "device_unresponsive"
        await site.state(DeviceState.UNRESPONSIVE)
        site.phone.clear(Fault.SILENT)
        await site.state(DeviceState.ONLINE)


async def test_full_storage_has_a_name(site: Site) -> None:
    site.phone.order(Fault.STORAGE_FULL, count=None)
    error = await site.failure_of(lambda: site.device.shell(ACT))
    assert error.code == "storage_full"
    error = await site.failure_of(lambda: site.device.push(b"x" * 100, "/sdcard/x.bin"))
    assert error.code == "storage_full"
    site.phone.clear()
    await site.goes_on()


async def test_a_file_that_was_only_claimed_to_be_sent_is_a_failure(site: Site) -> None:
    site.vendor.order(VendorFault.CLAIMED, action="adb")
    error = await site.failure_of(lambda: site.device.push(b"data", "/sdcard/x.bin"))
    assert error.code == "push_failed"
    assert "is not there" in str(error)
    await site.device.push(b"data", "/sdcard/x.bin")
    assert await site.device.pull("/sdcard/x.bin") == b"data"


async def test_a_file_that_arrived_is_there_whatever_the_program_says(site: Site) -> None:
    site.vendor.order(VendorFault.ANOTHERS_FIRST, action="adb")
    await site.device.push(b"data", "/sdcard/x.bin")
    site.vendor.order(VendorFault.DROPPED_AFTER, action="adb")
    error = await site.failure_of(lambda: site.device.push(b"other", "/sdcard/x.bin"))
    assert error.code == "xiaowei_cut"
    assert await site.device.pull("/sdcard/x.bin") == b"data"
    assert (await site.device.shell("ls /data/local/tmp/.xw-*.in")).exit_code != 0


async def test_what_the_driver_can_not_do_is_one_sentence(site: Site) -> None:
    with pytest.raises(StepError) as caught:
        assert site.device.address
    assert caught.value.code == "driver_cannot"
    assert caught.value.failure.error_class is ErrorClass.USER
    assert "adb address" in str(caught.value)
    assert "host.run" in site.driver.cannot


Speak = Callable[[trio.SocketStream], Awaitable[None]]


@asynccontextmanager
async def behind(speak: Speak, folder: Path) -> AsyncIterator[XiaoweiDriver]:
    """A driver that is told the port of another program."""
    with trio.fail_after(WITHIN_S):
        async with trio.open_nursery() as nursery:
            [listener] = await nursery.start(partial(trio.serve_tcp, speak, 0, host="127.0.0.1"))
            url = f"ws://127.0.0.1:{listener.socket.getsockname()[1]}"
            driver = XiaoweiDriver(XiaoweiConfig(url=url, folder=str(folder), list_every_s=0.05))
            async with driver.run():
                yield driver
            assert driver.statistics().open_sockets == 0
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    "says",
    [b"", b"\x00\xff" * 100, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 101 Yes\r\n\r\n"],
    ids=["hangs up", "noise", "a web server", "no handshake"],
)
async def test_another_program_at_its_port_is_told_in_one_sentence(
    tmp_path: Path, says: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("doai.drivers.xiaowei.client.CONNECT_S", 0.3)

    async def speak(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some()
            with suppress(trio.BrokenResourceError):
                await stream.send_all(says)

    async with behind(speak, tmp_path) as driver:
        notice = await anext(driver.changes())
        assert isinstance(notice, DriverNotice)
        assert notice.code == "xiaowei_down"
        assert f"{driver.config.url} can not be reached (" in notice.message
        with pytest.raises(StepError) as caught:
            driver.device("ANY")
        assert caught.value.code == "xiaowei_down"


@pytest.mark.parametrize(
    "frame",
    [
        b"\xff" * 64,
        b"\x81\x02\xff\xff",
        b"\x81\x7f" + b"\x7f" * 8,
        b"\x88\x02\x00\x01",
        b"\x81\x84aaaabbbb",
        b"\x81\x05{",
    ],
    ids=["reserved bits", "no UTF-8", "endless", "a close without meaning", "masked", "cut off"],
)
async def test_frames_that_are_none_end_the_connection_and_nothing_else(tmp_path: Path, frame: bytes) -> None:
    async def speak(stream: trio.SocketStream) -> None:
        async with stream:
            request = b""
            while b"\r\n\r\n" not in request:
                request += await stream.receive_some()
            [key] = re.findall(rb"(?i)sec-websocket-key: (\S+)", request)
            accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
            with suppress(trio.BrokenResourceError):
                await stream.send_all(
                    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
                )
                await stream.receive_some()
                await stream.send_all(frame)

    async with behind(speak, tmp_path) as driver:
        notice = await anext(driver.changes())
        assert isinstance(notice, DriverNotice)
        assert notice.code == "xiaowei_hung"


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (XiaoweiConfig(url="http://127.0.0.1:22222"), "xiaowei.url"),
        (XiaoweiConfig(url="ws://[::"), "xiaowei.url"),
        (XiaoweiConfig(folder='/tmp/a"b'), "double quotes"),
        (XiaoweiConfig(folder="/proc/none"), "can not be used"),
    ],
)
def test_a_setting_that_can_not_be_is_one_sentence(config: XiaoweiConfig, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        XiaoweiDriver(config)
