"""Why a queued task does not go at once, in words for a person (step 4)."""

from __future__ import annotations

from typing import Final

from doai.broker.core.bot_work import BotWork
from doai.broker.core.holders import holding_bot, made_by
from doai.broker.core.state import State
from doai.broker.core.tables import Peer, Task
from doai.messages.commands import TargetKind
from doai.states import DeviceState, ServiceState

_MEND: Final = "install or mend its plug-in, `doai plugins list` tells where it is"
_ONLINE: Final = DeviceState.ONLINE
_BOT: Final = TargetKind.BOT
_IN_SERVICE: Final = ServiceState.IN_SERVICE


def waiting_reason(state: State, bots: BotWork, task: Task, needs: frozenset[str]) -> str:
    """Return the sentence, empty when the task may go; ``needs``: steps of plug-ins that its run uses."""
    device, queue = task.device, task.run.queue
    if not queue.open:
        limited = f"gives out {queue.row.rate_per_min} tasks a minute"
        return f"queue {queue.row.name} {limited if queue.exhausted else 'is ' + queue.row.state.value}"
    if task.run.gate is not None and not task.run.gate.lets(task):
        return f"its run lets {task.run.gate.held} tasks go now, and no more"
    if task.target_kind is _BOT:
        return bots.waiting_reason(task)
    if needs and (unoffered := _unoffered(state, task, needs)):
        return unoffered
    if device is None:
        return "waits for a device that matches"
    if device.node is None:
        return f"device {device.serial} was not seen yet"
    if device.state is not _ONLINE:
        return f"device {device.serial} is {device.state.value}"
    if not device.node.takes_tasks:
        closed = device.node.intake_closed or "it is not connected or has not listed what it holds"
        return f"node {device.node.name} takes no tasks: {closed}"
    if device.row is not None and device.row.quarantine is not None:
        return f"device {device.serial} is quarantined: {device.row.quarantine.reason}"
    if device.row is not None and device.row.hold is not None:
        bot = holding_bot(state.bots, device)
        if not (bot and made_by(task, bot)):
            return f"device {device.serial} is held for {device.row.hold.by}"
    return _busy(device.node)


def capacity(node: Peer) -> int:
    """Return how many tasks the node may hold now."""
    return node.capacity if node.service is _IN_SERVICE else 1


def _unoffered(state: State, task: Task, needs: frozenset[str]) -> str:
    """Say which step of a plug-in is missing where the task would go; empty when none is."""
    device = task.device
    nodes = list(state.nodes.values()) if device is None else [device.node] if device.node else []
    missing = [use for use in sorted(needs) if nodes and not any(use in node.steps for node in nodes)]
    if not missing:
        return ""
    where = "no node offers" if device is None else f"node {nodes[0].name}, which holds {device.serial}, lacks"
    return f"{where} {missing[0]}: {_MEND}"


def _busy(node: Peer) -> str:
    if node.row is not None and node.row.quarantine is not None:
        return f"node {node.name} is quarantined: {node.row.quarantine.reason}"
    if node.row is not None and len(node.held) >= capacity(node):
        return f"all {node.row.slots} slots of node {node.name} are busy"
    return ""
