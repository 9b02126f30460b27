"""The fake fleet: scripts, journal, virtual time, and small enough for thousands."""

from __future__ import annotations

import sys
import tracemalloc

import pytest
import trio
import trio.testing

from doai.drivers.base import CommandOutput, DeviceChange, Proof, ProofKind
from doai.drivers.fake.driver import PROVE_EVERY_S, REBOOT_S, FakeDriver
from doai.drivers.fake.scripts import Script
from doai.drivers.png import picture_size, whole_png
from doai.errors import StepError
from doai.states import DeviceState

DEVICE_BYTES_MAX = 2048


def test_a_phone_costs_little_until_it_is_used() -> None:
    FakeDriver(count=10)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    driver = FakeDriver(count=2000, seed=3)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (after - before) / len(driver.serials) < DEVICE_BYTES_MAX


def test_the_same_seed_makes_the_same_fleet() -> None:
    infos = [[FakeDriver(count=20, seed=seed).phone(f"FAKE{n:04d}").info for n in (1, 20)] for seed in (5, 5, 6)]
    assert infos[0] == infos[1]
    assert FakeDriver(serials=["A", "B"]).serials == ["A", "B"]


async def test_scripted_answers_and_failures(autojump_clock: trio.testing.MockClock) -> None:
    driver = FakeDriver(count=2)
    device = driver.device("FAKE0001", tag="t/1.1/s/1")
    driver.script(Script(pattern="^id$", answer=CommandOutput(b"uid=0\n", b"", 0), times=1))
    assert (await device.shell("id")).text == "uid=0"
    assert (await device.shell("id")).text != "uid=0"
    driver.script(Script(pattern="screencap", fail="output_incomplete", times=1))
    with pytest.raises(StepError) as caught:
        await device.screenshot()
    assert caught.value.failure.code == "output_incomplete"
    driver.script(Script(pattern="^push ", fail="storage_full", serial="FAKE0001"))
    with pytest.raises(StepError):
        await device.push(b"", "/sdcard/x")
    await driver.device("FAKE0002").push(b"", "/sdcard/x")
    assert [(entry.serial, entry.tag, entry.command) for entry in driver.journal][:2] == [
        ("FAKE0001", "t/1.1/s/1", "id"),
        ("FAKE0001", "t/1.1/s/1", "id"),
    ]


async def test_time_is_trios(autojump_clock: trio.testing.MockClock) -> None:
    driver = FakeDriver(count=1, latency_s=0.25)
    device = driver.device("FAKE0001")
    began_s = trio.current_time()
    await device.shell("sleep 3600")
    assert trio.current_time() - began_s == pytest.approx(3600.25)
    driver.script(Script(pattern="true", delay_s=10.0))
    await device.shell("true")
    assert trio.current_time() - began_s == pytest.approx(3610.5)


async def test_a_hang_ends_by_cancellation_or_when_the_phone_goes(autojump_clock: trio.testing.MockClock) -> None:
    driver = FakeDriver(count=1)
    device = driver.device("FAKE0001")
    driver.script(Script(pattern="true", hang=True, times=1))
    with trio.move_on_after(60) as scope:
        await device.shell("true")
    assert scope.cancelled_caught
    assert (await device.shell("echo next")).text == "next"
    driver.script(Script(pattern="true", vanish=True, times=1))
    with pytest.raises(StepError) as caught:
        await device.shell("true")
    assert caught.value.failure.code == "device_offline"
    with pytest.raises(StepError):
        await device.shell("echo")
    driver.appear("FAKE0001")
    assert (await device.shell("echo back")).text == "back"


async def test_states_as_the_adb_driver_tells_them(autojump_clock: trio.testing.MockClock) -> None:
    driver = FakeDriver(count=1)
    for state, code in (
        (DeviceState.UNAUTHORIZED, "device_unauthorized"),
        (DeviceState.OFFLINE, "device_offline"),
    ):
        driver.set_state("FAKE0001", state)
        with pytest.raises(StepError) as caught:
            driver.device("FAKE0001")
        assert caught.value.failure.code == code
    driver.set_state("FAKE0001", DeviceState.UNRESPONSIVE)
    with pytest.raises(StepError) as caught:
        await driver.device("FAKE0001").shell("true")
    assert caught.value.failure.code == "device_unresponsive"
    driver.appear("NEW")
    assert (await driver.device("NEW").shell("getprop ro.serialno")).text == "NEW"


async def test_a_reboot_takes_it_away_for_a_while(autojump_clock: trio.testing.MockClock) -> None:
    driver = FakeDriver(count=1)
    changes = driver.changes()
    async with driver.run():
        with pytest.raises(StepError):
            await driver.device("FAKE0001").shell("reboot")
        with pytest.raises(StepError):
            driver.device("FAKE0001")
        await trio.sleep(REBOOT_S * 2)
        assert driver.device("FAKE0001").serial == "FAKE0001"
        states = [item.state for item in [await anext(changes) for _ in range(3)] if isinstance(item, DeviceChange)]
    assert states == [DeviceState.ONLINE, DeviceState.OFFLINE, DeviceState.ONLINE]


async def test_devices_are_proven_now_and_then(autojump_clock: trio.testing.MockClock) -> None:
    driver = FakeDriver(count=1)
    async with driver.run():
        changes = driver.changes()
        await anext(changes)
        began_s = trio.current_time()
        proofs = {await anext(changes), await anext(changes)}
        assert proofs == {Proof("FAKE0001", kind) for kind in ProofKind}
        assert trio.current_time() - began_s == pytest.approx(PROVE_EVERY_S)


async def test_pictures_have_the_screens_size_and_need_no_drawing() -> None:
    driver = FakeDriver(count=1)
    device = driver.device("FAKE0001")
    picture = await device.screenshot()
    assert picture_size(whole_png(picture)) == driver.phone("FAKE0001").info.screen
    assert (await device.shell("screencap -p")).stdout == picture
    await device.shell("screencap -p /sdcard/a.png")
    assert await device.pull("/sdcard/a.png") == picture
    await device.shell("wm size 320x480")
    assert picture_size(await device.screenshot()) == (320, 480)
    assert (await device.shell("screencap -p /no/folder.png")).exit_code == 1
    # Only this process's other tests may have loaded it; the driver does not.
    assert not any(name.startswith("PIL") for name in vars(sys.modules["doai.drivers.fake.phone"]))


async def test_no_journal_when_none_is_wanted() -> None:
    driver = FakeDriver(count=1, journal_max=0)
    await driver.device("FAKE0001").shell("true")
    assert not driver.journal
