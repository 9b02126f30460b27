"""Migrations expand first: what takes something away says since which release nothing uses it, and that is out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from doai.store.database import BOT, BROKER, LOG, OUTBOX
from doai.store.sql_files import Migration, load_migrations

BEFORE_THE_FIRST_RELEASE = {("broker", "004_workflow_states.sql")}
"""It dropped a column before there was a release that could have used it; nothing is ever added here."""
CHANGELOG = Path(__file__).parents[3] / "CHANGELOG.md"
FOLDERS = [kind.folder for kind in (BROKER, OUTBOX, BOT, LOG)]
MIGRATIONS = [(folder, migration) for folder in FOLDERS for migration in load_migrations(folder)]
WORD = r"[\"\[`]?(\w+)"


def taken_away(script: str) -> list[str]:
    """Return the statements that take away, or forbid, what an earlier schema had."""
    bare = re.sub(r"--[^\n]*", "", script)
    made = {name.lower() for name in re.findall(rf"CREATE\s+TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?{WORD}", bare, re.I)}
    found = []
    for statement in (" ".join(part.split()) for part in bare.split(";")):
        drops = re.match(rf"DROP\s+(TABLE|VIEW|TRIGGER)\s+(?:IF\s+EXISTS\s+)?{WORD}", statement, re.I)
        alters = re.match(rf"ALTER\s+TABLE\s+{WORD}.*?\s(DROP|RENAME)\b", statement, re.I)
        unique = re.match(rf"CREATE\s+UNIQUE\s+INDEX\b.*?\bON\s+{WORD}", statement, re.I)
        of_earlier = (unique and unique[1].lower() not in made) or (drops and drops[2].lower() not in made)
        if alters or of_earlier:
            found.append(statement)
    return found


def released() -> set[str]:
    return set(re.findall(r"^## (\d+\.\d+\.\d+)\b", CHANGELOG.read_text(), re.MULTILINE))


@pytest.mark.parametrize(("folder", "migration"), MIGRATIONS, ids=lambda value: getattr(value, "name", value))
def test_what_is_taken_away_is_unused_since_a_release_that_is_out(folder: str, migration: Migration) -> None:
    if (folder, migration.name) in BEFORE_THE_FIRST_RELEASE:
        return
    taken = taken_away(migration.script)
    if not taken:
        assert not migration.unused_since, f"{migration.name} takes nothing away: remove its line on contracting"
        return
    assert migration.unused_since, (
        f"{migration.name} takes away what an earlier schema had ({taken[0]}): expand now, and take it away in a "
        "later release; its first line is then `-- contracts: unused since RELEASE`"
    )
    assert migration.unused_since in released(), (
        f"{migration.name} says that nothing uses it since {migration.unused_since}, and CHANGELOG.md knows no such"
    )


@pytest.mark.parametrize(
    "script",
    [
        "ALTER TABLE runs DROP COLUMN x",
        "-- why\nalter table runs\n  rename column x to y;",
        "ALTER TABLE runs RENAME TO walks",
        "CREATE TABLE a (x TEXT) STRICT; DROP TABLE IF EXISTS runs",
        "DROP VIEW v",
        "CREATE UNIQUE INDEX one ON runs (x)",
    ],
)
def test_this_takes_away(script: str) -> None:
    assert len(taken_away(script)) == 1


@pytest.mark.parametrize(
    "script",
    [
        "ALTER TABLE runs ADD COLUMN dropped TEXT",
        "-- DROP TABLE runs\nCREATE INDEX i ON runs (x)",
        "CREATE TABLE t (x TEXT) STRICT; CREATE UNIQUE INDEX one ON t (x)",
        "CREATE TABLE t (x TEXT) STRICT; DROP TABLE t",
        "DROP INDEX slow",
    ],
)
def test_this_expands(script: str) -> None:
    assert taken_away(script) == []


def test_the_line_is_read_where_it_is_the_first() -> None:
    line = "-- contracts: unused since 1.2.0\n"
    assert Migration(1, "", f"{line}DROP TABLE t").unused_since == "1.2.0"
    assert Migration(1, "", f"-- something\n{line}").unused_since == ""
