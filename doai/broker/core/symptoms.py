"""What can be wrong, measured: conditions of queues, nodes and devices, for the rules of doai.incidents (step 12).

Nothing here decides: each measure is larger the worse it is, and what is well has none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from doai import limits, topics
from doai.broker.core.bot_symptoms import bot_symptoms
from doai.broker.core.condition_symptoms import condition_symptoms
from doai.broker.core.state import State
from doai.broker.core.statistics import Statistics
from doai.broker.core.symptom import Symptom
from doai.broker.core.tables import Peer
from doai.changes.statistics import Period, StatisticsRow, summed
from doai.clock import Now
from doai.histogram import Histogram
from doai.incidents import IncidentType
from doai.states import DeviceState, PeerState, TaskState

_MINUTE_MS: Final = 60_000
_BEFORE_MIN: Final = 60


class Ends:
    """What ended in whole minutes: how much of it failed, and how long it took beside the hour before.

    Nothing of it is another before a minute is over: it is measured once, not at every look.
    """

    def __init__(self, statistics: Statistics) -> None:
        self._statistics = statistics
        self._measured: tuple[tuple[int, int], list[Symptom]] | None = None
        """For the minute from which on it is lately, and the minutes that were closed by then."""

    def symptoms(self, now: Now) -> list[Symptom]:
        """Return what is so now."""
        # Rows begin with their minutes, so only those that begin then or later are of lately.
        begin = -(-now.utc_ms // _MINUTE_MS) - limits.FAILURE_RATE_WITHIN_MIN
        lately_ms = begin * _MINUTE_MS
        key = lately_ms, self._statistics.closed
        if self._measured is None or self._measured[0] != key:
            rows = self._statistics.recent(lately_ms - _BEFORE_MIN * _MINUTE_MS)
            self._measured = key, list(_ends(rows, lately_ms))
        return self._measured[1]


def symptoms(state: State, ends: Ends, now: Now) -> Iterator[Symptom]:
    """Measure everything that lasts."""
    yield from _queues(state, now)
    yield from ends.symptoms(now)
    if state.disk.closed_because:
        yield Symptom(
            type=IncidentType.LOW_DISK,
            subject=state.settings.source,
            measure=1,
            affected=1,
            message=f"the broker takes nothing new: {state.disk.closed_because}",
        )
    if state.letters.rows:
        waiting = len(state.letters)
        yield Symptom(
            type=IncidentType.DEAD_LETTERS,
            subject=state.settings.source,
            measure=waiting,
            affected=waiting,
            message=f"{waiting} dead letters wait for a person",
        )
    yield from bot_symptoms(state)
    yield from condition_symptoms(state)
    for node in state.nodes.values():
        yield from _node(state, node)
    for device in state.devices.values():
        if device.row is not None:
            yield from _device(device.serial, state, now)


def _queues(state: State, now: Now) -> Iterator[Symptom]:
    late = _late(state, now)
    for name, queue in state.queues.items():
        subject, waiting, running = topics.queue_subject(name), queue.waiting, queue.held
        if waiting:
            text = f"{waiting} tasks wait in queue {name}, {running} are given out"
            yield Symptom(
                type=IncidentType.QUEUE_BACKLOG, subject=subject, measure=waiting, affected=waiting, message=text
            )
        if name in late:
            count, oldest_ms = len(late[name]), min(late[name])
            hours = (now.utc_ms - oldest_ms) / 3_600_000
            text = f"{count} tasks of queue {name} wait for more than an hour, the first for {hours:.1f} hours"
            yield Symptom(type=IncidentType.TASK_LATE, subject=subject, measure=count, affected=count, message=text)
        if waiting and not running:
            text = f"{waiting} tasks wait in queue {name} and none of it is given out"
            yield Symptom(type=IncidentType.NO_PROGRESS, subject=subject, measure=1, affected=waiting, message=text)


def _late(state: State, now: Now) -> dict[str, list[int]]:
    """Return by queue when the tasks were made that wait for too long."""
    late_ms = now.utc_ms - round(limits.TASK_LATE_S * 1000)
    late: dict[str, list[int]] = {}
    for task in state.tasks.values():
        if task.created_at_ms < late_ms and task.state is TaskState.QUEUED:
            late.setdefault(task.run.row.queue, []).append(task.created_at_ms)
    return late


def _ends(rows: Sequence[StatisticsRow], lately_ms: int) -> Iterator[Symptom]:
    for queue in sorted({row.queue for row in rows}):
        of_queue = [row for row in rows if row.queue == queue]
        new = [row for row in of_queue if row.at_ms >= lately_ms]
        if sum(row.ended for row in new) < limits.FAILURE_RATE_OF:
            continue
        lately = summed(new, "", Period.HOUR, lately_ms)
        old = [row for row in of_queue if row.at_ms < lately_ms]
        ended, bad = lately.passed + lately.failed + lately.unknown, lately.failed + lately.unknown
        if bad and ended >= limits.FAILURE_RATE_OF:
            yield Symptom(
                type=IncidentType.HIGH_FAILURE_RATE,
                subject=topics.queue_subject(queue),
                measure=bad / ended,
                affected=bad,
                message=(
                    f"{bad} of the {ended} tasks of queue {queue} that ended within "
                    f"{limits.FAILURE_RATE_WITHIN_MIN} minutes did not pass"
                ),
            )
        now_s = _p95_s(lately)
        before_s = _p95_s(summed(old, "", Period.HOUR, lately_ms)) if old else None
        if now_s is not None and before_s:
            yield Symptom(
                type=IncidentType.SLOW_PROCESSING,
                subject=topics.queue_subject(queue),
                measure=now_s / before_s,
                affected=lately.ended,
                message=(
                    f"of the tasks of queue {queue} 95 % took up to {now_s:.0f} s within "
                    f"{limits.FAILURE_RATE_WITHIN_MIN} minutes, up to {before_s:.0f} s in the hour before"
                ),
            )


def _p95_s(row: StatisticsRow) -> float | None:
    duration = Histogram.decoded(row.duration)
    return duration.percentile_s(0.95) if duration.count >= limits.FAILURE_RATE_OF else None


def _node(state: State, node: Peer) -> Iterator[Symptom]:
    key = state.keys.get(node.name)
    if key is None or key.revoked_at_ms is not None:
        return
    subject, name = topics.node_subject(node.name), node.name
    if node.liveness.state is PeerState.OFFLINE:
        devices = len(node.devices)
        reason = node.row.state_reason if node.row is not None else "not heard"
        text = f"node {name} with {devices} devices is offline: {reason}"
        yield Symptom(
            type=IncidentType.NODE_DOWN, subject=subject, measure=1, affected=max(1, devices), message=text
        )
        return
    bad = [offer for offer in (node.row.plugins if node.row is not None else ()) if offer.reason]
    if bad:
        text = f"node {name}: " + "; ".join(f"plug-in {offer.name}: {offer.reason}" for offer in bad[:5])
        yield Symptom(type=IncidentType.PLUGIN_BROKEN, subject=subject, measure=1, affected=len(bad), message=text)
    sample = node.sample
    if sample is None:
        return
    if sample.disk_low:
        text = f"node {name} begins no task: {node.intake_closed or 'its disk is short of room'}"
        yield Symptom(type=IncidentType.LOW_DISK, subject=subject, measure=1, affected=1, message=text)
    if sample.outbox_facts:
        text = f"node {name} keeps {sample.outbox_facts} facts that the broker has not taken"
        yield Symptom(
            type=IncidentType.OUTBOX_FULL,
            subject=subject,
            measure=sample.outbox_facts,
            affected=sample.outbox_facts,
            message=text,
        )
    if node.clock_skew_s:
        way = "before" if node.clock_skew_s > 0 else "behind"
        text = f"the clock of node {name} is {abs(node.clock_skew_s):.0f} s {way} the broker's"
        yield Symptom(
            type=IncidentType.CLOCK_SKEW, subject=subject, measure=abs(node.clock_skew_s), affected=1, message=text
        )


def _device(serial: str, state: State, now: Now) -> Iterator[Symptom]:
    device = state.devices[serial]
    subject, node = topics.device_subject(serial), device.node
    assert device.row is not None
    if node is not None and node.liveness.state is PeerState.ONLINE and device.state is not DeviceState.ONLINE:
        text = f"device {serial} of node {node.name} is {device.state.value}: {device.row.reason}"
        yield Symptom(type=IncidentType.DEVICE_OFFLINE, subject=subject, measure=1, affected=1, message=text)
    while device.went_s and device.went_s[0] <= now.mono_s - limits.FLAPS_WITHIN_S:
        device.went_s.popleft()
    if device.went_s:
        times = len(device.went_s)
        text = f"device {serial} went {times} times within {limits.FLAPS_WITHIN_S / 60:.0f} minutes"
        yield Symptom(
            type=IncidentType.DEVICE_FLAPPING, subject=subject, measure=times, affected=times, message=text
        )
    others = [name for name in device.claims if name in state.nodes and _is_online(state.nodes[name])]
    if others and node is not None:
        text = f"device {serial} is seen by node {node.name}, which has it, and by {', '.join(sorted(others))}"
        yield Symptom(
            type=IncidentType.DUPLICATE_DEVICE, subject=subject, measure=1, affected=len(others) + 1, message=text
        )


def _is_online(node: Peer) -> bool:
    return node.liveness.state is PeerState.ONLINE
