"""Why a task waits or is held now, and its place in the line: told from what the store holds now (step 14).

Pure. What the broker wrote when the task was queued goes stale; this is made anew for each who asks.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from doai.changes.queues import QueueRow
from doai.changes.rows import DeviceRow, Hold, NodeRow, Quarantine, TaskRow
from doai.changes.runs import read_bounds
from doai.limits import TASKS_PER_DEVICE_HELD
from doai.messages.commands import Selector, TargetKind
from doai.moments import moment
from doai.states import HELD, TERMINAL, DeviceState, PeerState, QueueState, RunState, ServiceState, TaskState
from doai.store.views import DeviceView, RunView
from doai.workflow.language import Requires
from doai.workflow.selection import DeviceFacts, matches, unmet_requirement, why_none_matches

_TROUBLES_NAMED_MAX = 3
"""Devices named in one sentence about a pool; a person looks at the first ones."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """One device as it is now, with its node; what is None was never seen."""

    device: DeviceRow | None
    node: NodeRow | None
    intake_closed: str = ""
    """Why the node starts no new task, as its newest heartbeat said."""


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What decides about a waiting task."""

    now_ms: int
    ahead: int
    """Queued tasks before it, of its device or, for any device, of its run."""
    held: Sequence[TaskRow]
    """Tasks that nodes hold on its device; empty for any device."""
    node_held: int
    """Tasks its node holds in all."""
    place: Place | None = None
    """Of its device, if it is bound to one."""
    places: Sequence[Place] = ()
    """Every known device, for a task that goes to any that matches."""
    selector: Selector | None = None
    requires: Requires | None = None
    queue: QueueRow | None = None
    """Of the task."""
    run: RunView | None = None
    """Of a task that waits in line."""


def service_of(quarantine: Quarantine | None, now_ms: int) -> ServiceState:
    """Return how a device or node stands, by its row."""
    if quarantine is None:
        return ServiceState.IN_SERVICE
    ended = quarantine.until_ms is not None and quarantine.until_ms <= now_ms
    return ServiceState.PROBING if ended else ServiceState.QUARANTINED


def position(row: TaskRow, around: Surroundings) -> int | None:
    """Return its place among those that wait, from 1; None when it does not wait in line."""
    return around.ahead + 1 if row.status.state is TaskState.QUEUED else None


def waiting_because(row: TaskRow, around: Surroundings) -> str | None:
    """Return one sentence on what it waits for or why it is held; None while it runs and after its end."""
    state = row.status.state
    if state in TERMINAL or state is TaskState.RUNNING:
        return None
    if state is TaskState.QUEUED:
        closed = _closed(around.queue) or _held_up(row, around.run)
        if closed:
            return closed
        limited = _limited(around.queue)
        if row.target_kind is TargetKind.BOT:
            return limited + (row.status.reason or "no process of a bot has taken it yet")
        why = _any_device(row, around) if row.status.device_serial is None else _own_device(row, around)
        return limited + why
    if state is TaskState.DELAYED:
        return _delayed(row, around.now_ms)
    if state is TaskState.DISPATCHED:
        return _dispatched(row, around)
    # Unproven or being cancelled: its holder must speak.
    asked = "has not confirmed that it is cancelled" if state is TaskState.CANCELLING else "does not vouch for it"
    settled = "it is held until the node reports, or until it can no longer act on it"
    node = around.place.node if around.place is not None else None
    silent = f", which is {node.state} ({node.state_reason})" if node is not None and _is_silent(node) else ""
    return f"node {row.status.node_id}{silent} {asked}; {settled}"


def told_now(row: TaskRow, around: Surroundings) -> str | None:
    """Return how the story of a task ends for now: why it waits and its place; None while it runs."""
    why, place = waiting_because(row, around), position(row, around)
    if why is None:
        return None
    line = f" (number {place} in line)" if place is not None else ""
    return f"{row.status.state.value.capitalize()}, waiting because {why}{line}"


def out_of_service(title: str, quarantine: Quarantine | None, now_ms: int) -> str | None:
    """Return how the story of a device or node ends for now; None when it is given tasks as ever."""
    if quarantine is None:
        return None
    if service_of(quarantine, now_ms) is ServiceState.PROBING:
        return f"{title} is tried with one task at a time after its quarantine: {_why(quarantine)}"
    return f"{title} is quarantined {_term(quarantine, now_ms)}: {_why(quarantine)}"


