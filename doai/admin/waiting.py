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
from doai.states import HELD, TERMINAL, DeviceState, PeerState, QueueState, RunState, ServiceState, TaskState
from doai.store.views import DeviceView, RunView
from doai.story.voice import IN_ENGLISH, Voice
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


def waiting_because(row: TaskRow, around: Surroundings, say: Voice = IN_ENGLISH) -> str | None:
    """Return one sentence on what it waits for or why it is held; None while it runs and after its end."""
    state = row.status.state
    if state in TERMINAL or state is TaskState.RUNNING:
        return None
    if state is TaskState.QUEUED:
        closed = _closed(around.queue, say) or _held_up(row, around.run, say)
        if closed:
            return closed
        limited = _limited(around.queue, say)
        if row.target_kind is TargetKind.BOT:
            return limited + (say.reason(row.status.reason) or say("waiting.no_bot"))
        by_device = row.status.device_serial is not None
        return limited + (_own_device(row, around, say) if by_device else _any_device(around, say))
    if state is TaskState.DELAYED:
        return _delayed(row, around.now_ms, say)
    if state is TaskState.DISPATCHED:
        return _dispatched(row, around, say)
    # Unproven or being cancelled: its holder must speak.
    key = "waiting.not_cancelled" if state is TaskState.CANCELLING else "waiting.not_vouched"
    node = around.place.node if around.place is not None else None
    silent = ""
    if node is not None and _is_silent(node):
        silent = say("waiting.silent", state=say.state(node.state), reason=say.reason(node.state_reason))
    return say(key, node=row.status.node_id, silent=silent, settled=say("waiting.not_settled"))


def told_now(row: TaskRow, around: Surroundings, say: Voice = IN_ENGLISH) -> str | None:
    """Return how the story of a task ends for now: why it waits and its place; None while it runs."""
    why, place = waiting_because(row, around, say), position(row, around)
    if why is None:
        return None
    line = say("waiting.line", place=place) if place is not None else ""
    state = say.state(row.status.state.value)
    return say("waiting.told_now", state=state.capitalize(), why=why, line=line)


def out_of_service(title: str, quarantine: Quarantine | None, now_ms: int, say: Voice = IN_ENGLISH) -> str | None:
    """Return how the story of a device or node ends for now; None when it is given tasks as ever."""
    if quarantine is None:
        return None
    if service_of(quarantine, now_ms) is ServiceState.PROBING:
        return f"{_probing(title, say)}: {_why(quarantine, say)}"
    return _quarantined(title, quarantine, now_ms, say)


def hold_now(hold: Hold, tasks_left: int, say: Voice = IN_ENGLISH) -> str:
    """Return how a reserved device stands, for whom, until when and why."""
    if tasks_left:
        return say("now.holding" if tasks_left > 1 else "now.holding_one", count=tasks_left, by=hold.by)
    return _held(hold, say)


def device_now(device: DeviceView, now_ms: int, say: Voice = IN_ENGLISH) -> str | None:
    """Return how the story of a device ends for now; None when it is given tasks as ever."""
    title, hold = say("now.device", name=device.row.serial), device.row.hold
    quarantined = out_of_service(title, device.row.quarantine, now_ms, say)
    told = hold_now(hold, device.tasks_held, say) if hold is not None else ""
    held = say("now.is_held", title=title, held=told) if told else None
    return "; ".join(sentence for sentence in (held, quarantined) if sentence) or None


def run_now(run: RunView, say: Voice = IN_ENGLISH) -> str | None:
    """Return how the story of a run ends for now: how its tasks stand; None when it has ended."""
    if run.row.state is RunState.COMPLETED:
        return None
    found = [(state.value, n) for state in TaskState if (n := run.counts.get(state.value))]
    counts = ", ".join(say("say.count", what=say.state(state), count=n) for state, n in found)
    ended = sum(run.counts.get(state.value, 0) for state in TERMINAL)
    stopped = (
        say("now.stopped", why=say.reason(run.row.stopped)) if run.row.stopped else say.state(run.row.state.value)
    )
    return say("now.run", standing=stopped, ended=ended, tasks=_many(run.row.tasks, say), counts=counts)


