"""Performs what the bot's core decides: the connection, the calls of handlers, their cutting off (step 14)."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec
import trio

from doai import exits
from doai.bots.bot import Bot, Handler
from doai.bots.context import Context
from doai.bots.core.core import BotCore
from doai.bots.core.effects import CoreEffect, ExitCodes, RunEnded, RunsFollowed, Settled, StopBot
from doai.bots.core.session import Answered, Session
from doai.bots.core.work import Cause, Cut, Ended, Note, Start, Work
from doai.bots.errors import CommandRefused, GiveUp, NoAnswer
from doai.bots.payloads import given_up, outputs_of
from doai.bots.results import RunWaits
from doai.bots.settings import Interval, config_of, intervals, limit_of
from doai.bots.sources import sources_of
from doai.bots.state import State
from doai.clock import Clock
from doai.codec import Kind, encode
from doai.errors import ConfigError, LocalProtocolError, StepError
from doai.ids import IdSource
from doai.limits import BOT_COMMANDS_MAX, FRAME_BYTES_MAX
from doai.link.actions import OpenSocket, SendFrame
from doai.messages.bots import BotSettings, BotStatus
from doai.messages.commands import Reply
from doai.messages.link import HostSample
from doai.wire.connecting import Connecting, OpenDealer
from doai.wire.log_tap import TELL_EVERY_S, LogTap

SAMPLE_EVERY_S: Final = 5.0
GOODBYE_S: Final = 0.5
"""At the end what was decided last leaves within this, when there is a connection."""
LATE_S: Final = 5.0
"""What was due this long ago and was not looked at says that the core's timer stands still."""
LATE_POLL_S: Final = 0.5
EXITS: Final = ExitCodes(stopped=exits.PASSED, refused=exits.CONFIG, fenced=exits.FENCED)
_log: Final = logging.getLogger(__name__)


class Outside(Protocol):
    """Where queries and secrets come from."""

    async def query(self, path: str, query: Mapping[str, object]) -> Any:
        """Return what the admin API has. Raises QueryFailed."""
        ...

    async def secret(self, name: str) -> str:
        """Return a secret. Raises SecretMissing."""
        ...


class _Waiter:
    """Whoever waits for the answer to a command."""

    def __init__(self) -> None:
        self.event = trio.Event()
        self.reply: Reply | None = None


