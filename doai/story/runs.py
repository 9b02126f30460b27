"""Events of runs, campaigns and queues as sentences (step 14)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from doai import topics
from doai.story.told import Told, cut


def _run_completed(e: Told) -> str:
    found = [(e.voice.state(outcome), cut(n)) for outcome, n in sorted(e.part("counts").items()) if n]
    counts = ", ".join(e.say("say.count", what=outcome, count=n) for outcome, n in found)
    return e.say("run.completed", counts=e.say("run.counts", what=counts) if counts else "")


def _campaign_is(key: str) -> Callable[[Told], str]:
    return lambda e: e.say(key, whoever=e.word("actor") if e.has("actor") else e.say("say.somebody"))


def _campaign_time(key: str) -> Callable[[Told], str]:
    def told(e: Told) -> str:
        by_hand = e.has("actor")
        when = e.say("campaign.by_hand") if by_hand else e.say("campaign.for_time", at=_moment(e, "fireAtMs"))
        return e.say(key, when=when, run=e.say_if("runId", "campaign.run"))

    return told


def _campaign_missed(e: Told) -> str:
    return e.say("campaign.missed", first=_moment(e, "fireAtMs"), last=_moment(e, "lastAtMs"))


def _moment(e: Told, name: str) -> str:
    return e.voice.moment(e.payload.get(name))


def _queue_cleaned(e: Told) -> str:
    ended = [e.voice.state(outcome) for outcome in e.several("outcomes")] or [e.say("queue.any_end")]
    return e.say("queue.cleaned", ended=e.say("queue.or").join(ended))


RUN_SENTENCES: Final[Mapping[str, Callable[[Told], str]]] = {
    topics.RUN_CREATED: lambda e: e.say("run.created_one" if e.payload.get("tasks") == 1 else "run.created"),
    topics.RUN_STOPPED: lambda e: e.say("run.stopped"),
    topics.RUN_COMPLETED: _run_completed,
    topics.CAMPAIGN_CREATED: lambda e: e.say("campaign.created"),
    topics.CAMPAIGN_CHANGED: lambda e: e.say("campaign.changed"),
    topics.CAMPAIGN_PAUSED: _campaign_is("campaign.paused"),
    topics.CAMPAIGN_RESUMED: _campaign_is("campaign.resumed"),
    topics.CAMPAIGN_COMPLETED: _campaign_is("campaign.completed"),
    topics.CAMPAIGN_REMOVED: _campaign_is("campaign.removed"),
    topics.CAMPAIGN_FIRED: _campaign_time("campaign.fired"),
    topics.CAMPAIGN_WAITING: _campaign_time("campaign.waiting"),
    topics.CAMPAIGN_SKIPPED: _campaign_time("campaign.skipped"),
    topics.CAMPAIGN_MISSED: _campaign_missed,
    topics.QUEUE_CONFIGURED: lambda e: e.say("queue.configured", rate=e.say_if("ratePerMin", "queue.rate")),
    topics.QUEUE_PAUSED: lambda e: e.say("queue.paused"),
    topics.QUEUE_RESUMED: lambda e: e.say("queue.resumed"),
    topics.QUEUE_DRAINING: lambda e: e.say("queue.draining"),
    topics.QUEUE_DISCARDED: lambda e: e.say("queue.discarded"),
    topics.QUEUE_CLEANED: _queue_cleaned,
    topics.QUEUE_DEGRADED: lambda e: e.say("queue.degraded"),
    topics.QUEUE_RECOVERED: lambda e: e.say("queue.recovered"),
}