def node_now(node: NodeRow, now_ms: int, say: Voice = IN_ENGLISH) -> str:
    """Return how the story of a node ends for now."""
    title = say("now.node", name=node.node_id)
    standing = say("now.standing", title=title, state=say.state(node.state), reason=say.reason(node.state_reason))
    return out_of_service(title, node.quarantine, now_ms, say) or standing


def _held(hold: Hold, say: Voice) -> str:
    because = say("now.because", why=say.reason(hold.reason)) if hold.reason else ""
    return say("now.held", by=hold.by, at=say.moment(hold.until_ms), because=because)


def _why(quarantine: Quarantine, say: Voice) -> str:
    return say.reason(quarantine.reason) or say("say.no_reason")


def _quarantined(title: str, quarantine: Quarantine, now_ms: int, say: Voice) -> str:
    if quarantine.until_ms is None:
        term = say("now.until_released", by=quarantine.by)
    else:
        term = say("now.for_another", seconds=max(0, round((quarantine.until_ms - now_ms) / 1000)))
    return say("now.quarantined", title=title, term=term, why=_why(quarantine, say))


def _probing(title: str, say: Voice) -> str:
    return say("now.probing", title=title)


def _delayed(row: TaskRow, now_ms: int, say: Voice) -> str:
    status, failure = row.status, row.status.failure
    left_s = max(0, round(((status.not_before_ms or 0) - now_ms) / 1000))
    because = ""
    if failure is not None:
        because = say("waiting.failed_before", why=say.why(failure.message, failure.code))
    return say("waiting.follows", attempt=status.attempt, seconds=left_s, because=because)


def _dispatched(row: TaskRow, around: Surroundings, say: Voice) -> str:
    node_id, serial = row.status.node_id, row.status.device_serial
    trouble = _trouble(around.place, around.now_ms, say, taken=True)
    if trouble:
        return trouble
    running = next((task for task in around.held if task.status.state is TaskState.RUNNING), None)
    if running is not None:
        return say("waiting.begins_after", node=node_id, serial=serial, task=running.task_id)
    node = around.place.node if around.place is not None else None
    if node is not None and around.node_held > node.slots:
        return say("waiting.begins_in_slot", slots=node.slots, node=node.node_id)
    return say("waiting.begins_soon", node=node_id)


def _closed(queue: QueueRow | None, say: Voice) -> str:
    """Why nothing of its queue is given out."""
    if queue is None or queue.state is not QueueState.PAUSED:
        return ""
    why = f": {queue.reason}" if queue.reason else ""
    return say("waiting.queue_paused", queue=queue.name, actor=queue.changed_by, why=why)


def _held_up(row: TaskRow, run: RunView | None, say: Voice) -> str:
    """Why its run does not let it go yet."""
    if run is None:
        return ""
    bounds, counts = read_bounds(run.row.bounds_body), run.counts
    held = sum(counts.get(state.value, 0) for state in HELD)
    if bounds.max_parallel is not None and held >= bounds.max_parallel:
        return say("waiting.run_full", tasks=_many(held, say), most=bounds.max_parallel)
    ended = sum(counts.get(state.value, 0) for state in (TaskState.PASSED, TaskState.FAILED, TaskState.UNKNOWN))
    if ended < bounds.canary and row.status.attempt == 1:
        return say("waiting.canary", ended=ended, tasks=_many(bounds.canary, say))
    return ""


def _limited(queue: QueueRow | None, say: Voice) -> str:
    """How fast its queue goes, where that is bounded."""
    if queue is None or not queue.rate_per_min:
        return ""
    return say("waiting.limited", queue=queue.name, tasks=_many(queue.rate_per_min, say))


def _own_device(row: TaskRow, around: Surroundings, say: Voice) -> str:
    serial, place = row.status.device_serial, around.place
    trouble = _trouble(place, around.now_ms, say, run=around.run)
    if trouble:
        return trouble
    assert place is not None
    assert place.device is not None
    for task in around.held:
        if task.status.state is TaskState.UNPROVEN or task.status.node_id != place.device.node_id:
            return say("waiting.other_node", node=task.status.node_id, serial=serial, task=task.task_id)
    if around.ahead:
        return say("waiting.behind", tasks=_many(around.ahead, say), serial=serial)
    probed = _probed(place, around, say)
    if probed:
        return probed
    if len(around.held) >= TASKS_PER_DEVICE_HELD:
        tasks = _many(len(around.held), say)
        return say("waiting.device_has", serial=serial, tasks=tasks, task=around.held[0].task_id)
    node = place.node
    if node is not None and around.node_held > node.slots:
        tasks = _many(around.node_held - node.slots, say)
        return say("waiting.slots_busy", slots=node.slots, node=node.node_id, tasks=tasks)
    return say("waiting.node_has", node=place.device.node_id, tasks=_many(around.node_held, say))