def hold_now(hold: Hold, tasks_left: int) -> str:
    """Return how a reserved device stands, for whom, until when and why."""
    if tasks_left:
        return f"holding after {'current task' if tasks_left == 1 else f'{tasks_left} tasks'} for {hold.by}"
    return _held(hold)


def device_now(device: DeviceView, now_ms: int) -> str | None:
    """Return how the story of a device ends for now; None when it is given tasks as ever."""
    title, hold = f"Device {device.row.serial}", device.row.hold
    quarantined = out_of_service(title, device.row.quarantine, now_ms)
    held = f"{title} is {hold_now(hold, device.tasks_held)}" if hold is not None else None
    return "; ".join(sentence for sentence in (held, quarantined) if sentence) or None


def run_now(run: RunView) -> str | None:
    """Return how the story of a run ends for now: how its tasks stand; None when it has ended."""
    if run.row.state is RunState.COMPLETED:
        return None
    counts = [f"{run.counts[state.value]} {state.value}" for state in TaskState if run.counts.get(state.value)]
    ended = sum(run.counts.get(state.value, 0) for state in TERMINAL)
    stopped = f"stopped, because {run.row.stopped}" if run.row.stopped else run.row.state.value
    return f"Run is {stopped}: {ended} of {_many(run.row.tasks)} ended ({', '.join(counts)})"


def node_now(node: NodeRow, now_ms: int) -> str:
    """Return how the story of a node ends for now."""
    title = f"Node {node.node_id}"
    return out_of_service(title, node.quarantine, now_ms) or f"{title} is {node.state} ({node.state_reason})"


def _held(hold: Hold) -> str:
    because = f" because {hold.reason}" if hold.reason else ""
    return f"held by {hold.by} until {moment(hold.until_ms)}{because}"


def _why(quarantine: Quarantine) -> str:
    return quarantine.reason or "no reason was given"


def _delayed(row: TaskRow, now_ms: int) -> str:
    status = row.status
    left_s = max(0, round(((status.not_before_ms or 0) - now_ms) / 1000))
    because = f", because the one before failed: {status.failure.message}" if status.failure is not None else ""
    return f"attempt {status.attempt} follows in {left_s} s{because}"


def _dispatched(row: TaskRow, around: Surroundings) -> str:
    status = row.status
    trouble = _trouble(around.place, around.now_ms, taken=True)
    if trouble:
        return trouble
    running = next((task for task in around.held if task.status.state is TaskState.RUNNING), None)
    if running is not None:
        return (
            f"node {status.node_id} has it and begins it when device {status.device_serial} ends {_named(running)}"
        )
    node = around.place.node if around.place is not None else None
    if node is not None and around.node_held > node.slots:
        return (
            f"all {node.slots} slots of node {node.node_id} are busy; it has the task and begins it in a free one"
        )
    return f"node {status.node_id} has it and begins it as soon as it has a free slot"


def _closed(queue: QueueRow | None) -> str:
    """Why nothing of its queue is given out."""
    if queue is None or queue.state is not QueueState.PAUSED:
        return ""
    why = f": {queue.reason}" if queue.reason else ""
    return f"queue {queue.name} is paused by {queue.changed_by}{why}"


def _held_up(row: TaskRow, run: RunView | None) -> str:
    """Why its run does not let it go yet."""
    if run is None:
        return ""
    bounds, counts = read_bounds(run.row.bounds_body), run.counts
    held = sum(counts.get(state.value, 0) for state in HELD)
    if bounds.max_parallel is not None and held >= bounds.max_parallel:
        return f"{_many(held)} of its run are with nodes, and it lets {bounds.max_parallel} go at once"
    ended = sum(counts.get(state.value, 0) for state in (TaskState.PASSED, TaskState.FAILED, TaskState.UNKNOWN))
    if ended < bounds.canary and row.status.attempt == 1:
        return f"the canary of its run is not over: {ended} of {_many(bounds.canary)} have ended"
    return ""


def _limited(queue: QueueRow | None) -> str:
    """How fast its queue goes, where that is bounded."""
    if queue is None or not queue.rate_per_min:
        return ""
    return f"queue {queue.name} gives out at most {_many(queue.rate_per_min)} a minute; "


