"""Which phones there are: by the program's `onlySerial`, under the serial that they tell."""

from __future__ import annotations

import pytest

from doai.drivers.base import DeviceChange, DeviceInfo, DriverNotice, Proof, ProofKind
from doai.drivers.feed import Feed, Item
from doai.drivers.xiaowei.answers import ListedPhone, Listing
from doai.drivers.xiaowei.config import MISSING_LISTS
from doai.drivers.xiaowei.phones import Phones
from doai.errors import StepError
from doai.states import DeviceState

A = ListedPhone(serial="10.0.0.5:5555", only_serial="A1", status="online", mode=1)
B = ListedPhone(serial="10.0.0.6:5555", only_serial="B1", status="online", mode=1)


class Watched:
    """Phones, and what was told of them."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.feed = Feed()
        self.told: list[Item] = []
        publish = self.feed.publish

        def keep(item: Item) -> None:
            self.told.append(item)
            publish(item)

        self.feed.publish = keep  # type: ignore[method-assign]
        self.phones = Phones(self.feed, "ws://here", lambda: self.now_s)

    def see(self, *listed: ListedPhone) -> None:
        for phone in self.phones.update(Listing(list(listed), 0)):
            self.phones.identified(phone, DeviceInfo(serial=f"{phone.listed.key}-own", connection="?"))

    def states(self) -> list[tuple[str, DeviceState]]:
        return [(item.serial, item.state) for item in self.told if isinstance(item, DeviceChange)]

    def code(self, serial: str) -> str:
        with pytest.raises(StepError) as caught:
            self.phones.find(serial)
        return caught.value.failure.code


@pytest.fixture
def seen() -> Watched:
    return Watched()


def test_a_phone_goes_by_the_serial_that_it_tells(seen: Watched) -> None:
    seen.see(A)
    assert seen.states() == [("A1-own", DeviceState.ONLINE)]
    phone = seen.phones.find("A1-own")
    assert phone.info is not None
    assert phone.info.connection == "10.0.0.5:5555"
    assert seen.code("A1") == "device_offline"


def test_one_list_without_a_phone_is_not_believed(seen: Watched) -> None:
    seen.see(A, B)
    seen.see(B)
    assert seen.phones.find("A1-own")
    seen.see(A, B)
    seen.see(B)
    assert ("A1-own", DeviceState.OFFLINE) not in seen.states()
    seen.see(B)
    assert seen.states()[-1] == ("A1-own", DeviceState.OFFLINE)
    assert seen.code("A1-own") == "device_offline"


def test_another_connection_of_the_same_phone_is_the_same_phone(seen: Watched) -> None:
    seen.see(A)
    usb = ListedPhone(serial="A1", only_serial="A1", status="online", mode=0)
    seen.see(usb)
    seen.see(usb)
    assert seen.states()[-1] == ("A1-own", DeviceState.ONLINE)
    assert seen.phones.find("A1-own").address == "A1"


def test_a_phone_without_adb_can_not_be_used_and_says_why(seen: Watched) -> None:
    seen.see(A)
    seen.see(ListedPhone(serial="10.0.0.5", only_serial="A1", status="online", mode=3))
    change = next(item for item in reversed(seen.told) if isinstance(item, DeviceChange))
    assert change.state is DeviceState.OFFLINE
    assert "USB debugging" in change.reason


def test_without_the_program_no_phone_is_there_and_commands_are_unknown(seen: Watched) -> None:
    assert seen.code("A1-own") == "xiaowei_down"
    seen.see(A)
    seen.phones.lose("it was closed")
    assert seen.states()[-1] == ("A1-own", DeviceState.OFFLINE)
    assert seen.code("A1-own") == "xiaowei_down"
    seen.see(A)
    assert seen.states()[-1] == ("A1-own", DeviceState.ONLINE)


def test_a_phone_that_is_silent_is_unresponsive_until_it_answers(seen: Watched) -> None:
    seen.see(A)
    phone = seen.phones.find("A1-own")
    seen.phones.missed(phone, "no sign of life", 2)
    assert seen.states()[-1][1] is DeviceState.ONLINE
    seen.phones.missed(phone, "no sign of life", 2)
    assert seen.states()[-1][1] is DeviceState.UNRESPONSIVE
    assert seen.phones.find("A1-own") is phone
    seen.phones.answered(phone)
    assert seen.states()[-1][1] is DeviceState.ONLINE


def test_being_listed_and_answering_are_proven_apart(seen: Watched) -> None:
    seen.see(A)
    seen.told.clear()
    seen.phones.prove_listed()
    assert seen.told == [Proof("A1-own", ProofKind.ADB)]
    seen.now_s = 60.0
    seen.phones.answered(seen.phones.find("A1-own"))
    assert seen.told[1:] == [Proof("A1-own", ProofKind.ANSWER)]


def test_two_phones_with_one_serial_are_told(seen: Watched) -> None:
    one, two = seen.phones.update(Listing([A, B], 0))
    same = DeviceInfo(serial="SAME", connection="?")
    seen.phones.identified(one, same)
    seen.phones.identified(two, same)
    notices = [item for item in seen.told if isinstance(item, DriverNotice)]
    assert [notice.code for notice in notices] == ["device_serial_twice"]
    assert seen.phones.find("SAME") is one
    assert seen.phones.update(Listing([A, B], 0)) == [], "the second is left alone while the first is there"
    for _ in range(MISSING_LISTS - 1):
        assert seen.phones.update(Listing([B], 0)) == []
    [again] = seen.phones.update(Listing([B], 0))
    assert again.listed == B
    seen.phones.identified(again, same)
    assert seen.phones.find("SAME") is again
    assert again.doubles is None
