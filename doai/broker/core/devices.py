"""Devices as their nodes tell of them, and which node holds one that two nodes see (steps 4, 12)."""

from __future__ import annotations

from typing import Final

import msgspec

from doai import topics
from doai.broker.core.decision import Decision
from doai.broker.core.scheduler import Scheduler
from doai.broker.core.state import State
from doai.broker.core.tables import Device, Peer
from doai.changes.ops import PutDevice
from doai.changes.rows import DeviceRow
from doai.messages.events import DeviceOffline, DeviceOnline, SystemNotice
from doai.messages.link import Heartbeat
from doai.reasons import reason as because
from doai.states import DeviceState, PeerState

_WITH_IT: Final = frozenset({DeviceState.ONLINE, DeviceState.UNRESPONSIVE})


class Devices:
    """Takes what nodes say of devices."""

    def __init__(self, state: State, scheduler: Scheduler) -> None:
        self._state = state
        self._scheduler = scheduler
        self._unheard: dict[str, dict[str, DeviceOnline]] = {}
        """Of nodes that were not proven when another got their device: what they last said of it, by node and
        serial. They do not say it again, but their heartbeats show whether it is still so."""

    def online(self, decision: Decision, peer: Peer, told: DeviceOnline) -> None:
        """The node says the device works. It stays with another holder while that one is proven."""
        self._unheard.get(peer.name, {}).pop(told.serial, None)
        device = self._state.devices.get(told.serial)
        if device is None:
            device = self._state.devices[told.serial] = Device(told.serial)
        holder = device.node
        if holder is not None and holder is not peer and _is_proven(device, holder):
            if peer.name not in device.claims:
                self._alert_twice(decision, device, holder, peer)
            device.claims[peer.name] = told
            return
        self._take(decision, device, peer, told)

    def offline(self, decision: Decision, peer: Peer, told: DeviceOffline) -> None:
        """The node says the device can not work."""
        self._unheard.get(peer.name, {}).pop(told.serial, None)
        device = self._state.devices.get(told.serial)
        if device is None:
            device = self._state.devices[told.serial] = Device(told.serial)
        if device.node is not None and device.node is not peer:
            device.claims.pop(peer.name, None)
            return
        if device.row is None:
            nothing = DeviceOnline(serial=told.serial, node_id=peer.name, driver="", connection="")
            self._take(decision, device, peer, nothing)
        assert device.row is not None
        if device.state is DeviceState.ONLINE:
            device.went_s.append(decision.now.mono_s)
        device.state = told.state
        device.row = msgspec.structs.replace(
            device.row,
            state=told.state,
            reason=told.reason,
            usb_path=told.usb_path or device.row.usb_path,
            changed_at_ms=decision.now.utc_ms,
        )
        decision.ops.append(PutDevice(device.row))
        self._hand_over(decision, device)

    def listed(self, decision: Decision, peer: Peer, heartbeat: Heartbeat) -> None:
        """The node's heartbeat lists all devices that are with it: of one that is missing nobody would hear.

        A phone may have been unplugged while the node's process was down: the next one knows nothing of it.
        """
        if decision.now.mono_s < peer.settled_s or peer.stream.last_seq != heartbeat.as_of_seq:
            return
        here = {proof.serial for proof in heartbeat.devices}
        for serial, told in self._unheard.pop(peer.name, {}).items():
            if serial in here:
                self.online(decision, peer, told)
        for device in list(peer.devices.values()):
            if device.serial not in here and device.state in _WITH_IT:
                reason = because("not_found_since_start", node=peer.name)
                gone = DeviceOffline(
                    serial=device.serial, node_id=peer.name, state=DeviceState.OFFLINE, reason=reason
                )
                state = {"state": device.state}
                decision.event(topics.DEVICE_OFFLINE, topics.device_subject(device.serial), gone, before=state)
                self.offline(decision, peer, gone)

    def node_went(self, decision: Decision, peer: Peer) -> None:
        """The node is not proven any more: another that sees one of its devices takes it."""
        for device in list(peer.devices.values()):
            self._hand_over(decision, device)

    def _hand_over(self, decision: Decision, device: Device) -> None:
        for name, told in list(device.claims.items()):
            node = self._state.nodes.get(name)
            del device.claims[name]
            if node is None:
                continue
            if node.liveness.state is PeerState.ONLINE:
                self._take(decision, device, node, told)
                return
            self._unheard.setdefault(name, {})[device.serial] = told

    def _take(self, decision: Decision, device: Device, peer: Peer, told: DeviceOnline) -> None:
        before, now_ms = device.row, decision.now.utc_ms
        if device.node is not None:
            device.node.devices.pop(device.serial, None)
            if device.node is not peer and before is not None and device.state is DeviceState.ONLINE:
                self._unheard.setdefault(device.node.name, {})[device.serial] = _told_of(before)
        device.claims.pop(peer.name, None)
        device.node = peer
        device.state = DeviceState.ONLINE
        device.facts += 1
        peer.devices[device.serial] = device
        device.row = DeviceRow(
            serial=device.serial,
            node_id=peer.name,
            state=DeviceState.ONLINE,
            reason="",
            driver=told.driver,
            connection=told.connection,
            model=told.model,
            manufacturer=told.manufacturer,
            sdk=told.sdk,
            android=told.android,
            screen_width=told.screen[0],
            screen_height=told.screen[1],
            tags=told.tags,
            first_seen_at_ms=before.first_seen_at_ms if before is not None else now_ms,
            changed_at_ms=now_ms,
            quarantine=before.quarantine if before is not None else None,
            usb_path=told.usb_path,
            description=before.description if before is not None else None,
            hold=before.hold if before is not None else None,
        )
        decision.ops.append(PutDevice(device.row))
        if before is not None and before.node_id != peer.name:
            moved = {"node_id": before.node_id}, {"node_id": peer.name}
            reason = because("holds_it_now", node=peer.name)
            decision.automatic("device.moved", topics.device_subject(device.serial), *moved, reason)
        self._scheduler.mark(device)

    def _alert_twice(self, decision: Decision, device: Device, holder: Peer, other: Peer) -> None:
        message = (
            f"device {device.serial} is seen by node {holder.name} and by node {other.name}: it stays with "
            f"{holder.name} while that is proven; disconnect one of the two"
        )
        decision.event(
            topics.SYSTEM_ALERT,
            topics.device_subject(device.serial),
            SystemNotice(code="duplicate_device", message=message, subject=topics.device_subject(device.serial)),
        )
        decision.log("warning", message, {"device_serial": device.serial, "node_id": other.name})


def _told_of(row: DeviceRow) -> DeviceOnline:
    return DeviceOnline(
        serial=row.serial,
        node_id=row.node_id,
        driver=row.driver,
        connection=row.connection,
        model=row.model,
        manufacturer=row.manufacturer,
        sdk=row.sdk,
        android=row.android,
        screen=(row.screen_width, row.screen_height),
        tags=row.tags,
        usb_path=row.usb_path,
    )


def _is_proven(device: Device, holder: Peer) -> bool:
    return device.state is not DeviceState.OFFLINE and holder.liveness.state is PeerState.ONLINE
