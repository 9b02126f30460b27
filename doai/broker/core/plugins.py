"""Plug-ins of nodes: what each offers now, and the steps that recipes may use for that (steps 2 and 4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from doai.broker.core.decision import Decision
from doai.broker.core.scheduler import Scheduler
from doai.broker.core.state import State
from doai.broker.core.tables import Peer
from doai.changes.ops import PutNode
from doai.messages.plugins import NodePluginsChanged, PluginOffer, PluginState
from doai.states import TaskState
from doai.workflow.step_schema import best_offers, steps_of
from doai.workflow.step_type import StepType
from doai.workflow.steps import BUILT_IN

GONE_MAX: Final = 50
"""Plug-ins of a node that are remembered after they went."""


class Plugins:
    """Takes down what nodes tell of their plug-ins."""

    def __init__(self, state: State, scheduler: Scheduler) -> None:
        self._state = state
        self._scheduler = scheduler

    def changed(self, decision: Decision, peer: Peer, told: NodePluginsChanged) -> None:
        """A node has these plug-ins; what an earlier process of it told changes nothing."""
        row = peer.row
        if row is None or told.started_at_ms != row.started_at_ms:
            return
        peer.row = msgspec.structs.replace(row, plugins=_with_gone(told.plugins, row.plugins))
        peer.steps = peer.row.offered_steps
        decision.ops.append(PutNode(peer.row))
        self._scheduler.mark_node(peer)
        for task in self._state.tasks.values():
            if task.state is TaskState.QUEUED and task.run.needs:
                reason = self._scheduler.waiting_reason(task)
                if reason != task.reason:
                    task.reason = reason
                    decision.touch(task)


class KnownSteps:
    """Step types of doai, and of every plug-in that a node ever offered, by the highest version."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._of: tuple[PluginOffer, ...] = ()
        self._types: Mapping[str, StepType] = BUILT_IN

    def types(self) -> Mapping[str, StepType]:
        """Return them as they are now; made anew only when somebody offers something else."""
        rows = (peer.row for peer in self._state.nodes.values() if peer.row is not None)
        offers = best_offers(offer for row in rows for offer in row.plugins)
        if offers != self._of:
            self._of, self._types = offers, {**BUILT_IN, **steps_of(offers)}
        return self._types


def forgotten(offers: list[PluginOffer]) -> list[PluginOffer]:
    """Return what is known of the plug-ins of a node whose process is another: what they were."""
    return _with_gone([], offers)


def _with_gone(now: list[PluginOffer], before: list[PluginOffer]) -> list[PluginOffer]:
    names = {offer.name for offer in now}
    gone = [
        msgspec.structs.replace(offer, state=PluginState.GONE, reason="")
        for offer in before
        if offer.name not in names and offer.steps
    ]
    return [*now, *gone[:GONE_MAX]]
