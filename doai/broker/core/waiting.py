"""Why a queued task does not go at once, in words for a person (step 4)."""

from __future__ import annotations

from typing import Final

from doai.broker.core.bot_work import BotWork
from doai.broker.core.holders import holding_bot, made_by
from doai.broker.core.state import State
from doai.broker.core.tables import Peer, Task
from doai.messages.commands import TargetKind
from doai.reasons import reason
from doai.states import DeviceState, ServiceState

_ONLINE: Final = DeviceState.ONLINE
_BOT: Final = TargetKind.BOT
_IN_SERVICE: Final = ServiceState.IN_SERVICE


def waiting_reason(state: State, bots: BotWork, task: Task, needs: frozenset[str]) -> str:
    """Return the sentence, empty when the task may go; ``needs``: steps of plug-ins that its run uses."""
    device, queue = task.device, task.run.queue
    if not queue.open:
        code = "queue_limited" if queue.exhausted else "queue_paused"
        return reason(code, queue=queue.row.name, count=queue.row.rate_per_min)
    if task.run.gate is not None and not task.run.gate.lets(task):
        return reason("run_lets", count=task.run.gate.held)
    if task.target_kind is _BOT:
        return bots.waiting_reason(task)
    if needs and (unoffered := _unoffered(state, task, needs)):
        return unoffered
    if device is None:
        return reason("no_device")
    if device.node is None:
        return reason("device_not_seen", serial=device.serial)
    if device.state is not _ONLINE:
        return reason(f"device_{device.state.value}", serial=device.serial)
    if not device.node.takes_tasks:
        return reason(
            "node_closed", node=device.node.name, why=device.node.intake_closed or reason("node_not_ready")
        )
    if device.row is not None and device.row.quarantine is not None:
        return reason("device_quarantined", serial=device.serial, why=device.row.quarantine.reason)
    if device.row is not None and device.row.hold is not None:
        bot = holding_bot(state.bots, device)
        if not (bot and made_by(task, bot)):
            return reason("device_held", serial=device.serial, actor=device.row.hold.by)
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
    if device is None:
        return reason("step_nowhere", use=missing[0])
    return reason("step_missing", node=nodes[0].name, serial=device.serial, use=missing[0])


def _busy(node: Peer) -> str:
    if node.row is not None and node.row.quarantine is not None:
        return reason("node_quarantined", node=node.name, why=node.row.quarantine.reason)
    if node.row is not None and len(node.held) >= capacity(node):
        return reason("slots_busy", count=node.row.slots, node=node.name)
    return ""
