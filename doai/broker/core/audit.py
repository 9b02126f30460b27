"""The audit: who changed what, from where, what was so before and after; refused commands too (steps 2 and 3).

`Commands` adds a row for every command that it answers, whichever handler executes it, and `Decision.event` one
for every event by which the system tells what it did without being asked. A handler says with `Decision.changed`
what was so before and after; where it says nothing, its answer is what is so after.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

import msgspec

from doai.changes.audit import AuditOutcome, AuditRow
from doai.envelope import Envelope, Origin
from doai.messages.commands import Reply

if TYPE_CHECKING:
    from doai.broker.core.tables import Peer

SYSTEM: Final = "system"
TEXT_CHARACTERS_MAX: Final = 200
ITEMS_MAX: Final = 20
DEPTH_MAX: Final = 4
JSON_CHARACTERS_MAX: Final = 4096
"""Of before and of after: a row is to be read at a glance, and a command may be about 500 devices."""
MASK: Final = "***"

_TOLD_ELSEWHERE: Final = frozenset({"task", "run", "step", "attempt", "artifact", "health", "system", "deadletter"})
"""Domains of events that are no row: what becomes of tasks is the event log's, and every notice is not a change."""
_SECRET: Final = re.compile(r"(secret|token)_?sha256|ciphertext|password|secret$", re.IGNORECASE)
_encode: Final = msgspec.json.Encoder().encode


class Change(msgspec.Struct, frozen=True):
    """What was so of one subject before and after; None = there was no such thing."""

    subject: str
    before: object
    after: object


@functools.lru_cache(maxsize=256)
def is_automatic(event_type: str) -> bool:
    """Whether an event of the broker's own that no command caused is a change of state for the audit."""
    return event_type.partition(".")[0] not in _TOLD_ELSEWHERE


def command_row(peer: Peer, command: Envelope, reply: Reply, changes: Sequence[Change], at_ms: int) -> AuditRow:
    """Return the row of a command that was executed or refused now."""
    origin, problem = command.origin or Origin(), reply.problem
    subject, before, after = command.subject[:TEXT_CHARACTERS_MAX], None, None
    if problem is None:
        subject, before, after = _told(subject, changes, reply.result)
    return AuditRow(
        at_ms=at_ms,
        actor=(command.actor or command.source)[:TEXT_CHARACTERS_MAX],
        role=origin.role or peer.role.value,
        token=origin.token,
        address=origin.address,
        interface=(command.interface or "")[:TEXT_CHARACTERS_MAX],
        process=peer.address,
        action=command.type[:TEXT_CHARACTERS_MAX],
        subject=subject,
        outcome=AuditOutcome.DONE if problem is None else AuditOutcome.REFUSED,
        code="" if problem is None else problem.code,
        reason="" if problem is None else problem.message[:JSON_CHARACTERS_MAX],
        before=before,
        after=after,
        command_id=command.event_id,
        idempotency_key=command.idempotency_key or "",
        trace_id=command.trace_id,
        position=reply.position,
    )


def _told(subject: str, changes: Sequence[Change], result: object) -> tuple[str, str | None, str | None]:
    if not changes:
        answer = msgspec.msgpack.decode(result) if isinstance(result, msgspec.Raw) else result
        return subject, None, shown(answer)
    if len(changes) == 1:
        [change] = changes
        return change.subject, shown(change.before), shown(change.after)
    befores = {change.subject: change.before for change in changes if change.before is not None}
    afters = {change.subject: change.after for change in changes if change.after is not None}
    return subject, shown(befores or None), shown(afters or None)


def system_row(
    source: str, action: str, change: Change, reason: str, *, trace_id: str, position: int, at_ms: int
) -> AuditRow:
    """Return the row of something that the system did by itself."""
    return AuditRow(
        at_ms=at_ms,
        actor=source,
        role=SYSTEM,
        token="",
        address="",
        interface=SYSTEM,
        process=source,
        action=action,
        subject=change.subject[:TEXT_CHARACTERS_MAX],
        outcome=AuditOutcome.AUTOMATIC,
        reason=reason[:JSON_CHARACTERS_MAX],
        before=shown(change.before),
        after=shown(change.after),
        trace_id=trace_id,
        position=position,
    )


def shown(value: object) -> str | None:
    """Return a value as small JSON, without secrets and bytes; None stays None."""
    if value is None:
        return None
    text = _encode(_plain(value, "", DEPTH_MAX)).decode()
    if len(text) > JSON_CHARACTERS_MAX:
        text = _encode({"characters": len(text)}).decode()
    return text


@functools.lru_cache(maxsize=1024)
def _is_secret(name: str) -> bool:
    return _SECRET.search(name) is not None


def _plain(value: object, name: str, depth: int) -> object:
    if value is None:
        return None
    if _is_secret(name):
        return MASK
    kind = type(value)
    if kind is str:
        return value[:TEXT_CHARACTERS_MAX]  # type: ignore[index]
    if kind is int or kind is float or kind is bool:
        return value
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, bytes | bytearray | memoryview | msgspec.Raw):
        return f"{len(bytes(value))} bytes"
    if isinstance(value, str):
        return value[:TEXT_CHARACTERS_MAX]
    if isinstance(value, msgspec.Struct):
        value = msgspec.structs.asdict(value)
    if isinstance(value, Mapping):
        return _plain_mapping(value, depth)
    if isinstance(value, Sequence | set | frozenset):
        items = [_plain(item, name, depth - 1) for item in list(value)[:ITEMS_MAX]] if depth else []
        return [*items, f"{len(value) - len(items)} more"] if len(value) > len(items) else items
    return value


def _plain_mapping(value: Mapping[Any, object], depth: int) -> dict[str, object]:
    names = list(value)[:ITEMS_MAX] if depth else []
    plain = {str(name): _plain(value[name], str(name), depth - 1) for name in names}
    if len(value) > len(names):
        plain["more"] = len(value) - len(names)
    return plain
