"""notify-bot: tells people and programs of incidents, dead letters, ends of campaigns and runs (step 14).

An event is written to the channels that want it before it counts as done; each second what is due is sent, every
channel by itself. A message is on disk before it is sent and until it has arrived or is given up: a bot that is
killed in between sends it again under the same id.
"""

from __future__ import annotations

import os
import random
from typing import Any, Final

import msgspec
import trio

from doai.bots.bot import Bot
from doai.bots.context import Context
from doai.bots.errors import SecretMissing
from doai.bots.notify.channels import About, Channel, NotifyConfig, channels_of, problems_of
from doai.bots.notify.keeping import Keeping
from doai.bots.notify.notices import UNDELIVERED, Notice, Phase, notice_of
from doai.bots.notify.outlet import GIVE_UP_S, Message, Outlet, delivered, failed, make, ready_ms, take
from doai.bots.notify.sending import NotSent, Senders
from doai.bots.notify.words import text_of
from doai.errors import ErrorClass, Failure, StepError
from doai.incidents import Severity
from doai.messages.commands import CreateRun, TargetKind, Targets
from doai.notifications import NOTIFY_BOT, SEND_KIND, TEST_KIND, ChannelTest, ChannelTested

CHANNELS_BUSY_MAX: Final = 30
"""Calls that send at once: more than there are channels."""
_TELLS: Final = (
    "incident.opened",
    "incident.resolved",
    "deadletter.created",
    "campaign.completed",
    "run.completed",
)


class Undelivered(msgspec.Struct, frozen=True):
    """A message that was given up, for a last try; when that fails, for a person."""

    channel: str
    message: Message


