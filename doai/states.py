"""Legality is a table: every state, every trigger, one transition table each; a missing entry is the error.

Serves steps 4-13. The diagrams in the documents are drawn from these tables.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final, TypeVar

from doai.errors import IllegalTransitionError
from doai.key_enum import KeyEnum


class Outcome(KeyEnum):
    """How a task, an attempt or a run ended."""

    PASSED = "passed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    """Not begun in time."""
    UNKNOWN = "unknown"
    """Nobody can know whether a step took effect."""


class WorkflowState(KeyEnum):
    """States of a stored version; any may become active or archived. None of them touches a run that was made."""

    DRAFT = "draft"
    """Only runs that name this version run it."""
    ACTIVE = "active"
    """A bare name means the newest of these."""
    ARCHIVED = "archived"
    """No run can be made of it; those that were made go on."""


class TaskState(KeyEnum):
    """States of a task; the last five are terminal and named like the outcomes."""

    QUEUED = "queued"
    DELAYED = "delayed"
    """Waits for the time of its next attempt."""
    DISPATCHED = "dispatched"
    """A node or bot holds it and has not begun."""
    RUNNING = "running"
    UNPROVEN = "unproven"
    """Its lease ended without word from the holder: held, not failed."""
    CANCELLING = "cancelling"
    """The wish to cancel is durable; the holder has not confirmed it."""
    PASSED = "passed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    UNKNOWN = "unknown"


class TaskTrigger(KeyEnum):
    """What moves a task from one state to another."""

    DISPATCH = "dispatch"
    START = "start"
    RELEASE = "release"
    """The holder gives it back untouched (drain, restart): burns no attempt."""
    LOSE = "lose"
    """The lease ended."""
    PROVE = "prove"
    """The holder spoke of it again, and it has begun."""
    PROVE_WAITING = "prove_waiting"
    """The holder spoke of it again, and it has not begun."""
    RETRY = "retry"
    """The attempt failed and another follows after a delay."""
    DUE = "due"
    CANCEL = "cancel"
    PASS = "pass"  # noqa: S105 - a trigger
    FAIL = "fail"
    CONFIRM_CANCEL = "confirm_cancel"
    EXPIRE = "expire"
    GIVE_UP = "give_up"
    """Nobody can know how it ended."""


class RunState(KeyEnum):
    """States of a run."""

    ACTIVE = "active"
    CANCELLING = "cancelling"
    COMPLETED = "completed"


class RunTrigger(KeyEnum):
    """What moves a run."""

    CANCEL = "cancel"
    COMPLETE = "complete"


class PeerState(KeyEnum):
    """Liveness of a peer, by the age of its last proof (limits.py has the ages)."""

    ONLINE = "online"
    LATE = "late"
    OFFLINE = "offline"


class PeerTrigger(KeyEnum):
    """What moves a peer's liveness."""

    PROVE = "prove"
    AGE_LATE = "age_late"
    AGE_OFFLINE = "age_offline"
    BYE = "bye"
    DISPLACE = "displace"
    """A newer connection of the same address took over."""


class DeviceState(KeyEnum):
    """Whether a device can work, as its node last said; kept apart from the node's own liveness."""

    ONLINE = "online"
    """Link, ADB and the device's own answer are proven."""
    UNRESPONSIVE = "unresponsive"
    """ADB lists it, the device does not answer."""
    UNAUTHORIZED = "unauthorized"
    """The person at the phone has not accepted the key."""
    OFFLINE = "offline"


class ServiceState(KeyEnum):
    """Whether a device or a node is given tasks, after what its attempts came to; liveness is another matter."""

    IN_SERVICE = "in_service"
    QUARANTINED = "quarantined"
    """It is given none until its term ends or a person releases it."""
    PROBING = "probing"
    """Its term ended: one task at a time, until one works (released) or fails (quarantined for longer)."""


class ServiceTrigger(KeyEnum):
    """What moves a device or a node in and out of service."""

    QUARANTINE = "quarantine"
    """Its attempts failed again and again, or a person wants it."""
    TERM_ENDS = "term_ends"
    RELEASE = "release"
    """A probe worked, or a person wants it."""


class QueueState(KeyEnum):
    """States of a queue."""

    RUNNING = "running"
    PAUSED = "paused"
    DRAINING = "draining"


class QueueTrigger(KeyEnum):
    """What moves a queue."""

    PAUSE = "pause"
    RESUME = "resume"
    DRAIN = "drain"


class CampaignState(KeyEnum):
    """States of a campaign."""

    ACTIVE = "active"
    """It fires when its schedule says."""
    PAUSED = "paused"
    """Times of its schedule pass by; it is fired by hand only."""
    ENDED = "ended"
    """It has made all its runs, or its end has come."""


