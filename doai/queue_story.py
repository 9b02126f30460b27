"""Events of queues as sentences (step 14); see doai.story."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from doai import topics

Payload = Mapping[str, Any]
_TEXT_MAX: Final = 300


def _changed(what: str) -> Callable[[Payload], str]:
    return lambda p: f"Queue {_word(p, 'name')} {what} by {_word(p, 'actor')}{_because(p)}"


def _configured(p: Payload) -> str:
    rate = f", {p['ratePerMin']} tasks a minute" if p.get("ratePerMin") else ""
    settings = f"priority {p.get('priority', 0)}, degraded above {p.get('degradedAbove', 0)} waiting{rate}"
    return f"Queue {_word(p, 'name')} was configured by {_word(p, 'actor')}: {settings}"


def _discarded(p: Payload) -> str:
    return f"{p.get('tasks', 0)} tasks that waited in queue {_word(p, 'name')} are thrown away{_because(p)}"


def _cleaned(p: Payload) -> str:
    runs = " or ".join(str(outcome) for outcome in p.get("outcomes") or ("ended",))
    what = f"{p.get('tasks', 0)} tasks of {p.get('runs', 0)} {runs} runs of queue {_word(p, 'name')}"
    return f"{what} are removed for good, by {_word(p, 'actor')}{_because(p)}"


def _backlog(what: str) -> Callable[[Payload], str]:
    return lambda p: f"Queue {_word(p, 'name')} {what}: {p.get('waiting', 0)} tasks wait"


def _because(p: Payload) -> str:
    return f": {_word(p, 'reason')}" if p.get("reason") else ""


def _word(p: Payload, name: str) -> str:
    return str(p.get(name) or "?")[:_TEXT_MAX]


QUEUE_SENTENCES: Final[Mapping[str, Callable[[Payload], str]]] = {
    topics.QUEUE_CONFIGURED: _configured,
    topics.QUEUE_PAUSED: _changed("was paused"),
    topics.QUEUE_RESUMED: _changed("was resumed"),
    topics.QUEUE_DRAINING: _changed("takes no new runs and ends what it has,"),
    topics.QUEUE_DISCARDED: _discarded,
    topics.QUEUE_CLEANED: _cleaned,
    topics.QUEUE_DEGRADED: _backlog("is degraded"),
    topics.QUEUE_RECOVERED: _backlog("is no longer degraded"),
}
