"""The bot's core: frames and times in, calls of handlers and frames out (step 14)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from doai.bots.core.channels import Channel
from doai.bots.core.dispatcher import Dispatcher, Lanes
from doai.bots.core.effects import CoreEffect, ExitCodes, RunEnded, RunsFollowed, Settled, Sources, StopBot
from doai.bots.core.session import (
    Answered,
    Configured,
    Given,
    Refused,
    Registered,
    Session,
    SessionEffect,
    Unusable,
)
from doai.bots.core.task_ends import end_of
from doai.bots.core.work import Cut, Delivered, Effect, Ended, GaveUp, Handled, Note, TaskEnded, Work
from doai.clock import Now
from doai.codec import BodyDecoder, Kind, encode
from doai.envelope import Envelope
from doai.errors import DecodeError
from doai.messages import bots as messages
from doai.messages.bots import BotSettings, BotStatus, FailedEvent
from doai.messages.commands import Reply
from doai.messages.link import HostSample
from doai.messages.work import Cancels, Releases, TaskRef
from doai.states import Outcome
from doai.topics import RUN_COMPLETED

RUNS_CHANNEL: Final = 1000
"""On which ends of runs come; those of handlers are numbered from 1 on, and less."""
LAST_ANSWERS_S: Final = 3.0
"""A bot that stops waits so long for the answers to what it said of its tasks."""
_INFO: Final = 20
_WARNING: Final = 30
_ERROR: Final = 40

_events: Final = BodyDecoder(messages.Events)
_samples: Final = BodyDecoder(messages.Samples)
_tasks: Final = BodyDecoder(messages.BotTasks)
_subscribed: Final = BodyDecoder(messages.Subscribed)
_cancels: Final = BodyDecoder(Cancels)
_releases: Final = BodyDecoder(Releases)
_envelope: Final = BodyDecoder(Envelope)


class BotCore:
    """One process of a bot. Every method returns what is to be done, in order."""

    def __init__(
        self, session: Session, sources: Sources, *, max_concurrent: int, max_tasks: int, exits: ExitCodes
    ) -> None:
        self._session = session
        self._sources = sources
        self._exits = exits
        self.handlers = Lanes(
            [*sources.events.values(), *sources.samples.values(), *sources.timers.values()], max_concurrent
        )
        self._tasks = Lanes(list(sources.tasks.values()), max_tasks)
        self._dispatcher = Dispatcher(self.handlers, self._tasks)
        # Until the broker has taken the bot in nothing runs: what it may do is the operator's to say.
        self._dispatcher.paused = True
        self._channels: dict[int, Channel] = {}
        self._own_commands: dict[str, Work] = {}
        """Commands of the core itself, which say how tasks ended."""
        self._follows_runs = False
        self._stopping = ""
        self._stop_by_s: float | None = None
        session.tokens = self._tokens

    @property
    def running(self) -> list[Work]:
        """The calls that run now."""
        return self._dispatcher.running

    @property
    def paused(self) -> bool:
        """Whether nothing is begun."""
        return self._dispatcher.paused

    @property
    def statistics(self) -> dict[str, int]:
        """Events that are held, by handler."""
        return {name: subscription.open_count for name, subscription in self._sources.events.items()}

    def _tokens(self) -> list[tuple[int, int]]:
        held = [work for tasks in self._sources.tasks.values() for work in tasks.held]
        return [(work.token.generation, work.token.n) for work in held if work.token is not None]

    def due_s(self) -> float | None:
        """Return when `tick` has something to do."""
        found = [self._session.due_s(), self._dispatcher.due_s(), self._stop_by_s]
        found += [channel.due_s for channel in self._channels.values()]
        return min((due_s for due_s in found if due_s is not None), default=None)

    # --- what happens ---------------------------------------------------------------------------------------

    def tick(self, now: Now, random01: float) -> list[CoreEffect]:
        """Let time pass."""
        effects = self._follow(self._session.tick(now, random01), now)
        if not self._session.registered:
            self._disconnected(now)
        return effects + self._settle(now)

    def opened(self, epoch: int, now: Now) -> list[CoreEffect]:
        """The socket of this epoch is connected."""
        return self._follow(self._session.opened(epoch, now), now)

    def lost(self, epoch: int, now: Now, random01: float) -> list[CoreEffect]:
        """The socket of this epoch is of no more use."""
        self._session.lost(epoch, now, random01)
        if not self._session.registered:
            self._disconnected(now)
        return self._settle(now)

    def frame(self, epoch: int, header: bytes, body: bytes, now: Now, random01: float) -> list[CoreEffect]:
        """A frame of the broker."""
        effects = self._follow(self._session.frame(epoch, header, body, now, random01), now)
        return effects + self._settle(now)

    def ended(self, number: int, ended: Ended, now: Now, random01: float) -> list[CoreEffect]:
        """A handler ended."""
        effects = self._apply(self._dispatcher.ended(number, ended, now.mono_s, random01), now)
        for channel in self._channels.values():
            if channel.samples is not None and channel.samples.idle:
                channel.samples_handled(now.mono_s)
        return effects + self._settle(now)

    def command(self, event_id: str, body: bytes, now: Now) -> list[CoreEffect]:
        """A handler gives a command; `Answered` follows, unless it is withdrawn."""
        return self._follow(self._session.command(event_id, body, now), now)

    def drain(self, reason: str, now: Now, within_s: float) -> list[CoreEffect]:
        """Begin nothing more, let what runs end, and stop."""
        effects: list[CoreEffect] = []
        if not self._stopping:
            self._stopping = reason
            self._dispatcher.stop(now.mono_s, within_s)
            effects = self._follow(self._session.close_intake(reason, now), now)
        return effects + self._settle(now)

    def limit(self, max_concurrent: int, now: Now) -> list[CoreEffect]:
        """Another number of handlers at once."""
        self.handlers.limit = max_concurrent
        return self._settle(now)

    def follow_runs(self, now: Now) -> list[CoreEffect]:
        """Hear of every run that ends, from `RunsFollowed` on."""
        self._follows_runs = True
        return (
            [self._subscribe_runs(now)] if self._session.registered and RUNS_CHANNEL not in self._channels else []
        )

    def _subscribe_runs(self, now: Now) -> CoreEffect:
        channel = self._channels[RUNS_CHANNEL] = Channel(RUNS_CHANNEL, "runs", None, None, [RUN_COMPLETED])
        return self._subscribe(channel, now)

    def _subscribe(self, channel: Channel, now: Now) -> CoreEffect:
        return self._session.frame_of(Kind.SUBSCRIBE, channel.subscribe(now.mono_s))

    def sampled(self, sample: HostSample) -> None:
        """Numbers of host and process for the next heartbeat."""
        self._session.sample = sample

    # --- what follows ---------------------------------------------------------------------------------------

    def _settle(self, now: Now) -> list[CoreEffect]:
        """Start what may run, tell what is done, and stop when all has ended."""
        effects = self._apply(self._dispatcher.pump(now.mono_s), now)
        for channel in self._channels.values():
            last = self._stopping and not self._dispatcher.running
            if channel.tell_by_s is not None and (last or now.mono_s >= channel.tell_by_s):
                effects.append(self._session.frame_of(Kind.CURSOR, channel.cursor()))
            if channel.ask_again_s is not None and now.mono_s >= channel.ask_again_s:
                effects.append(self._subscribe(channel, now))
        if self._stopping and not self._dispatcher.running:
            effects += self._stop(now)
        return effects

    def _stop(self, now: Now) -> list[CoreEffect]:
        if self._own_commands and self._session.registered:
            if self._stop_by_s is None:
                self._stop_by_s = now.mono_s + LAST_ANSWERS_S
            if now.mono_s < self._stop_by_s:
                return []
        reason, self._stop_by_s = self._stopping, None
        return [*self._follow(self._session.bye(reason), now), StopBot(reason, self._exits.stopped)]

    def _disconnected(self, now: Now) -> None:
        if self._channels:
            self._channels.clear()
            for subscription in self._sources.events.values():
                subscription.forget(now.mono_s)

    def _follow(self, happened: Sequence[SessionEffect], now: Now) -> list[CoreEffect]:
        effects: list[CoreEffect] = []
        for effect in happened:
            if isinstance(effect, Given):
                effects += self._given(effect, now)
            elif isinstance(effect, Registered):
                effects += self._registered(effect, now)
            elif isinstance(effect, Configured):
                effects += self._configured(effect.settings)
            elif isinstance(effect, Answered):
                effects += self._answered(effect)
            elif isinstance(effect, Refused):
                code = self._exits.fenced if effect.fenced else self._exits.refused
                effects.append(StopBot(effect.reason, code))
            elif isinstance(effect, Unusable):
                effects.append(Note(_ERROR, effect.reason))
            else:
                effects.append(effect)
        return effects

    def _registered(self, registered: Registered, now: Now) -> list[CoreEffect]:
        self._disconnected(now)
        names = dict.fromkeys((*self._sources.events, *self._sources.samples))
        for number, name in enumerate(names, 1):
            self._channels[number] = Channel(
                number, name, self._sources.events.get(name), self._sources.samples.get(name)
            )
        asks: list[CoreEffect] = [self._subscribe(channel, now) for channel in self._channels.values()]
        if self._follows_runs:
            asks.append(self._subscribe_runs(now))
        return asks + self._configured(registered.settings)

    def _configured(self, settings: BotSettings) -> list[CoreEffect]:
        self._dispatcher.paused = settings.status is BotStatus.INACTIVE
        return [Settled(settings)]

    def _answered(self, answered: Answered) -> list[CoreEffect]:
        work = self._own_commands.pop(answered.reply.command_id, None)
        if work is None:
            return [answered]
        problem = _problem_of(answered.reply)
        fields: dict[str, object] = {"task_id": work.task_id, "run_id": work.run_id}
        return [Note(_ERROR, f"the broker did not take the end of task {work.task_id}: {problem}", fields)] * bool(
            problem
        )

    # --- what the broker gives --------------------------------------------------------------------------------

    def _given(self, given: Given, now: Now) -> list[CoreEffect]:
        handler = _GIVEN.get(given.kind)
        if handler is None:
            return []  # a newer broker says what this bot does not know
        try:
            return handler(self, given, now)
        except DecodeError as error:
            return [Note(_ERROR, f"what the broker gave can not be understood: {error}")]

    def _subscribed(self, given: Given, now: Now) -> list[CoreEffect]:
        told = _subscribed(given.body)
        channel = self._channels.get(told.channel)
        if channel is None:
            return []
        if told.problem and channel.open:
            return self._begin_anew(channel, told.problem, now)
        if told.again:
            return []  # it was asked for already, and is again when that frame was lost
        channel.ask_again_s = None
        channel.open = not told.problem
        if channel.follows:
            return [RunsFollowed(told.problem)]
        if told.problem:
            return [Note(_ERROR, f"the broker gives {told.subscription} nothing: {told.problem}")]
        return [Note(_INFO, f"{told.subscription} goes on after position {told.position}")]

    def _take_events(self, given: Given, now: Now) -> list[CoreEffect]:
        channel = self._channels.get(given.channel)
        if channel is None or not channel.open:
            return []
        if given.before != channel.received:
            missed = f"{given.before - channel.received} events of channel {channel.number} did not come"
            return self._begin_anew(channel, missed, now)
        if channel.events is None:
            subjects = channel.subjects(_events(given.body).events, now.mono_s)
            return [RunEnded(subject.partition("/")[2]) for subject in subjects]
        effects: list[Effect] = []
        for logged in _events(given.body).events:
            channel.given(logged.position, len(logged.envelope))
            try:
                envelope = _envelope(logged.envelope)
            except DecodeError as error:
                failed = FailedEvent(logged.position, "unreadable_event", str(error)[:500], 1)
                channel.done(logged.position, failed, now.mono_s)
                effects.append(Note(_ERROR, f"event {logged.position} can not be read: {error}"))
                continue
            effects += channel.events.deliver(Delivered(logged.position, envelope), now.mono_s)
        return self._apply(effects, now)

    def _begin_anew(self, channel: Channel, why: str, now: Now) -> list[CoreEffect]:
        """What this channel has and has told is not known: ask for it again; what was done is told again."""
        fresh = channel.anew()
        self._channels[channel.number] = fresh
        if channel.events is not None:
            channel.events.forget(now.mono_s)
        note = Note(_WARNING, f"{channel.handler} is subscribed again: {why}")
        return [note, self._subscribe(fresh, now)]

    def _take_samples(self, given: Given, now: Now) -> list[CoreEffect]:
        channel = self._channels.get(given.channel)
        if channel is None or channel.samples is None:
            return []
        channel.sampled()
        for sample in _samples(given.body).samples:
            channel.samples.put(sample.topic, sample.subject, sample.payload)
        if channel.samples.idle:
            channel.samples_handled(now.mono_s)
        return []

    def _take_tasks(self, given: Given, now: Now) -> list[CoreEffect]:
        effects: list[CoreEffect] = []
        told = {(work.task_id, work.token) for work in self._own_commands.values()}
        for task in _tasks(given.body).tasks:
            source = self._sources.tasks.get(task.kind)
            if source is None:
                effects.append(Note(_ERROR, f"the broker gave a task of the kind {task.kind}, which is not ours"))
            elif (task.task_id, task.token) not in told:  # else it has ended here, and the broker is to hear it yet
                source.give(task)
        return effects

    def _cancel(self, given: Given, now: Now) -> list[CoreEffect]:
        cancelled = Ended(problem="it was cancelled", outcome=Outcome.CANCELLED)
        return self._drop(_cancels(given.body).tasks, cancelled)

    def _release(self, given: Given, now: Now) -> list[CoreEffect]:
        released = Ended(problem="its lease ended: another process may have it", gave_back=True)
        return self._drop(_releases(given.body).tasks, released)

    def _drop(self, tasks: Sequence[TaskRef], ended: Ended) -> list[CoreEffect]:
        effects: list[CoreEffect] = []
        for ref in tasks:
            for source in self._sources.tasks.values():
                source.drop(ref.task_id, ref.token)
            number = self._dispatcher.number_of(ref.token)
            if number is not None:
                effects.append(Cut(number, ended))
        return effects

    # --- what handlers' ends mean -----------------------------------------------------------------------------

    def _apply(self, effects: Sequence[Effect], now: Now) -> list[CoreEffect]:
        found: list[CoreEffect] = []
        for effect in effects:
            if isinstance(effect, Handled):
                self._done(effect.handler, effect.position, None, now)
            elif isinstance(effect, GaveUp):
                failed = FailedEvent(effect.position, "handler_failed", effect.reason[:1000], effect.tries)
                self._done(effect.handler, effect.position, failed, now)
            elif isinstance(effect, TaskEnded):
                found += self._tell_end(effect, now)
            else:
                found.append(effect)
        return found

    def _done(self, handler: str, position: int, failed: FailedEvent | None, now: Now) -> None:
        for channel in self._channels.values():
            if channel.handler == handler:
                channel.done(position, failed, now.mono_s)

    def _tell_end(self, effect: TaskEnded, now: Now) -> list[CoreEffect]:
        work, ended = effect.work, effect.ended
        if ended.gave_back:
            return []  # its lease goes with the connection, and another process takes it
        envelope = self._session.envelope(
            messages.END_BOT_TASK,
            f"task/{work.task_id}",
            end_of(work, ended),
            now,
            trace_id=work.trace_id,
            idempotency_key=f"bot-task:{work.task_id}:{work.token}",
        )
        self._own_commands[envelope.event_id] = work
        return self._follow(self._session.command(envelope.event_id, encode(envelope), now), now)


_GIVEN: Final[dict[int, Callable[[BotCore, Given, Now], list[CoreEffect]]]] = {
    Kind.SUBSCRIBED: BotCore._subscribed,
    Kind.EVENTS: BotCore._take_events,
    Kind.SAMPLES: BotCore._take_samples,
    Kind.TASKS: BotCore._take_tasks,
    Kind.CANCEL: BotCore._cancel,
    Kind.RELEASE: BotCore._release,
}


def _problem_of(reply: Reply) -> str:
    return reply.problem.message if reply.problem is not None else ""
