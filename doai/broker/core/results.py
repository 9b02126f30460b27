"""Facts of nodes: each enters the event log once, whatever it means, with what it changes (steps 12 and 13)."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Final

import msgspec

from doai import topics
from doai.broker.core.dead_letters import DeadLetters
from doai.broker.core.decision import Decision
from doai.broker.core.devices import Devices
from doai.broker.core.incidents import Incidents
from doai.broker.core.leases import Leases
from doai.broker.core.peers import Peers
from doai.broker.core.plugins import Plugins
from doai.broker.core.quarantine import Quarantines
from doai.broker.core.scheduler import Scheduler
from doai.broker.core.settings import EVENT_BYTES_KEPT
from doai.broker.core.state import State
from doai.broker.core.tables import Peer, Task
from doai.broker.core.tasks import Tasks
from doai.changes.dead_letters import DeadReason
from doai.codec import BodyDecoder, Kind
from doai.envelope import Envelope
from doai.errors import DecodeError, ErrorClass, Failure
from doai.ids import is_serial
from doai.incidents import IncidentType
from doai.link.incoming import Gap, Refused, Taken
from doai.messages.events import AttemptEnded, DeviceOffline, DeviceOnline, SystemNotice, TaskStarted
from doai.messages.link import Record
from doai.messages.plugins import NodePluginsChanged
from doai.states import Outcome, TaskState, TaskTrigger

# Names of their own: a member of an enum is looked up by a function of its class.
_START: Final = TaskTrigger.START
_CANCELLING: Final = TaskState.CANCELLING
_DELAYED: Final = TaskState.DELAYED
_QUEUED: Final = TaskState.QUEUED
_PASSED: Final = Outcome.PASSED

_TOLD_BY_NODES: Final = frozenset(
    {
        topics.ATTEMPT_ENDED,
        topics.TASK_STARTED,
        topics.STEP_STARTED,
        topics.STEP_COMPLETED,
        topics.STEP_FAILED,
        topics.DEVICE_ONLINE,
        topics.DEVICE_OFFLINE,
        topics.DEVICE_ERROR,
        topics.HEALTH_CHECK_COMPLETED,
        topics.SYSTEM_ERROR,
        topics.SYSTEM_ALERT,
        topics.PLUGIN_CHANGED,
    }
)
_ONLY_TOLD: Final = frozenset({topics.STEP_STARTED, topics.STEP_COMPLETED, topics.STEP_FAILED})
"""Of these, what is written in the event log, and changes nothing."""
_BROKERS_TYPES: Final = frozenset(
    {topics.DEVICE_DESCRIBED, topics.DEVICE_QUARANTINED, topics.DEVICE_HELD, topics.DEVICE_RELEASED}
)
_BROKERS_DOMAINS: Final = ("task", "run", "node", "campaign", "workflow", "artifact", "bot", "attempt", "queue")
"""Of these domains a node may only say what is listed above; a type nobody knows yet is stored as it is."""

_envelope: Final = BodyDecoder(Envelope)
_started: Final = BodyDecoder(TaskStarted)
_ended: Final = BodyDecoder(AttemptEnded)
_device_online: Final = BodyDecoder(DeviceOnline)
_notice: Final = BodyDecoder(SystemNotice)
_plugins: Final = BodyDecoder(NodePluginsChanged)
_device_offline: Final = BodyDecoder(DeviceOffline)


class HandlerFailed(Exception):
    """What handles a fact failed, by a mistake of ours: memory may have half of what it was to change."""

    def __init__(self, peer: Peer, record: Record, envelope: Envelope, error: Exception) -> None:
        super().__init__(str(error))
        self.peer = peer
        self.record = record
        self.envelope = envelope
        told = f"{type(error).__name__}: {error}"[:EVENT_BYTES_KEPT]
        self.sentence = (
            f"{envelope.type} {envelope.event_id} of node {peer.name} could not be handled ({told}): "
            "it is set aside, please report it"
        )


class Verdict(msgspec.Struct, frozen=True):
    """What the end of an attempt comes to."""

    trigger: TaskTrigger
    event_type: str
    outcome: Outcome | None
    """Of the attempt."""
    failure: Failure | None = None
    delay_s: float = 0.0


_WORKED: Final = Verdict(TaskTrigger.PASS, topics.TASK_COMPLETED, Outcome.PASSED)


class Results:
    """Applies what nodes tell."""

    def __init__(
        self,
        state: State,
        scheduler: Scheduler,
        tasks: Tasks,
        peers: Peers,
        devices: Devices,
        leases: Leases,
        quarantines: Quarantines,
        letters: DeadLetters,
        incidents: Incidents,
    ) -> None:
        self._state = state
        self._incidents = incidents
        self._scheduler = scheduler
        self._tasks = tasks
        self._peers = peers
        self._devices = devices
        self._leases = leases
        self._quarantines = quarantines
        self._letters = letters
        self._plugins = Plugins(state, scheduler)
        self._facts: dict[str, Callable[[Decision, Peer, Envelope, bytes | None], None]] = {
            topics.TASK_STARTED: self._started,
            topics.ATTEMPT_ENDED: self._ended,
            topics.DEVICE_ONLINE: self._device_online,
            topics.DEVICE_OFFLINE: self._device_offline,
            topics.SYSTEM_ALERT: self._alerted,
            topics.PLUGIN_CHANGED: self._plugins_changed,
        }

    def records(self, decision: Decision, peer: Peer, link: int, records: list[Record]) -> None:
        """Take one frame of a node's stream."""
        taken = peer.stream.records(records)
        if isinstance(taken, Gap):
            # Not heard any more until it greets: one answer a gap, not one a frame.
            decision.send(link, Kind.HELLO_REQUIRED)
            self._peers.link_gone(link)
            decision.log("warning", f"node {peer.name} sent fact {taken.got} where {taken.expected} is next")
            return
        if isinstance(taken, Refused):
            self._peers.refuse(decision, link, peer, taken)
            return
        decision.ops.extend(taken.ops)
        not_kept = self._letters.not_kept
        envelopes = _envelope.each(taken.envelopes)
        if _all_only_told(envelopes, peer.address):
            decision.facts(envelopes, taken.envelopes)
        else:
            self._apply(decision, peer, taken, envelopes)
        if self._letters.not_kept > not_kept:
            self._count_not_kept(decision, peer, self._letters.not_kept - not_kept)
        decision.acknowledge(peer)
        if peer.holdings is not None:
            self._leases.reconcile(decision, peer)

    def _apply(self, decision: Decision, peer: Peer, taken: Taken, envelopes: list[Envelope | DecodeError]) -> None:
        address, fact = peer.address, decision.fact
        for record, body, envelope in zip(taken.records, taken.envelopes, envelopes, strict=True):
            if isinstance(envelope, DecodeError):
                self._undecodable(decision, peer, record, f"fact {record.seq}", envelope, None)
            elif envelope.type in _ONLY_TOLD and envelope.source == address:
                fact(envelope, body)  # as most are: of steps
            else:
                self._fact(decision, peer, record, envelope, body)

    def _count_not_kept(self, decision: Decision, peer: Peer, times: int) -> None:
        def told(total: int) -> str:
            return (
                f"{total} messages of node {peer.name} could not be handled and are not kept: "
                f"{self._state.letters.messages_of(peer.name)} of it wait for a person already"
            )

        subject = topics.node_subject(peer.name)
        self._incidents.counted(decision, IncidentType.MESSAGES_NOT_KEPT, subject, times, told)

    def _fact(self, decision: Decision, peer: Peer, record: Record, envelope: Envelope, body: bytes | None) -> None:
        letters = self._state.letters
        if letters.set_aside and letters.takes_place((peer.name, peer.stream.incarnation, record.seq)):
            return
        if envelope.source != peer.address:
            envelope, body = msgspec.structs.replace(envelope, source=peer.address), None
        handler = self._facts.get(envelope.type)
        if handler is None:
            self._without_handler(decision, peer, record, envelope)
            return
        try:
            handler(decision, peer, envelope, body)
        except DecodeError as error:
            decision.fact(envelope)
            what = f"the payload of {envelope.type} {envelope.event_id}"
            self._undecodable(decision, peer, record, what, error, envelope)
        except Exception as error:
            raise HandlerFailed(peer, record, envelope, error) from error

    def _without_handler(self, decision: Decision, peer: Peer, record: Record, envelope: Envelope) -> None:
        if envelope.type in _TOLD_BY_NODES:
            decision.fact(envelope)
            return
        told = f"node {peer.name} told {envelope.type[:80]}"
        if _may_tell(envelope.type):
            # Whoever reads the log may know it.
            decision.fact(envelope)
            error = f"{told}, which this broker does not know: compare the versions of node and broker"
            reason = DeadReason.UNKNOWN_TYPE
        else:
            error = f"{told}, which is not a node's to tell: nothing changes"
            reason = DeadReason.FORBIDDEN_TYPE
        self._letters.message(decision, peer, record, reason, error, envelope)

    def _undecodable(
        self,
        decision: Decision,
        peer: Peer,
        record: Record,
        what: str,
        error: DecodeError,
        envelope: Envelope | None,
    ) -> None:
        message = f"{what} of node {peer.name} can not be read ({error}): compare the versions of node and broker"
        self._letters.message(decision, peer, record, DeadReason.UNDECODABLE, message[:EVENT_BYTES_KEPT], envelope)

    # --- attempts -----------------------------------------------------------------------------------------

    def _started(self, decision: Decision, peer: Peer, envelope: Envelope, body: bytes | None) -> None:
        told: TaskStarted = _started.decode(envelope.payload)
        decision.fact(envelope, body)
        task = _held(peer, told)
        if task is None or not self._tasks.allows(task, _START):
            return
        task.started_at_ms = envelope.occurred_at_ms
        if task.lost:
            task.lost = False
            task.proven_s = decision.now.mono_s
            task.reason = ""
            if task.device is not None:
                self._scheduler.mark(task.device)
        self._tasks.move(decision, task, _START)

    def _ended(self, decision: Decision, peer: Peer, envelope: Envelope, body: bytes | None) -> None:
        told: AttemptEnded = _ended.decode(envelope.payload)
        task = _held(peer, told)
        if task is None:
            decision.fact(_retyped(envelope, topics.TASK_LATE))
            return
        device = task.device
        verdict = self.end(decision, task, told, envelope)
        self._quarantines.attempt_ended(decision, peer, device, verdict.outcome, verdict.failure)

    def end(self, decision: Decision, task: Task, told: AttemptEnded, envelope: Envelope) -> Verdict:
        """Apply the end of an attempt that its holder told."""
        verdict = self._judge(decision, task, told)
        decision.fact(_retyped(envelope, verdict.event_type))
        self._tasks.close_attempt(decision, task, verdict.outcome, verdict.failure)
        task.failure = verdict.failure
        if told.outputs:
            task.outputs_body = msgspec.json.encode(told.outputs)
        task.reason = ""
        self._tasks.move(decision, task, verdict.trigger)
        if task.state is _DELAYED:
            self._tasks.delay(decision, task, verdict.delay_s)
        elif task.state is _QUEUED:
            self._tasks.released(decision, task)
        return verdict

    def _judge(self, decision: Decision, task: Task, told: AttemptEnded) -> Verdict:
        cancelling = task.state is _CANCELLING
        allows = self._tasks.allows
        if told.released and allows(task, TaskTrigger.RELEASE):
            event_type = topics.TASK_CANCELLED if cancelling else topics.TASK_RELEASED
            return Verdict(TaskTrigger.RELEASE, event_type, None)
        outcome, failure = told.outcome, told.failure
        if told.released:
            outcome, failure = Outcome.FAILED, _contradiction(task, "given back")
        if outcome is _PASSED:
            return _WORKED
        if outcome is Outcome.CANCELLED and allows(task, TaskTrigger.CONFIRM_CANCEL):
            return Verdict(TaskTrigger.CONFIRM_CANCEL, topics.TASK_CANCELLED, outcome, failure)
        if outcome is Outcome.EXPIRED:
            if allows(task, TaskTrigger.EXPIRE):
                event_type = topics.TASK_CANCELLED if cancelling else topics.TASK_EXPIRED
                return Verdict(TaskTrigger.EXPIRE, event_type, outcome, failure)
            failure = _contradiction(task, "not begun in time")
        return self._judge_failure(decision, task, told, failure)

    def _judge_failure(
        self, decision: Decision, task: Task, told: AttemptEnded, failure: Failure | None
    ) -> Verdict:
        failure = failure or _unexplained(told)
        unknown = not told.repeatable
        error_class = ErrorClass.UNKNOWN if unknown else failure.error_class
        if error_class is ErrorClass.UNKNOWN and not unknown:
            # A crash in which nothing was under way that must not be repeated.
            error_class = ErrorClass.INFRASTRUCTURE
        outcome = Outcome.UNKNOWN if unknown else Outcome.FAILED
        delay_s = self._tasks.retry_delay_s(decision, task, error_class)
        if delay_s is not None:
            return Verdict(TaskTrigger.RETRY, topics.TASK_RETRIED, outcome, failure, delay_s)
        if unknown:
            return Verdict(TaskTrigger.GIVE_UP, topics.TASK_UNKNOWN, outcome, failure)
        return Verdict(TaskTrigger.FAIL, topics.TASK_FAILED, outcome, failure)

    # --- devices ------------------------------------------------------------------------------------------

    def _device_online(self, decision: Decision, peer: Peer, envelope: Envelope, body: bytes | None) -> None:
        told: DeviceOnline = _device_online(envelope.payload)
        _check_serial(told.serial, envelope)
        decision.fact(envelope, body)
        self._devices.online(decision, peer, told)

    def _device_offline(self, decision: Decision, peer: Peer, envelope: Envelope, body: bytes | None) -> None:
        told: DeviceOffline = _device_offline(envelope.payload)
        _check_serial(told.serial, envelope)
        decision.fact(envelope, body)
        self._devices.offline(decision, peer, told)

    def _alerted(self, decision: Decision, peer: Peer, envelope: Envelope, body: bytes | None) -> None:
        told: SystemNotice = _notice(envelope.payload)
        decision.fact(envelope, body)
        self._peers.alerted(decision, peer, told)

    def _plugins_changed(self, decision: Decision, peer: Peer, envelope: Envelope, body: bytes | None) -> None:
        told: NodePluginsChanged = _plugins(envelope.payload)
        decision.fact(envelope, body)
        self._plugins.changed(decision, peer, told)


