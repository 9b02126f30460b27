"""Rows of plays as they come from what tasks store, and their sums."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from doai.changes.plays import Measured, Played, PlayRow, group_plays, percentile
from doai.states import TaskState
from doai.store.play_reader import play_row

OUTPUTS = (
    b'{"startedMs": 650, "watchedMs": 5000, "stalls": 2, "stalledMs": 1200, "widthPx": null, "problem": "bad"}'
)
PARAMS = b'{"url": "https://a/v", "title": "card", "check": "c1", "repeat": 2, "seconds": 5}'
FAILURE = '{"errorClass": "app", "code": "expect_not_met", "message": "Step good failed."}'


def row(state: str, *, failure: str | None = None, outputs: bytes | None = None) -> PlayRow:
    return play_row(("t1", "r1", "S1", state, 9, "a reason", failure, outputs, PARAMS, None, None))


def test_a_play_that_was_bad_has_its_numbers_and_the_sentence_of_what_was_bad() -> None:
    bad = row("failed", failure=FAILURE, outputs=OUTPUTS)
    assert (bad.state, bad.failure, bad.model, bad.screenshot) == (TaskState.FAILED, "bad", "", "")
    assert bad.measured == Measured(started_ms=650, watched_ms=5000, stalls=2, stalled_ms=1200, problem="bad")
    assert bad.wish == Played(url="https://a/v", title="card", check="c1", repeat=2)


def test_a_play_that_did_not_begin_says_why() -> None:
    assert row("failed", failure=FAILURE).failure == "Step good failed."
    assert row("expired").failure == "a reason"
    assert row("passed", outputs=OUTPUTS.replace(b"bad", b"")).failure == ""
    assert row("expired").measured == Measured()


def test_a_recipe_of_that_name_with_other_outputs_is_a_play_that_tells_nothing() -> None:
    other = row("passed", outputs=b'{"startedMs": "soon"}')
    assert (other.state, other.measured) == (TaskState.PASSED, Measured())


def play(model: str, **measured: Any) -> PlayRow:
    state = TaskState.PASSED if measured else TaskState.FAILED
    return msgspec.structs.replace(row("failed"), model=model, state=state, measured=Measured(**measured))


def test_sums_are_of_what_began() -> None:
    good = {"watched_ms": 10_000, "stalled_ms": 500, "stalls": 1}
    found = group_plays(
        [play("b", started_ms=100, **good), play("b"), play("a"), play("b", started_ms=300, **good)], "model"
    )
    assert [(group.name, group.plays, group.passed, group.started) for group in found] == [
        ("a", 1, 0, 0),
        ("b", 3, 2, 2),
    ]
    assert (found[0].start_p50_ms, found[0].stalls_per_play, found[0].stalled_share) == (None, None, None)
    assert (found[1].start_p50_ms, found[1].start_p95_ms) == (100, 300)
    assert (found[1].stalls, found[1].stalls_per_play, found[1].stalled_share) == (2, 1.0, 0.05)
    assert [group.name for group in group_plays([play("a")], "video")] == ["https://a/v"]
    assert [(group.name, group.devices) for group in group_plays([play("a"), play("b")], "device")] == [("S1", 1)]


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=50), st.floats(0.01, 1.0))
def test_a_percentile_is_a_value_that_so_many_do_not_exceed(values: list[int], share: float) -> None:
    ordered = sorted(values)
    found = percentile(ordered, share)
    assert found is not None
    assert found in ordered
    assert sum(value <= found for value in ordered) >= share * len(ordered) - 1e-9
    assert sum(value < found for value in ordered) < share * len(ordered) + 1e-9
    assert percentile([], share) is None
