"""The broker's core: everything the broker decides, behind one small face (steps 2-5, 12).

The shell calls it for every frame and when time has passed, gives what comes back to the commit pipeline, and
performs the effects after the commit. Memory is ahead of the disk meanwhile; nothing that is seen may be.
"""

from __future__ import annotations

from collections.abc import Mapping

from doai import topics
from doai.broker.core.access import Access
from doai.broker.core.bot_ends import BotEnds
from doai.broker.core.bot_leases import BotLeases
from doai.broker.core.bots import Bots
from doai.broker.core.campaigns import Campaigns
from doai.broker.core.commands import Commands
from doai.broker.core.conditions import Conditions
from doai.broker.core.confirmations import Confirmations
from doai.broker.core.dead_letters import DeadLetters
from doai.broker.core.deadlines import Due
from doai.broker.core.decision import Decision
from doai.broker.core.descriptions import Descriptions
from doai.broker.core.devices import Devices
from doai.broker.core.discards import Discards
from doai.broker.core.effects import Changes, LoadAgain, ReadLog
from doai.broker.core.event_letters import EventLetters
from doai.broker.core.feeds import Feeds
from doai.broker.core.files import Files
from doai.broker.core.finished import Finished
from doai.broker.core.holds import Holds
from doai.broker.core.incidents import Incidents
from doai.broker.core.ingress import Ingress
from doai.broker.core.leases import Leases
from doai.broker.core.letter_decisions import LetterDecisions
from doai.broker.core.library import Library
from doai.broker.core.log_relay import LogRelay
from doai.broker.core.peers import Peers
from doai.broker.core.quarantine import Quarantines
from doai.broker.core.queues import Queues
from doai.broker.core.results import HandlerFailed, Results
from doai.broker.core.retention import Retention
from doai.broker.core.runs import Runs
from doai.broker.core.samples import Samples
from doai.broker.core.scheduler import Scheduler
from doai.broker.core.settings import CoreSettings
from doai.broker.core.state import State
from doai.broker.core.statistics import Statistics
from doai.broker.core.tables import Task
from doai.broker.core.tasks import Tasks
from doai.changes.dead_letters import DeadReason
from doai.changes.log import LogSlice
from doai.changes.ops import Snapshot
from doai.clock import Now
from doai.codec import Kind
from doai.errors import ErrorClass, Failure
from doai.ids import IdSource
from doai.messages.bots import END_BOT_TASK
from doai.messages.events import SystemNotice
from doai.messages.link import Role
from doai.messages.logs import LogLines
from doai.reasons import reason as because
from doai.states import TaskState, TaskTrigger


