"""Devices and nodes that are given no tasks for a while: after failures in a row, or because a person wants it.

Serves steps 12 and 4. When the term ends, tasks come one at a time (a probe): one that works releases the device or
node, one that fails quarantines it for twice as long. What was dispatched before goes on: only its node can tell
whether it has begun. The rule of what counts is in `health`, the table of states in doai.states.
"""

from __future__ import annotations

from typing import Final

import msgspec

from doai import topics
from doai.broker.core.decision import Decision
from doai.broker.core.health import Blame, blame, term_s
from doai.broker.core.scheduler import Scheduler
from doai.broker.core.state import State
from doai.broker.core.tables import Device, Peer
from doai.broker.core.terms import REASON_CHARS_MAX, Terms, actor_of, device_of, is_theirs, until_of
from doai.changes.ops import PutDevice, PutNode
from doai.changes.rows import Quarantine
from doai.clock import Now
from doai.envelope import Envelope
from doai.errors import ConflictError, Failure, NotFoundError
from doai.limits import QUARANTINE_BURST_S
from doai.messages.commands import QuarantineDevice, QuarantineNode, ReleaseDevice, ReleaseNode, Service
from doai.messages.events import DeviceQuarantined, DeviceReleased, NodeQuarantined, NodeReleased
from doai.reasons import reason as because
from doai.states import SERVICE_TABLE, Outcome, ServiceState, ServiceTrigger, move
from doai.workflow.mistakes import did_you_mean

FOR_MAX_S: Final = 366 * 24 * 3600.0
_PROBING: Final = ServiceState.PROBING
_IN_SERVICE: Final = ServiceState.IN_SERVICE
_WORKED: Final = Blame.WORKED
Unit = Device | Peer
"""A device, or a node."""


