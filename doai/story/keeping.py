"""Events of incidents, dead letters, and of what is kept: files, workflows, secrets (step 14)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from doai import topics
from doai.story.told import Told

_LETTERS: Final = {"task": "deadletter.task", "event": "deadletter.event"}


def _deadletter_created(e: Told) -> str:
    key = _LETTERS.get(e.word("kind"), "deadletter.of_node")
    what = e.say(key, size=e.say_if("dataBytes", "deadletter.size"))
    return e.say("deadletter.created", what=what, message=e.voice.why(e.word("message"), e.payload.get("code")))


KEEPING_SENTENCES: Final[Mapping[str, Callable[[Told], str]]] = {
    topics.DEADLETTER_CREATED: _deadletter_created,
    topics.DEADLETTER_RETRIED: lambda e: e.say("deadletter.retried"),
    topics.DEADLETTER_DISCARDED: lambda e: e.say("deadletter.discarded"),
    topics.INCIDENT_OPENED: lambda e: e.say("incident.opened"),
    topics.INCIDENT_ACKNOWLEDGED: lambda e: e.say("incident.acknowledged"),
    topics.INCIDENT_RESOLVED: lambda e: e.say("incident.resolved"),
    topics.SYSTEM_ERROR: lambda e: e.say("system.error"),
    topics.SYSTEM_ALERT: lambda e: e.say("system.alert"),
    topics.ARTIFACT_STORED: lambda e: e.say("artifact.stored"),
    topics.FILE_STORED: lambda e: e.say("file.stored", origin=e.say_if("origin", "file.origin")),
    topics.FILE_REMOVED: lambda e: e.say("file.removed"),
    topics.WORKFLOW_STORED: lambda e: e.say("workflow.stored"),
    topics.WORKFLOW_ACTIVATED: lambda e: e.say("workflow.activated"),
    topics.WORKFLOW_ARCHIVED: lambda e: e.say("workflow.archived"),
    topics.SECRET_STORED: lambda e: e.say("secret.stored"),
    topics.SECRET_REMOVED: lambda e: e.say("secret.removed"),
}
