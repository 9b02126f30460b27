"""The ring of new events: batches without a gap, the same bytes for everyone, whatever is dropped and when."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from doai import limits
from doai.broker.core import event_tail
from doai.broker.core.event_tail import EventTail, Filter, Part, events_body, parts_of
from doai.changes.log import LoggedRow
from doai.codec import decode, encode
from doai.messages.bots import Events, LoggedEvent

TYPES = ("task.started", "task.completed", "run.created")
ALL, TASKS = Filter(["**"]), Filter(["task.*"])


def row(position: int, event_type: str = TYPES[0], body: bytes = b"\x01") -> LoggedRow:
    return LoggedRow(position, event_type, f"task/{position % 7}", body)


def wanted_body(rows: list[LoggedRow], through: int) -> bytes:
    return encode(Events([LoggedEvent(each.position, msgspec.Raw(each.body)) for each in rows], through))


rows_of_a_log = st.lists(
    st.tuples(st.sampled_from(TYPES), st.integers(0, 40), st.booleans()), min_size=1, max_size=400
)


@given(rows_of_a_log, st.integers(1, 400))
def test_batches_have_every_event_once_and_their_bytes_are_those_of_a_whole_frame(
    log: list[tuple[str, int, bool]], begin: int
) -> None:
    tail, rows = EventTail(1), []
    for position, (event_type, size, closes) in enumerate(log, 1):
        rows.append(row(position, event_type, encode("x" * size)))
        tail.add(rows[-1])
        if closes:
            tail.close()
    tail.close()
    begin = min(begin, len(rows))
    for wanted in (ALL, TASKS):
        batches = list(tail.batches(begin))
        assert all(len(batch.rows) <= limits.EVENTS_BATCH_MAX for batch in batches)
        parts = [batches[0].since(begin, wanted), *(batch.of(wanted) for batch in batches[1:])]
        taken = [each for each in rows[begin - 1 :] if wanted.takes(each.type)]
        assert [each for part in parts for each in part.rows] == taken
        assert events_body(parts) == wanted_body(taken, len(rows))
        for part in parts:
            assert part.body == wanted_body(list(part.rows), part.through)
            assert part.size == sum(len(each.body) for each in part.rows)
            assert all(part.flight[each.position] == each.subject for each in part.rows)


def test_what_a_filter_takes_is_made_once() -> None:
    tail = EventTail(1)
    tail.add(row(1))
    tail.close()
    first, second = (next(tail.batches(1)).of(ALL) for _ in range(2))
    assert first is second
    assert first.body is second.body


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 30)), min_size=1, max_size=80))
def test_what_filters_take_is_bounded_all_together_and_made_again_for_who_is_behind(
    looks: list[tuple[int, int]],
) -> None:
    bound, one = 4_000, Part([row(1)], 1).weight
    filters = [Filter(["**"]) for _ in range(4)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(event_tail, "PARTS_BYTES_MAX", bound)
        patch.setattr(event_tail, "TAIL_EVENTS_MAX", 24)
        tail = EventTail(1)
        for position, (filter_number, behind) in enumerate(looks, 1):
            tail.add(row(position))
            tail.close()
            at = max(tail.first, position - behind)
            part = next(tail.batches(at)).of(filters[filter_number])
            assert events_body([part, part]) == wanted_body([row(at), row(at)], at)
            assert part is next(tail.batches(at)).of(filters[filter_number]), "kept, as it was the last one made"
            kept = [each for batch in tail.batches(tail.first) for each in batch.parts.values()]
            assert len(kept) * one <= bound


@given(st.lists(st.booleans(), min_size=1, max_size=120))
def test_what_is_dropped_are_whole_batches_from_the_old_end(closes: list[bool]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(event_tail, "TAIL_EVENTS_MAX", 16)
        patch.setattr(event_tail, "EVENTS_BATCH_MAX", 5)
        tail = EventTail(10)
        for number, closing in enumerate(closes):
            tail.add(row(10 + number))
            if closing:
                tail.close()
            assert len(tail) <= 16
            kept = tail.since(tail.first)
            assert kept is not None
            assert [each.position for each in kept] == list(range(tail.first, 11 + number))
            if tail.closed >= tail.first:
                batches = list(tail.batches(tail.first))
                assert batches[0].first == tail.first
                assert [each for batch in batches for each in batch.rows] == kept[: tail.closed + 1 - tail.first]
        assert tail.since(tail.first - 1) is None


@given(st.lists(st.integers(1, 3 * limits.EVENTS_FRAME_BYTES // 2), max_size=5), st.integers(0, 700))
def test_parts_fit_a_frame_each_and_one_event_always_goes(sizes: list[int], small: int) -> None:
    rows = [row(position, body=b"x" * size) for position, size in enumerate([*sizes, *[1] * small], 1)]
    parts = list(parts_of(rows, len(rows)))
    assert [each for part in parts for each in part.rows] == rows
    assert all(len(part.rows) <= limits.EVENTS_PER_FRAME_MAX for part in parts)
    assert all(len(part.rows) == 1 or part.size <= limits.EVENTS_FRAME_BYTES for part in parts if part.rows)
    assert parts[-1].through == len(rows)


def test_an_empty_part_tells_how_far_the_log_was_looked_through() -> None:
    told = decode(events_body([Part([], 70_000)]), Events)
    assert (told.events, told.position) == ([], 70_000)
