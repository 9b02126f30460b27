"""An operator of queues: pauses, resumes, drains and configures them at random times, some twice, some wrongly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from doai.broker.core.confirmations import KEPT_S
from doai.envelope import Message
from doai.messages import commands as c
from doai.messages import queues as q

if TYPE_CHECKING:
    from tests.sim.admin import AdminProcess
    from tests.sim.world import World

BULK = "bulk"
"""A queue that is made by command; the others are configured."""
NAMES = ("default", "urgent", BULK)


class QueueOperator:
    """Changes queues until it is told to stop."""

    def __init__(self, world: World, admin: AdminProcess) -> None:
        self._world = world
        self._admin = admin
        self.make()

    def make(self) -> None:
        """Make the queue that the configuration has not."""
        self._ask(q.PUT_QUEUE, q.PutQueue(name=BULK, priority=-3, degraded_above=5))

    def change(self) -> bool:
        """Do one thing to a queue, and undo what stops it after a while."""
        random = self._world.random
        name = random.choice((*NAMES, *NAMES, *NAMES, "no-such-queue"))
        kind = random.choice(
            (q.PAUSE_QUEUE, q.PAUSE_QUEUE, q.DRAIN_QUEUE, q.RESUME_QUEUE, q.PUT_QUEUE, q.DISCARD_QUEUE)
        )
        if kind == q.DISCARD_QUEUE:
            for asked in NAMES if random.random() < 0.3 else (name,):
                self._admin.command(kind, q.DiscardQueue(name=asked, reason="sim"), self._confirm)
            return True
        if kind == q.PUT_QUEUE:
            priority = random.choice((None, 0, 10, -3, 10**9))
            rate = random.choice((None, None, 0, 12, 300, -1))
            above = random.choice((None, 2, 200))
            self._ask(kind, q.PutQueue(name=name, priority=priority, degraded_above=above, rate_per_min=rate))
            return True
        wishes: dict[str, Message] = {
            q.PAUSE_QUEUE: q.PauseQueue(name=name, reason="sim"),
            q.DRAIN_QUEUE: q.DrainQueue(name=name),
            q.RESUME_QUEUE: q.ResumeQueue(name=name),
        }
        if kind == q.PAUSE_QUEUE and random.random() < 0.4:  # a person stops everything
            for other in NAMES:
                self._ask(kind, q.PauseQueue(name=other))
                self._world.after(random.uniform(20.0, 60.0), self._ask, q.RESUME_QUEUE, q.ResumeQueue(name=other))
            return True
        self._ask(kind, wishes[kind])
        if kind != q.RESUME_QUEUE and random.random() < 0.8:
            resume = q.ResumeQueue(name=name)
            self._world.after(random.uniform(0.0, 90.0), self._ask, q.RESUME_QUEUE, resume)
        return True

    def _confirm(self, payload: Any, reply: c.Reply) -> None:
        """Most operators go on at once, some let the set change, some try a confirmation twice."""
        if reply.problem is not None or reply.result is None:
            return
        answer = msgspec.convert(reply.result, q.QueueDiscarded)
        random = self._world.random
        wish = q.DiscardQueue(name=answer.name, confirm=answer.confirm)
        if random.random() < 0.3:
            return
        if random.random() < 0.2:  # of another queue, which no confirmation allows
            self._ask(q.DISCARD_QUEUE, q.DiscardQueue(name=random.choice(NAMES), confirm=answer.confirm))
        for _ in range(random.choice((1, 1, 2))):
            delay_s = random.choice((0.0, 0.0, 5.0, KEPT_S + 1.0))
            self._world.after(delay_s, self._ask, q.DISCARD_QUEUE, wish)

    def resume_all(self) -> None:
        """Everything goes on."""
        for name in NAMES:
            self._ask(q.RESUME_QUEUE, q.ResumeQueue(name=name))
            self._ask(q.PUT_QUEUE, q.PutQueue(name=name, rate_per_min=0))

    def _ask(self, kind: str, wish: Message) -> None:
        self._admin.command(kind, wish, _nothing)


def _nothing(payload: Any, reply: c.Reply) -> None:
    """An answer of which nothing follows."""
