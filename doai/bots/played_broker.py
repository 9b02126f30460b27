"""The broker's side of the wire as a test plays it: what bots are promised, in memory (step 14)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec
import trio

from doai import topics
from doai.clock import Clock
from doai.codec import BodyDecoder, Kind, encode, pack_header, raw, unpack_header
from doai.envelope import Envelope, Message
from doai.errors import Failure, Fault
from doai.ids import IdSource, Token
from doai.limits import HEARTBEAT_S
from doai.messages import bots
from doai.messages.bots import BotSettings, BotStatus, RegisterBot, Subscription
from doai.messages.catalogue import COMMANDS
from doai.messages.commands import CREATE_RUN, CreateRun, Problem, Reply, RunCreated
from doai.messages.contract import example
from doai.messages.link import Welcome
from doai.states import Outcome
from doai.wire.base import Incoming, PeerGone, Router

Answer = Callable[[Any], Message | Problem]
TASK_S: Final = 600.0


class GivenCommand(msgspec.Struct, frozen=True):
    """A command that the bot gave; once, however often it was sent under its key."""

    type: str
    subject: str
    payload: Message
    key: str


class DeadLetter(msgspec.Struct, frozen=True):
    """An event that a handler gave up."""

    handler: str
    position: int
    message: str
    attempts: int


class TaskOutcome(msgspec.Struct, frozen=True):
    """What the bot said came of a task."""

    task_id: str
    outcome: Outcome
    outputs: dict[str, Any]
    failure: Failure | None


class _Feed:
    """One subscription: what is done, and what is with the bot."""

    def __init__(self, declared: Subscription, after: int) -> None:
        self.declared = declared
        self.after = after
        """It began here."""
        self.done: set[int] = set()
        self.channel = 0
        """0 = nobody listens."""
        self.sent: set[int] = set()
        self.credit = 0
        """Events that may still be given."""
        self.granted = 0
        """What the bot has allowed since SUBSCRIBE."""
        self.given = 0
        self.told = 0
        """Events that were given since SUBSCRIBE, and that the bot is done with."""
        self.samples: dict[tuple[str, str], bots.Sample] = {}
        self.samples_sent = 0
        self.samples_taken = 0

    def wants(self, event_type: str) -> bool:
        return any(topics.matches(pattern, event_type) for pattern in self.declared.topics)

    def wants_sample(self, topic: str) -> bool:
        return any(topics.matches(pattern, topic) for pattern in self.declared.samples)


class PlayedBroker:
    """Takes one process of a bot in, gives it what the test says, and keeps what it does."""

    def __init__(self, router: Router, ids: IdSource, clock: Clock) -> None:
        self._router = router
        self._ids = ids
        self._clock = clock
        self._link: int | None = None
        self.registration: RegisterBot | None = None
        self.settings = BotSettings(name="", status=BotStatus.ACTIVE)
        self.log: list[Envelope] = []
        """Event n is at position n + 1."""
        self.feeds: dict[str, _Feed] = {}
        self.commands: list[GivenCommand] = []
        self.answers: dict[str, Answer] = {CREATE_RUN: self._create_run}
        self._remembered: dict[str, Reply] = {}
        self.dead_letters: list[DeadLetter] = []
        self.tasks: dict[str, bots.BotTask] = {}
        """That have not ended."""
        self.outcomes: dict[str, TaskOutcome] = {}
        self.runs: dict[str, CreateRun] = {}
        self.heartbeats = 0
        self.goodbyes: list[str] = []
        self.mute = False
        """Frames are taken and not answered, as by a broker that stands still."""
        self.loses: Kind | None = None
        """The next frame of this kind, in either direction, does not arrive."""
        self._progress = trio.lowlevel.ParkingLot()

    async def wait(self, condition: Callable[[], bool]) -> None:
        """Return when a condition of this broker holds."""
        while not condition():
            await self._progress.park()

    def progressed(self) -> None:
        """Let whoever waits look again."""
        self._progress.unpark_all()

    @property
    def settled(self) -> bool:
        """Whether all that was given is done with."""
        if self.registration is None or self._link is None or self.tasks:
            return False
        for feed in self.feeds.values():
            if feed.samples or feed.samples_sent > feed.samples_taken:
                return False
            for position, envelope in enumerate(self.log, 1):
                if position > feed.after and position not in feed.done and feed.wants(envelope.type):
                    return False
        return True

    async def run(self) -> None:
        """Hear the bot until cancelled."""
        while True:
            for frame in await self._router.receive():
                if isinstance(frame, Incoming):
                    kind = unpack_header(frame.header).kind
                    handler = _HEARD.get(kind)
                    # What an earlier connection said last is not heard any more.
                    known = frame.link == self._link or kind == Kind.HELLO
                    if handler is not None and known and not self.mute and not self._is_lost(kind):
                        handler(self, frame)
            self.progressed()

    def cut(self) -> None:
        """End the connection, as a network does."""
        if self._link is not None:
            self._router.shut(self._link)
            self.gone()

    def gone(self) -> None:
        """Nobody is connected."""
        self._link = None
        self.feeds = {name: feed for name, feed in self.feeds.items() if not name.startswith("#")}
        for feed in self.feeds.values():
            feed.channel = 0
            feed.sent.clear()

    def _is_lost(self, kind: int) -> bool:
        lost = kind == self.loses
        if lost:
            self.loses = None
        return lost

    def _send(self, kind: Kind, body: object, channel: int = 0, before: int = 0) -> None:
        if self._link is not None and not self._is_lost(kind):
            header = pack_header(kind, channel=channel, credit_seq=before)
            try:
                self._router.send_nowait(self._link, header, encode(body))
            except PeerGone:
                self.gone()

    # --- what the test gives ----------------------------------------------------------------------------------

    def append(self, event_type: str, subject: str, payload: object) -> int:
        """Write an event; return its position."""
        now_ms = self._clock.now().utc_ms
        self.log.append(
            Envelope(
                event_id=self._ids.new_id(now_ms),
                type=event_type,
                subject=subject,
                source="broker/main",
                trace_id=self._ids.new_trace_id(),
                occurred_at_ms=now_ms,
                payload=raw(payload),
            )
        )
        for feed in self.feeds.values():
            self._pump(feed)
        return len(self.log)

    def give_sample(self, topic: str, subject: str, payload: object) -> None:
        """Give a sample; of each subject the newest wins."""
        for feed in self.feeds.values():
            if feed.wants_sample(topic):
                sample = bots.Sample(topic, subject, self._clock.now().utc_ms, raw(payload))
                feed.samples[topic, subject] = sample
                self._pump_samples(feed)

    def give_task(self, kind: str, params: dict[str, Any]) -> str:
        """Give a task; return its id."""
        now_ms = self._clock.now().utc_ms
        task_id = self._ids.new_id(now_ms)
        self.tasks[task_id] = bots.BotTask(
            task_id=task_id,
            run_id=self._ids.new_id(now_ms),
            kind=kind,
            token=Token(1, len(self.tasks) + len(self.outcomes) + 1),
            attempt=1,
            params=params,
            trace_id=self._ids.new_trace_id(),
            timeout_s=TASK_S,
            lease_s=HEARTBEAT_S * 6,
            created_at_ms=now_ms,
        )
        self._send(Kind.TASKS, bots.BotTasks([self.tasks[task_id]]))
        return task_id

    def set(self, settings: BotSettings) -> None:
        """Let an operator change what is wanted of the bot."""
        self.settings = settings
        self._send(Kind.SETTINGS, settings)

    def want_again(self, subscription: str, channel: int) -> None:
        """Say that the bot is to subscribe again, as the broker does from time to time until it has."""
        self.feeds[subscription].channel = 0
        problem = f"a CURSOR of channel {channel} was lost: subscribe again"
        told = bots.Subscribed(channel=channel, subscription=subscription, problem=problem, again=True)
        self._send(Kind.SUBSCRIBED, told)

    def _pump(self, feed: _Feed) -> None:
        if not feed.channel:
            return
        events = []
        for position, envelope in enumerate(self.log, 1):
            known = position <= feed.after or position in feed.done or position in feed.sent
            if not known and feed.wants(envelope.type) and feed.credit > 0:
                feed.credit -= 1
                feed.sent.add(position)
                events.append(bots.LoggedEvent(position, msgspec.Raw(encode(envelope))))
        if events:
            self._send(Kind.EVENTS, bots.Events(events, events[-1].position), feed.channel, before=feed.given)
            feed.given += len(events)

    def _pump_samples(self, feed: _Feed) -> None:
        if feed.channel and feed.samples and feed.samples_sent == feed.samples_taken:
            feed.samples_sent += 1
            self._send(Kind.SAMPLES, bots.Samples(list(feed.samples.values())), feed.channel)
            feed.samples.clear()

    # --- what the bot says ------------------------------------------------------------------------------------

    def _hello(self, frame: Incoming) -> None:
        self.gone()
        self._link = frame.link
        self._send(
            Kind.WELCOME,
            Welcome(store_id="test", last_seq=0, capacity=1, heartbeat_s=HEARTBEAT_S, handle=1, broker_life="test"),
        )

    def _heartbeat(self, frame: Incoming) -> None:
        self.heartbeats += 1
        self._send(Kind.BEAT, {})

    def _bye(self, frame: Incoming) -> None:
        self.goodbyes.append(_bye(frame.body)["reason"])
        self.gone()

    def _command(self, frame: Incoming) -> None:
        command: Envelope = _envelope(frame.body)
        payload_type, _ = COMMANDS[command.type]
        payload = msgspec.msgpack.decode(command.payload, type=payload_type)
        if isinstance(payload, RegisterBot):
            self._register(command, payload)
            return
        key = command.idempotency_key or command.event_id
        reply = self._remembered.get(key)
        if reply is None:
            given = GivenCommand(command.type, command.subject, payload, key)
            answer = self._answer(given)
            reply = (
                Reply(command_id="", problem=answer)
                if isinstance(answer, Problem)
                else Reply(command_id="", position=len(self.log), result=msgspec.Raw(encode(answer)))
            )
            self.commands.append(given)
            if reply.problem is None:
                self._remembered[key] = reply
        self._send(Kind.REPLY, msgspec.structs.replace(reply, command_id=command.event_id))

    def _register(self, command: Envelope, said: RegisterBot) -> None:
        answer = self.answers.get(bots.REGISTER_BOT)
        refused = answer(said) if answer is not None else None
        if isinstance(refused, Problem):
            self._send(Kind.REPLY, Reply(command_id=command.event_id, problem=refused))
            return
        self.registration = said
        for declared in said.subscriptions:
            after = 0 if declared.from_beginning else len(self.log)
            feed = self.feeds.setdefault(declared.name, _Feed(declared, after))
            feed.declared = declared
        self.settings = msgspec.structs.replace(self.settings, name=said.name)
        if self.tasks:  # before the answer, as the broker does
            self._send(Kind.TASKS, bots.BotTasks(list(self.tasks.values())))
        self._send(Kind.REPLY, Reply(command_id=command.event_id, result=msgspec.Raw(encode(self.settings))))

    def _answer(self, given: GivenCommand) -> Message | Problem:
        if isinstance(given.payload, bots.EndBotTask):
            return self._end_task(given.payload)
        answer = self.answers.get(given.type)
        if answer is not None:
            return answer(given.payload)
        _, answer_type = COMMANDS[given.type]
        made: Message = example(answer_type)
        return made

    def _end_task(self, end: bots.EndBotTask) -> Message:
        taken = self.tasks.pop(end.task_id, None) is not None
        if taken:
            self.outcomes[end.task_id] = TaskOutcome(end.task_id, end.outcome, end.outputs, end.failure)
        return bots.BotTaskEnded(task_id=end.task_id, taken=taken)

    def _create_run(self, command: CreateRun) -> Message:
        now_ms = self._clock.now().utc_ms
        run_id = self._ids.new_id(now_ms)
        self.runs[run_id] = command
        count = max(1, len(command.targets.serials))
        workflow = command.workflow if "@" in command.workflow else f"{command.workflow}@1"
        return RunCreated(
            run_id=run_id, task_ids=[self._ids.new_id(now_ms) for _ in range(count)], workflow=workflow
        )

    def _subscribe(self, frame: Incoming) -> None:
        wanted: bots.Subscribe = _subscribe(frame.body)
        if wanted.follows:
            declared = Subscription(name=f"#{wanted.channel}", topics=wanted.follows)
            self.feeds[declared.name] = _Feed(declared, len(self.log))
        feed = self.feeds.get(f"#{wanted.channel}" if wanted.follows else wanted.subscription)
        if feed is None:
            problem = f"there is no subscription {wanted.subscription}"
            self._send(
                Kind.SUBSCRIBED,
                bots.Subscribed(channel=wanted.channel, subscription=wanted.subscription, problem=problem),
            )
            return
        feed.channel, feed.credit, feed.granted = wanted.channel, wanted.credit_events, wanted.credit_events
        feed.sent.clear()
        feed.given = feed.told = feed.samples_sent = feed.samples_taken = 0
        self._send(
            Kind.SUBSCRIBED,
            bots.Subscribed(channel=wanted.channel, subscription=wanted.subscription, position=feed.after),
        )
        self._pump(feed)
        self._pump_samples(feed)

    def _cursor(self, frame: Incoming) -> None:
        cursor: bots.Cursor = _cursor(frame.body)
        feed = next((feed for feed in self.feeds.values() if feed.channel == cursor.channel), None)
        if feed is None:
            return  # it is to subscribe again
        feed.told += len(cursor.done) + len(cursor.failed)
        if cursor.told and cursor.told != feed.told:
            self.want_again(feed.declared.name, cursor.channel)
            return
        for failed in cursor.failed:
            letter = DeadLetter(feed.declared.name, failed.position, failed.message, failed.attempts)
            self.dead_letters.append(letter)
        feed.done.update(cursor.done, (failed.position for failed in cursor.failed))
        feed.credit += cursor.credit_events - feed.granted
        feed.granted = cursor.credit_events
        feed.samples_taken = cursor.samples_taken
        self._pump(feed)
        self._pump_samples(feed)


_bye: Final = BodyDecoder(dict[str, str])
_envelope: Final = BodyDecoder(Envelope)
_subscribe: Final = BodyDecoder(bots.Subscribe)
_cursor: Final = BodyDecoder(bots.Cursor)

_HEARD: Final[dict[int, Callable[[PlayedBroker, Incoming], None]]] = {
    Kind.HELLO: PlayedBroker._hello,
    Kind.HEARTBEAT: PlayedBroker._heartbeat,
    Kind.BYE: PlayedBroker._bye,
    Kind.COMMAND: PlayedBroker._command,
    Kind.SUBSCRIBE: PlayedBroker._subscribe,
    Kind.CURSOR: PlayedBroker._cursor,
}


def refusal(message: str, *, code: str = "refused", fault: Fault = Fault.USER) -> Problem:
    """Return the answer to a command that is refused."""
    return Problem(code=code, message=message, fault=fault)
