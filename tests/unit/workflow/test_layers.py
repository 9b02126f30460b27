"""Where boxes go: below what they wait for, beside each other, never on each other."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from doai.workflow.layers import arrange


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, list[str]]:
    count = draw(st.integers(1, 12))
    names = [f"n{index}" for index in range(count)]
    return {
        name: draw(st.lists(st.sampled_from(names[:index]), unique=True, max_size=4)) if index else []
        for index, name in enumerate(names)
    }


@given(graphs())
def test_boxes_are_below_what_they_wait_for_and_apart(graph: dict[str, list[str]]) -> None:
    widths = {name: 40.0 + 10 * index for index, name in enumerate(graph)}
    layout = arrange(list(graph), graph, widths, box_height=50, gap=(20, 30))
    for name, before in graph.items():
        assert all(layout.boxes[other].y + 80 <= layout.boxes[name].y for other in before)
        left, right = layout.boxes[name].x - widths[name] / 2, layout.boxes[name].x + widths[name] / 2
        assert -0.01 <= left < right <= layout.width + 0.01
        assert 25 <= layout.boxes[name].y <= layout.height - 25
    for one, other in itertools.combinations(graph, 2):
        if layout.boxes[one].y == layout.boxes[other].y:
            assert abs(layout.boxes[one].x - layout.boxes[other].x) >= (widths[one] + widths[other]) / 2 + 19.9
    assert set(layout.edges) == {(before, name) for name, others in graph.items() for before in others}


@given(graphs())
def test_an_edge_goes_around_the_boxes_of_the_layers_it_crosses(graph: dict[str, list[str]]) -> None:
    widths = dict.fromkeys(graph, 60.0)
    layout = arrange(list(graph), graph, widths, box_height=50, gap=(20, 30))
    for waypoints in layout.edges.values():
        for point in waypoints:
            beside = [place for place in layout.boxes.values() if place.y == point.y]
            assert all(abs(place.x - point.x) >= 30 + 19.9 for place in beside)
