"""The graph of a recipe's steps: which waits for which (steps 2 and 8)."""

from __future__ import annotations

import graphlib
from collections.abc import Mapping, Sequence

import msgspec

from doai.workflow.language import Step


class CycleError(Exception):
    """Steps wait for each other; ``steps`` names them in the order of waiting, the first again at the end."""

    def __init__(self, steps: Sequence[str]) -> None:
        super().__init__(" -> ".join(steps))
        self.steps = tuple(steps)


class Graph(msgspec.Struct, frozen=True, kw_only=True):
    """Who waits for whom, by step id; unknown names are left out."""

    order: tuple[str, ...]
    """Every step after those it waits for; the order of the file where that leaves a choice."""
    predecessors: Mapping[str, tuple[str, ...]]
    """The steps each one waits for, as written."""
    ancestors: Mapping[str, frozenset[str]]
    """All steps that have ended when each one starts: predecessors, theirs, and so on."""


def build_graph(steps: Sequence[Step]) -> Graph:
    """Return the graph: without `needs` a step follows the one before it; raises CycleError."""
    predecessors = _predecessors(steps)
    place = {step.id: index for index, step in enumerate(steps)}
    sorter = graphlib.TopologicalSorter(predecessors)
    try:
        sorter.prepare()
    except graphlib.CycleError as error:
        # graphlib lists each node before the one that waits for it; people read "a waits for b".
        raise CycleError(list(reversed(error.args[1]))) from None
    order: list[str] = []
    ancestors: dict[str, frozenset[str]] = {}
    ready = set(sorter.get_ready())
    while ready:
        step_id = min(ready, key=place.__getitem__)
        ready.discard(step_id)
        order.append(step_id)
        before = predecessors[step_id]
        ancestors[step_id] = frozenset(before).union(*(ancestors[name] for name in before))
        sorter.done(step_id)
        ready.update(sorter.get_ready())
    return Graph(order=tuple(order), predecessors=predecessors, ancestors=ancestors)


def _predecessors(steps: Sequence[Step]) -> dict[str, tuple[str, ...]]:
    known = {step.id for step in steps}
    found: dict[str, tuple[str, ...]] = {}
    previous: str | None = None
    for step in steps:
        if step.needs is not None:
            found[step.id] = tuple(dict.fromkeys(name for name in step.needs if name in known))
        else:
            found[step.id] = (previous,) if previous is not None else ()
        previous = step.id
    return found