class Quarantines:
    """Takes devices and nodes out of service and back."""

    def __init__(self, state: State, scheduler: Scheduler, now: Now) -> None:
        self._state = state
        self._scheduler = scheduler
        self._terms: Terms[Unit] = Terms(state)
        """Of what is quarantined now."""
        units: list[Unit] = [*state.devices.values(), *state.nodes.values()]
        for unit in units:
            # One whose term is over by now is tried at the first tick.
            if unit.row is not None and unit.row.quarantine is not None:
                self._terms.begin(now, unit, unit.row.quarantine.until_ms)

    # --- what attempts tell -------------------------------------------------------------------------------

    def attempt_ended(
        self,
        decision: Decision,
        node: Peer,
        device: Device | None,
        outcome: Outcome | None,
        failure: Failure | None,
    ) -> None:
        """Learn from the end of an attempt that a node told."""
        found = blame(outcome, failure)
        if found is _WORKED:
            self._worked(decision, node)
            if device is not None:
                self._worked(decision, device)
        elif found is Blame.NODE and failure is not None:
            self._failed(decision, node, failure, QUARANTINE_BURST_S)
        elif found is Blame.DEVICE and failure is not None and device is not None:
            self._failed(decision, device, failure, 0.0)

    def _worked(self, decision: Decision, unit: Unit) -> None:
        if unit.service is _PROBING:
            self._release(decision, unit, because("worked_again"), "")
        elif unit.service is _IN_SERVICE:
            unit.health.worked(decision.now.mono_s)

    def _failed(self, decision: Decision, unit: Unit, failure: Failure, burst_s: float) -> None:
        now_s, in_a_row_max = decision.now.mono_s, self._state.settings.quarantine_after
        if unit.row is None or unit.service is ServiceState.QUARANTINED:
            return
        if unit.service is ServiceState.PROBING:
            verdict = because("probe_failed")
        elif in_a_row_max:
            unit.health.failed(now_s, burst_s)
            verdict = unit.health.verdict(now_s, in_a_row_max)
        else:
            verdict = ""
        if verdict:
            before = unit.row.quarantine
            count = before.count + 1 if before is not None else 1
            settings = self._state.settings
            lasts_s = term_s(count, settings.quarantine_first_s, settings.quarantine_max_s)
            until_ms = decision.now.utc_ms + round(lasts_s * 1000)
            self._quarantine(
                decision, unit, until_ms, because("verdict", why=verdict, message=failure.message), count, ""
            )

    # --- what a person wants ------------------------------------------------------------------------------

    def quarantine_device(self, decision: Decision, command: Envelope, wish: QuarantineDevice) -> Service:
        """Take a device out of service."""
        device = device_of(self._state, wish.serial)
        if wish.unless_other:
            _check_own(device, command)
        return self._by_hand(decision, command, device, wish.for_s, wish.reason)

    def quarantine_node(self, decision: Decision, command: Envelope, wish: QuarantineNode) -> Service:
        """Take a node out of service."""
        return self._by_hand(decision, command, self._node(wish.node_id), wish.for_s, wish.reason)

    def release_device(self, decision: Decision, command: Envelope, wish: ReleaseDevice) -> Service:
        """Take a device back into service."""
        device = device_of(self._state, wish.serial)
        if wish.only_own:
            _check_own(device, command)
        return self._release_by_hand(decision, command, device, wish.reason)

    def release_node(self, decision: Decision, command: Envelope, wish: ReleaseNode) -> Service:
        """Take a node back into service."""
        return self._release_by_hand(decision, command, self._node(wish.node_id), wish.reason)

    def _node(self, node_id: str) -> Peer:
        node = self._state.nodes.get(node_id)
        if node is None or node.row is None:
            near = did_you_mean(node_id, self._state.nodes)
            raise NotFoundError(f"there is no node {node_id[:63]!r}: {near}", code="node_not_found")
        return node

    def _by_hand(
        self, decision: Decision, command: Envelope, unit: Unit, for_s: float | None, reason: str
    ) -> Service:
        until_ms = None if for_s is None else until_of(decision, for_s, FOR_MAX_S, "a quarantine")
        before = _standing(unit)
        self._quarantine(decision, unit, until_ms, reason[:REASON_CHARS_MAX], 0, actor_of(command))
        decision.changed(_subject(unit), before, _standing(unit))
        return _service(unit)

    def _release_by_hand(self, decision: Decision, command: Envelope, unit: Unit, reason: str) -> Service:
        if unit.service is ServiceState.IN_SERVICE:
            raise ConflictError(f"{_title(unit)} is not quarantined: nothing was changed", code="not_quarantined")
        before = _standing(unit)
        self._release(decision, unit, reason[:REASON_CHARS_MAX], actor_of(command))
        decision.changed(_subject(unit), before, _standing(unit) | {"reason": reason[:REASON_CHARS_MAX]})
        return _service(unit)

    # --- what follows -------------------------------------------------------------------------------------

    def _quarantine(
        self, decision: Decision, unit: Unit, until_ms: int | None, reason: str, count: int, actor: str
    ) -> None:
        now, before = decision.now, _standing(unit)
        unit.service = move(SERVICE_TABLE, unit.service, ServiceTrigger.QUARANTINE, _title(unit))
        by = actor or self._state.settings.source
        self._write(
            decision, unit, Quarantine(since_ms=now.utc_ms, until_ms=until_ms, reason=reason, by=by, count=count)
        )
        unit.health.clear()
        self._terms.begin(now, unit, until_ms)
        told: DeviceQuarantined | NodeQuarantined
        if isinstance(unit, Device):
            assert unit.row is not None
            told = DeviceQuarantined(
                serial=unit.serial,
                node_id=unit.row.node_id,
                reason=reason,
                until_ms=until_ms,
                count=count,
                actor=actor,
            )
            decision.event(topics.DEVICE_QUARANTINED, _subject(unit), told, before=before)
        else:
            told = NodeQuarantined(node_id=unit.name, reason=reason, until_ms=until_ms, count=count, actor=actor)
            decision.event(topics.NODE_QUARANTINED, _subject(unit), told, before=before)
        decision.log("warning", f"{_title(unit)} is given no tasks for a while: {reason}", _ids(unit))

    def _release(self, decision: Decision, unit: Unit, reason: str, actor: str) -> None:
        before = _standing(unit)
        unit.service = move(SERVICE_TABLE, unit.service, ServiceTrigger.RELEASE, _title(unit))
        self._write(decision, unit, None)
        unit.health.clear()
        self._terms.end(unit)
        told: DeviceReleased | NodeReleased
        if isinstance(unit, Device):
            assert unit.row is not None
            told = DeviceReleased(serial=unit.serial, node_id=unit.row.node_id, reason=reason, actor=actor)
            decision.event(topics.DEVICE_RELEASED, _subject(unit), told, before=before)
        else:
            told = NodeReleased(node_id=unit.name, reason=reason, actor=actor)
            decision.event(topics.NODE_RELEASED, _subject(unit), told, before=before)
        decision.log("info", f"{_title(unit)} is given tasks as before: {reason}", _ids(unit))
        self._mark(unit)

    def sweep(self, decision: Decision) -> None:
        """Try what has done its term with one task at a time."""
        for unit in self._terms.take_over(decision.now):
            before = _standing(unit)
            unit.service = move(SERVICE_TABLE, unit.service, ServiceTrigger.TERM_ENDS, _title(unit))
            kind = "device" if isinstance(unit, Device) else "node"
            reason = because("term_over")
            decision.automatic(f"{kind}.probed", _subject(unit), before, _standing(unit), reason)
            decision.log("info", f"{_title(unit)} is tried with one task at a time", _ids(unit))
            self._mark(unit)

    def due_s(self) -> float | None:
        """Return when the next term ends."""
        return self._terms.due_s()

    def _mark(self, unit: Unit) -> None:
        if isinstance(unit, Device):
            self._scheduler.mark(unit)
        else:
            self._scheduler.mark_node(unit)

    def _write(self, decision: Decision, unit: Unit, quarantine: Quarantine | None) -> None:
        if isinstance(unit, Device):
            assert unit.row is not None
            unit.row = msgspec.structs.replace(unit.row, quarantine=quarantine)
            decision.ops.append(PutDevice(unit.row))
        else:
            assert unit.row is not None
            unit.row = msgspec.structs.replace(unit.row, quarantine=quarantine)
            decision.ops.append(PutNode(unit.row))


