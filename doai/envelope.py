"""The envelope: header and typed payload of every command, reply and event (all steps).

On the wire and in the store an envelope is a msgpack array and its payload a msgpack map with camelCase
keys, kept raw: who only forwards or stores it never decodes the payload. People and other programs see the
JSON form of `to_json`, in camelCase, with the time in ISO 8601.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

SCHEMA_VERSION = 1


class Message(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True, gc=False):
    """Base of every payload and control body: a map with camelCase keys; unknown keys are ignored.

    Data has no cycles, so it is not looked through for garbage.

    Fields are only ever added, with a default, so that an older and a newer peer understand each other.
    """


class Origin(Message, frozen=True, kw_only=True):
    """Of a command: with what right, and from where, as the program that passes it on has proven."""

    role: str = ""
    """admin, operator or viewer of a token; node of a key."""
    token: str = ""
    """Name of the API token."""
    address: str = ""
    """Network address of whoever asked."""


class Envelope(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """Header fields of an event or command, and its payload as undecoded msgpack."""

    event_id: str
    type: str
    """``domain.entity.action`` or ``domain.action``, from the catalogue in ``proto/``."""
    subject: str
    """What it is about, ``kind/id``; order is promised per subject (see topics.py)."""
    source: str
    """Address of the peer that made it, ``name/instance``."""
    trace_id: str
    """W3C trace id: 32 hexadecimal digits, the same for all that follows from one command."""
    occurred_at_ms: int
    """UTC at the source, ms since 1970. Shown, never used for ordering."""
    payload: msgspec.Raw
    causation_id: str | None = None
    """event_id of what caused it."""
    schema_version: int = SCHEMA_VERSION
    idempotency_key: str | None = None
    actor: str | None = None
    """Commands: who asked, ``user/name`` or the address of a peer."""
    interface: str | None = None
    """Commands: through what, one of cli, http, dashboard, bot, schedule, system."""
    origin: Origin | None = None


class JsonEnvelope(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The JSON form of an envelope."""

    event_id: str
    type: str
    subject: str
    source: str
    trace_id: str
    occurred_at: datetime
    payload: Any
    position: int | None = None
    """Place in the event log, where it has one."""
    causation_id: str | None = None
    schema_version: int = SCHEMA_VERSION
    idempotency_key: str | None = None
    actor: str | None = None
    interface: str | None = None
    origin: Origin | None = None


def to_json(envelope: Envelope, position: int | None = None) -> JsonEnvelope:
    """Return the JSON form; the payload needs no schema because its keys are already camelCase."""
    return JsonEnvelope(
        event_id=envelope.event_id,
        type=envelope.type,
        subject=envelope.subject,
        source=envelope.source,
        trace_id=envelope.trace_id,
        occurred_at=utc_datetime(envelope.occurred_at_ms),
        payload=msgspec.msgpack.decode(envelope.payload),
        position=position,
        causation_id=envelope.causation_id,
        schema_version=envelope.schema_version,
        idempotency_key=envelope.idempotency_key,
        actor=envelope.actor,
        interface=envelope.interface,
        origin=envelope.origin,
    )


def utc_datetime(utc_ms: int) -> datetime:
    """Return the aware datetime of a number of milliseconds since 1970, without rounding."""
    return datetime.fromtimestamp(utc_ms // 1000, UTC).replace(microsecond=utc_ms % 1000 * 1000)
