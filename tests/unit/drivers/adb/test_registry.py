"""The registry decides what is said of a device from what is listed and what answers."""

from __future__ import annotations

import pytest
import trio

from doai.drivers.adb.listing import ListedDevice
from doai.drivers.adb.registry import Registry, Transport
from doai.drivers.base import DeviceChange, DeviceInfo, DriverNotice, Proof, ProofKind
from doai.drivers.feed import Feed, Item
from doai.errors import StepError
from doai.states import DeviceState

NET = "127.0.0.1:5601"


class World:
    """A registry with a clock of its own; collects what it tells."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.feed = Feed()
        self.told: list[Item] = []
        self.feed.publish = self._publish  # type: ignore[method-assign]
        self._pass_on = Feed.publish
        self.registry = Registry(self.feed, 5037, lambda: self.now_s)

    def _publish(self, item: Item) -> None:
        self.told.append(item)
        self._pass_on(self.feed, item)

    def list(self, *entries: tuple[str, str, int]) -> list[Transport]:
        return self.registry.update([ListedDevice(*entry) for entry in entries])

    def online(self, address: str = NET, number: int = 1, serial: str = "S1") -> Transport:
        (transport,) = self.list((address, "device", number))
        self.registry.identified(transport, DeviceInfo(serial=serial, connection=address))
        return transport

    def states(self) -> list[tuple[str, DeviceState]]:
        return [(item.serial, item.state) for item in self.told if isinstance(item, DeviceChange)]

    def code(self, serial: str) -> str:
        with pytest.raises(StepError) as caught:
            self.registry.find(serial)
        return caught.value.failure.code


def test_a_device_is_online_once_it_told_its_serial() -> None:
    world = World()
    assert world.code("S1") == "adb_server_down"
    (transport,) = world.list((NET, "device", 1))
    assert world.states() == []
    assert world.code("S1") == "device_offline"
    world.registry.identified(transport, DeviceInfo(serial="S1", connection=NET))
    assert world.states() == [("S1", DeviceState.ONLINE)]
    assert world.registry.find("S1") is transport
    assert Proof("S1", ProofKind.ANSWER) in world.told
    assert world.list((NET, "device", 1)) == []


def test_a_device_that_comes_back_is_asked_again_who_it_is() -> None:
    world = World()
    world.online()
    assert world.list((NET, "offline", 1)) == []
    assert world.code("S1") == "device_offline"
    (again,) = world.list((NET, "device", 1))
    assert world.states()[-1] == ("S1", DeviceState.OFFLINE)
    world.registry.identified(again, DeviceInfo(serial="S2", connection=NET))
    assert world.states()[-1] == ("S2", DeviceState.ONLINE)
    assert world.code("S1") == "device_offline"


def test_a_new_transport_id_is_a_new_transport() -> None:
    world = World()
    first = world.online()
    (second,) = world.list((NET, "device", 2))
    assert first.watch.cancel_called
    assert world.states()[-1] == ("S1", DeviceState.OFFLINE)
    world.registry.identified(second, DeviceInfo(serial="S1", connection=NET))
    assert world.registry.find("S1") is second


def test_unauthorized_goes_by_the_address_until_it_is_known() -> None:
    world = World()
    world.list(("R3C", "unauthorized", 1))
    assert world.states() == [("R3C", DeviceState.UNAUTHORIZED)]
    assert world.code("R3C") == "device_unauthorized"
    world.registry.update([ListedDevice("R9Z", "unauthorized", 7, "1-4.2")])
    [asking] = [item for item in world.told if isinstance(item, DeviceChange) and item.serial == "R9Z"]
    assert asking.usb_path == "1-4.2", "a person must find it"
    (transport,) = world.list(("R3C", "device", 1))
    world.registry.identified(transport, DeviceInfo(serial="R3C", connection="R3C"))
    assert world.states()[-1] == ("R3C", DeviceState.ONLINE)
    world.list((NET, "unauthorized", 2), ("R3C", "device", 1))
    (known,) = world.list((NET, "device", 2), ("R3C", "device", 1))
    world.registry.identified(known, DeviceInfo(serial="S9", connection=NET))
    assert world.states()[-2:] == [(NET, DeviceState.OFFLINE), ("S9", DeviceState.ONLINE)]


def test_passing_states_say_nothing() -> None:
    world = World()
    world.list((NET, "connecting", 1))
    world.list((NET, "authorizing", 1))
    world.list((NET, "offline", 1))
    assert world.states() == []


def test_silence_is_told_once_and_an_answer_ends_it() -> None:
    world = World()
    transport = world.online()
    for _ in range(5):
        world.registry.missed(transport, "no sign of life", 3)
    assert world.states() == [("S1", DeviceState.ONLINE), ("S1", DeviceState.UNRESPONSIVE)]
    assert world.registry.find("S1") is transport
    world.registry.answered(transport)
    assert world.states()[-1] == ("S1", DeviceState.ONLINE)


def test_a_device_that_never_answers_is_unresponsive_under_its_address() -> None:
    world = World()
    (transport,) = world.list((NET, "device", 1))
    world.registry.missed(transport, "no sign of life", 1)
    assert world.states() == [(NET, DeviceState.UNRESPONSIVE)]
    assert world.code(NET) == "device_unresponsive"


def test_proofs_are_told_now_and_then() -> None:
    world = World()
    transport = world.online()
    world.told.clear()
    for tenth in range(100):
        world.now_s = tenth / 10
        world.registry.answered(transport)
    assert world.told == [Proof("S1", ProofKind.ANSWER)]
    world.registry.prove_listed([ListedDevice(NET, "device", 1), ListedDevice("x", "offline", 2)])
    assert world.told[-1] == Proof("S1", ProofKind.ADB)


def test_a_serial_seen_twice_is_reported_once_and_one_way_is_used() -> None:
    world = World()
    first = world.online()
    (second,) = world.list((NET, "device", 1), ("usb", "device", 2))
    world.registry.identified(second, DeviceInfo(serial="S1", connection="usb"))
    notices = [item for item in world.told if isinstance(item, DriverNotice)]
    assert [(notice.code, notice.serial) for notice in notices] == [("device_serial_twice", "S1")]
    assert world.registry.find("S1") is first
    # The way that is used falls silent: the other one is taken.
    world.registry.missed(first, "no sign of life", 1)
    assert world.registry.find("S1") is second
    world.list(("usb", "device", 2))
    assert world.registry.find("S1") is second
    assert DeviceState.OFFLINE not in {state for _, state in world.states()}


def test_a_lost_server_is_no_fault_of_the_devices() -> None:
    world = World()
    world.online()
    world.registry.lose_server("connection refused")
    assert world.states()[-1] == ("S1", DeviceState.OFFLINE)
    assert world.code("S1") == "adb_server_down"
    # Its numbers start again: the same number may be another device.
    (other,) = world.list(("127.0.0.1:5602", "device", 1))
    world.registry.identified(other, DeviceInfo(serial="S2", connection="127.0.0.1:5602"))
    assert world.code("S1") == "device_offline"
    assert world.registry.find("S2") is other


async def test_calls_end_with_the_reason() -> None:
    world = World()
    transport = world.online()
    with trio.fail_after(90):
        with pytest.raises(StepError) as caught, transport.calls.call():  # noqa: PT012
            world.list()
            await trio.sleep_forever()
    assert caught.value.failure.code == "device_offline"
