"""Which phones the vendor's program holds, and in which state; decides and performs nothing (step 9).

The program's `onlySerial` stays with a phone over all its connections, so a phone is found by it; its name is the
serial that it tells itself, as with every driver, and before it told that the one it told last, else `onlySerial`.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from doai.drivers.base import DeviceChange, DeviceInfo, DriverNotice, Proof, ProofKind
from doai.drivers.failures import device_offline, device_unresponsive, xiaowei_cut, xiaowei_down
from doai.drivers.feed import Feed
from doai.drivers.watching import Watched
from doai.drivers.xiaowei.answers import ListedPhone, Listing
from doai.drivers.xiaowei.config import MISSING_LISTS
from doai.states import DeviceState


class Phone(Watched):
    """One phone, for as long as the program lists it under the same connection."""

    def __init__(self, listed: ListedPhone, name: str) -> None:
        super().__init__()
        self.listed = listed
        self.name = name
        self.missing = 0
        """Lists in a row that did not hold it."""
        self.doubles: Phone | None = None
        """The phone that told the same serial before it: while that one is listed, this one is not used."""

    @property
    def address(self) -> str:
        """What requests call it."""
        return self.listed.serial


class Phones:
    """All phones of one program; tells the feed what follows for the devices."""

    def __init__(self, feed: Feed, url: str, now_s: Callable[[], float]) -> None:
        self._feed = feed
        self.url = url
        self._now_s = now_s
        self._phones: dict[str, Phone] = {}
        self._names: dict[str, str] = {}
        """The serial that a phone told last, by its key in the list."""
        self._down_because = "it has not answered yet"

    def update(self, listing: Listing) -> list[Phone]:
        """Take the newest list; returns the phones that became usable and have to be identified."""
        self._down_because = ""
        now = {listed.key: listed for listed in listing.phones}
        for key, phone in list(self._phones.items()):
            listed = now.get(key)
            if listed is None:
                phone.missing += 1
                if phone.missing >= MISSING_LISTS:
                    self._remove(key, "the vendor's program does not list it any more")
            elif listed.unusable_because:
                self._remove(key, listed.unusable_because)
            elif listed.serial != phone.address:
                self._remove(key, "it is connected in another way now")
            else:
                phone.missing = 0
        for key, phone in list(self._phones.items()):
            if phone.doubles is not None and phone.doubles not in self._phones.values():
                self._remove(key, "another phone had its serial")  # it is new now, and asked who it is
        new: list[Phone] = []
        for key, listed in now.items():
            if key not in self._phones and not listed.unusable_because:
                self._phones[key] = Phone(listed, self._names.get(key, key))
                new.append(self._phones[key])
        return new

    def lose(self, why: str) -> None:
        """The program is gone: no phone can be used, and what its commands came to is not known."""
        self._down_because = why
        for key, phone in list(self._phones.items()):
            phone.calls.end(xiaowei_cut(phone.name, "a command", why))
            self._remove(key, f"the vendor's program can not be reached ({why})")

    def find(self, serial: str) -> Phone:
        """Return a phone that can be asked now; raises StepError that says why it can not."""
        if self._down_because:
            raise xiaowei_down(self.url, self._down_because)
        phone = self._named(serial)
        if phone is not None and phone.info is not None:
            return phone
        if phone is not None and phone.silent_because:
            raise device_unresponsive(serial, phone.silent_because)
        last = self._feed.current(serial)
        raise device_offline(serial, last.reason if last is not None else "it was never seen here")

    def identified(self, phone: Phone, info: DeviceInfo) -> None:
        """The phone told who it is."""
        twin = self._named(info.serial)
        if twin is not None and twin is not phone and twin.info is not None:
            self._tell_twice(info.serial, twin, phone)
            return
        phone.info = msgspec.structs.replace(info, connection=phone.address)
        phone.name = info.serial
        phone.silent_because = ""
        self._names[phone.listed.key] = info.serial
        self._tell(DeviceChange(serial=phone.name, state=DeviceState.ONLINE, info=phone.info))
        self.answered(phone)

    def answered(self, phone: Phone) -> None:
        """The phone answered a command, now."""
        now_s = self._now_s()
        if phone.answered(now_s):
            self._tell(DeviceChange(serial=phone.name, state=DeviceState.ONLINE, info=phone.info))
        if phone.info is not None and phone.take_proof(now_s):
            self._feed.publish(Proof(phone.name, ProofKind.ANSWER))

    def missed(self, phone: Phone, why: str, misses_max: int) -> None:
        """A sign of life did not come; after ``misses_max`` in a row the phone is unresponsive and calls end."""
        phone.misses += 1
        if phone.misses < misses_max:
            return
        phone.silent_because = why
        phone.calls.end(device_unresponsive(phone.name, why))
        self._tell(
            DeviceChange(
                serial=phone.name,
                state=DeviceState.UNRESPONSIVE,
                reason=f"the vendor's program lists it and it does not answer ({why}): restart it if this lasts",
            )
        )

    def prove_listed(self) -> None:
        """The program answered just now: what it lists is proven to be there."""
        for phone in self._phones.values():
            if phone.info is not None and not phone.missing:
                self._feed.publish(Proof(phone.name, ProofKind.ADB))

    def _named(self, serial: str) -> Phone | None:
        named = [phone for phone in self._phones.values() if phone.name == serial]
        return next((phone for phone in named if phone.info is not None), named[0] if named else None)

    def _remove(self, key: str, reason: str) -> None:
        phone = self._phones.pop(key)
        phone.watch.cancel()
        phone.calls.end(device_offline(phone.name, reason))
        if phone.info is not None or phone.silent_because:
            self._tell(DeviceChange(serial=phone.name, state=DeviceState.OFFLINE, reason=reason))

    def _tell(self, change: DeviceChange) -> None:
        last = self._feed.current(change.serial)
        if last is None or (last.state, last.info) != (change.state, change.info):
            self._feed.publish(change)

    def _tell_twice(self, serial: str, first: Phone, second: Phone) -> None:
        second.watch.cancel()
        second.doubles = first
        self._feed.publish(
            DriverNotice(
                code="device_serial_twice",
                serial=serial,
                message=f"serial {serial} is seen at {first.address} and at {second.address}: the first is used; "
                "unplug the other, or give the devices different serials",
            )
        )
