"""Where the boxes of a graph go: layers from top to bottom, edges that go around boxes (steps 2 and 14). Pure.

The usual three stages of layered drawings: each node goes one layer below the lowest of its predecessors, long
edges get a waypoint in every layer they cross, and each layer is ordered by where its neighbours are.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

_SWEEPS: Final = 6
"""Down and up in turn: drawings of this size do not get better after a few."""

Node = tuple[str, int]
"""A box (name, -1), or the waypoint of an edge that leads to the box (name, number within all waypoints)."""


class Place(msgspec.Struct, frozen=True):
    """The middle of a box, or a waypoint."""

    x: float
    y: float


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """Where everything is; the upper left corner is (0, 0)."""

    boxes: Mapping[str, Place]
    edges: Mapping[tuple[str, str], tuple[Place, ...]]
    """The waypoints of each edge, from (waited for) to (waits), without its ends."""
    width: float
    height: float


def arrange(
    order: Sequence[str],
    predecessors: Mapping[str, Sequence[str]],
    widths: Mapping[str, float],
    *,
    box_height: float,
    gap: tuple[float, float],
) -> Layout:
    """Return the layout of a graph without cycles; ``order`` has every node after those it waits for."""
    ranks: dict[str, int] = {}
    for name in order:
        ranks[name] = max((ranks[before] + 1 for before in predecessors[name]), default=0)
    layers: list[list[Node]] = [[] for _ in range(max(ranks.values(), default=-1) + 1)]
    for name in order:
        layers[ranks[name]].append((name, -1))
    chains = _chains(order, predecessors, ranks, layers)
    links = [link for chain in chains.values() for link in itertools.pairwise(chain)]
    _order(layers, links)
    across, down = gap
    node_width = {node: widths[node[0]] if node[1] < 0 else 0.0 for layer in layers for node in layer}
    spans = [sum(node_width[node] for node in layer) + across * (len(layer) - 1) for layer in layers]
    whole = max(spans, default=0.0)
    places: dict[Node, Place] = {}
    for rank, layer in enumerate(layers):
        x = (whole - spans[rank]) / 2
        for node in layer:
            places[node] = Place(x + node_width[node] / 2, rank * (box_height + down) + box_height / 2)
            x += node_width[node] + across
    return Layout(
        boxes={name: places[name, -1] for name in order},
        edges={edge: tuple(places[node] for node in chain[1:-1]) for edge, chain in chains.items()},
        width=whole,
        height=len(layers) * box_height + max(0, len(layers) - 1) * down,
    )


def _chains(
    order: Iterable[str],
    predecessors: Mapping[str, Sequence[str]],
    ranks: Mapping[str, int],
    layers: list[list[Node]],
) -> dict[tuple[str, str], list[Node]]:
    """Put waypoints into the layers that edges cross; return each edge as its nodes from end to end."""
    chains: dict[tuple[str, str], list[Node]] = {}
    number = 0
    for name in order:
        for before in predecessors[name]:
            chain: list[Node] = [(before, -1)]
            for rank in range(ranks[before] + 1, ranks[name]):
                waypoint = (name, number)
                number += 1
                layers[rank].append(waypoint)
                chain.append(waypoint)
            chains[before, name] = [*chain, (name, -1)]
    return chains


def _order(layers: list[list[Node]], links: Iterable[tuple[Node, Node]]) -> None:
    """Sort each layer by the middle of its neighbours, down and up in turn."""
    above: dict[Node, list[Node]] = {}
    below: dict[Node, list[Node]] = {}
    for upper, lower in links:
        above.setdefault(lower, []).append(upper)
        below.setdefault(upper, []).append(lower)
    for sweep in range(_SWEEPS):
        is_down = sweep % 2 == 0
        neighbours = above if is_down else below
        for layer in layers if is_down else reversed(layers):
            place = {node: _share(other, index) for other in layers for index, node in enumerate(other)}
            layer.sort(key=lambda node: _middle([place[near] for near in neighbours.get(node, [])], place[node]))


def _share(layer: Sequence[Node], index: int) -> float:
    return (index + 0.5) / len(layer)


def _middle(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise
