"""The registry of bots: what each is, which of its processes live, what an operator wants of it (steps 2, 14)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from doai import topics
from doai.broker.core.bot_declarations import NO_PATTERN, check_declared
from doai.broker.core.bot_leases import BotLeases
from doai.broker.core.bot_table import Bot, Process
from doai.broker.core.bot_work import BotWork
from doai.broker.core.decision import Decision
from doai.broker.core.event_letters import EventLetters
from doai.broker.core.feed import Feed, following
from doai.broker.core.feeds import Feeds
from doai.broker.core.secrets import unknown_secret
from doai.broker.core.state import State
from doai.broker.core.tables import Peer
from doai.broker.core.terms import REASON_CHARS_MAX
from doai.changes.bots import AddUptime, BotRow, PutBot, SubscriptionRow
from doai.clock import Now
from doai.codec import Kind, encode, raw
from doai.envelope import Envelope, Message
from doai.errors import ConflictError, NotFoundError, UserError
from doai.json_schema import value_mistakes
from doai.limits import BOT_DECLARED_BYTES_MAX, BOT_LOOK_S, BOT_OFFLINE_AFTER_S, BOTS_MAX, SUBSCRIPTIONS_PER_BOT_MAX
from doai.link.liveness import Change
from doai.messages.bots import (
    CONFIGURE_BOT,
    REGISTER_BOT,
    RESET_SUBSCRIPTION,
    SET_BOT_STATUS,
    BotSettings,
    ConfigureBot,
    Cursor,
    RegisterBot,
    ResetSubscription,
    Sample,
    SetBotStatus,
    Subscribe,
    Subscription,
    SubscriptionReset,
)
from doai.messages.events import BotRegistered, BotStatusChanged
from doai.messages.link import HostSample, Role
from doai.secret_reference import secret_names
from doai.states import PeerState
from doai.workflow.mistakes import did_you_mean

Handler = Callable[[Decision, Envelope, Any], Message]
_HOUR_MS: Final = 3_600_000
_HOURS_KEPT: Final = 8 * 24
"""A week is asked for; a day more, so that its first hour is whole."""


class Bots:
    """Registers, configures, and looks whether they live."""

    def __init__(
        self,
        state: State,
        feeds: Feeds,
        work: BotWork,
        leases: BotLeases,
        letters: EventLetters,
        rows: list[BotRow],
        subscriptions: list[SubscriptionRow],
        now: Now,
    ) -> None:
        self._state = state
        self._feeds = feeds
        self._work = work
        self._leases = leases
        self._letters = letters
        self.by_name = state.bots
        self.by_name.update((row.name, Bot(row, now.mono_s)) for row in rows)
        for row in subscriptions:
            bot = self.by_name.get(row.bot)
            if bot is None:
                continue
            named = {wanted.name: wanted for wanted in bot.declared.subscriptions}
            wanted = named.get(row.name, Subscription(name=row.name))
            patterns = msgspec.json.decode(row.topics_body, type=list[str])
            feed = bot.feeds[row.name] = Feed(row, wanted, feeds.filter(patterns))
            feed.paused = not bot.works
            feeds.put(feed)
        self.handlers: dict[str, Handler] = {
            REGISTER_BOT: self.register,
            CONFIGURE_BOT: self.configure,
            SET_BOT_STATUS: self.set_status,
            RESET_SUBSCRIPTION: self.reset,
        }
        """Of commands."""
        self.succeed: Callable[[Decision, Peer, str], None]
        """Peers gives it: a process takes the place of the one with this name of a process."""
        self._look_s: float | None = now.mono_s + BOT_OFFLINE_AFTER_S if rows else None

    # --- commands -----------------------------------------------------------------------------------------

    def register(self, decision: Decision, command: Envelope, wish: RegisterBot) -> BotSettings:
        """A process tells what its bot is."""
        peer = decision.speaker
        if peer is None or peer.role is not Role.BOT:
            raise UserError("only a process of a bot registers it, with a key of role bot", code="not_a_bot")
        if wish.name != peer.name:
            raise UserError(
                f"this key proves the name {peer.name}, not {wish.name[:80]}: a bot registers under its own name",
                code="not_its_name",
            )
        check_declared(wish)
        self.succeed(decision, peer, wish.replaces)
        wish = msgspec.structs.replace(wish, replaces="")
        bot, now_ms = self.by_name.get(wish.name), decision.now.utc_ms
        body = msgspec.json.encode(wish)
        if bot is None:
            if len(self.by_name) >= BOTS_MAX:
                raise ConflictError(f"there are {BOTS_MAX} bots already: one broker has no more", code="too_many")
            row = BotRow(name=wish.name, declared_body=body, registered_at_ms=now_ms, changed_at_ms=now_ms)
            bot = self.by_name[wish.name] = Bot(row, decision.now.mono_s)
            decision.changed(topics.bot_subject(wish.name), None, _audited(bot))
        else:
            before = _audited(bot)
            bot.row, bot.declared = msgspec.structs.replace(bot.row, declared_body=body), wish
            decision.changed(topics.bot_subject(wish.name), before, _audited(bot))
        if not bot.processes:
            bot.counted_s = decision.now.mono_s
        is_new = peer.address not in bot.processes
        process = bot.processes.setdefault(peer.address, Process(peer, now_ms))
        process.peer, process.kinds = peer, wish.task_kinds
        self._subscriptions(decision, bot)
        self._work.registered(decision, peer)
        if is_new:
            told = BotRegistered(bot=peer.name, instance=peer.instance, version=wish.version)
            decision.event(topics.BOT_REGISTERED, topics.bot_subject(peer.name), told)
        self._look(decision, bot, "registered")
        self._sweep_in(decision, BOT_LOOK_S)
        return bot.settings()

    def configure(self, decision: Decision, command: Envelope, wish: ConfigureBot) -> BotSettings:
        """An operator sets its configuration."""
        bot = self._find(wish.name)
        body = msgspec.json.encode(wish.config)
        if len(body) > BOT_DECLARED_BYTES_MAX:
            raise UserError(f"a configuration has at most {BOT_DECLARED_BYTES_MAX} bytes, not {len(body)}")
        schema = bot.declared.config_schema
        if not schema and wish.config:
            raise UserError(f"bot {wish.name} declares no configuration: it can not be set", code="bad_config")
        mistakes = value_mistakes(schema, wish.config) if schema else []
        for name in secret_names(wish.config):
            if name not in self._state.secrets:
                raise unknown_secret(name, self._state.secrets)
        if mistakes:
            more = f" (and {len(mistakes) - 1} more)" if len(mistakes) > 1 else ""
            raise UserError(f"bot {wish.name} does not take this: {mistakes[0]}{more}", code="bad_config")
        before = msgspec.json.decode(bot.row.config_body)
        decision.changed(topics.bot_subject(wish.name), {"config": before}, {"config": wish.config})
        self._want(decision, bot, config_body=body)
        return bot.settings()

    def set_status(self, decision: Decision, command: Envelope, wish: SetBotStatus) -> BotSettings:
        """An operator says what is wanted of it."""
        bot, reason = self._find(wish.name), wish.reason[:REASON_CHARS_MAX]
        before = {"status": bot.row.status, "reason": bot.row.status_reason}
        decision.changed(topics.bot_subject(wish.name), before, {"status": wish.status, "reason": reason})
        if wish.status is not bot.row.status:
            told = BotStatusChanged(bot=wish.name, instance="", status=wish.status.value, reason=reason)
            decision.event(topics.BOT_STATUS_CHANGED, topics.bot_subject(wish.name), told, actor=command.actor)
        self._want(decision, bot, status=wish.status, status_reason=reason, changed_at_ms=decision.now.utc_ms)
        for feed in bot.feeds.values():
            feed.paused = not bot.works
            self._feeds.want(feed)
        self._work.mark()
        return bot.settings()

    def reset(self, decision: Decision, command: Envelope, wish: ResetSubscription) -> SubscriptionReset:
        """Begin a subscription anew somewhere else in the log."""
        speaker = decision.speaker
        if speaker is not None and speaker.role is Role.BOT and speaker.name != wish.name:
            raise UserError(f"{speaker.name} can not reset what {wish.name[:80]} hears", code="not_allowed")
        bot = self._find(wish.name)
        feed = bot.feeds.get(wish.subscription)
        if feed is None:
            raise NotFoundError(
                f"bot {wish.name} has no subscription {wish.subscription[:80]!r}: "
                f"{did_you_mean(wish.subscription, bot.feeds)}",
                code="subscription_not_found",
            )
        given = [wish.position is not None, wish.time_ms is not None, wish.to_end]
        if sum(given) != 1:
            raise UserError("say one of position, time and end: where the subscription begins", code="bad_reset")
        last = self._state.log.position
        position = last if wish.to_end else wish.position or 0
        if not 0 <= position <= last:
            raise UserError(f"position {position} is not in the log: it goes from 0 to {last}", code="bad_reset")
        before = feed.place()[0]
        feed.begin_at(position, wish.time_ms or 0)
        self._feeds.write(decision, feed)
        self._feeds.want(feed)
        after = {"position": position, "since_ms": wish.time_ms}
        decision.changed(
            topics.bot_subject(wish.name), {"subscription": wish.subscription, "position": before}, after
        )
        return SubscriptionReset(name=wish.name, subscription=wish.subscription, position=position, before=before)

    # --- frames -------------------------------------------------------------------------------------------

    def subscribe(self, decision: Decision, peer: Peer, link: int, wish: Subscribe) -> None:
        """A process opens one of its bot's subscriptions."""
        bot = self.by_name.get(peer.name)
        found: Feed | str
        if bot is None or peer.address not in bot.processes:
            found = f"{peer.address} has not registered: say bot.register first"
        elif wish.follows:
            found = self._following(peer, link, wish)
        else:
            found = bot.feeds.get(wish.subscription) or (
                f"bot {peer.name} registered no subscription {wish.subscription[:80]!r}: "
                f"{did_you_mean(wish.subscription, bot.feeds)}"
            )
        self._feeds.subscribe(decision, peer, link, wish, found)

    def _following(self, peer: Peer, link: int, wish: Subscribe) -> Feed | str:
        open_now = sum(feed.passes for feed, _ in self._feeds.of_link(link))
        if max(open_now, len(wish.follows)) >= SUBSCRIPTIONS_PER_BOT_MAX:
            return f"a connection follows less than {SUBSCRIPTIONS_PER_BOT_MAX} things at once"
        for pattern in wish.follows:
            if not topics.is_pattern(pattern):
                return NO_PATTERN.format(pattern[:80])
        return following(peer, link, wish, self._feeds.filter(wish.follows), self._state.log.position)

    def cursor(self, decision: Decision, peer: Peer, link: int, told: Cursor) -> None:
        """A process is done with events."""
        found = self._feeds.cursor(decision, link, told)
        if found is not None:
            for failed in told.failed:
                self._letters.gave_up(decision, *found, failed)

    def sampled(self, decision: Decision, peer: Peer, sample: HostSample) -> None:
        """A node said how its host is."""
        if self._state.log.tail is None:
            return  # nobody subscribes to anything
        subject = topics.node_subject(peer.name)
        told = Sample(topics.NODE_HOST, subject, decision.now.utc_ms, raw(sample))
        self._feeds.sampled(topics.NODE_HOST, subject, encode(told))

    # --- liveness -----------------------------------------------------------------------------------------

    def went(self, decision: Decision, peer: Peer, change: Change) -> None:
        """A process is heard again, is late, or is gone."""
        bot = self.by_name.get(peer.name)
        if bot is None or peer.address not in bot.processes:
            return
        if change.after is PeerState.OFFLINE:
            self._count(decision, bot)
            del bot.processes[peer.address]
            self._leases.gone(decision, peer, change.reason)
        told = BotStatusChanged(
            bot=peer.name, instance=peer.instance, status=change.after.value, reason=change.reason
        )
        decision.event(
            topics.BOT_STATUS_CHANGED, topics.bot_subject(peer.name), told, before={"status": change.before.value}
        )
        self._look(decision, bot, change.reason)
        self._work.mark()

    def left(self, link: int) -> None:
        """A connection ended: how its process fares is a matter of time, what it holds is not."""
        self._feeds.left(link)

    def due_s(self) -> float | None:
        """Return when it is looked again."""
        return self._look_s

    def sweep(self, decision: Decision) -> None:
        """Write how long they were heard."""
        if self._look_s is None or decision.now.mono_s < self._look_s:
            return
        self._look_s = None
        for bot in self.by_name.values():
            if not bot.processes:
                if bot.row.state is not PeerState.OFFLINE and decision.now.mono_s >= bot.expected_until_s:
                    self._look(decision, bot, "not heard of since the broker started")
                elif bot.row.state is not PeerState.OFFLINE:
                    self._sweep_in(decision, bot.expected_until_s - decision.now.mono_s)
                continue
            self._count(decision, bot)
            self._look(decision, bot, bot.row.state_reason)
            self._sweep_in(decision, BOT_LOOK_S)

    # --- inside -------------------------------------------------------------------------------------------

    def _find(self, name: str) -> Bot:
        bot = self.by_name.get(name)
        if bot is None:
            raise NotFoundError(
                f"there is no bot {name[:80]!r}: {did_you_mean(name, self.by_name)}", code="bot_not_found"
            )
        return bot

    def _subscriptions(self, decision: Decision, bot: Bot) -> None:
        """Make its feeds what it declared now."""
        wanted = {subscription.name: subscription for subscription in bot.declared.subscriptions}
        for name in [name for name in bot.feeds if name not in wanted]:
            self._feeds.drop(decision, bot.feeds.pop(name))
        for name, subscription in wanted.items():
            feed, patterns = bot.feeds.get(name), self._feeds.filter(subscription.topics)
            if feed is None:
                now_ms = decision.now.utc_ms
                position = 0 if subscription.from_beginning else self._state.log.position
                row = SubscriptionRow(
                    bot=bot.row.name,
                    name=name,
                    topics_body=msgspec.json.encode(subscription.topics),
                    position=position,
                    done_to_ms=0 if subscription.from_beginning else now_ms,
                    moved_at_ms=now_ms,
                )
                feed = bot.feeds[name] = Feed(row, subscription, patterns)
                feed.paused = not bot.works
                self._feeds.put(feed)
                self._feeds.write(decision, feed)
            elif feed.filter is not patterns:
                feed.filter = patterns
                feed.row = msgspec.structs.replace(feed.row, topics_body=msgspec.json.encode(subscription.topics))
                self._feeds.write(decision, feed)
            feed.wanted = subscription
        self._feeds.audience_changed = True

    def _want(self, decision: Decision, bot: Bot, **changes: Any) -> None:
        bot.row = msgspec.structs.replace(bot.row, revision=bot.row.revision + 1, **changes)
        decision.ops.append(PutBot(bot.row))
        self._feeds.audience_changed = True
        body = encode(bot.settings())
        for process in bot.processes.values():
            decision.send_to(process.peer, Kind.SETTINGS, body)

    def _look(self, decision: Decision, bot: Bot, reason: str) -> None:
        """Write how its processes are."""
        processes = list(bot.processes.values())
        states = {process.peer.liveness.state for process in processes}
        state = next((best for best in (PeerState.ONLINE, PeerState.LATE) if best in states), PeerState.OFFLINE)
        now_ms, row = decision.now.utc_ms, bot.row
        silent_s = [decision.now.mono_s - process.peer.liveness.proven_s for process in processes]
        bot.row = msgspec.structs.replace(
            row,
            state=state,
            state_reason=reason,
            proven_at_ms=now_ms - round(min(silent_s) * 1000) if silent_s else row.proven_at_ms,
            processes_body=msgspec.json.encode([process.row() for process in processes]),
            changed_at_ms=now_ms if state is not row.state else row.changed_at_ms,
        )
        decision.ops.append(PutBot(bot.row))

    def _count(self, decision: Decision, bot: Bot) -> None:
        """Add the time up to its last proof."""
        heard_s = max((process.peer.liveness.proven_s for process in bot.processes.values()), default=bot.counted_s)
        seconds, bot.counted_s = heard_s - bot.counted_s, max(heard_s, bot.counted_s)
        if seconds > 0:
            hour = decision.now.utc_ms // _HOUR_MS
            decision.ops.append(AddUptime(bot.row.name, hour, seconds, hour - _HOURS_KEPT))

    def _sweep_in(self, decision: Decision, delay_s: float) -> None:
        due_s = decision.now.mono_s + delay_s
        if self._look_s is None or due_s < self._look_s:
            self._look_s = due_s
        self._state.sweep_by(self._look_s)


def _audited(bot: Bot) -> dict[str, object]:
    declared = bot.declared
    return {
        "version": declared.version,
        "type": declared.type,
        "subscriptions": [subscription.name for subscription in declared.subscriptions],
        "task_kinds": declared.task_kinds,
        "status": bot.row.status,
    }
