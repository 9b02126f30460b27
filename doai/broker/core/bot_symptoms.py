"""What can be wrong with bots, measured: silent ones, cursors that are far behind, kinds nobody takes (step 12)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from doai import topics
from doai.broker.core.bot_table import Bot
from doai.broker.core.state import State
from doai.broker.core.symptom import Symptom
from doai.incidents import IncidentType
from doai.messages.commands import TargetKind
from doai.states import PeerState, TaskState


def bot_symptoms(state: State) -> Iterator[Symptom]:
    """Measure what lasts."""
    for bot in state.bots.values():
        key = state.keys.get(bot.row.name)
        if bot.works and key is not None and key.revoked_at_ms is None:
            yield from _bot(state, bot)
    yield from _kinds(state)


def _bot(state: State, bot: Bot) -> Iterator[Symptom]:
    name = bot.row.name
    if bot.row.state is PeerState.OFFLINE:
        yield Symptom(
            type=IncidentType.BOT_DOWN,
            subject=topics.bot_subject(name),
            measure=1,
            affected=1,
            message=f"bot {name} is offline: {bot.row.state_reason or 'not heard'}",
        )
    for feed in bot.feeds.values():
        lag = state.log.position - feed.low()
        if lag > 0:
            yield Symptom(
                type=IncidentType.CURSOR_LAG,
                subject=topics.subscription_subject(name, feed.row.name),
                measure=lag / state.settings.cursor_lag_max,
                affected=1,
                message=f"subscription {feed.row.name} of bot {name} is {lag} events behind",
            )


def _kinds(state: State) -> Iterator[Symptom]:
    waiting: Counter[str] = Counter()
    for task in state.tasks.values():
        if task.target_kind is TargetKind.BOT and task.state is TaskState.QUEUED:
            waiting[task.run.row.workflow] += 1
    for kind, count in waiting.items():
        if not any(bot.works and kind in bot.kinds for bot in state.bots.values()):
            yield Symptom(
                type=IncidentType.UNKNOWN_KIND,
                subject=topics.kind_subject(kind),
                measure=count,
                affected=count,
                message=f"{count} tasks of kind {kind} wait, and no bot takes them",
            )