def _held(peer: Peer, told: TaskStarted | AttemptEnded) -> Task | None:
    """Return the task if it is this node's under this token; a stale token is nobody's."""
    task = peer.held.get((told.token.generation, told.token.n))
    return task if task is not None and task.task_id == told.task_id else None


_type_of: Final = attrgetter("type")
_source_of: Final = attrgetter("source")


def _all_only_told(envelopes: list[Envelope | DecodeError], address: str) -> bool:
    """Whether all of a frame is only to be written, as it is told by its own node."""
    if set(map(type, envelopes)) != {Envelope}:
        return False
    return _ONLY_TOLD.issuperset(map(_type_of, envelopes)) and set(map(_source_of, envelopes)) <= {address}


def _may_tell(event_type: str) -> bool:
    mine = event_type in _BROKERS_TYPES or event_type.partition(".")[0] in _BROKERS_DOMAINS
    return not mine and topics.is_type(event_type)


def _retyped(envelope: Envelope, event_type: str) -> Envelope:
    return msgspec.structs.replace(envelope, type=event_type)


def _contradiction(task: Task, what: str) -> Failure:
    return Failure(
        error_class=ErrorClass.INFRASTRUCTURE,
        code="contradiction",
        message=f"node {task.node} says the attempt was {what}, after it had begun: look at the node's log",
    )


def _unexplained(told: AttemptEnded) -> Failure:
    return Failure(
        error_class=ErrorClass.INFRASTRUCTURE,
        code="no_reason",
        message=f"attempt {told.attempt} ended as {told.outcome.value} without a reason: look at the node's log",
    )


def _check_serial(serial: str, envelope: Envelope) -> None:
    if not is_serial(serial):
        raise DecodeError(f"{serial[:130]!r} is no device serial", bytes(envelope.payload))
