"""The file of log lines: pages newest first, filters, times by bisection, and the oldest go."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from doai.store import line_store
from doai.store.line_store import Line, LineFilter, LinePage, LineStore


def line(at_ms: int, message: str = "said", *, level: int = 20, source: str = "node-1/i", **fields: str) -> Line:
    return Line(
        received_at_ms=at_ms,
        at_ms=at_ms,
        level=level,
        program=source.partition("/")[0].partition("-")[0],
        source=source,
        logger="doai.x",
        message=message,
        fields=fields,
    )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LineStore]:
    store = LineStore(tmp_path / "log.db")
    yield store
    store.close()


def ask(
    store: LineStore, limit: int = 100, before: int | None = None, after: int | None = None, **wanted: object
) -> LinePage:
    return store.page(LineFilter(**wanted), before=before, after=after, limit=limit)  # type: ignore[arg-type]


def told(page: LinePage) -> list[int]:
    return [each.at_ms for each in page.lines]


def test_pages_follow_each_other_and_new_lines_are_asked_for_by_number(store: LineStore) -> None:
    assert ask(store) == LinePage([], None, 0)
    assert ask(store, since_ms=5, until_ms=9, run_id="r1") == LinePage([], None, 0)
    store.append([line(at_ms) for at_ms in range(1, 8)])
    first = ask(store, 3)
    assert (told(first), first.newest) == ([7, 6, 5], 7)
    second = ask(store, 3, before=first.older)
    third = ask(store, 3, before=second.older)
    assert (told(second), told(third), third.older) == ([4, 3, 2], [1], None)
    store.append([line(8), line(9)])
    assert told(ask(store, after=first.newest)) == [9, 8]


def test_all_filters_hold(store: LineStore) -> None:
    store.append(
        [
            line(1, "Battery 5%_low", run_id="r1", device_serial="A1", task_id="t1"),
            line(2, "battery 50 low", level=40, source="node-10/i", run_id="r2"),
            line(3, "else", level=30, source="broker/main", device_serial="A1"),
        ]
    )
    assert told(ask(store, text="battery")) == [2, 1]
    assert told(ask(store, text="5%_L")) == [1]
    assert told(ask(store, source="node-1")) == [1]
    assert told(ask(store, source="node-1/i")) == [1]
    assert told(ask(store, level_min=30)) == [3, 2]
    assert told(ask(store, level_min=40)) == [2]
    assert told(ask(store, program="broker")) == [3]
    assert told(ask(store, run_id="r1")) == told(ask(store, task_id="t1")) == [1]
    assert told(ask(store, device_serial="A1")) == [3, 1]
    assert told(ask(store, device_serial="A1", level_min=30)) == [3]
    assert told(ask(store, since_ms=2)) == [3, 2]
    assert told(ask(store, until_ms=2)) == [2, 1]
    assert told(ask(store, since_ms=2, until_ms=2)) == [2]
    assert told(ask(store, since_ms=9)) == []


def test_a_page_looks_through_so_many_lines_and_says_where_it_stopped(
    store: LineStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_store, "SCAN_MAX", 10)
    store.append([line(at_ms, "rare" if at_ms == 3 else "common") for at_ms in range(1, 31)])
    seen: list[int] = []
    before: int | None = None
    pages = 0
    while pages == 0 or before is not None:
        page = ask(store, text="rare", before=before)
        seen += told(page)
        before, pages = page.older, pages + 1
    assert (seen, pages) == ([3], 3)


def test_the_oldest_go_and_the_newest_stays(store: LineStore, monkeypatch: pytest.MonkeyPatch) -> None:
    assert store.drop(before_ms=10, lines_max=5) == 0
    store.append([line(at_ms) for at_ms in range(1, 11)])
    assert store.drop(before_ms=4, lines_max=100) == 3
    assert told(ask(store)) == [10, 9, 8, 7, 6, 5, 4]
    assert store.drop(before_ms=0, lines_max=5) == 2
    monkeypatch.setattr(line_store, "DROP_MAX", 3)
    assert [store.drop(before_ms=100, lines_max=5) for _ in range(3)] == [3, 1, 0]
    store.append([line(11)])
    assert [each.n for each in ask(store).lines] == [11, 10]


def test_no_question_reads_lines_that_an_index_leaves_out_and_none_is_for_nothing(
    tmp_path: Path, store: LineStore
) -> None:
    store.append([line(1)])
    connection = apsw.Connection(str(tmp_path / "log.db"), flags=apsw.SQLITE_OPEN_READONLY)
    unused = {str(name) for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'index'")}
    for wanted, index in (
        ({"run_id": "r"}, "lines_of_run"),
        ({"task_id": "t"}, "lines_of_task"),
        ({"device_serial": "d"}, "lines_of_device"),
        ({"text": "x"}, "INTEGER PRIMARY KEY"),
        ({"source": "node-1"}, "INTEGER PRIMARY KEY"),
        ({"level_min": 30}, "severe_lines"),
    ):
        conditions, bindings = line_store._conditions(LineFilter(**wanted))  # type: ignore[arg-type]
        sql = f"SELECT * FROM lines WHERE n BETWEEN 1 AND 9 AND {' AND '.join(conditions)} ORDER BY n DESC LIMIT 9"
        plan = " ".join(str(row[3]) for row in connection.execute("EXPLAIN QUERY PLAN " + sql, bindings))
        assert "SEARCH" in plan, (wanted, plan)
        assert index in plan, (wanted, plan)
        unused.discard(index)
    assert unused == set()
    connection.close()
