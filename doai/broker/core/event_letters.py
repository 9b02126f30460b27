"""Events that a bot gives up: dead letters of its subscription, which a person has given again (steps 12, 14)."""

from __future__ import annotations

from doai import topics
from doai.broker.core.dead_letters import DeadLetters
from doai.broker.core.decision import Decision
from doai.broker.core.feed import Feed, Member
from doai.broker.core.feeds import Feeds
from doai.changes.bots import KeepEvent
from doai.changes.dead_letters import DeadLetterKind, DeadLetterRow, DeadReason
from doai.limits import EVENTS_AGAIN_MAX
from doai.messages.bots import FailedEvent

TEXT_CHARS_MAX = 1000


class EventLetters:
    """Writes them, and lets them be given again."""

    def __init__(self, letters: DeadLetters, feeds: Feeds) -> None:
        self._letters = letters
        self._feeds = feeds

    def gave_up(self, decision: Decision, feed: Feed, member: Member, failed: FailedEvent) -> None:
        """The handler of a process failed for good; it goes on with the next event."""
        subject = self._feeds.gave_up(decision, feed, member, failed.position)
        if subject is None:
            return
        bot, name = feed.key
        row = DeadLetterRow(
            letter_id=decision.new_id(),
            kind=DeadLetterKind.EVENT,
            reason=DeadReason.GIVEN_UP,
            created_at_ms=decision.now.utc_ms,
            code=failed.code[:100],
            message=f"{bot} gave up an event of {subject}: {failed.message[:TEXT_CHARS_MAX]}",
            attempts=max(0, min(failed.attempts, 1_000_000)),
            seq=failed.position,
            subscription=f"{bot}/{name}",
        )
        self._letters.event(decision, row, topics.bot_subject(bot))
        decision.ops.append(KeepEvent(row.letter_id))

    def again(self, decision: Decision, row: DeadLetterRow) -> str:
        """Let the event of a letter be given again; return why it can not be, empty when it will."""
        bot, _, name = row.subscription.partition("/")
        feed = self._feeds.by_key.get((bot, name))
        if feed is None:
            return f"event {row.seq} can not be given again: {bot} has no subscription {name} any more"
        if not feed.give_again(row.seq):
            return f"event {row.seq} can not be given again yet: {EVENTS_AGAIN_MAX} of {row.subscription} wait"
        self._feeds.moved(decision, feed, 0.0)
        self._feeds.want(feed)
        return ""
