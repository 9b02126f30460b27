"""Payloads of the commands of queues, of their answers and of their events (steps 1-4)."""

from __future__ import annotations

from doai.envelope import Message
from doai.states import QueueState

PUT_QUEUE = "queue.put"
PAUSE_QUEUE = "queue.pause"
RESUME_QUEUE = "queue.resume"
DRAIN_QUEUE = "queue.drain"
DISCARD_QUEUE = "queue.discard"


class PutQueue(Message, frozen=True, kw_only=True):
    """Make a queue, or change what is given of one. Answer: QueueStatus."""

    name: str
    priority: int | None = None
    """Larger goes first; of a new queue 0."""
    degraded_above: int | None = None
    """With more tasks waiting it is shown as degraded."""
    rate_per_min: int | None = None
    """Tasks given out a minute at most; 0 = as many as can be."""


class PauseQueue(Message, frozen=True, kw_only=True):
    """Give out no task of it any more; what nodes hold goes on, new runs wait. Answer: QueueStatus."""

    name: str
    reason: str = ""


class ResumeQueue(Message, frozen=True, kw_only=True):
    """Give out its tasks and take new runs, as before. Answer: QueueStatus."""

    name: str
    reason: str = ""


class DrainQueue(Message, frozen=True, kw_only=True):
    """Give out what it has, refuse new runs. Answer: QueueStatus."""

    name: str
    reason: str = ""


class DiscardQueue(Message, frozen=True, kw_only=True):
    """Throw away what waits in it: those tasks end as cancelled. Answer: QueueDiscarded.

    Without a confirmation nothing happens, and the answer has the one for what waits now.
    """

    name: str
    confirm: str = ""
    reason: str = ""


class QueueDiscarded(Message, frozen=True, kw_only=True):
    """Answer to DiscardQueue."""

    name: str
    tasks: int
    """That wait and would be, or are, discarded."""
    digest: str
    """Of their ids."""
    done: bool
    """Nothing of it is given out any more; the tasks end one after the other."""
    confirm: str
    """With this the same actor may do it, once, while the same tasks wait; empty when it is done."""
    confirm_within_s: float


class QueueDiscardedEvent(Message, frozen=True, kw_only=True):
    """Payload of queue.discarded: what waited is thrown away."""

    name: str
    tasks: int
    reason: str
    actor: str


class QueueStatus(Message, frozen=True, kw_only=True):
    """How a queue stands: the answer to its commands."""

    name: str
    state: QueueState
    priority: int
    waiting: int
    delayed: int
    held: int
    """By nodes."""


class QueueChanged(Message, frozen=True, kw_only=True):
    """Payload of queue.configured, queue.paused, queue.resumed and queue.draining: how it is now."""

    name: str
    state: QueueState
    before: QueueState
    priority: int
    degraded_above: int
    rate_per_min: int = 0
    reason: str
    actor: str


class QueueBacklog(Message, frozen=True, kw_only=True):
    """Payload of queue.degraded and queue.recovered."""

    name: str
    waiting: int
    degraded_above: int
