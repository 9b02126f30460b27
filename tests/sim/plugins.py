"""Plug-ins of nodes in a world: another version, broken, gone, and runs that need their step (steps 2, 4 and 6).

A plug-in is what a node says of it: what its steps do comes from the seed like that of any other step.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any, Final

from doai.messages import commands as c
from doai.messages.plugins import PluginOffer, PluginState, StepSchema
from doai.workflow.step_schema import steps_of
from tests.sim.mix import PLUGINS, has
from tests.sim.recipes import NEEDS_PLUGIN, PLUGGED

if TYPE_CHECKING:
    from tests.sim.node import NodeProcess
    from tests.sim.simulation import Simulation

_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"account": {"type": "string", "minLength": 1}},
    "required": ["account"],
}
_STEP: Final = StepSchema(
    name="acme.sweep", arguments=_SCHEMA, outputs={"type": "object", "properties": {}}, idempotent=True
)
_STOLEN: Final = StepSchema(name="other.sweep", arguments={"type": "oops"}, outputs={})


def _offer(version: str, **about: Any) -> PluginOffer:
    return PluginOffer(name="acme", version=version, digest=f"d{version}", **{"steps": [_STEP], **about})


_GOOD: Final = [_offer("2")]
_OTHERS: Final = (
    _GOOD,
    [_offer("1")],
    [_offer("1", reason="its file is old")],
    [_offer("3", state=PluginState.BROKEN, reason="it can not be imported", steps=[])],
    [_offer("2", steps=[_STEP, _STOLEN]), PluginOffer(name="lone", version="x")],
    [],
)


class Plugins:
    """What the nodes of a world have installed, and who asks for runs that need it."""

    def __init__(self, simulation: Simulation, seed: int) -> None:
        self._sim = simulation
        self._random = Random(seed + 2)
        self._calm = False
        self._has: dict[str, list[PluginOffer]] = {}
        """By node; what it says again after every start."""
        self.is_there = has(seed, PLUGINS)
        if self.is_there:
            world, work_s = simulation.world, simulation.scenario.work_s
            for _ in range(12):
                world.after(self._random.uniform(8.0, 8.0 + work_s), self._ask)
            world.after(2.0, self._look)
            world.after(self._random.expovariate(1.0 / 15.0), self._change)

    def settle(self) -> None:
        """Every node has it, and keeps it."""
        self._calm = True
        if self.is_there:
            for node in self._sim.nodes:
                self._tell(node, _GOOD)

    def _look(self) -> None:
        """A node that began anew says what it has; who stores recipes stores this one."""
        for node in self._sim.nodes:
            if node.core is not None and node.core._offers is None:
                self._tell(node, self._has.get(node.name, _GOOD))
        if not self._calm:
            self._sim.admin.command(c.STORE_WORKFLOW, c.StoreWorkflow(source=PLUGGED), _nothing)
        self._sim.world.after(16.0, self._look)

    def _change(self) -> None:
        if not self._calm:
            self._tell(self._random.choice(self._sim.nodes), self._random.choice(_OTHERS))
            self._sim.world.fault("plugin_changed")
            self._sim.world.after(self._random.expovariate(1.0 / 15.0), self._change)

    def _tell(self, node: NodeProcess, offers: list[PluginOffer]) -> None:
        self._has[node.name] = offers
        node.plugins_changed(offers, steps_of(offers))

    def _ask(self) -> None:
        targets = self._random.choice((c.Targets(kind=c.TargetKind.ANY, count=3), c.Targets(kind=c.TargetKind.ALL)))
        run = c.CreateRun(workflow=NEEDS_PLUGIN, targets=targets, project="sim", expires_in_s=200.0)
        self._sim.admin.command(c.CREATE_RUN, run, self._sim.workload.was_created)


def _nothing(payload: Any, reply: c.Reply) -> None:
    """An answer of which nothing follows."""
