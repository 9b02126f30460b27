"""The migration that gives versions of workflows a state: a bare name means after it what it meant before."""

from __future__ import annotations

import apsw

from doai.store.sql_files import load_migrations


def test_a_bare_name_means_what_it_meant() -> None:
    connection = apsw.Connection(":memory:")
    *before, states = load_migrations("broker")[:4]
    for migration in before:
        connection.execute(migration.script)
    rows = [("a", 1, 0), ("a", 2, 1), ("a", 3, 0), ("draft", 1, 0), ("b", 1, 1)]
    for name, version, active in rows:
        connection.execute(
            "INSERT INTO workflows (name, version, content_hash, body, created_at_ms, created_by, active) "
            "VALUES (?, ?, '', x'', 0, '', ?)",
            (name, version, active),
        )
    connection.execute(states.script)
    found = list(connection.execute("SELECT name, version, state FROM workflows ORDER BY name, version"))
    assert found == [
        ("a", 1, "active"),  # a newer one took its place
        ("a", 2, "active"),
        ("a", 3, "draft"),
        ("b", 1, "active"),
        ("draft", 1, "draft"),
    ]