class Notifier:
    """What the handlers share: who sends now, and one writer at a time."""

    def __init__(self, senders: Senders, give_up_s: float) -> None:
        self._senders = senders
        self._give_up_s = give_up_s
        self._busy: set[str] = set()
        self._writing = trio.Lock()
        self._checked: NotifyConfig | None = None

    async def hear(self, event: Any, ctx: Context) -> None:
        """Let the channels that want an event tell of it."""
        notice = notice_of(ctx.type, ctx.subject, event, ctx.occurred_at_ms)
        if notice is None:
            return
        keeping = Keeping(ctx.state)
        async with self._writing:
            wanting = []
            for channel in channels_of(ctx.config).values():
                # One that does not deliver has nothing to gain from the news that it did not.
                fails = notice.kind == UNDELIVERED and (await keeping.outlet(channel.name)).message is not None
                if channel.wants(notice.about, notice.severity) and not fails:
                    wanting.append(channel)
            if wanting:
                await keeping.notice(ctx.position, notice, wanting, ctx.now_ms)

    async def work(self, ctx: Context) -> None:
        """Send what is due of every channel that does not send already."""
        self._check(ctx)
        keeping, channels = Keeping(ctx.state), channels_of(ctx.config)
        async with trio.open_nursery() as nursery:
            for name, outlet in (await keeping.outlets()).items():
                channel = channels.get(name)
                if channel is None:
                    await self._retire(ctx, keeping, name)
                elif name not in self._busy and _is_due(outlet, channel, ctx.now_ms):
                    self._busy.add(name)
                    nursery.start_soon(self._serve, ctx, keeping, channel)

    async def prune(self, ctx: Context) -> None:
        """Forget what can not be needed again."""
        async with self._writing:
            await Keeping(ctx.state).prune()

    async def _serve(self, ctx: Context, keeping: Keeping, channel: Channel) -> None:
        try:
            async with self._writing:
                outlet = await keeping.outlet(channel.name)
                if outlet.settles_at_ms is not None and outlet.settles_at_ms <= ctx.now_ms:
                    outlet = await keeping.settle(channel, ctx.now_ms)
                ready_at_ms = ready_ms(outlet, channel, ctx.now_ms)
                if ready_at_ms is not None and ready_at_ms <= ctx.now_ms:
                    outlet = make(outlet, f"msg_{os.urandom(16).hex()}", ctx.now_ms)
                    await keeping.keep(channel.name, outlet)
            message = outlet.message
            if message is not None and message.next_try_ms <= ctx.now_ms:
                await self._send(ctx, keeping, channel, message)
        finally:
            self._busy.discard(channel.name)

    async def _send(self, ctx: Context, keeping: Keeping, channel: Channel, message: Message) -> None:
        error: NotSent | None = None
        try:
            await self._try(ctx, channel, message)
            ctx.log.info("message %s to %s has arrived", message.message_id, channel.name)
        except NotSent as found:
            error = found
            ctx.log.warning(
                "message %s to %s, try %d: %s", message.message_id, channel.name, message.tries + 1, error
            )
        async with self._writing:
            # What was gathered meanwhile is in the row: only the message is this call's.
            outlet = await keeping.outlet(channel.name)
            if outlet.message is None or outlet.message.message_id != message.message_id:
                return
            given_up = None
            if error is None:
                outlet = delivered(outlet)
            else:
                outlet, given_up = failed(
                    outlet,
                    str(error),
                    ctx.now_ms,
                    random.random(),
                    after_s=error.after_s,
                    permanent=error.permanent,
                    give_up_s=self._give_up_s,
                )
            await keeping.keep(channel.name, outlet, given_up)

    async def _try(self, ctx: Context, channel: Channel, message: Message) -> None:
        """Send a message once. Raises NotSent."""
        text = text_of(message, channel.name, channel.language, ctx.config.dashboard_url)
        try:
            await self._senders.send(channel, message, text, ctx.secret, ctx.now_ms)
        except SecretMissing as error:
            raise NotSent(str(error)) from None

    async def hand_over(self, ctx: Context) -> None:
        """Make a task of each message that was given up: it fails, and waits for a person as a dead letter.

        Apart from what sends: a broker without room takes no task, and people must hear of just that.
        """
        keeping = Keeping(ctx.state)
        for channel, message in await keeping.given_up():
            ctx.log.error(
                "message %s to %s is given up after %d tries: %s",
                message.message_id,
                channel,
                message.tries,
                message.problem,
            )
            params = {"channel": channel, "message": msgspec.to_builtins(message)}
            command = CreateRun(
                workflow="", targets=Targets(kind=TargetKind.BOT, bot=SEND_KIND, count=1), params=params
            )
            await ctx.command(command, subject=f"bot/{ctx.bot}", key=f"{ctx.bot}:{message.message_id}")
            await keeping.handed_over(message)

    async def _retire(self, ctx: Context, keeping: Keeping, name: str) -> None:
        if any(channel.name == name for channel in ctx.config.channels):
            return  # it can not be used as it is set; it goes on once that is mended
        ctx.log.info("channel %s is gone: what it had to tell is forgotten", name)
        async with self._writing:
            await keeping.forget(name)

    def _check(self, ctx: Context) -> None:
        if self._checked is not ctx.config:
            self._checked = ctx.config
            for problem in problems_of(ctx.config):
                ctx.log.error("%s", problem)

    async def test(self, wish: ChannelTest, ctx: Context) -> ChannelTested:
        """Send a test message now, past all that waits."""
        config: NotifyConfig = ctx.config
        channel = channels_of(config).get(wish.channel)
        if channel is None:
            problem = next((c.problem() for c in config.channels if c.name == wish.channel), "")
            names = ", ".join(c.name for c in config.channels) or "none"
            return ChannelTested(
                wish.channel, False, problem or f"there is no channel {wish.channel[:70]!r}: {names}"
            )
        notice = Notice(
            about=About.TEST,
            phase=Phase.HAPPENED,
            severity=Severity.LOW,
            thing="test",
            subject=f"bot/{ctx.bot}",
            kind="test",
            text="",
            at_ms=ctx.now_ms,
        )
        message = make(take(Outlet(), notice, ctx.now_ms), f"msg_{ctx.task_id}", ctx.now_ms).message
        assert message is not None
        try:
            await self._try(ctx, channel, message)
        except NotSent as error:
            return ChannelTested(wish.channel, False, str(error))
        return ChannelTested(wish.channel, True)

    async def send(self, wish: Undelivered, ctx: Context) -> ChannelTested:
        """Try once more a message that was given up; a person may ask for that again with its dead letter."""
        channel = channels_of(ctx.config).get(wish.channel)
        problem = f"there is no channel {wish.channel[:70]} any more"
        if channel is not None:
            try:
                await self._try(ctx, channel, wish.message)
                return ChannelTested(wish.channel, True)
            except NotSent as error:
                problem = str(error)
        count = wish.message.count
        notices = "1 notice" if count == 1 else f"{count} notices"
        text = f"A message of {notices} to {wish.channel[:70]} was given up: {problem}."
        raise StepError(Failure(error_class=ErrorClass.USER, code=UNDELIVERED, message=text))


def _is_due(outlet: Outlet, channel: Channel, now_ms: int) -> bool:
    message = outlet.message
    dues = (outlet.settles_at_ms, ready_ms(outlet, channel, now_ms), message.next_try_ms if message else None)
    return any(due_ms is not None and due_ms <= now_ms for due_ms in dues)


def make_bot(senders: Senders | None = None, give_up_s: float = GIVE_UP_S) -> Bot:
    """Return the bot; a test gives it other ways out, and less time."""
    bot = Bot(
        NOTIFY_BOT,
        title="Tells people and programs what happens: e-mail, chat, webhooks",
        type="notify",
        version="1",
        config=NotifyConfig,
        capabilities=["notifications"],
    )
    notifier = Notifier(senders or Senders(), give_up_s)
    bot.on(*_TELLS, name="notices")(notifier.hear)
    bot.every("1s", setting="interval", name="deliver", timeout="5m", at_once=CHANNELS_BUSY_MAX)(notifier.work)
    bot.every("10s", name="hand-over")(notifier.hand_over)
    bot.every("10m", name="prune")(notifier.prune)
    bot.task(TEST_KIND, name="test", timeout="90s")(notifier.test)
    bot.task(SEND_KIND, name="send", timeout="90s")(notifier.send)
    return bot
