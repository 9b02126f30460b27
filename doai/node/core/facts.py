"""Facts of a node as envelopes, each within its bound (step 10)."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from doai import topics
from doai.changes.outbox import AppendFact
from doai.clock import Now
from doai.codec import encode, raw
from doai.drivers.base import DeviceChange, DriverNotice
from doai.envelope import Envelope, Message
from doai.errors import ErrorClass, Failure, LocalProtocolError
from doai.ids import IdSource
from doai.limits import RECORD_BYTES_MAX, STEP_OUTPUTS_BYTES_MAX
from doai.messages.events import DeviceError, DeviceOffline, DeviceOnline, SystemNotice
from doai.messages.plugins import NodePluginsChanged, PluginOffer
from doai.node.core.effects import Decision
from doai.states import DeviceState

MESSAGE_CHARACTERS_MAX: Final = 4096
"""Longest sentence of a failure in a fact; what a program wrote on stderr may be in it."""

DETAILS_BYTES_MAX: Final = 4096
"""Of a failure's details: it is told of the step, of the attempt and of the task."""


class Facts:
    """Makes the facts of one node."""

    def __init__(self, source: str, node_id: str, ids: IdSource) -> None:
        self._source = source
        self._node_id = node_id
        self._ids = ids

    def add(
        self,
        out: Decision,
        now: Now,
        event_type: str,
        subject: str,
        payload: Message,
        *,
        trace_id: str,
        causation_id: str | None = None,
        is_result: bool = False,
    ) -> str:
        """Append a fact to a decision and return its event id."""
        event_id = self._ids.new_id(now.utc_ms)
        envelope = encode(
            Envelope(
                event_id=event_id,
                type=event_type,
                subject=subject,
                source=self._source,
                trace_id=trace_id,
                occurred_at_ms=now.utc_ms,
                payload=raw(payload),
                causation_id=causation_id,
            )
        )
        if len(envelope) > RECORD_BYTES_MAX:
            raise LocalProtocolError(
                f"a fact {event_type} about {subject} has {len(envelope)} bytes, the bound is {RECORD_BYTES_MAX}"
            )
        out.ops.append(AppendFact(0, envelope, is_result))
        return event_id

    def device_changed(
        self, out: Decision, now: Now, change: DeviceChange, *, driver: str, tags: list[str]
    ) -> None:
        """Tell that a device came, went, or changed."""
        if change.state is DeviceState.ONLINE:
            info = change.info
            online = DeviceOnline(
                serial=change.serial,
                node_id=self._node_id,
                driver=driver,
                connection=info.connection if info else "",
                model=info.model if info else "",
                manufacturer=info.manufacturer if info else "",
                sdk=info.sdk if info else 0,
                android=info.android if info else "",
                screen=info.screen if info else (0, 0),
                tags=tags,
                usb_path=info.usb_path if info else "",
            )
            self._about_device(out, now, topics.DEVICE_ONLINE, change.serial, online)
        else:
            self.device_offline(out, now, change.serial, change.state, change.reason, usb_path=change.usb_path)

    def device_offline(
        self, out: Decision, now: Now, serial: str, state: DeviceState, reason: str, *, usb_path: str = ""
    ) -> None:
        """Tell that a device can not work."""
        offline = DeviceOffline(serial=serial, node_id=self._node_id, state=state, reason=reason, usb_path=usb_path)
        self._about_device(out, now, topics.DEVICE_OFFLINE, serial, offline)

    def noticed(self, out: Decision, now: Now, notice: DriverNotice) -> None:
        """Tell what a driver noticed: of one device, or of the host."""
        if notice.serial is None:
            self.alert(out, now, notice.code, notice.message)
            return
        failure = Failure(error_class=ErrorClass.DEVICE, code=notice.code, message=shorten(notice.message))
        error = DeviceError(serial=notice.serial, node_id=self._node_id, failure=failure)
        self._about_device(out, now, topics.DEVICE_ERROR, notice.serial, error)

    def plugins_changed(self, out: Decision, now: Now, offers: list[PluginOffer], started_at_ms: int) -> None:
        """The plug-ins of the node are these."""
        told = NodePluginsChanged(node_id=self._node_id, started_at_ms=started_at_ms, plugins=offers)
        subject = topics.node_subject(self._node_id)
        self.add(out, now, topics.PLUGIN_CHANGED, subject, told, trace_id=self._ids.new_trace_id())

    def alert(self, out: Decision, now: Now, code: str, message: str) -> None:
        """Tell an operator."""
        subject = topics.node_subject(self._node_id)
        payload = SystemNotice(code=code, message=shorten(message), subject=subject)
        self.add(out, now, topics.SYSTEM_ALERT, subject, payload, trace_id=self._ids.new_trace_id())

    def _about_device(self, out: Decision, now: Now, event_type: str, serial: str, payload: Message) -> None:
        self.add(out, now, event_type, topics.device_subject(serial), payload, trace_id=self._ids.new_trace_id())


def shorten(text: str) -> str:
    """Return a sentence that fits a fact; what was cut off is said."""
    if len(text) <= MESSAGE_CHARACTERS_MAX:
        return text
    return f"{text[:MESSAGE_CHARACTERS_MAX]}... ({len(text) - MESSAGE_CHARACTERS_MAX} characters more)"


def fitting(failure: Failure) -> Failure:
    """Return a failure that fits a fact; of details that are too large only this is told."""
    size = len(encode(failure.details))
    details = failure.details if size <= DETAILS_BYTES_MAX else {"details_cut": f"{size} bytes were left out"}
    return msgspec.structs.replace(failure, message=shorten(failure.message), details=details)


def fit_outputs(outputs: dict[str, Any]) -> dict[str, Any]:
    """Return outputs of a step as a fact tells them: long texts are cut, which `outputs_cut` says.

    Later steps of the task see the whole.
    """
    size = len(encode(outputs))
    if size <= STEP_OUTPUTS_BYTES_MAX:
        return outputs
    note = f"{size} bytes of outputs were cut to fit an event; keep large results as an artifact"
    room = STEP_OUTPUTS_BYTES_MAX
    while room >= 64:
        room //= 2
        smaller = {name: _cut(value, room) for name, value in outputs.items()}
        if len(encode(smaller)) + len(note) + 32 <= STEP_OUTPUTS_BYTES_MAX:
            return smaller | {"outputs_cut": note}
    return {"outputs_cut": note}


def _cut(value: Any, characters: int) -> Any:
    if isinstance(value, str) and len(value) > characters:
        return f"{value[:characters]}... ({len(value) - characters} characters more)"
    if isinstance(value, dict):
        return {key: _cut(child, characters) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [_cut(child, characters) for child in value]
    return value
