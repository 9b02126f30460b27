"""Names of events and of what they are about: the catalogue's types, subjects, and patterns over them (step 13)."""

from __future__ import annotations

import functools
import re
from typing import Final

DEVICE_ONLINE: Final = "device.online"
DEVICE_OFFLINE: Final = "device.offline"
DEVICE_ERROR: Final = "device.error"
DEVICE_DESCRIBED: Final = "device.described"
DEVICE_QUARANTINED: Final = "device.quarantined"
DEADLETTER_CREATED: Final = "deadletter.created"
DEADLETTER_RETRIED: Final = "deadletter.retried"
DEADLETTER_DISCARDED: Final = "deadletter.discarded"
DEVICE_HELD: Final = "device.held"
DEVICE_RELEASED: Final = "device.released"
NODE_ONLINE: Final = "node.online"
NODE_LATE: Final = "node.late"
NODE_OFFLINE: Final = "node.offline"
NODE_REGISTERED: Final = "node.registered"
NODE_QUARANTINED: Final = "node.quarantined"
NODE_RELEASED: Final = "node.released"
NODE_ENROLLED: Final = "node.enrolled"
NODE_JOINED: Final = "node.joined"
NODE_REVOKED: Final = "node.revoked"
NODE_REKEYED: Final = "node.rekeyed"
PLUGIN_CHANGED: Final = "plugin.changed"
BOT_REGISTERED: Final = "bot.registered"
BOT_REPORTED: Final = "bot.report.published"
BOT_STATUS_CHANGED: Final = "bot.status.changed"
TASK_QUEUED: Final = "task.queued"
TASK_DISPATCHED: Final = "task.dispatched"
TASK_STARTED: Final = "task.started"
TASK_COMPLETED: Final = "task.completed"
TASK_FAILED: Final = "task.failed"
TASK_CANCELLING: Final = "task.cancelling"
TASK_CANCELLED: Final = "task.cancelled"
TASK_EXPIRED: Final = "task.expired"
TASK_UNKNOWN: Final = "task.unknown"
TASK_RETRIED: Final = "task.retried"
TASK_RELEASED: Final = "task.released"
TASK_UNPROVEN: Final = "task.unproven"
TASK_PROVEN: Final = "task.proven"
TASK_LATE: Final = "task.late"
ATTEMPT_ENDED: Final = "attempt.ended"
STEP_STARTED: Final = "step.started"
STEP_COMPLETED: Final = "step.completed"
STEP_FAILED: Final = "step.failed"
RUN_CREATED: Final = "run.created"
RUN_STOPPED: Final = "run.stopped"
RUN_COMPLETED: Final = "run.completed"
CAMPAIGN_CREATED: Final = "campaign.created"
CAMPAIGN_CHANGED: Final = "campaign.changed"
CAMPAIGN_PAUSED: Final = "campaign.paused"
CAMPAIGN_RESUMED: Final = "campaign.resumed"
CAMPAIGN_FIRED: Final = "campaign.fired"
CAMPAIGN_WAITING: Final = "campaign.waiting"
CAMPAIGN_SKIPPED: Final = "campaign.skipped"
CAMPAIGN_MISSED: Final = "campaign.missed"
CAMPAIGN_COMPLETED: Final = "campaign.completed"
CAMPAIGN_REMOVED: Final = "campaign.removed"
ARTIFACT_STORED: Final = "artifact.stored"
HEALTH_CHECK_COMPLETED: Final = "health.check.completed"
SYSTEM_ERROR: Final = "system.error"
SYSTEM_ALERT: Final = "system.alert"
WORKFLOW_STORED: Final = "workflow.stored"
WORKFLOW_ACTIVATED: Final = "workflow.activated"
WORKFLOW_ARCHIVED: Final = "workflow.archived"
FILE_STORED: Final = "file.stored"
FILE_REMOVED: Final = "file.removed"
INCIDENT_OPENED: Final = "incident.opened"
INCIDENT_ACKNOWLEDGED: Final = "incident.acknowledged"
INCIDENT_RESOLVED: Final = "incident.resolved"
QUEUE_CONFIGURED: Final = "queue.configured"
QUEUE_PAUSED: Final = "queue.paused"
QUEUE_RESUMED: Final = "queue.resumed"
QUEUE_DRAINING: Final = "queue.draining"
QUEUE_DISCARDED: Final = "queue.discarded"
QUEUE_CLEANED: Final = "queue.cleaned"
QUEUE_DEGRADED: Final = "queue.degraded"
QUEUE_RECOVERED: Final = "queue.recovered"
SECRET_STORED: Final = "secret.stored"  # noqa: S105 - the name of an event
SECRET_REMOVED: Final = "secret.removed"  # noqa: S105

NODE_HOST: Final = "node.host"
"""Of samples: how the host of a node is."""

_TYPE: Final = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*){1,2}")


_WORD: Final = r"(?:\*|[a-z][a-z0-9_]*)"
_PATTERN: Final = re.compile(rf"\*\*|{_WORD}(?:\.{_WORD}){{0,3}}(?:\.\*\*)?")
_KIND: Final = re.compile(r"[a-z][a-z0-9_-]*(\.[a-z][a-z0-9_-]*){0,3}")


def is_pattern(text: str) -> bool:
    """Whether the text is a pattern of types that `matches` understands."""
    return len(text) <= 100 and _PATTERN.fullmatch(text) is not None


def is_kind(text: str) -> bool:
    """Whether the text can name a kind of tasks of bots: up to four lowercase words joined by dots."""
    return len(text) <= 100 and _KIND.fullmatch(text) is not None


def is_type(text: str) -> bool:
    """Whether the text has the form of a type: two or three lowercase words joined by dots."""
    return _TYPE.fullmatch(text) is not None


def task_subject(task_id: str) -> str:
    return f"task/{task_id}"


def run_subject(run_id: str) -> str:
    return f"run/{run_id}"


def device_subject(serial: str) -> str:
    return f"device/{serial}"


def node_subject(node_id: str) -> str:
    return f"node/{node_id}"


def campaign_subject(name: str) -> str:
    return f"campaign/{name}"


def bot_subject(name: str) -> str:
    return f"bot/{name}"


def report_subject(bot: str) -> str:
    """Return the subject of what a bot reports."""
    return f"report/{bot}"


def subscription_subject(bot: str, name: str) -> str:
    return f"subscription/{bot}/{name}"


def kind_subject(kind: str) -> str:
    return f"kind/{kind}"


def queue_subject(name: str) -> str:
    return f"queue/{name}"


def file_subject(name: str) -> str:
    return f"file/{name}"


@functools.lru_cache(maxsize=4096)
def matches(pattern: str, event_type: str) -> bool:
    """Whether a type matches a pattern: ``*`` stands for one word, a last ``**`` for any rest."""
    wanted, words = pattern.split("."), event_type.split(".")
    if wanted[-1] == "**":
        wanted = wanted[:-1]
        words = words[: len(wanted)]
    return len(wanted) == len(words) and all(w in ("*", word) for w, word in zip(wanted, words, strict=True))
