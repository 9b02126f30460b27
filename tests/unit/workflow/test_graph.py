"""The graph of steps: order, predecessors, cycles."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doai.workflow.graph import CycleError, build_graph
from doai.workflow.language import Step


def step(step_id: str, *needs: str, free: bool = False) -> Step:
    return Step(id=step_id, use="wait", needs=list(needs) if needs or free else None)


def test_without_needs_a_step_follows_the_one_before_it() -> None:
    graph = build_graph([step("a"), step("b"), step("c", free=True), step("d"), step("e", "a", "d")])
    assert graph.predecessors == {"a": (), "b": ("a",), "c": (), "d": ("c",), "e": ("a", "d")}
    assert graph.order == ("a", "b", "c", "d", "e")
    assert graph.ancestors["e"] == {"a", "c", "d"}


def test_a_step_may_wait_for_a_later_one() -> None:
    graph = build_graph([step("a", "b"), step("b", free=True)])
    assert graph.order == ("b", "a")


@pytest.mark.parametrize(
    ("steps", "cycle"),
    [
        ([step("a", "a")], ("a", "a")),
        ([step("a", "b"), step("b", "c"), step("c", "a")], ("a", "b", "c")),
        ([step("a", "b"), step("b")], ("a", "b")),
    ],
)
def test_a_cycle_is_named(steps: list[Step], cycle: tuple[str, ...]) -> None:
    with pytest.raises(CycleError) as caught:
        build_graph(steps)
    named = caught.value.steps
    assert named[0] == named[-1]
    assert set(named) == set(cycle)
    waits = {item.id: item.needs for item in steps}
    assert all(after in (waits[before] or ["a"]) for before, after in itertools.pairwise(named))


@given(st.data())
def test_order_holds_every_step_after_its_predecessors(data: st.DataObject) -> None:
    ids = [f"s{number}" for number in range(data.draw(st.integers(1, 12)))]
    steps = [
        step(name, *data.draw(st.lists(st.sampled_from(ids[:index]), unique=True)), free=True)
        if index and data.draw(st.booleans())
        else step(name)
        for index, name in enumerate(ids)
    ]
    graph = build_graph(data.draw(st.permutations(steps)) if all(s.needs is not None for s in steps) else steps)
    assert sorted(graph.order) == sorted(ids)
    place = {name: index for index, name in enumerate(graph.order)}
    for name in ids:
        assert all(place[before] < place[name] for before in graph.ancestors[name])
        assert set(graph.predecessors[name]) <= graph.ancestors[name]