def _own_device(row: TaskRow, around: Surroundings) -> str:
    serial, place = row.status.device_serial, around.place
    trouble = _trouble(place, around.now_ms)
    if trouble:
        return trouble
    assert place is not None
    assert place.device is not None
    for task in around.held:
        if task.status.state is TaskState.UNPROVEN or task.status.node_id != place.device.node_id:
            return (
                f"node {task.status.node_id} may still act on device {serial} for {_named(task)}: "
                "there is no second task before that is settled"
            )
    if around.ahead:
        return f"{_many(around.ahead)} before it on device {serial}"
    probed = _probed(place, around)
    if probed:
        return probed
    if len(around.held) >= TASKS_PER_DEVICE_HELD:
        return f"device {serial} has {_many(len(around.held))} already, {_named(around.held[0])} first"
    node = place.node
    if node is not None and around.node_held > node.slots:
        ahead = _many(around.node_held - node.slots)
        return f"all {node.slots} slots of node {node.node_id} are busy, and {ahead} it holds come before"
    return f"node {place.device.node_id} has {_many(around.node_held)} and is given this one when it has room"


def _probed(place: Place, around: Surroundings) -> str:
    device, node = place.device, place.node
    if device is not None and around.held and service_of(device.quarantine, around.now_ms) is ServiceState.PROBING:
        return f"device {device.serial} is tried with one task at a time after its quarantine"
    if node is not None and around.node_held and service_of(node.quarantine, around.now_ms) is ServiceState.PROBING:
        return f"node {node.node_id} is tried with one task at a time after its quarantine"
    return ""


def _any_device(row: TaskRow, around: Surroundings) -> str:
    known = [(place, _facts(place.device)) for place in around.places if place.device is not None]
    selector = around.selector or Selector()
    matching = [(place, facts) for place, facts in known if matches(selector, facts)]
    if not matching:
        why = why_none_matches(selector, [facts for _, facts in known]) if known else "no device was seen yet"
        return f"no device matches: {why}"
    troubles = []
    for place, facts in matching:
        unmet = unmet_requirement(around.requires, facts) if around.requires is not None else None
        missing = f"device {facts.serial} can not run it: {unmet}" if unmet is not None else ""
        troubles.append(missing or _trouble(place, around.now_ms))
    if all(troubles):
        named = "; ".join(troubles[:_TROUBLES_NAMED_MAX])
        more = len(troubles) - _TROUBLES_NAMED_MAX
        rest = f"; and {more} more" if more > 0 else ""
        return f"none of the {len(matching)} devices that match can take it now: {named}{rest}"
    before = f", and {_many(around.ahead)} of its run before it" if around.ahead else ""
    return f"the {len(matching) - sum(map(bool, troubles))} devices that match and work are busy{before}"


def _trouble(place: Place | None, now_ms: int, *, taken: bool = False) -> str:
    """Why a device is given no task at all; ``taken``: why one that its node has already does not begin."""
    device = place.device if place is not None else None
    if place is None or device is None:
        return "its device was not seen yet"
    node = place.node
    if node is not None and _is_silent(node):
        return f"node {node.node_id}, which holds device {device.serial}, is {node.state} ({node.state_reason})"
    if device.state is not DeviceState.ONLINE:
        why = f" ({device.reason})" if device.reason else ""
        return f"device {device.serial} is {device.state.value}{why}"
    if place.intake_closed:
        return f"node {device.node_id} starts no tasks now: {place.intake_closed}"
    if taken:
        return ""
    if device.hold is not None:
        return f"device {device.serial} is {_held(device.hold)}"
    for title, quarantine in (
        (f"device {device.serial}", device.quarantine),
        (f"node {device.node_id}", node.quarantine if node is not None else None),
    ):
        if quarantine is not None and service_of(quarantine, now_ms) is ServiceState.QUARANTINED:
            return f"{title} is quarantined {_term(quarantine, now_ms)}: {_why(quarantine)}"
    return ""


def _term(quarantine: Quarantine, now_ms: int) -> str:
    if quarantine.until_ms is None:
        return f"by {quarantine.by} until it is released"
    return f"for another {max(0, round((quarantine.until_ms - now_ms) / 1000))} s"


def _is_silent(node: NodeRow) -> bool:
    return node.state != PeerState.ONLINE.value


def _facts(device: DeviceRow) -> DeviceFacts:
    return DeviceFacts(
        serial=device.serial, node_id=device.node_id, model=device.model, sdk=device.sdk, tags=device.tags
    )


def _many(count: int) -> str:
    return f"{count} task{'' if count == 1 else 's'}"


def _named(task: TaskRow) -> str:
    return f"task {task.task_id}"