class Shell:
    """One process of a bot from start to stop."""

    def __init__(
        self,
        bot: Bot,
        *,
        instance: str,
        replaces: str = "",
        entry_point: str = "",
        open_dealer: OpenDealer,
        clock: Clock,
        ids: IdSource,
        state: State,
        outside: Outside,
        sample: Callable[[], HostSample],
        random01: Callable[[], float] = random.random,
        tap: LogTap | None = None,
    ) -> None:
        """``tap`` has what this process logs, to be told to the admin."""
        self.bot = bot
        self._tap = tap
        self.clock = clock
        self._connection = Connecting(open_dealer, self)
        self._state = state
        self._outside = outside
        self._sample = sample
        self._random01 = random01
        registration = bot.registration(entry_point, replaces)
        self._session = Session(registration, instance=instance, ids=ids, sample=sample())
        self._sources = sources_of(bot, clock.now().mono_s)
        self._core = BotCore(
            self._session,
            self._sources,
            max_concurrent=bot.max_concurrent,
            max_tasks=bot.max_tasks,
            exits=EXITS,
        )
        self._intervals: list[Interval] = intervals(bot)
        self.config: msgspec.Struct = bot.config_type()
        self.runs = RunWaits(lambda: self._perform(self._core.follow_runs(clock.now())))
        self.serving = trio.Event()
        """Set once the broker has taken the bot in."""
        self._scopes: dict[int, trio.CancelScope] = {}
        self._cuts: dict[int, Ended] = {}
        self._waiters: dict[str, _Waiter] = {}
        self._room = trio.CapacityLimiter(BOT_COMMANDS_MAX)
        self._changed = trio.Event()
        self._nursery: trio.Nursery
        self._stop: StopBot | None = None

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> StopBot:
        """Run until told to stop, or refused; return why."""
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                nursery.start_soon(self._tick)
                nursery.start_soon(self._take_samples)
                nursery.start_soon(self._tell_log)
                task_status.started()
        finally:
            self._state.close()
        assert self._stop is not None
        return self._stop

    def drain(self, reason: str, within_s: float) -> None:
        """Begin nothing more, let handlers end, and stop."""
        self._perform(self._core.drain(reason, self.clock.now(), within_s))

    @property
    def running(self) -> list[Work]:
        """The calls that run now."""
        return self._core.running

    @property
    def waiting_commands(self) -> int:
        """Commands of handlers that have no answer yet."""
        return self._session.waiting

    @property
    def works(self) -> bool:
        """Whether the broker has taken it in, and no operator has put it to rest."""
        return not self._core.paused

    async def prove_turn(self) -> None:
        """Return when the core is not behind its own times, for a watchdog."""
        while self._is_late():  # noqa: ASYNC110 - a time passes, no event
            await trio.sleep(LATE_POLL_S)

    def _is_late(self) -> bool:
        due_s = self._core.due_s()
        return due_s is not None and due_s < self.clock.now().mono_s - LATE_S

    # --- time and effects -------------------------------------------------------------------------------------

    def _perform(self, effects: list[CoreEffect]) -> None:
        for effect in effects:
            _PERFORM[type(effect)](self, effect)
        self._changed.set()

    async def _tick(self) -> None:
        while True:
            self._changed = trio.Event()
            due_s = self._core.due_s()
            wait_s = float("inf") if due_s is None else due_s - self.clock.now().mono_s
            if wait_s > 0:
                with trio.move_on_after(wait_s):
                    await self._changed.wait()
            else:
                self._perform(self._core.tick(self.clock.now(), self._random01()))
                await trio.lowlevel.checkpoint()

    async def _take_samples(self) -> None:
        while True:
            await trio.sleep(SAMPLE_EVERY_S)
            self._core.sampled(self._sample())

    async def _tell_log(self) -> None:
        while self._tap is not None:
            await trio.sleep(TELL_EVERY_S)
            if self._session.takes_log_lines and (lines := self._tap.take()) is not None:
                self._send(self._session.frame_of(Kind.LOG_LINES, lines))

    def _note(self, note: Note) -> None:
        _log.log(note.level, "%s", note.message, extra={"bot": self.bot.name, **note.fields})

    def _settled(self, settled: Settled) -> None:
        self._configure(settled.settings)
        if not self.serving.is_set():
            _log.info("the broker has taken the bot in", extra={"bot": self.bot.name})
        self.serving.set()

    def _configure(self, settings: BotSettings) -> None:
        if settings.status is not BotStatus.ACTIVE:
            _log.warning("the bot is %s", settings.status.value, extra={"bot": self.bot.name})
        try:
            config = config_of(self.bot, settings.config)
            every = {interval.handler: interval.seconds(config) for interval in self._intervals}
        except ConfigError as error:
            _log.error("%s; the configuration before it stays", error, extra={"bot": self.bot.name})
            return
        self.config = config
        now = self.clock.now()
        for handler, timer in self._sources.timers.items():
            if handler in every:  # how often samples come is the broker's to know
                timer.change(every[handler], now.mono_s)
        self._perform(self._core.limit(limit_of(self.bot, config), now))

    def _end(self, stop: StopBot) -> None:
        if self._stop is None:
            self._stop = stop
            self._nursery.start_soon(self._leave)

    async def _leave(self) -> None:
        """What was said last leaves before the connection is closed."""
        with trio.move_on_after(GOODBYE_S):
            await self._connection.wait_sent()
        self._nursery.cancel_scope.cancel()

    # --- the connection ---------------------------------------------------------------------------------------

    def _open_socket(self, effect: OpenSocket) -> None:
        self._connection.open(self._nursery, effect.epoch)

    def _send(self, effect: SendFrame) -> None:
        self._connection.send(effect.epoch, effect.header, effect.body)

    def opened(self, epoch: int) -> None:
        """The socket is connected."""
        self._perform(self._core.opened(epoch, self.clock.now()))

    async def heard(self, epoch: int, frames: Sequence[tuple[bytes, bytes]]) -> bool:
        """Frames of the broker came; return whether it has taken the bot in."""
        for header, body in frames:
            self._perform(self._core.frame(epoch, header, body, self.clock.now(), self._random01()))
        return self._session.registered

    def lost(self, epoch: int) -> None:
        """The connection is of no more use."""
        self._perform(self._core.lost(epoch, self.clock.now(), self._random01()))

    def explained(self, why: str) -> None:
        """Say why nobody answers."""
        if self._stop is None:
            why = why.replace("doai keys add NAME", f"doai keys add --role bot {self.bot.name}")
            _log.warning("%s", why, extra={"bot": self.bot.name})

    # --- handlers ---------------------------------------------------------------------------------------------

    def _start(self, start: Start) -> None:
        self._scopes[start.number] = trio.CancelScope()
        self._nursery.start_soon(self._call, start)

    def _cut(self, cut: Cut) -> None:
        scope = self._scopes.get(cut.number)
        if scope is not None:
            self._cuts[cut.number] = cut.ended
            scope.cancel()

    async def _call(self, start: Start) -> None:
        ended: Ended | None = None
        try:
            with self._scopes[start.number]:
                ended = await self._handle(start.work)
        finally:
            del self._scopes[start.number]
            cut = self._cuts.pop(start.number, None)
        ended = ended or cut or Ended(problem="it was cancelled")
        self._perform(self._core.ended(start.number, ended, self.clock.now(), self._random01()))

    async def _handle(self, work: Work) -> Ended:
        handler = self.bot.handlers[work.handler]
        context = Context(self.bot.name, work, self.config, self, self._state)
        try:
            result = await _called(handler, work, context)
            return Ended(outputs=outputs_of(result) if work.cause is Cause.TASK else None)
        except GiveUp as error:
            return given_up(error, work)
        except StepError as error:
            return Ended(problem=str(error), failure=error.failure)
        except (CommandRefused, NoAnswer) as error:
            return Ended(problem=str(error))
        except (Exception, SystemExit) as error:
            # A handler that calls exit() ends itself, not the bot.
            context.log.warning("%s raised %s", work.handler, type(error).__name__, exc_info=error)
            return Ended(problem=f"{type(error).__name__}: {error}"[:1000])

    # --- what contexts ask for --------------------------------------------------------------------------------

    async def command(
        self, name: str, subject: str, payload: object, *, work: Work, key: str, timeout_s: float
    ) -> object:
        """Return the answer as a map; the same command again is harmless under its key."""
        now = self.clock.now()
        caused_by = work.event.envelope.event_id if work.event is not None else None
        envelope = self._session.envelope(
            name, subject, payload, now, trace_id=work.trace_id, causation_id=caused_by, idempotency_key=key or None
        )
        if not key:
            envelope = msgspec.structs.replace(envelope, idempotency_key=f"bot:{envelope.event_id}")
        body = encode(envelope)
        if len(body) > FRAME_BYTES_MAX:
            raise GiveUp(f"{name} is larger than the {FRAME_BYTES_MAX // 1024} KiB that a command may have")
        waiter = _Waiter()
        with trio.move_on_after(timeout_s):
            async with self._room:
                self._waiters[envelope.event_id] = waiter
                try:
                    self._perform(self._core.command(envelope.event_id, body, now))
                    await waiter.event.wait()
                finally:
                    del self._waiters[envelope.event_id]
                    sent = self._session.withdraw(envelope.event_id)
        if waiter.reply is None:
            known = "it is not known whether it was carried out" if sent else "it was not sent"
            raise NoAnswer(f"the broker did not answer {name} within {timeout_s:g} s: {known}")
        if waiter.reply.problem is not None:
            raise CommandRefused(name, waiter.reply.problem)
        return waiter.reply.result

    async def query(self, path: str, query: Mapping[str, object]) -> Any:
        """Ask the admin API."""
        return await self._outside.query(path, query)

    async def secret(self, name: str) -> str:
        """Fetch a secret."""
        return await self._outside.secret(name)

    def _answered(self, answered: Answered) -> None:
        waiter = self._waiters.get(answered.reply.command_id)
        if waiter is not None:
            waiter.reply = answered.reply
            waiter.event.set()


async def _called(handler: Handler, work: Work, context: Context) -> Any:
    if handler.payload is None:
        return await handler.function(context)
    if work.payload is None:
        raise LocalProtocolError(f"the call of {handler.name} has no payload")
    return await handler.function(handler.payload.read(work.type, work.payload), context)


_PERFORM: Final[dict[type, Callable[[Shell, Any], None]]] = {
    OpenSocket: Shell._open_socket,
    SendFrame: Shell._send,
    Start: Shell._start,
    Cut: Shell._cut,
    Answered: Shell._answered,
    Settled: Shell._settled,
    RunsFollowed: lambda shell, effect: shell.runs.followed(effect.problem),
    RunEnded: lambda shell, effect: shell.runs.ended(effect.run_id),
    Note: Shell._note,
    StopBot: Shell._end,
}
