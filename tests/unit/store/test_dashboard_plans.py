"""What pages ask walks an index, or a table that is small by its nature: read from SQLite's own plans."""

from __future__ import annotations

from collections.abc import Iterator

import apsw
import pytest

from doai.store.database import BROKER
from doai.store.reader import _OPEN_RUN
from doai.store.sql_files import load_migrations, load_statements

QUERIES = (
    "count_open_tasks",
    "count_devices",
    "count_nodes",
    "devices_seen",
    "count_devices_seen",
    "device_squares",
    "device_tallies",
    "devices_of_nodes",
    "device_groups",
    "count_open_incidents",
    "count_open_dead_letters",
    "count_open_event_letters",
    "count_open_runs",
    "causes_of_run",
    "count_open_letters_of_run",
    "last_position",
    "newest_events_of_subject",
    "session",
    "user",
    "user_of_session",
)
SMALL = ("devices", "nodes", "d", "n", "g")
"""As many rows as there are phones and hosts: all of them are counted."""


@pytest.fixture(scope="module")
def connection() -> Iterator[apsw.Connection]:
    made = apsw.Connection(":memory:")
    for migration in load_migrations(BROKER.folder):
        made.execute(migration.script)
    yield made
    made.close()


@pytest.mark.parametrize("name", QUERIES)
def test_no_page_reads_a_table_that_grows_from_end_to_end(connection: apsw.Connection, name: str) -> None:
    sql = load_statements("broker", "columns", "queries")[name]
    plan = [row[3] for row in connection.execute("EXPLAIN QUERY PLAN " + sql, tuple("?" * sql.count("?")))]
    for step in plan:
        is_walk = step.startswith("SCAN") and "USING" not in step and "CONSTANT" not in step
        assert not is_walk or step.split()[1] in SMALL, (name, plan)


def test_open_runs_are_found_by_an_index_of_their_own(connection: apsw.Connection) -> None:
    runs = load_statements("broker", "columns", "queries")["runs"]
    sql = f"{runs} WHERE run_id < ? AND {_OPEN_RUN} ORDER BY run_id DESC LIMIT ?"
    [step] = [row[3] for row in connection.execute("EXPLAIN QUERY PLAN " + sql, ("r", 50))]
    assert "USING INDEX runs_open" in step
