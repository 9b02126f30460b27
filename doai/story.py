"""An event as one sentence that a person reads: what happened, to what, why (step 14).

Pure and a leaf: a payload is the camelCase map of the catalogue, in which fields that have their default may be
missing. An event of a type that is not known here (a newer broker's) still gets a sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from doai import topics
from doai.moments import duration, moment
from doai.queue_story import QUEUE_SENTENCES

Payload = Mapping[str, Any]
_TEXT_MAX: Final = 300
"""Longer texts are cut: a story is read line by line, the event has the whole."""


def sentence(event_type: str, payload: Payload) -> str:
    """Return what an event says, as one line of text; never raises, whatever the payload holds."""
    told = _SENTENCES.get(event_type)
    text = told(payload) if told is not None else f"{event_type}{_known_ids(payload)}"
    return "".join(character if character.isprintable() else " " for character in text)


def _word(payload: Payload, name: str, missing: str = "?") -> str:
    value = payload.get(name)
    text = missing if value is None or value == "" else str(value)
    return text if len(text) <= _TEXT_MAX else text[: _TEXT_MAX - 1] + "…"


def _part(payload: Payload, name: str) -> Payload:
    value = payload.get(name)
    return value if isinstance(value, Mapping) else {}


def _because(payload: Payload) -> str:
    """``: why``, with the failure's step and code where there is one."""
    failure = _part(payload, "failure")
    message = failure.get("message") or payload.get("reason")
    if not message:
        return ""
    step = f" in step {failure['step']}" if failure.get("step") else ""
    return f"{step}: {_word({'m': message}, 'm')}"


def _attempt(payload: Payload) -> str:
    number = payload.get("attempt", 1)
    return f"attempt {number}"


def _try(payload: Payload) -> str:
    number = payload.get("tryNumber", 1)
    return f" (try {number})" if number != 1 else ""


def _known_ids(payload: Payload) -> str:
    names = ("taskId", "runId", "serial", "deviceSerial", "nodeId", "bot", "name")
    found = [f"{name} {payload[name]}" for name in names if payload.get(name)]
    return f" ({', '.join(found)})" if found else ""


def _device_online(p: Payload) -> str:
    what = [_word(p, "model", ""), f"Android {p['android']}" if p.get("android") else ""]
    about = ", ".join(part for part in what if part)
    return f"Device {_word(p, 'serial')} is online on node {_word(p, 'nodeId')}{f' ({about})' if about else ''}"


def _device_offline(p: Payload) -> str:
    return (
        f"Device {_word(p, 'serial')} on node {_word(p, 'nodeId')} is {_word(p, 'state', 'offline')}{_because(p)}"
    )


def _device_error(p: Payload) -> str:
    return f"Device {_word(p, 'serial')} on node {_word(p, 'nodeId')} needs a person{_because(p)}"


def _quarantined(what: str, name: str) -> Callable[[Payload], str]:
    def told(p: Payload) -> str:
        until = p.get("untilMs")
        term = f"until {moment(until)}" if until is not None else "until it is released"
        by = f" by {_word(p, 'actor')}" if p.get("actor") else ""
        return f"{what} {_word(p, name)} is given no tasks {term}{by}{_because(p)}"

    return told


def _device_held(p: Payload) -> str:
    again = "stays held" if p.get("extended") else "is held"
    left = p.get("tasksLeft", 0)
    after = f", after the {_word(p, 'tasksLeft')} tasks its node has" if left else ""
    return (
        f"Device {_word(p, 'serial')} {again} for {_word(p, 'actor')} until {moment(p.get('untilMs'))}"
        f"{after}{_because(p)}"
    )


def _device_released(p: Payload) -> str:
    if not p.get("hold"):
        return _released("Device", "serial")(p)
    by = f" by {_word(p, 'actor')}" if p.get("actor") else ""
    return f"Device {_word(p, 'serial')} is given back{by}, it is held for nobody{_because(p)}"


def _released(what: str, name: str) -> Callable[[Payload], str]:
    def told(p: Payload) -> str:
        by = f" by {_word(p, 'actor')}" if p.get("actor") else ""
        return f"{what} {_word(p, name)} is given tasks as before{by}{_because(p)}"

    return told


def _node_registered(p: Payload) -> str:
    return f"Node {_word(p, 'nodeId')} was seen for the first time, on host {_word(p, 'host')}"


def _node_online(p: Payload) -> str:
    return (
        f"Node {_word(p, 'nodeId')} is online (host {_word(p, 'host')}, doai {_word(p, 'version')}, "
        f"{_word(p, 'slots', '0')} slots)"
    )


def _node_is(state: str) -> Callable[[Payload], str]:
    return lambda p: f"Node {_word(p, 'nodeId')} is {state}{_because(p)}"