class CampaignTrigger(KeyEnum):
    """What moves a campaign."""

    PAUSE = "pause"
    RESUME = "resume"
    END = "end"
    REVIVE = "revive"
    """It was changed so that there is something to come again."""


class FireState(KeyEnum):
    """What came of a time of a campaign's schedule."""

    WAITING = "waiting"
    """The run before it is still open."""
    FIRED = "fired"
    """A run was made."""
    SKIPPED = "skipped"
    MISSED = "missed"
    """Nobody was there when it was due."""


class IncidentState(KeyEnum):
    """States of an incident; a condition that comes back is a new one."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    """Somebody looks after it."""
    RESOLVED = "resolved"


class IncidentTrigger(KeyEnum):
    """What moves an incident."""

    ACKNOWLEDGE = "acknowledge"
    RESOLVE = "resolve"
    """The condition is over, or a person says so."""


class DeadLetterState(KeyEnum):
    """States of a dead letter; only a person moves it."""

    OPEN = "open"
    RETRIED = "retried"
    DISCARDED = "discarded"


class DeadLetterTrigger(KeyEnum):
    """What a person decides of a dead letter."""

    RETRY = "retry"
    DISCARD = "discard"


_T, _R, _P, _Q, _S = TaskState, RunState, PeerState, QueueState, ServiceState
_TT, _RT, _PT, _QT, _ST = TaskTrigger, RunTrigger, PeerTrigger, QueueTrigger, ServiceTrigger

_ENDS: Final = {
    _TT.PASS: _T.PASSED,
    _TT.FAIL: _T.FAILED,
    _TT.GIVE_UP: _T.UNKNOWN,
}
_RETRY: Final = {_TT.RETRY: _T.DELAYED}
# A cancelled task whose holder ended it first keeps the outcome that really happened.
_HELD: Final = {
    _TT.RELEASE: _T.QUEUED,
    _TT.EXPIRE: _T.EXPIRED,
    _TT.LOSE: _T.UNPROVEN,
    _TT.CANCEL: _T.CANCELLING,
}

TASK_TABLE: Final[Mapping[TaskState, Mapping[TaskTrigger, TaskState]]] = {
    _T.QUEUED: {
        _TT.DISPATCH: _T.DISPATCHED,
        _TT.CANCEL: _T.CANCELLED,
        _TT.EXPIRE: _T.EXPIRED,
        _TT.FAIL: _T.FAILED,
    },
    _T.DELAYED: {_TT.DUE: _T.QUEUED, _TT.CANCEL: _T.CANCELLED, _TT.EXPIRE: _T.EXPIRED},
    _T.DISPATCHED: {_TT.START: _T.RUNNING, **_HELD, **_ENDS, **_RETRY},
    _T.RUNNING: {
        _TT.LOSE: _T.UNPROVEN,
        # A node that is stopped ends the attempt with its `always` and gives the task back: no attempt is burnt.
        _TT.RELEASE: _T.QUEUED,
        _TT.CANCEL: _T.CANCELLING,
        **_ENDS,
        **_RETRY,
    },
    _T.UNPROVEN: {
        _TT.PROVE: _T.RUNNING,
        _TT.PROVE_WAITING: _T.DISPATCHED,
        _TT.START: _T.RUNNING,
        _TT.RELEASE: _T.QUEUED,
        _TT.EXPIRE: _T.EXPIRED,
        _TT.CANCEL: _T.CANCELLING,
        **_ENDS,
        **_RETRY,
    },
    _T.CANCELLING: {
        _TT.START: _T.CANCELLING,
        _TT.LOSE: _T.CANCELLING,
        _TT.PROVE: _T.CANCELLING,
        _TT.PROVE_WAITING: _T.CANCELLING,
        _TT.CANCEL: _T.CANCELLING,
        _TT.RELEASE: _T.CANCELLED,
        _TT.EXPIRE: _T.CANCELLED,
        _TT.CONFIRM_CANCEL: _T.CANCELLED,
        **_ENDS,
    },
    _T.PASSED: {},
    _T.FAILED: {},
    _T.CANCELLED: {},
    _T.EXPIRED: {},
    _T.UNKNOWN: {},
}

RUN_TABLE: Final[Mapping[RunState, Mapping[RunTrigger, RunState]]] = {
    _R.ACTIVE: {_RT.CANCEL: _R.CANCELLING, _RT.COMPLETE: _R.COMPLETED},
    _R.CANCELLING: {_RT.CANCEL: _R.CANCELLING, _RT.COMPLETE: _R.COMPLETED},
    _R.COMPLETED: {},
}

PEER_TABLE: Final[Mapping[PeerState, Mapping[PeerTrigger, PeerState]]] = {
    _P.ONLINE: {
        _PT.PROVE: _P.ONLINE,
        _PT.AGE_LATE: _P.LATE,
        _PT.AGE_OFFLINE: _P.OFFLINE,
        _PT.BYE: _P.OFFLINE,
        _PT.DISPLACE: _P.ONLINE,
    },
    _P.LATE: {
        _PT.PROVE: _P.ONLINE,
        _PT.AGE_OFFLINE: _P.OFFLINE,
        _PT.BYE: _P.OFFLINE,
        _PT.DISPLACE: _P.ONLINE,
    },
    _P.OFFLINE: {_PT.PROVE: _P.ONLINE, _PT.BYE: _P.OFFLINE},
}

QUEUE_TABLE: Final[Mapping[QueueState, Mapping[QueueTrigger, QueueState]]] = {
    _Q.RUNNING: {_QT.PAUSE: _Q.PAUSED, _QT.DRAIN: _Q.DRAINING, _QT.RESUME: _Q.RUNNING},
    _Q.PAUSED: {_QT.RESUME: _Q.RUNNING, _QT.PAUSE: _Q.PAUSED, _QT.DRAIN: _Q.DRAINING},
    _Q.DRAINING: {_QT.RESUME: _Q.RUNNING, _QT.PAUSE: _Q.PAUSED, _QT.DRAIN: _Q.DRAINING},
}

SERVICE_TABLE: Final[Mapping[ServiceState, Mapping[ServiceTrigger, ServiceState]]] = {
    _S.IN_SERVICE: {_ST.QUARANTINE: _S.QUARANTINED},
    # Quarantined again: a person gives it another term.
    _S.QUARANTINED: {
        _ST.QUARANTINE: _S.QUARANTINED,
        _ST.TERM_ENDS: _S.PROBING,
        _ST.RELEASE: _S.IN_SERVICE,
    },
    _S.PROBING: {_ST.QUARANTINE: _S.QUARANTINED, _ST.RELEASE: _S.IN_SERVICE},
}

_C, _CT = CampaignState, CampaignTrigger
CAMPAIGN_TABLE: Final[Mapping[CampaignState, Mapping[CampaignTrigger, CampaignState]]] = {
    _C.ACTIVE: {_CT.PAUSE: _C.PAUSED, _CT.END: _C.ENDED},
    _C.PAUSED: {_CT.RESUME: _C.ACTIVE, _CT.END: _C.ENDED},
    _C.ENDED: {_CT.REVIVE: _C.ACTIVE},
}

_I, _IT = IncidentState, IncidentTrigger
INCIDENT_TABLE: Final[Mapping[IncidentState, Mapping[IncidentTrigger, IncidentState]]] = {
    # Acknowledged again: somebody else takes it over.
    _I.OPEN: {_IT.ACKNOWLEDGE: _I.ACKNOWLEDGED, _IT.RESOLVE: _I.RESOLVED},
    _I.ACKNOWLEDGED: {_IT.ACKNOWLEDGE: _I.ACKNOWLEDGED, _IT.RESOLVE: _I.RESOLVED},
    _I.RESOLVED: {},
}

DEAD_LETTER_TABLE: Final[Mapping[DeadLetterState, Mapping[DeadLetterTrigger, DeadLetterState]]] = {
    DeadLetterState.OPEN: {
        DeadLetterTrigger.RETRY: DeadLetterState.RETRIED,
        DeadLetterTrigger.DISCARD: DeadLetterState.DISCARDED,
    },
    DeadLetterState.RETRIED: {},
    DeadLetterState.DISCARDED: {},
}

TERMINAL: Final = frozenset({_T.PASSED, _T.FAILED, _T.CANCELLED, _T.EXPIRED, _T.UNKNOWN})
GAVE_UP: Final = frozenset({_T.FAILED, _T.UNKNOWN})
"""Ends that nobody asked for: each is a dead letter."""
HELD: Final = frozenset({_T.DISPATCHED, _T.RUNNING, _T.UNPROVEN, _T.CANCELLING})
"""States in which a node or bot holds the task under a token."""

_StateT = TypeVar("_StateT", bound=enum.Enum)
_TriggerT = TypeVar("_TriggerT", bound=enum.Enum)


def move(
    table: Mapping[_StateT, Mapping[_TriggerT, _StateT]], state: _StateT, trigger: _TriggerT, what: object
) -> _StateT:
    """Return the state that follows; raises IllegalTransitionError naming ``what`` where the table has none."""
    try:
        return table[state][trigger]
    except KeyError:
        raise IllegalTransitionError(f"{what} is {state.value} and can not {trigger.value}") from None


def outcome_of(state: TaskState) -> Outcome | None:
    """Return the outcome a terminal task state stands for, None while the task is open."""
    return Outcome(state.value) if state in TERMINAL else None
