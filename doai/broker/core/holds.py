"""Devices reserved for a person for a while: they are given no tasks, what their nodes have of them ends (step 4).

A hold has nothing to do with how a device fares: one that is quarantined may be held too, and each ends by itself.
What was dispatched before goes on, as with a quarantine, because only its node can tell whether it has begun.
"""

from __future__ import annotations

import msgspec

from doai import topics
from doai.broker.core.decision import Decision
from doai.broker.core.scheduler import Scheduler
from doai.broker.core.state import State
from doai.broker.core.tables import Device
from doai.broker.core.terms import REASON_CHARS_MAX, Terms, actor_of, device_of, is_theirs, until_of
from doai.changes.ops import PutDevice
from doai.changes.rows import DeviceRow, Hold
from doai.clock import Now
from doai.envelope import Envelope
from doai.errors import ConflictError
from doai.limits import HOLD_MAX_S
from doai.messages.events import DeviceHeld, DeviceReleased
from doai.messages.holds import DeviceHold, HoldDevice, UnholdDevice
from doai.moments import moment
from doai.reasons import reason as because


class Holds:
    """Gives devices to people and takes them back."""

    def __init__(self, state: State, scheduler: Scheduler, now: Now) -> None:
        self._state = state
        self._scheduler = scheduler
        self._terms: Terms[Device] = Terms(state)
        for device in state.devices.values():
            if device.row is not None and device.row.hold is not None:
                self._terms.begin(now, device, device.row.hold.until_ms)

    def hold(self, decision: Decision, command: Envelope, wish: HoldDevice) -> DeviceHold:
        """Reserve a device, or give its hold another end."""
        device, actor = device_of(self._state, wish.serial), actor_of(command)
        until_ms = until_of(decision, wish.for_s, HOLD_MAX_S, "a hold")
        row = _row(device)
        before = row.hold
        if before is not None and not is_theirs(before.by, command):
            raise _held_for_another(wish.serial, before, "ask them, or let it end")
        reason = wish.reason[:REASON_CHARS_MAX] or (before.reason if before is not None else "")
        since_ms = before.since_ms if before is not None else decision.now.utc_ms
        hold = Hold(since_ms=since_ms, until_ms=until_ms, by=actor, reason=reason)
        self._write(decision, device, hold)
        self._terms.begin(decision.now, device, until_ms)
        decision.event(
            topics.DEVICE_HELD,
            topics.device_subject(device.serial),
            DeviceHeld(
                serial=device.serial,
                node_id=row.node_id,
                reason=reason,
                until_ms=until_ms,
                actor=actor,
                tasks_left=len(device.held),
                extended=before is not None,
            ),
            causation_id=command.event_id,
            actor=actor,
        )
        decision.changed(topics.device_subject(device.serial), _told(before), _told(hold))
        decision.log("info", f"device {device.serial} is held for {actor} until {moment(until_ms)}", _ids(device))
        return _answer(device)

    def unhold(self, decision: Decision, command: Envelope, wish: UnholdDevice) -> DeviceHold:
        """Give a device back."""
        device, actor = device_of(self._state, wish.serial), actor_of(command)
        hold = _row(device).hold
        if hold is None:
            raise ConflictError(f"device {wish.serial} is not held: nothing was changed", code="not_held")
        if not is_theirs(hold.by, command) and not wish.force:
            raise _held_for_another(wish.serial, hold, "ask them, or force it")
        self._end(decision, device, wish.reason[:REASON_CHARS_MAX] or because("given_back"), actor)
        decision.changed(topics.device_subject(device.serial), _told(hold), {"hold": None, "reason": wish.reason})
        return _answer(device)

    def sweep(self, decision: Decision) -> None:
        """End the holds whose time is over."""
        for device in self._terms.take_over(decision.now):
            self._end(decision, device, because("hold_over"), "")

    def due_s(self) -> float | None:
        """Return when the next hold ends."""
        return self._terms.due_s()

    def _end(self, decision: Decision, device: Device, reason: str, actor: str) -> None:
        before = _told(_row(device).hold)
        self._write(decision, device, None)
        self._terms.end(device)
        decision.event(
            topics.DEVICE_RELEASED,
            topics.device_subject(device.serial),
            DeviceReleased(
                serial=device.serial, node_id=_row(device).node_id, reason=reason, actor=actor, hold=True
            ),
            actor=actor or None,
            before=before,
        )
        decision.log("info", f"device {device.serial} is not held any more: {reason}", _ids(device))
        self._scheduler.mark(device)

    def _write(self, decision: Decision, device: Device, hold: Hold | None) -> None:
        device.row = msgspec.structs.replace(_row(device), hold=hold)
        decision.ops.append(PutDevice(device.row))


def _row(device: Device) -> DeviceRow:
    assert device.row is not None, "only a device that was seen is held"
    return device.row


def _told(hold: Hold | None) -> dict[str, object]:
    """A hold for the audit."""
    return {"hold": hold}


def _held_for_another(serial: str, hold: Hold, way_out: str) -> ConflictError:
    why = f" because {hold.reason}" if hold.reason else ""
    return ConflictError(
        f"device {serial} is held for {hold.by} until {moment(hold.until_ms)}{why}: {way_out}",
        code="held_for_another",
    )


def _answer(device: Device) -> DeviceHold:
    hold = _row(device).hold
    if hold is None:
        return DeviceHold(serial=device.serial, held=False)
    return DeviceHold(
        serial=device.serial,
        held=True,
        by=hold.by,
        until_ms=hold.until_ms,
        reason=hold.reason,
        tasks_left=len(device.held),
    )


def _ids(device: Device) -> dict[str, str]:
    return {"device_serial": device.serial}