def _bot_registered(p: Payload) -> str:
    version = f", version {_word(p, 'version')}" if p.get("version") else ""
    return f"Bot {_word(p, 'bot')} registered ({_word(p, 'instance')}{version})"


def _bot_status_changed(p: Payload) -> str:
    return f"Bot {_word(p, 'bot')} ({_word(p, 'instance')}) is {_word(p, 'status')}{_because(p)}"


def _task_queued(p: Payload) -> str:
    target = f"device {p['deviceSerial']}" if p.get("deviceSerial") else "any device that matches"
    again = f", {_attempt(p)}" if p.get("attempt", 1) != 1 else ""
    return f"Task waits in queue {_word(p, 'queue', 'default')} for {target}{again}"


def _task_dispatched(p: Payload) -> str:
    return f"Task given to node {_word(p, 'nodeId')} for device {_word(p, 'deviceSerial')} ({_attempt(p)})"


def _task_started(p: Payload) -> str:
    return f"Task started on device {_word(p, 'deviceSerial')} ({_attempt(p)})"


def _task_completed(p: Payload) -> str:
    return f"Task passed on device {_word(p, 'deviceSerial')} after {duration(p.get('durationMs'))} ({_attempt(p)})"


def _task_failed(p: Payload) -> str:
    # Also the broker's own TaskStatus, which names no device and no attempt.
    if "durationMs" not in p:
        return f"Task failed{_because(p)}"
    return f"Task failed on device {_word(p, 'deviceSerial')} after {duration(p['durationMs'])}{_because(p)}"


def _task_retried(p: Payload) -> str:
    return f"Attempt {p.get('attempt', 1)} {_word(p, 'outcome', 'failed')}, another one follows{_because(p)}"


def _task_released(p: Payload) -> str:
    return (
        f"Task given back by device {_word(p, 'deviceSerial')}, it waits again and no attempt was used{_because(p)}"
    )


def _task_late(p: Payload) -> str:
    return (
        f"A result of {_attempt(p)} came too late ({_word(p, 'outcome')} on device {_word(p, 'deviceSerial')}); "
        f"it changes nothing{_because(p)}"
    )


def _task_cancelled(p: Payload) -> str:
    if "durationMs" in p:
        return f"Task cancelled on device {_word(p, 'deviceSerial')} after {duration(p['durationMs'])}{_because(p)}"
    return f"Task cancelled{_because(p)}"


def _task_unknown(p: Payload) -> str:
    return f"Nobody can know how the task ended{_because(p)}"


def _attempt_ended(p: Payload) -> str:
    if p.get("released"):
        return f"Attempt {p.get('attempt', 1)} was given back untouched by device {_word(p, 'deviceSerial')}"
    return (
        f"Attempt {p.get('attempt', 1)} {_word(p, 'outcome')} on device {_word(p, 'deviceSerial')} "
        f"after {duration(p.get('durationMs'))}{_because(p)}"
    )


def _step_started(p: Payload) -> str:
    label = f" - {_word(p, 'label')}" if p.get("label") else ""
    return f"Step {_word(p, 'stepId')} ({_word(p, 'use')}) started{_try(p)}{label}"


def _step_completed(p: Payload) -> str:
    if p.get("skipped"):
        return f"Step {_word(p, 'stepId')} was skipped: its condition was false"
    return f"Step {_word(p, 'stepId')} passed after {duration(p.get('durationMs'))}{_try(p)}"


def _step_failed(p: Payload) -> str:
    # The step is named already, so only the message of the failure follows.
    message = _word(_part(p, "failure"), "message", "no reason was given")
    follows = (
        "; it is tried again" if p.get("retried") else "; the task goes on without it" if p.get("optional") else ""
    )
    return f"Step {_word(p, 'stepId')} failed after {duration(p.get('durationMs'))}{_try(p)}: {message}{follows}"


def _run_created(p: Payload) -> str:
    return (
        f"Run of {_word(p, 'workflow')} made by {_word(p, 'actor')}: {_word(p, 'tasks', '0')} tasks "
        f"in queue {_word(p, 'queue', 'default')}"
    )


def _device_described(p: Payload) -> str:
    said = [f"{name} {p[name]}" for name in ("label", "shelf") if p.get(name)]
    said += [f"{name} {', '.join(p[name])}" for name in ("tags", "groups") if p.get(name)]
    what = "; ".join(said) or "nothing is said of it"
    return f"Device {_word(p, 'serial')} described by {_word(p, 'actor')}: {what}"


def _run_completed(p: Payload) -> str:
    counts = ", ".join(f"{n} {outcome}" for outcome, n in sorted(_part(p, "counts").items()) if n)
    return f"Run of {_word(p, 'workflow')} {_word(p, 'outcome')}{f' ({counts})' if counts else ''}"