def _probed(place: Place, around: Surroundings, say: Voice) -> str:
    device, node = place.device, place.node
    if device is not None and around.held and service_of(device.quarantine, around.now_ms) is ServiceState.PROBING:
        return _probing(say("waiting.device", name=device.serial), say)
    if node is not None and around.node_held and service_of(node.quarantine, around.now_ms) is ServiceState.PROBING:
        return _probing(say("waiting.node", name=node.node_id), say)
    return ""


def _any_device(around: Surroundings, say: Voice) -> str:
    known = [(place, _facts(place.device)) for place in around.places if place.device is not None]
    selector = around.selector or Selector()
    matching = [(place, facts) for place, facts in known if matches(selector, facts)]
    if not matching:
        none = why_none_matches(selector, [facts for _, facts in known]) if known else ""
        why = say.reason(none) or say("waiting.none_seen")
        return say("waiting.none_matches", why=why)
    troubles = []
    for place, facts in matching:
        unmet = unmet_requirement(around.requires, facts) if around.requires is not None else None
        missing = say("waiting.can_not", serial=facts.serial, why=say.reason(unmet)) if unmet is not None else ""
        troubles.append(missing or _trouble(place, around.now_ms, say))
    if all(troubles):
        named = "; ".join(troubles[:_TROUBLES_NAMED_MAX])
        more = len(troubles) - _TROUBLES_NAMED_MAX
        rest = say("waiting.more", count=more) if more > 0 else ""
        return say("waiting.none_can", count=len(matching), named=named, more=rest)
    before = say("waiting.before", tasks=_many(around.ahead, say)) if around.ahead else ""
    return say("waiting.all_busy", count=len(matching) - sum(map(bool, troubles)), before=before)


def _trouble(
    place: Place | None, now_ms: int, say: Voice, *, taken: bool = False, run: RunView | None = None
) -> str:
    """Why a device is given no task, or none of a run; ``taken``: why one that its node has does not begin."""
    device = place.device if place is not None else None
    if place is None or device is None:
        return say("waiting.not_seen")
    node = place.node
    if node is not None and _is_silent(node):
        state = say.state(node.state)
        return say(
            "waiting.node_silent",
            node=node.node_id,
            serial=device.serial,
            state=state,
            reason=say.reason(node.state_reason),
        )
    if device.state is not DeviceState.ONLINE:
        why = f" ({say.reason(device.reason)})" if device.reason else ""
        return say("waiting.device_state", serial=device.serial, state=say.state(device.state.value), why=why)
    if place.intake_closed:
        return say("waiting.intake_closed", node=device.node_id, why=place.intake_closed)
    if taken:
        return ""
    title = say("waiting.device", name=device.serial)
    if device.hold is not None and not _is_the_holders(device.hold, run):
        return say("now.is_held", title=title, held=_held(device.hold, say))
    for name, quarantine in (
        (title, device.quarantine),
        (say("waiting.node", name=device.node_id), node.quarantine if node is not None else None),
    ):
        if quarantine is not None and service_of(quarantine, now_ms) is ServiceState.QUARANTINED:
            return _quarantined(name, quarantine, now_ms, say)
    return ""


def _is_the_holders(hold: Hold, run: RunView | None) -> bool:
    """Whether the bot for which the device is held made the run: its processes are one."""
    if run is None or run.row.interface != "bot":
        return False
    return run.row.actor.partition("/")[0] == hold.by.partition("/")[0]


def _is_silent(node: NodeRow) -> bool:
    return node.state != PeerState.ONLINE.value


def _facts(device: DeviceRow) -> DeviceFacts:
    return DeviceFacts(
        serial=device.serial, node_id=device.node_id, model=device.model, sdk=device.sdk, tags=device.tags
    )


def _many(count: int, say: Voice) -> str:
    return say("now.one_task" if count == 1 else "now.tasks", count=count)