class BrokerCore:
    """One life of the broker's core, from a snapshot of the store on."""

    def __init__(self, snapshot: Snapshot, ids: IdSource, settings: CoreSettings, now: Now) -> None:
        self.state = State(snapshot, ids, settings, now)
        """For reading: checkers compare it with the store."""
        self._is_spent = False
        """A handler failed in it: it decides nothing any more."""
        state = self.state
        self._scheduler = Scheduler(state)
        self._letters = DeadLetters(state)
        self._statistics = Statistics(state, snapshot, now)
        self._tasks = Tasks(state, self._scheduler, self._statistics, self._letters)
        self._leases = Leases(state, self._scheduler, self._tasks)
        devices = Devices(state, self._scheduler)
        self._incidents = Incidents(state, self._statistics, now)
        self._feeds = Feeds(state)
        work = self._scheduler.bots
        self._bot_leases = BotLeases(work, self._tasks)
        event_letters = EventLetters(self._letters, self._feeds)
        rows = snapshot.bots, snapshot.subscriptions
        self._bots = Bots(state, self._feeds, work, self._bot_leases, event_letters, *rows, now)
        self._peers = Peers(state, self._scheduler, devices, self._incidents, self._bots)
        self._quarantines = Quarantines(state, self._scheduler, now)
        self._holds = Holds(state, self._scheduler, now)
        self._queues = Queues(state, self._scheduler)
        confirmations = Confirmations()
        self._discards = Discards(state, self._tasks, confirmations)
        results = Results(
            state,
            self._scheduler,
            self._tasks,
            self._peers,
            devices,
            self._leases,
            self._quarantines,
            self._letters,
            self._incidents,
        )
        self._access = Access(state, self._peers)
        runs = Runs(state, self._scheduler, self._tasks)
        self._campaigns = Campaigns(state, runs, now)
        descriptions = Descriptions(state, self._scheduler)
        letter_decisions = LetterDecisions(state, self._letters, runs, confirmations, event_letters)
        self._commands = Commands(
            state,
            runs,
            Library(state),
            Files(state),
            self._access,
            self._quarantines,
            self._holds,
            letter_decisions,
            self._queues,
            self._discards,
            Finished(state, letter_decisions, confirmations),
            descriptions,
            self._campaigns,
            self._incidents,
            Retention(state, self._statistics),
            {
                **self._bots.handlers,
                END_BOT_TASK: BotEnds(state, results).end,
                **Conditions(state, self._incidents).handlers,
            },
            now,
        )
        self._samples = Samples(state, self._feeds)
        self._log = LogRelay(state, now.mono_s)
        self._ingress = Ingress(
            state, self._peers, self._leases, devices, results, self._commands, self._bots, self._samples, self._log
        )
        self._timers = {Due.RETRY: self._retry, Due.EXPIRE: self._expire, Due.GIVE_UP: self._leases.give_up}

    def frame(self, link: int, key_name: str, header: bytes, body: bytes, now: Now) -> Changes:
        """A frame came over a connection whose key proves ``key_name``."""
        position, decision = self.state.log.position, Decision(self.state.log, now)
        if self._is_spent:
            return decision.finish()
        try:
            self._ingress.frame(decision, link, key_name, header, body)
        except HandlerFailed as failed:
            return self._set_aside(failed, position, now)
        return self._finish(decision)

    def _set_aside(self, failed: HandlerFailed, position: int, now: Now) -> Changes:
        """Write the letter of a fact whose handler failed, and nothing else: memory can not be trusted.

        The next core takes the facts before it, and goes on behind it.
        """
        self._is_spent = True
        self.state.log.position = position
        decision = Decision(self.state.log, now)
        reason = DeadReason.HANDLER_FAILED
        self._letters.message(decision, failed.peer, failed.record, reason, failed.sentence, failed.envelope)
        decision.effects.append(LoadAgain(failed.sentence))
        for link in self.state.links:
            decision.send(link, Kind.HELLO_REQUIRED)  # what they said meanwhile was not heard
        return decision.finish()

    def malformed(self, link: int, key_name: str, reason: str, data: bytes, now: Now) -> Changes:
        """A message came that is no frame; ``data`` are its first bytes."""
        decision = Decision(self.state.log, now)
        if self._is_spent:
            return decision.finish()
        self._ingress.malformed(decision, link, key_name, reason, data)
        return self._finish(decision)

    def link_gone(self, link: int, now: Now) -> Changes:
        """A connection ended."""
        if not self._is_spent:
            self._peers.link_gone(link)
        return self._finish(Decision(self.state.log, now))

    def tick(self, now: Now) -> Changes:
        """Time has passed: do what is due."""
        decision = Decision(self.state.log, now)
        if self._is_spent:
            return decision.finish()
        while (due := self.state.deadlines.pop_due(now.mono_s)) is not None:
            what, task = due
            self._timers[what](decision, task)
        sweep_s = self.state.sweep_s
        if sweep_s is not None and sweep_s <= now.mono_s:
            self._peers.sweep(decision)
            self._leases.sweep(decision)
            self._bot_leases.sweep(decision)
            self._quarantines.sweep(decision)
            self._holds.sweep(decision)
            self._commands.forget(decision)
            self._campaigns.sweep(decision)
            self._statistics.sweep(decision)
            self._incidents.sweep(decision)
            self._queues.reopen(decision)
            self._discards.sweep(decision)
            self._queues.sweep(decision)
            self._bots.sweep(decision)
            self._samples.sweep(decision)
            self.state.sweep_s = self._next_sweep_s()
        return self._finish(decision)

    def log_read(self, read: ReadLog, found: LogSlice, now: Now) -> Changes:
        """A part of the log that `ReadLog` asked for came from the store."""
        decision = Decision(self.state.log, now)
        if not self._is_spent:
            self._feeds.was_read(decision, read, found)
        return self._finish(decision)

    def landed(self, now: Now) -> None:
        """A slice of long work is on disk: the next one is due."""
        self._discards.landed(now)

    def next_due_s(self) -> float | None:
        """Return the monotonic time at which `tick` has something to do; None when nothing will be."""
        if self._is_spent:
            return None
        due = (self.state.deadlines.next_s(), self.state.sweep_s, self._feeds.due_s())
        times = [at for at in due if at is not None]
        return min(times, default=None)

    def disk_room(self, free_bytes: int, now: Now) -> Changes:
        """So much is free on the disk of the store."""
        decision = Decision(self.state.log, now)
        if self._is_spent:
            return decision.finish()
        disk = self.state.disk
        if disk.note(free_bytes):
            low = bool(disk.closed_because)
            text = (
                f"The broker takes nothing new: {disk.closed_because}"
                if low
                else "There is room on the disk again."
            )
            subject = self.state.settings.source
            notice = SystemNotice(code="disk_low" if low else "disk_room", message=text, subject=subject)
            decision.event(topics.SYSTEM_ALERT, subject, notice)
            action = "intake.closed" if low else "intake.opened"
            decision.automatic(action, subject, {"takes_new": low}, {"takes_new": not low}, text)
            decision.log("warning" if low else "info", text)
        return self._finish(decision)

    def register_admin(self, name: str, public_key: str, now: Now) -> Changes:
        """Let in the admin key of the broker's own folder; nothing when it is known."""
        decision = Decision(self.state.log, now)
        self._access.register_own(decision, name, Role.ADMIN, public_key)
        return self._finish(decision)

    @property
    def log_is_wanted(self) -> bool:
        """Whether an admin listens to log lines."""
        return self._log.is_wanted

    def logged(self, lines: LogLines, now: Now) -> Changes:
        """The broker's own process logged something, which goes to the admins that listen."""
        decision = Decision(self.state.log, now)
        if not self._is_spent:
            self._log.own(decision, lines)
        return decision.finish()

    def live_keys(self) -> Mapping[str, str]:
        """Return who may connect: public key -> name."""
        return self.state.live_keys()

    def _finish(self, decision: Decision) -> Changes:
        if self._is_spent:
            return decision.finish()
        self._schedule(decision)
        while self._campaigns.settle(decision):
            self._schedule(decision)
        self._queues.sweep(decision)
        self._samples.look(decision)
        self._feeds.finish(decision)
        return decision.finish()

    def _schedule(self, decision: Decision) -> None:
        self._scheduler.run(decision)
        while unfit := self._scheduler.take_unfit():
            for task, reason in unfit:
                if task.state is TaskState.QUEUED:  # unless the one before it stopped their run
                    self._fail_unfit(decision, task, reason)
            self._scheduler.run(decision)

    def _next_sweep_s(self) -> float | None:
        parts = (
            self._peers,
            self._leases,
            self._quarantines,
            self._holds,
            self._commands,
            self._queues,
            self._discards,
            self._campaigns,
            self._statistics,
            self._incidents,
            self._bots,
            self._bot_leases,
            self._samples,
        )
        return min((at for part in parts if (at := part.due_s()) is not None), default=None)

    def _retry(self, decision: Decision, task: Task) -> None:
        if task.state is TaskState.DELAYED:
            self._tasks.due(decision, task)

    def _expire(self, decision: Decision, task: Task) -> None:
        # What a node holds expires there: only the node knows whether it has begun.
        if task.state in (TaskState.QUEUED, TaskState.DELAYED):
            self._tasks.decide(decision, task, TaskTrigger.EXPIRE, because("expired"))

    def _fail_unfit(self, decision: Decision, task: Task, reason: str) -> None:
        serial = task.device.serial if task.device is not None else ""
        task.failure = Failure(
            error_class=ErrorClass.DEVICE,
            code="not_eligible",
            message=f"device {serial} can not run {task.run.row.workflow} any more: {reason}",
        )
        self._tasks.decide(decision, task, TaskTrigger.FAIL, task.failure.message)
