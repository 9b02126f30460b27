"""The commit pipeline: order, atomic units, nothing shown early, nothing lost or twice, bounded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doai.errors import LocalProtocolError
from doai.store.pipeline import Batch, Pipeline


def test_effects_without_ops_leave_at_once_when_nothing_is_uncommitted() -> None:
    pipeline: Pipeline[str, str] = Pipeline()
    assert pipeline.add([], ["a", "b"]) == ["a", "b"]
    assert pipeline.idle
    assert pipeline.begin() is None


def test_effects_wait_for_the_batch_before_them() -> None:
    pipeline: Pipeline[str, str] = Pipeline()
    assert pipeline.add(["x"], ["a"]) == []
    assert pipeline.add([], ["b"]) == []
    assert pipeline.begin() == Batch(1, ["x"])
    assert pipeline.add([], ["c"]) == []
    assert pipeline.begin() is None
    assert pipeline.committed(1) == ["a", "b", "c"]
    assert pipeline.idle


def test_a_unit_is_never_split_and_goes_alone_when_it_is_large() -> None:
    pipeline: Pipeline[int, int] = Pipeline(batch_ops_max=4)
    pipeline.add([1, 2, 3], [])
    pipeline.add([4, 5], [])
    pipeline.add(list(range(10)), [])
    sizes = []
    while (batch := pipeline.begin()) is not None:
        sizes.append(len(batch.ops))
        pipeline.committed(batch.n)
    assert sizes == [3, 2, 10]


def test_a_failed_batch_ends_the_pipeline() -> None:
    pipeline: Pipeline[int, int] = Pipeline()
    pipeline.add([1], [1])
    batch = pipeline.begin()
    assert batch is not None
    pipeline.failed(batch.n)
    for use in (lambda: pipeline.add([], [1]), pipeline.begin, lambda: pipeline.committed(1)):
        with pytest.raises(LocalProtocolError, match="exit and reload"):
            use()
    assert pipeline.statistics().held_effects == 1


def test_the_wrong_batch_number_is_our_own_error() -> None:
    pipeline: Pipeline[int, int] = Pipeline()
    with pytest.raises(LocalProtocolError, match="not in flight, none is"):
        pipeline.committed(1)
    pipeline.add([1], [])
    pipeline.begin()
    with pytest.raises(LocalProtocolError, match="batch 1 is"):
        pipeline.failed(2)


def test_room_is_told_and_enforced() -> None:
    pipeline: Pipeline[int, int] = Pipeline(room=4)
    assert pipeline.has_room
    for _ in range(4):
        pipeline.add([1, 2], [1, 2])
    assert not pipeline.has_room
    with pytest.raises(LocalProtocolError, match="intake must stop"):
        pipeline.add([1], [])
    while (batch := pipeline.begin()) is not None:
        pipeline.committed(batch.n)
    assert pipeline.has_room


ACTIONS = st.lists(
    st.one_of(st.tuples(st.integers(0, 6), st.integers(0, 3)), st.sampled_from(["begin", "committed"])), max_size=80
)


@given(actions=ACTIONS, limit=st.integers(1, 8))
def test_any_order_of_uses_keeps_the_promises(actions: list[object], limit: int) -> None:
    pipeline: Pipeline[int, tuple[int, int]] = Pipeline(batch_ops_max=limit)
    ops_added: list[int] = []
    effects_added: list[tuple[int, int]] = []  # (ops added with or before it, its number)
    ops_committed: list[int] = []
    left: list[tuple[int, int]] = []
    unit_ends = {0}
    flight: Batch[int] | None = None

    def leave(effects: list[tuple[int, int]]) -> None:
        for needs, number in effects:
            assert needs <= len(ops_committed), "an effect left before an op it rests on"
            left.append((needs, number))

    def commit() -> None:
        nonlocal flight
        if flight is not None:
            ops_committed.extend(flight.ops)
            leave(pipeline.committed(flight.n))
            flight = None

    for action in actions:
        if action == "begin":
            flight = pipeline.begin() or flight
        elif action == "committed":
            commit()
        else:
            assert isinstance(action, tuple)
            ops = list(range(len(ops_added), len(ops_added) + action[0]))
            ops_added += ops
            unit_ends.add(len(ops_added))
            effects = [(len(ops_added), len(effects_added) + i) for i in range(action[1])]
            effects_added += effects
            leave(pipeline.add(ops, effects))
        assert len(ops_committed) in unit_ends
        assert pipeline.statistics().held_effects == len(effects_added) - len(left)
    commit()
    while (flight := pipeline.begin()) is not None:
        commit()
    assert ops_committed == ops_added
    assert left == effects_added
    assert pipeline.idle
    assert pipeline.waiting_ops == 0