def _campaign_put(what: str) -> Callable[[Payload], str]:
    return lambda p: (
        f"Campaign {_word(p, 'name')} {what} by {_word(p, 'actor')}: {_word(p, 'workflow')}, {_word(p, 'schedule')}"
    )


def _campaign_is(what: str) -> Callable[[Payload], str]:
    return lambda p: f"Campaign {_word(p, 'name')} {what} by {_word(p, 'actor', 'the broker')}{_because(p)}"


def _campaign_time(what: str) -> Callable[[Payload], str]:
    def told(p: Payload) -> str:
        by = f"by hand of {_word(p, 'actor')}" if p.get("actor") else f"for {moment(p.get('fireAtMs'))}"
        run = f", run {_word(p, 'runId')}" if p.get("runId") else ""
        return f"Campaign {_word(p, 'name')} {what} {by}{run}{_because(p)}"

    return told


def _campaign_missed(p: Payload) -> str:
    first, last = moment(p.get("fireAtMs")), moment(p.get("lastAtMs"))
    return f"Campaign {_word(p, 'name')} missed {_word(p, 'times')} of its times, {first} to {last}{_because(p)}"


def _artifact_stored(p: Payload) -> str:
    return f"File of step {_word(p, 'stepId')} stored: {_word(p, 'path')} ({_word(p, 'sizeBytes', '0')} bytes)"


def _health_check_completed(p: Payload) -> str:
    found = "healthy" if p.get("healthy") else "not healthy"
    values = ", ".join(f"{name} {value}" for name, value in sorted(_part(p, "values").items()))
    return f"Device {_word(p, 'serial')} is {found}{f' ({values})' if values else ''}"


def _system_error(p: Payload) -> str:
    return f"Something went wrong inside doai ({_word(p, 'code')}): {_word(p, 'message')}"


def _system_alert(p: Payload) -> str:
    return f"An operator is needed ({_word(p, 'code')}): {_word(p, 'message')}"


def _incident(what: str) -> Callable[[Payload], str]:
    def told(p: Payload) -> str:
        by = f" by {_word(p, 'actor')}" if p.get("actor") else ""
        note = f" ({_word(p, 'note')})" if p.get("note") else ""
        return f"Incident {_word(p, 'incidentType')} {what}{by}{note}: {_word(p, 'message')}"

    return told


def _workflow_is(what: str) -> Callable[[Payload], str]:
    return lambda p: f"Workflow {_word(p, 'name')}@{_word(p, 'version')} {what} by {_word(p, 'actor')}"


def _node_enrolled(p: Payload) -> str:
    what = "may change its key" if p.get("rotation") else "may join"
    return f"Node {_word(p, 'nodeId')} {what} once until {moment(p.get('expiresAtMs'))}, by {_word(p, 'actor')}"


def _node_joined(p: Payload) -> str:
    key = "a new key, in force once it is used" if p.get("rotation") else "its key"
    return f"Node {_word(p, 'nodeId')} joined with {key}"


def _deadletter_created(p: Payload) -> str:
    size = f" ({_word(p, 'dataBytes')} bytes)" if p.get("dataBytes") else ""
    whats = {"task": "Task gave up", "event": "An event gave up"}
    what = whats.get(_word(p, "kind"), f"A message of node {_word(p, 'nodeId')}{size} gave up")
    return f"{what} and waits for a person as dead letter {_word(p, 'letterId')}: {_word(p, 'message')}"


def _file_stored(p: Payload) -> str:
    version = f"{_word(p, 'name')}@{_word(p, 'version')}"
    origin = f" from {_word(p, 'origin')}" if p.get("origin") else ""
    return f"File {version} ({_word(p, 'sizeBytes', '0')} bytes) stored by {_word(p, 'actor')}{origin}"


def _file_removed(p: Payload) -> str:
    return f"File {_word(p, 'name')}@{_word(p, 'version')} removed by {_word(p, 'actor')}"


