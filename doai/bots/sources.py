"""What the core calls each handler for, made from what the author declared (step 14)."""

from __future__ import annotations

from doai.bots.bot import Bot, Handler
from doai.bots.core.boxes import Samples, Tasks, Timer
from doai.bots.core.effects import Sources
from doai.bots.core.subscription import Policy, Subscription
from doai.bots.core.work import Cause


def sources_of(bot: Bot, now_s: float) -> Sources:
    """Return what a bot is called for, before anything was."""
    by_cause: dict[Cause, list[Handler]] = {cause: [] for cause in Cause}
    for handler in bot.handlers.values():
        by_cause[handler.cause].append(handler)
    return Sources(
        events={
            h.name: Subscription(h.name, Policy(timeout_s=h.timeout_s, tries=h.tries, backoff=h.backoff))
            for h in by_cause[Cause.EVENT]
        },
        samples={h.name: Samples(h.name, h.timeout_s) for h in by_cause[Cause.SAMPLE]},
        timers={h.name: Timer(h.name, h.every_s, h.timeout_s, now_s, h.at_once) for h in by_cause[Cause.TIME]},
        tasks={h.topics[0]: Tasks(h.name, h.topics[0], h.timeout_s) for h in by_cause[Cause.TASK]},
    )