def _subject(unit: Unit) -> str:
    return topics.device_subject(unit.serial) if isinstance(unit, Device) else topics.node_subject(unit.name)


def _standing(unit: Unit) -> dict[str, object]:
    """How it stands, for the audit."""
    quarantine = unit.row.quarantine if unit.row is not None else None
    return {"service": unit.service} | ({} if quarantine is None else msgspec.structs.asdict(quarantine))


def _title(unit: Unit) -> str:
    return f"device {unit.serial}" if isinstance(unit, Device) else f"node {unit.name}"


def _ids(unit: Unit) -> dict[str, str]:
    return {"device_serial": unit.serial} if isinstance(unit, Device) else {"node_id": unit.name}


def _service(unit: Unit) -> Service:
    quarantine = unit.row.quarantine if unit.row is not None else None
    name = unit.serial if isinstance(unit, Device) else unit.name
    return Service(name=name, state=unit.service, until_ms=quarantine.until_ms if quarantine is not None else None)


def _check_own(device: Device, command: Envelope) -> None:
    """Raise ConflictError when another keeps it quarantined."""
    standing = device.row.quarantine if device.row is not None else None
    if standing is not None and not is_theirs(standing.by, command):
        text = f"device {device.serial} is quarantined by {standing.by}, not by {actor_of(command)}"
        raise ConflictError(f"{text}: nothing was changed", code="not_own")
