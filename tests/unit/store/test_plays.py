"""Rows of plays as they come from what tasks store, by pages and filters, and their sums."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from doai.changes import ops
from doai.changes.plays import PLAY_WORKFLOW, Measured, Played, PlayFilter, PlayRow, group_plays, percentile
from doai.changes.rows import DeviceRow
from doai.states import DeviceState, TaskState
from doai.store.play_reader import play_row
from doai.store.process_writer import ProcessWriter, open_process_writer
from doai.store.reader import StoreReader
from tests.unit.store.test_reader import read
from tests.unit.store.test_retention_reader import DAY_MS, NOW_MS, run_id, run_ops

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


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "broker.db"


@pytest.fixture
def writer(path: Path) -> Iterator[ProcessWriter]:
    writer = open_process_writer(path, new_store_id="S", now_ms=1)
    yield writer
    writer.close()


def device(serial: str, model: str) -> DeviceRow:
    return DeviceRow(
        serial=serial,
        node_id="n1",
        state=DeviceState.ONLINE,
        reason="",
        driver="adb",
        connection="usb",
        model=model,
        manufacturer="f",
        sdk=34,
        android="14",
        screen_width=1,
        screen_height=2,
        tags=[],
        first_seen_at_ms=1,
        changed_at_ms=2,
    )


CARD, OTHER = b'{"url": "https://a/v", "check": "c1", "title": "t"}', b'{"url": "https://a/w"}'


def play_ops(
    days_ago: float, params: bytes, states: dict[str, TaskState], workflow: str = PLAY_WORKFLOW
) -> list[Any]:
    """A run of so many days ago with one task a device, each with a picture."""
    made = run_ops(days_ago, tasks=len(states))
    rows = [op.row for op in made if isinstance(op, ops.InsertTask)]
    pictures = [op for op in made if isinstance(op, ops.InsertArtifact)]
    [run] = [op.row for op in made if isinstance(op, ops.InsertRun)]
    found: list[Any] = [ops.InsertRun(msgspec.structs.replace(run, workflow=workflow, params_body=params))]
    for row, (serial, state) in zip(rows, states.items(), strict=True):
        status = msgspec.structs.replace(row.status, state=state, device_serial=serial, outputs_body=OUTPUTS)
        found.append(ops.InsertTask(msgspec.structs.replace(row, status=status)))
    return found + [ops.InsertArtifact(msgspec.structs.replace(op.row, media_type="image/png")) for op in pictures]


def test_plays_are_read_by_pages_and_filters(path: Path, writer: ProcessWriter) -> None:
    passed, queued = TaskState.PASSED, TaskState.QUEUED
    writer.commit([ops.PutDevice(device(serial, model)) for serial, model in (("A", "m1"), ("B", "m2"))])
    writer.commit(play_ops(3, CARD, {"A": passed, "B": TaskState.FAILED, "C": passed}))
    writer.commit(play_ops(2, OTHER, {"A": passed, "B": queued}))
    writer.commit(play_ops(1, b"{}", {"A": passed}, workflow="reboot"))

    def told(wanted: PlayFilter, days: float = 9, limit: int = 2) -> list[tuple[str, str, str]]:
        async def pages(reader: StoreReader) -> list[tuple[str, str, str]]:
            found, cursor = [], None
            while True:
                page = await reader.plays.plays(
                    wanted, since_ms=round(NOW_MS - days * DAY_MS), cursor=cursor, limit=limit
                )
                assert len(page.items) <= limit
                found += [(row.wish.url[-1], row.device_serial, row.model) for row in page.items]
                assert all(row.screenshot for row in page.items)
                if (cursor := page.next_cursor) is None:
                    return found

        result: list[tuple[str, str, str]] = read(path, pages)
        return result

    of_all = [("w", "A", "m1"), ("v", "C", ""), ("v", "B", "m2"), ("v", "A", "m1")]
    for limit in (1, 2, 3, 100):
        assert told(PlayFilter(), limit=limit) == of_all, "the newest first, and none that is open"
    assert told(PlayFilter(), days=2.5) == of_all[:1]
    assert told(PlayFilter(check="c1")) == of_all[1:]
    assert told(PlayFilter(url="https://a/w")) == of_all[:1]
    assert told(PlayFilter(device="A")) == [of_all[0], of_all[3]]
    assert told(PlayFilter(model="m2")) == [of_all[2]]
    assert told(PlayFilter(run_id=run_id(3), device="C")) == [of_all[1]]
    assert told(PlayFilter(check="c2")) == []
