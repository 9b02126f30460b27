"""Planted bugs, each a small wrong change of the product behind a switch: the simulator must find every one.

Each is a context manager over production classes; nothing of it is reachable outside of the test tree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final
from unittest import mock

import msgspec

from doai.broker.core import leases, results, scheduler
from doai.broker.core.bot_ends import BotEnds
from doai.broker.core.bot_work import BotWork
from doai.broker.core.campaign_table import CampaignTable
from doai.broker.core.effects import SendFrame
from doai.broker.core.firing import Firing
from doai.broker.core.lanes import Queue
from doai.broker.core.results import Results
from doai.broker.core.scheduler import Scheduler
from doai.broker.core.state import State
from doai.broker.core.tables import Task
from doai.broker.core.tasks import Tasks
from doai.link.incoming import Gap, Incoming, Taken, digest
from doai.node.core.queue import DeviceQueues
from doai.node.core.slots import Slots
from doai.store.pipeline import Pipeline

Bug = Callable[[], AbstractContextManager[Any]]


def ack_before_commit() -> AbstractContextManager[Any]:
    """Frames leave when they are decided, not when the decision is on disk."""
    add = Pipeline.add

    def eager(self: Any, ops: Sequence[Any], effects: Sequence[Any]) -> list[Any]:
        frames = [effect for effect in effects if type(effect) is SendFrame]
        others = [effect for effect in effects if type(effect) is not SendFrame]
        return frames + add(self, ops, others)

    return mock.patch.object(Pipeline, "add", eager)


def gap_accepted() -> AbstractContextManager[Any]:
    """A fact that is not the next is taken as if it were."""
    records = Incoming.records

    def lenient(self: Incoming, given: list[Any]) -> Any:
        answer = records(self, given)
        if not isinstance(answer, Gap):
            return answer
        self.last_seq = given[-1].seq
        self._digests.extend(digest(record) for record in given)
        return Taken(records=given, envelopes=[bytes(record.envelope) for record in given], ops=[])

    return mock.patch.object(Incoming, "records", lenient)


def stale_token_accepted() -> AbstractContextManager[Any]:
    """What a node says of a task counts whatever its token."""
    held = results._held

    def by_task(peer: Any, told: Any) -> Task | None:
        mine = [task for task in peer.held.values() if task.task_id == told.task_id]
        return held(peer, told) or (mine[0] if mine else None)

    return mock.patch.object(results, "_held", by_task)


def token_reused() -> AbstractContextManager[Any]:
    """A broker that starts again begins at the tokens that it had reserved before."""
    init = State.__init__

    def forgetful(self: State, *arguments: Any) -> None:
        init(self, *arguments)
        self.token_last = max(0, self.token_reserved - self.settings.tokens_reserved)

    return mock.patch.object(State, "__init__", forgetful)


def slot_leak() -> AbstractContextManager[Any]:
    """Now and then an ended attempt keeps its slot."""
    free, count = Slots.free, iter(range(10**9))

    def leaky(self: Slots, serial: str) -> None:
        if next(count) % 9 != 8:
            free(self, serial)

    return mock.patch.object(Slots, "free", leaky)


def lost_wake_up() -> AbstractContextManager[Any]:
    """A device that becomes free is not looked at again."""
    free = Scheduler.free

    def silent(self: Scheduler, task: Task) -> None:
        marked = dict(self._marked)
        free(self, task)
        self._marked = marked

    return mock.patch.object(Scheduler, "free", silent)


def dispatch_before_deadline() -> AbstractContextManager[Any]:
    """A lost attempt is given up when its lease ends, though its holder may still act."""
    return mock.patch.object(leases, "give_up_after_s", return_value=0.0)


def fifo_broken() -> AbstractContextManager[Any]:
    """A node begins the newest task of a device first."""

    def pop(self: Any, serial: str) -> Any:
        task = self._queues[serial].pop()
        self._tidy(serial)
        return task

    return mock.patch.object(DeviceQueues, "pop", pop)


def retry_burns_no_attempt() -> AbstractContextManager[Any]:
    """The next attempt has the number of the one before."""
    delay = Tasks.delay

    def free_of_charge(self: Tasks, decision: Any, task: Task, delay_s: float) -> None:
        delay(self, decision, task, delay_s)
        task.attempt -= 1

    return mock.patch.object(Tasks, "delay", free_of_charge)


def refusal_blocks_stream() -> AbstractContextManager[Any]:
    """A result that comes too late is refused, and its place in the stream is not taken."""
    records = Results.records

    def stubborn(self: Results, decision: Any, peer: Any, link: int, given: list[Any]) -> None:
        for record in given:
            fact = results._envelope(record.envelope)
            if fact.type == "attempt.ended" and results._held(peer, results._ended(fact.payload)) is None:
                return
        records(self, decision, peer, link, given)

    return mock.patch.object(Results, "records", stubborn)


def hold_ignored() -> AbstractContextManager[Any]:
    """A phone that a person has reserved is given tasks."""
    return mock.patch.multiple(scheduler, is_held=lambda device: False, holding_bot=lambda bots, device: None)


def poison_forgotten() -> AbstractContextManager[Any]:
    """A message that is none is left out without a word."""
    return mock.patch.object(Results, "_undecodable", return_value=None)


def not_kept_uncounted() -> AbstractContextManager[Any]:
    """What a node tells beyond what is kept of it is left out without being counted."""
    return mock.patch.object(Results, "_count_not_kept", return_value=None)


def overlap_ignored() -> AbstractContextManager[Any]:
    """A campaign makes its next run while one is open, whatever its plan says."""
    return mock.patch.multiple(Firing, _blocked=lambda self, campaign: "", _waits=lambda self, campaign: False)


def time_decided_again() -> AbstractContextManager[Any]:
    """A broker that starts again goes back to times of campaigns that it had decided."""
    init = CampaignTable.__init__

    def forgetful(self: CampaignTable, snapshot: Any) -> None:
        init(self, snapshot)
        for campaign in self.by_name.values():
            earlier_ms = campaign.row.decided_to_ms - 300_000
            campaign.row = msgspec.structs.replace(campaign.row, decided_to_ms=earlier_ms)

    return mock.patch.object(CampaignTable, "__init__", forgetful)


def pause_ignored() -> AbstractContextManager[Any]:
    """What waits in a paused queue is given out too."""
    configure = Queue.configure

    def open_always(self: Queue, row: Any) -> None:
        configure(self, row)
        self.open = True

    return mock.patch.object(Queue, "configure", open_always)


def old_end_accepted() -> AbstractContextManager[Any]:
    """What a process says of a task of bots counts, though its lease has ended and another has the task."""
    end = BotEnds.end

    def lenient(self: BotEnds, decision: Any, command: Any, wish: Any) -> Any:
        task = self._state.tasks.get(wish.task_id)
        if task is not None and task.token is not None:
            wish = msgspec.structs.replace(wish, token=task.token)
        return end(self, decision, command, wish)

    return mock.patch.object(BotEnds, "end", lenient)


def leased_to_all() -> AbstractContextManager[Any]:
    """A process that registers is told what others hold as its own."""
    registered = BotWork.registered

    def generous(self: BotWork, decision: Any, peer: Any) -> None:
        registered(self, decision, peer)
        for task in self.held.values():
            self._send(decision, peer, task)

    return mock.patch.object(BotWork, "registered", generous)


BUGS: Final[dict[str, Bug]] = {
    bug.__name__: bug
    for bug in (
        ack_before_commit,
        gap_accepted,
        stale_token_accepted,
        token_reused,
        slot_leak,
        lost_wake_up,
        dispatch_before_deadline,
        fifo_broken,
        retry_burns_no_attempt,
        refusal_blocks_stream,
        hold_ignored,
        poison_forgotten,
        not_kept_uncounted,
        overlap_ignored,
        time_decided_again,
        pause_ignored,
        old_end_accepted,
        leased_to_all,
    )
}
