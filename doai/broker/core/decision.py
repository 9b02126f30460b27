"""One decision: gathers what one event of the core changes and sends, then becomes `Changes` (steps 3, 5, 12).

What a decision touches several times is written once: a task that started and ended in one frame of facts has one
UPDATE, and all that goes to one peer goes in one frame a kind, whose header carries the ack.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count, repeat

from msgspec import Raw

from doai import topics
from doai.broker.core.audit import Change, is_automatic, system_row
from doai.broker.core.effects import Changes, Effect, KeysChanged, LogLine, OpenChannel, SendFrame, ShutLink
from doai.broker.core.event_tail import EventTail
from doai.broker.core.tables import Peer, Task
from doai.changes.log import LoggedRow
from doai.changes.ops import AppendAudit, AppendEvent, InsertTask, Op, UpdateTask
from doai.changes.retention import AddUsage
from doai.clock import Now
from doai.codec import Kind, encode, pack_header
from doai.envelope import Envelope, Message
from doai.errors import LocalProtocolError
from doai.ids import IdSource
from doai.limits import FRAME_BYTES_MAX
from doai.messages.link import Fenced
from doai.messages.work import Cancels, Dispatch, Dispatches, Recipe, Releases, TaskRef

_EMPTY = b""
FENCED_GRACE_S = 2.0
"""Between FENCED and the end of its connection: the sentence is to arrive on a slow network too."""


class Log:
    """The end of the event log: gives every event its position."""

    __slots__ = ("ids", "position", "source", "tail")

    def __init__(self, position: int, source: str, ids: IdSource) -> None:
        self.position = position
        self.source = source
        self.ids = ids
        self.tail: EventTail | None = None
        """The newest events, while somebody subscribes."""


class _Mail:
    """What one decision sends to one peer."""

    __slots__ = ("cancels", "dispatches", "recipes", "releases")

    def __init__(self) -> None:
        self.recipes: list[Recipe] = []
        self.releases: list[TaskRef] = []
        self.cancels: list[TaskRef] = []
        self.dispatches: list[Dispatch] = []


class Decision:
    """Gathers ops, events, frames and log lines of one event of the core."""

    __slots__ = (
        "_acks",
        "_inserted",
        "_log",
        "_mail",
        "_touched",
        "changes",
        "effects",
        "in_command",
        "now",
        "ops",
        "speaker",
        "used",
    )

    def __init__(self, log: Log, now: Now) -> None:
        self.now = now
        self.ops: list[Op] = []
        self.effects: list[Effect] = []
        self.in_command = False
        """What changes now was asked for: the row of the command tells it."""
        self.speaker: Peer | None = None
        """Over whose connection the command came that is being executed."""
        self.changes: list[Change] = []
        """What the command that is being executed changed."""
        self.used: dict[Task, AddUsage] = {}
        """Attempts that ended, until their tasks end too or this decision does."""
        self._log = log
        self._touched: dict[Task, None] = {}
        self._inserted: list[tuple[Task, bytes | None]] = []
        self._mail: dict[Peer, _Mail] = {}
        self._acks: dict[Peer, None] = {}

    # --- what is stored -----------------------------------------------------------------------------------

    @property
    def position(self) -> int:
        """Place of the newest event."""
        return self._log.position

    @property
    def ids(self) -> IdSource:
        """Where new ids come from."""
        return self._log.ids

    def new_id(self) -> str:
        """Return a new id."""
        return self._log.ids.new_id(self.now.utc_ms)

    def fact(self, envelope: Envelope, body: bytes | None = None) -> int:
        """Append somebody's fact to the event log as it is; return its position.

        ``body``: the envelope as it came, where it need not be encoded again.
        """
        log = self._log
        log.position += 1
        if log.tail is not None:
            body = encode(envelope) if body is None else body
            log.tail.add(LoggedRow(log.position, envelope.type, envelope.subject, bytes(body)))
        self.ops.append(AppendEvent(log.position, envelope, self.now.utc_ms, body))
        return log.position

    def facts(self, envelopes: Sequence[Envelope], bodies: Sequence[bytes]) -> None:
        """Append facts as `fact` does, one by one; each ``body`` is the envelope as it came."""
        log = self._log
        first = log.position + 1
        log.position += len(envelopes)
        if log.tail is not None:
            for position, envelope, body in zip(count(first), envelopes, bodies, strict=False):
                log.tail.add(LoggedRow(position, envelope.type, envelope.subject, body))
        self.ops.extend(map(AppendEvent, count(first), envelopes, repeat(self.now.utc_ms), bodies))

    def event(
        self,
        event_type: str,
        subject: str,
        payload: Message,
        *,
        trace_id: str | None = None,
        causation_id: str | None = None,
        actor: str | None = None,
        before: object = None,
        after: object = None,
    ) -> int:
        """Append an event of the broker's own; return its position.

        One that no command caused is also a row of the audit, but for those of tasks and runs: ``before`` is what
        was so, ``after`` (or the payload) what is so now.
        """
        log = self._log
        position = self.fact(
            Envelope(
                event_id=log.ids.new_id(self.now.utc_ms),
                type=event_type,
                subject=subject,
                source=log.source,
                trace_id=trace_id or log.ids.new_trace_id(),
                occurred_at_ms=self.now.utc_ms,
                payload=Raw(encode(payload)),
                causation_id=causation_id,
                actor=actor,
            )
        )
        if not self.in_command and is_automatic(event_type):
            self.automatic(event_type, subject, before, after or payload, getattr(payload, "reason", ""))
        return position

    def task_event(self, event_type: str, task: Task, payload: Message) -> int:
        """Append an event of the broker's own about a task, which is no row of the audit; return its position."""
        log, utc_ms = self._log, self.now.utc_ms
        return self.fact(
            Envelope(
                event_id=log.ids.new_id(utc_ms),
                type=event_type,
                subject=topics.task_subject(task.task_id),
                source=log.source,
                trace_id=task.run.trace_id,
                occurred_at_ms=utc_ms,
                payload=Raw(encode(payload)),
            )
        )

    def changed(self, subject: str, before: object, after: object) -> None:
        """Say for the audit what the command that is being executed changed; None = there was no such thing.

        Mappings and structs of what differs; they become small JSON, secrets in them are masked.
        """
        self.changes.append(Change(subject, before, after))

    def automatic(self, action: str, subject: str, before: object, after: object, reason: str) -> None:
        """Add what the system changed by itself, and no event of its own tells, to the audit."""
        log = self._log
        change = Change(subject, before, after)
        row = system_row(
            log.source, action, change, reason, trace_id="", position=log.position, at_ms=self.now.utc_ms
        )
        self.ops.append(AppendAudit(row))

    def touch(self, task: Task) -> None:
        """The task changed: its status is written once, at the end of this decision."""
        self._touched[task] = None

    def insert(self, task: Task, selector_body: bytes | None) -> None:
        """The task is new: it is stored as it is at the end of this decision."""
        self._inserted.append((task, selector_body))

    # --- what is sent -------------------------------------------------------------------------------------

    def send(self, link: int, kind: Kind, body: bytes = _EMPTY) -> None:
        """Send on a connection that is nobody's yet, or with nothing to acknowledge."""
        self.effects.append(SendFrame(link, pack_header(kind), body))

    def send_to(self, peer: Peer, kind: Kind, body: bytes = _EMPTY) -> None:
        """Send to a peer, with ack and credit of its stream as they are now; nothing if it is away."""
        if peer.link is None:
            return
        stream = peer.stream
        if stream.incarnation:
            credit_seq, credit_bytes = stream.credit()
            header = pack_header(
                kind,
                version=peer.wire_version,
                ack=stream.last_seq,
                credit_seq=credit_seq,
                credit_bytes=credit_bytes,
            )
        else:
            header = pack_header(kind, version=peer.wire_version)
        self.effects.append(SendFrame(peer.link, header, body))

    def fence(self, link: int, reason: str) -> None:
        """Tell a connection that it is not heard again, and cut it."""
        self.send(link, Kind.FENCED, encode(Fenced(reason=reason)))
        self.effects.append(ShutLink(link, reason, FENCED_GRACE_S))

    def open_channel(self, link: int, handle: int) -> None:
        """Let FORWARD frames for this handle go to the connection."""
        self.effects.append(OpenChannel(link, handle))

    def acknowledge(self, peer: Peer) -> None:
        """Make sure that some frame of this decision carries the peer's ack."""
        self._acks[peer] = None

    def dispatch(self, peer: Peer, dispatch: Dispatch) -> None:
        """Give the peer a task, in one frame with the others of this decision."""
        self._mail_of(peer).dispatches.append(dispatch)

    def recipe(self, peer: Peer, recipe: Recipe) -> None:
        """Give the peer a recipe, before the dispatches of this decision."""
        self._mail_of(peer).recipes.append(recipe)

    def cancel(self, peer: Peer, task: TaskRef) -> None:
        """Ask the peer to stop a task."""
        self._mail_of(peer).cancels.append(task)

    def release(self, peer: Peer, task: TaskRef) -> None:
        """Tell the peer to drop a task."""
        self._mail_of(peer).releases.append(task)

    def keys_changed(self, keys: Mapping[str, str], revoked: str | None = None) -> None:
        """Keys were added or revoked."""
        self.effects.append(KeysChanged(keys, revoked))

    def log(self, level: str, message: str, ids: Mapping[str, str] | None = None) -> None:
        """Write a log line once this decision is on disk."""
        self.effects.append(LogLine(level, message, ids or {}))

    def _mail_of(self, peer: Peer) -> _Mail:
        mail = self._mail.get(peer)
        if mail is None:
            mail = self._mail[peer] = _Mail()
        return mail

    # --- the end ------------------------------------------------------------------------------------------

    def finish(self) -> Changes:
        """Return everything as changes; the decision is not used again."""
        ops = self.ops
        ops += self.used.values()
        inserted = self._inserted
        if inserted:
            for task, selector_body in inserted:
                task.stored = True
                self._touched.pop(task, None)
                ops.append(InsertTask(task.row(selector_body)))
        for task in self._touched:
            ops.append(UpdateTask(task.task_id, task.status()))
        for peer, mail in self._mail.items():
            self._post(peer, mail)
        for peer in self._acks:
            if peer not in self._mail:
                self.send_to(peer, Kind.ACK)
        return Changes(ops, self.effects)

    def _post(self, peer: Peer, mail: _Mail) -> None:
        if mail.releases:
            self.send_to(peer, Kind.RELEASE, encode(Releases(mail.releases)))
        if mail.cancels:
            self.send_to(peer, Kind.CANCEL, encode(Cancels(mail.cancels)))
        for recipe in mail.recipes:
            self.send_to(peer, Kind.RECIPE, encode(recipe))
        if mail.dispatches:
            self._post_dispatches(peer, mail.dispatches)

    def _post_dispatches(self, peer: Peer, dispatches: Sequence[Dispatch]) -> None:
        body = encode(Dispatches(list(dispatches)))
        if len(body) <= FRAME_BYTES_MAX:
            self.send_to(peer, Kind.DISPATCH, body)
            return
        if len(dispatches) == 1:
            raise LocalProtocolError(f"the Dispatch of task {dispatches[0].task_id} has {len(body)} bytes")
        half = len(dispatches) // 2
        self._post_dispatches(peer, dispatches[:half])
        self._post_dispatches(peer, dispatches[half:])
