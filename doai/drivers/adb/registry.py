"""Which devices are there, over which transports, in which state; decides and performs nothing (step 9).

A transport is one way to a device as the adb server lists it; a device is known by its own serial, which only it
can tell. So a transport has a name: the device's serial once it was told, before that the serial its address had
last time, else the address.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
import trio

from doai.drivers.adb.listing import ListedDevice
from doai.drivers.base import DeviceChange, DeviceInfo, DriverNotice, Proof, ProofKind
from doai.drivers.failures import adb_server_down, device_offline, device_unauthorized, device_unresponsive
from doai.drivers.feed import Feed
from doai.drivers.watching import Watched
from doai.errors import StepError
from doai.reasons import reason as because
from doai.states import DeviceState

USABLE: Final = "device"
"""The state in which the adb server lists a device that can be used."""
PASSING: Final = frozenset({"authorizing", "connecting"})
"""States that every connection goes through in a moment."""
REASONS: Final = {
    "offline": because("adb_offline"),
    "unauthorized": because("adb_unauthorized"),
}


class Transport(Watched):
    """One way to a device, for as long as the adb server lists it."""

    def __init__(self, transport_id: int, address: str, name: str) -> None:
        super().__init__()
        self.id = transport_id
        self.address = address
        self.usb_path = ""
        self.name = name
        self.adb_state = ""
        self.state_since_s = 0.0

    @property
    def known(self) -> bool:
        """Whether it can be used, and the device on it has told who it is."""
        return self.adb_state == USABLE and self.info is not None


class Registry:
    """All transports of one adb server; tells the feed what follows for the devices."""

    def __init__(self, feed: Feed, port: int, now_s: Callable[[], float]) -> None:
        self._feed = feed
        self._port = port
        self._now_s = now_s
        self._transports: dict[int, Transport] = {}
        self._names: dict[str, dict[int, Transport]] = {}
        self._serial_of_address: dict[str, str] = {}
        self._preferred: dict[str, int] = {}
        self._twice: set[tuple[str, str, str]] = set()
        self._server_gone = "it has not answered yet"

    def update(self, listed: list[ListedDevice]) -> list[Transport]:
        """Take the server's newest list; returns the transports that became usable and have to be identified."""
        self._server_gone = ""
        now = {entry.transport_id: entry for entry in listed}
        for transport in list(self._transports.values()):
            entry = now.get(transport.id)
            if entry is None or entry.address != transport.address:
                self._remove(
                    transport, device_offline(transport.name, because("disconnected")), because("disconnected")
                )
        return [found for entry in listed if (found := self._take(entry)) is not None]

    def lose_server(self, why: str) -> None:
        """The server is gone, and every transport with it; their numbers start again with the next one."""
        self._server_gone = why
        reason = because("adb_server_gone", why=why)
        for transport in list(self._transports.values()):
            self._remove(transport, adb_server_down(self._port, why), reason)

    def find(self, serial: str) -> Transport:
        """Return the way to a device that can be used now; raises StepError that says why there is none."""
        transport = self._choose(serial)
        if transport is not None:
            return transport
        if self._server_gone:
            raise adb_server_down(self._port, self._server_gone)
        ways = self._names.get(serial, {}).values()
        if any(way.adb_state == "unauthorized" for way in ways):
            raise device_unauthorized(serial)
        silent = next((way for way in ways if way.adb_state == USABLE and way.silent_because), None)
        if silent is not None:
            raise device_unresponsive(serial, silent.silent_because)
        last = self._feed.current(serial)
        raise device_offline(serial, last.reason if last is not None else because("never_seen_here"))

    def transports(self) -> list[Transport]:
        """Return all ways that are listed now."""
        return list(self._transports.values())

    def identified(self, transport: Transport, info: DeviceInfo) -> None:
        """The device told who it is."""
        before = transport.name
        transport.info = msgspec.structs.replace(info, usb_path=transport.usb_path)
        transport.silent_because = ""
        self._serial_of_address[transport.address] = info.serial
        self._rename(transport, info.serial)
        self._report_twice(transport)
        if before != info.serial:
            self._tell(before, f"{transport.address} is device {info.serial}")
        self._tell(info.serial)
        self.answered(transport)

    def answered(self, transport: Transport) -> None:
        """The device answered a command, now."""
        now_s = self._now_s()
        if transport.answered(now_s):
            self._tell(transport.name)
        if transport.known and transport.take_proof(now_s):
            self._feed.publish(Proof(transport.name, ProofKind.ANSWER))

    def missed(self, transport: Transport, why: str, misses_max: int) -> None:
        """A sign of life did not come; after `misses_max` in a row the device is unresponsive and calls end."""
        transport.misses += 1
        if transport.misses < misses_max or transport.adb_state != USABLE:
            return
        transport.silent_because = why
        transport.calls.end(device_unresponsive(transport.name, why))
        self._tell(transport.name)

    def prove_listed(self, listed: list[ListedDevice]) -> None:
        """The server answered just now: what it lists as usable is proven so."""
        for entry in listed:
            transport = self._transports.get(entry.transport_id)
            if transport is not None and transport.known and entry.state == USABLE:
                self._feed.publish(Proof(transport.name, ProofKind.ADB))

    def _take(self, entry: ListedDevice) -> Transport | None:
        transport = self._transports.get(entry.transport_id)
        if transport is None:
            name = self._serial_of_address.get(entry.address, entry.address)
            transport = Transport(entry.transport_id, entry.address, name)
            self._transports[transport.id] = transport
            self._names.setdefault(name, {})[transport.id] = transport
        if transport.adb_state == entry.state:
            return None
        transport.adb_state = entry.state
        transport.state_since_s = self._now_s()
        transport.usb_path = entry.usb_path
        transport.watch.cancel()
        # Behind a returning address another device may answer: it has to tell again who it is.
        transport.info = None
        transport.misses = 0
        transport.silent_because = ""
        if entry.state == USABLE:
            transport.watch = trio.CancelScope()
            return transport
        reason = REASONS.get(entry.state, because("adb_listed_as", state=entry.state))
        transport.calls.end(device_offline(transport.name, reason))
        self._tell(transport.name, reason)
        return None

    def _remove(self, transport: Transport, error: StepError, reason: str) -> None:
        del self._transports[transport.id]
        self._forget_name(transport)
        transport.adb_state = ""
        transport.watch.cancel()
        transport.calls.end(error)
        self._tell(transport.name, reason)

    def _rename(self, transport: Transport, name: str) -> None:
        if transport.name != name:
            self._forget_name(transport)
            transport.name = name
            self._names.setdefault(name, {})[transport.id] = transport

    def _forget_name(self, transport: Transport) -> None:
        ways = self._names[transport.name]
        del ways[transport.id]
        if not ways:
            del self._names[transport.name]

    def _choose(self, name: str) -> Transport | None:
        named = self._names.get(name)
        if named is None:
            return None
        ways = [way for way in named.values() if way.adb_state == USABLE and way.info is not None]
        if not ways:
            return None
        if len(ways) == 1:
            self._preferred[name] = ways[0].id
            return ways[0]
        # One that answers first; then the one used so far, so that a second cable changes nothing.
        preferred = self._preferred.get(name)
        best = min(ways, key=lambda way: (bool(way.silent_because), way.id != preferred, way.id))
        self._preferred[name] = best.id
        return best

    def _tell(self, name: str, reason: str = "") -> None:
        change = self._judge(name, reason)
        last = self._feed.current(name)
        if change is None or (last is None and change.state is DeviceState.OFFLINE):
            return
        if last is None or (last.state, last.info) != (change.state, change.info):
            self._feed.publish(change)

    def _judge(self, name: str, reason: str) -> DeviceChange | None:
        """Return what is to be said of a device; None while it is about to tell who it is."""
        best = self._choose(name)
        if best is not None and not best.silent_because:
            return DeviceChange(serial=name, state=DeviceState.ONLINE, info=best.info)
        ways = list(self._names.get(name, {}).values())
        silent = next((way for way in ways if way.silent_because), None)
        if silent is not None:
            return DeviceChange(
                serial=name,
                state=DeviceState.UNRESPONSIVE,
                reason=because("adb_silent", why=silent.silent_because),
            )
        last = self._feed.current(name)
        working = last is not None and last.state is DeviceState.ONLINE
        if not working and any(way.adb_state == USABLE or way.adb_state in PASSING for way in ways):
            return None
        asking = next((way for way in ways if way.adb_state == "unauthorized"), None)
        if asking is not None:
            return DeviceChange(
                serial=name,
                state=DeviceState.UNAUTHORIZED,
                reason=REASONS["unauthorized"],
                usb_path=asking.usb_path,
            )
        return DeviceChange(serial=name, state=DeviceState.OFFLINE, reason=reason or REASONS["offline"])

    def _report_twice(self, transport: Transport) -> None:
        for other in self._names[transport.name].values():
            first, second = sorted((other.address, transport.address))
            if other is transport or not other.known or (transport.name, first, second) in self._twice:
                continue
            self._twice.add((transport.name, first, second))
            self._feed.publish(
                DriverNotice(
                    code="device_serial_twice",
                    serial=transport.name,
                    message=f"serial {transport.name} is seen at {first} and at {second}: one of them is used; "
                    "unplug the other, or give the devices different serials",
                )
            )