_SENTENCES: Final[Mapping[str, Callable[[Payload], str]]] = {
    **QUEUE_SENTENCES,
    topics.DEVICE_ONLINE: _device_online,
    topics.DEVICE_OFFLINE: _device_offline,
    topics.DEVICE_ERROR: _device_error,
    topics.DEVICE_DESCRIBED: _device_described,
    topics.DEVICE_QUARANTINED: _quarantined("Device", "serial"),
    topics.DEVICE_HELD: _device_held,
    topics.DEVICE_RELEASED: _device_released,
    topics.DEADLETTER_CREATED: _deadletter_created,
    topics.DEADLETTER_RETRIED: lambda p: (
        f"Task is tried again by {_word(p, 'actor')}, as task {_word(p, 'retriedAs')}"
    ),
    topics.DEADLETTER_DISCARDED: lambda p: f"Dead letter discarded by {_word(p, 'actor')}{_because(p)}",
    topics.NODE_REGISTERED: _node_registered,
    topics.NODE_ONLINE: _node_online,
    topics.NODE_LATE: _node_is("late"),
    topics.NODE_OFFLINE: _node_is("offline"),
    topics.NODE_QUARANTINED: _quarantined("Node", "nodeId"),
    topics.NODE_RELEASED: _released("Node", "nodeId"),
    topics.NODE_ENROLLED: _node_enrolled,
    topics.NODE_JOINED: _node_joined,
    topics.NODE_REVOKED: lambda p: f"The key of node {_word(p, 'nodeId')} was revoked by {_word(p, 'actor')}",
    topics.NODE_REKEYED: lambda p: f"Node {_word(p, 'nodeId')} uses its new key: the one before is refused",
    topics.PLUGIN_CHANGED: lambda p: f"Node {_word(p, 'nodeId')} has other plug-ins",
    topics.BOT_REGISTERED: _bot_registered,
    topics.BOT_REPORTED: lambda p: f"Bot {_word(p, 'bot')} reported ({_word(p, 'kind')}): {_word(p, 'title')}",
    topics.BOT_STATUS_CHANGED: _bot_status_changed,
    topics.TASK_QUEUED: _task_queued,
    topics.TASK_DISPATCHED: _task_dispatched,
    topics.TASK_STARTED: _task_started,
    topics.TASK_COMPLETED: _task_completed,
    topics.TASK_FAILED: _task_failed,
    topics.TASK_RETRIED: _task_retried,
    topics.TASK_RELEASED: _task_released,
    topics.TASK_LATE: _task_late,
    topics.TASK_CANCELLING: lambda p: f"Cancelling is asked for, the holder has not confirmed it{_because(p)}",
    topics.TASK_CANCELLED: _task_cancelled,
    topics.TASK_EXPIRED: lambda p: f"Task expired before it began{_because(p)}",
    topics.TASK_UNKNOWN: _task_unknown,
    topics.TASK_UNPROVEN: lambda p: f"No word from the holder: the task is held, not failed{_because(p)}",
    topics.TASK_PROVEN: lambda p: f"The holder spoke of the task again{_because(p)}",
    topics.ATTEMPT_ENDED: _attempt_ended,
    topics.STEP_STARTED: _step_started,
    topics.STEP_COMPLETED: _step_completed,
    topics.STEP_FAILED: _step_failed,
    topics.RUN_CREATED: _run_created,
    topics.RUN_STOPPED: lambda p: f"Run stopped, what waited is cancelled{_because(p)}",
    topics.RUN_COMPLETED: _run_completed,
    topics.CAMPAIGN_CREATED: _campaign_put("made"),
    topics.CAMPAIGN_CHANGED: _campaign_put("changed"),
    topics.CAMPAIGN_PAUSED: _campaign_is("paused"),
    topics.CAMPAIGN_RESUMED: _campaign_is("resumed"),
    topics.CAMPAIGN_COMPLETED: _campaign_is("ended"),
    topics.CAMPAIGN_REMOVED: _campaign_is("removed"),
    topics.CAMPAIGN_FIRED: _campaign_time("fired"),
    topics.CAMPAIGN_WAITING: _campaign_time("waits for its run before to end,"),
    topics.CAMPAIGN_SKIPPED: _campaign_time("made no run"),
    topics.CAMPAIGN_MISSED: _campaign_missed,
    topics.ARTIFACT_STORED: _artifact_stored,
    topics.HEALTH_CHECK_COMPLETED: _health_check_completed,
    topics.SYSTEM_ERROR: _system_error,
    topics.INCIDENT_OPENED: _incident("opened"),
    topics.INCIDENT_ACKNOWLEDGED: _incident("is looked after"),
    topics.INCIDENT_RESOLVED: _incident("is over"),
    topics.SYSTEM_ALERT: _system_alert,
    topics.FILE_STORED: _file_stored,
    topics.FILE_REMOVED: _file_removed,
    topics.WORKFLOW_STORED: _workflow_is("stored"),
    topics.WORKFLOW_ACTIVATED: _workflow_is("made active"),
    topics.WORKFLOW_ARCHIVED: _workflow_is("archived"),
    topics.SECRET_STORED: lambda p: f"Secret {_word(p, 'name')} was set by {_word(p, 'actor')}",
    topics.SECRET_REMOVED: lambda p: f"Secret {_word(p, 'name')} was removed by {_word(p, 'actor')}",
}
