"""`doai upgrade --check`: what stands against this release, from recorded stores and what an API answers."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from doai import __version__
from doai.cli import exits, upgrade
from doai.cli.client import ApiError
from doai.cli.finding import Finding, Verdict
from doai.cli.main import main
from doai.cli.place import Place
from doai.configuration import Secret
from doai.store.bot_state import SqliteBotState
from doai.store.database import BROKER, OUTBOX
from doai.store.outbox import open_outbox
from doai.store.schemas import newest_schemas, read_schema
from doai.store.sql_files import Migration
from doai.store.sqlite_writer import open_writer
from doai.wire_versions import SPOKEN
from tests.compat.recording import make_store, stores

OK, WARN, FAIL = Verdict.OK, Verdict.WARN, Verdict.FAIL
NEWEST = newest_schemas()["broker"]
SAMPLE = {"running": 2, "wireLowest": SPOKEN.lowest, "wireHighest": SPOKEN.highest}
NODE = {"nodeId": "n1", "version": __version__, "state": "online", "stateReason": "connected", "sample": SAMPLE}


def a_backup(age_h: float) -> dict[str, Any]:
    return {"name": "B", "createdAtMs": (time.time() - age_h * 3600) * 1000}


class Api:
    """An API that answers what a test says."""

    def __init__(self, *nodes: dict[str, Any], backups: Any = (), **running: Any) -> None:
        usual = {"admin": __version__, "broker": __version__, "schemaVersion": NEWEST}
        self.running = {**usual, "storeBytes": 1 << 20, "freeBytes": 1 << 30, **running}
        self.lists = {"/nodes": list(nodes), "/backups": backups}

    def __enter__(self) -> Api:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""

    def get(self, path: str) -> dict[str, Any]:
        assert path == "/versions"
        return self.running

    def items(self, path: str, **_: object) -> Iterator[dict[str, Any]]:
        found = self.lists[path]
        if isinstance(found, Exception):
            raise found
        yield from found


def check(monkeypatch: pytest.MonkeyPatch, folder: Path, api: Api | None) -> dict[str, list[Finding]]:
    """What is found, by what it is about."""
    monkeypatch.setattr(upgrade, "SERVICE_DATA", folder / "none")
    monkeypatch.setenv("DOAI_TOKEN", "x")
    if api is not None:
        monkeypatch.setattr(upgrade, "find_place", lambda options: Place("http://here", Secret("x")))
        monkeypatch.setattr(upgrade, "Client", lambda place: api)
    options = argparse.Namespace(data_dir=str(folder), url="", token_file="", ca_file="", fingerprint="")
    found: dict[str, list[Finding]] = {}
    for finding in upgrade.examine(options):
        found.setdefault(finding.check, []).append(finding)
    return found


def verdicts(found: dict[str, list[Finding]], name: str) -> list[Verdict]:
    return [finding.verdict for finding in found[name]]


def test_the_same_release_is_a_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_writer(tmp_path / "broker.db", new_store_id="s", now_ms=1).close()
    (tmp_path / "n1").mkdir()
    SqliteBotState(tmp_path / "n1" / "state.db").close()
    open_outbox(tmp_path / "n1" / "node.db", new_incarnation="i").close()
    found = check(monkeypatch, tmp_path, Api(NODE, backups=[a_backup(1)]))
    assert {finding.verdict for findings in found.values() for finding in findings} == {OK}
    assert len(found["store"]) == 3
    assert "2 tasks run now" in found["tasks"][0].message


@pytest.mark.parametrize("recorded", [*stores(BROKER), *stores(OUTBOX)], ids=lambda path: path.stem)
def test_a_recorded_store_is_named_with_what_would_be_migrated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recorded: Path
) -> None:
    make_store(recorded.read_text(), tmp_path / "broker.db")
    before = (tmp_path / "broker.db").read_bytes()
    schema = read_schema(tmp_path / "broker.db")
    found = check(monkeypatch, tmp_path, Api(NODE))
    assert verdicts(found, "store") == [OK]
    assert len(schema.pending) == schema.newest - schema.version
    for migration in schema.pending:
        assert migration.name.removesuffix(".sql") in found["store"][0].message
    assert verdicts(found, "backup") == [WARN], "the API says that its store is up to date"
    assert (tmp_path / "broker.db").read_bytes() == before


@pytest.mark.parametrize(
    ("backups", "wanted"),
    [([], FAIL), ([a_backup(30), a_backup(25)], FAIL), ([a_backup(30), a_backup(1)], OK)],
    ids=["none", "old", "new"],
)
def test_a_migration_wants_a_backup_of_today(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backups: list[Any], wanted: Verdict
) -> None:
    found = check(monkeypatch, tmp_path, Api(NODE, backups=backups, schemaVersion=NEWEST - 1))
    assert verdicts(found, "backup") == [wanted]
    assert f"from schema {NEWEST - 1} to {NEWEST}" in found["store"][0].message


def test_a_migration_wants_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = check(monkeypatch, tmp_path, Api(NODE, schemaVersion=NEWEST - 1, freeBytes=(2 << 20) - 1))
    assert verdicts(found, "disk") == [FAIL]
    assert verdicts(check(monkeypatch, tmp_path, Api(NODE, schemaVersion=NEWEST - 1)), "disk") == [OK]


def test_a_token_that_may_not_list_backups_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = check(monkeypatch, tmp_path, Api(NODE, backups=ApiError("no", exit_code=77)))
    assert verdicts(found, "backup") == [WARN]
    assert "role admin" in found["backup"][0].advice


def test_what_takes_away_is_told_as_such() -> None:
    last = Migration(9, "009_less.sql", "-- contracts: unused since 0.4.0\nDROP TABLE t")
    schema = upgrade.Schema(
        path=Path("/x"), title="the broker's store", version=8, newest=9, pending=[last], size_bytes=1
    )
    finding = upgrade._schema(schema.title, "/x", 8, 9, schema)
    assert finding.verdict is WARN
    assert "what releases before 0.4.0 use" in finding.advice


def test_newer_stores_and_programs_are_a_no_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "broker.db"
    open_writer(path, new_store_id="s", now_ms=1).close()
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA user_version = 900")
    connection.close()
    found = check(monkeypatch, tmp_path, Api(NODE, broker="999.0.0", schemaVersion=900, backups=[a_backup(1)]))
    assert verdicts(found, "store") == [FAIL]
    assert verdicts(found, "versions") == [FAIL, OK]


def test_nodes_that_would_be_refused_or_are_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    later = {"running": 0, "wireLowest": SPOKEN.highest + 1, "wireHighest": SPOKEN.highest + 2}
    away = {**NODE, "nodeId": "n2", "state": "offline", "sample": None}
    found = check(monkeypatch, tmp_path, Api(NODE, {**NODE, "nodeId": "n3", "sample": later}, away))
    assert verdicts(found, "nodes") == [FAIL, WARN, OK]
    assert "the new broker would refuse it" in found["nodes"][0].message


def test_a_broker_that_is_away_and_files_that_are_no_stores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broker.db").write_text("a letter to my aunt " * 99)
    connection = apsw.Connection(str(tmp_path / "node.db"))
    connection.execute("CREATE TABLE another_program (x)")
    connection.close()
    found = check(monkeypatch, tmp_path, Api(NODE, broker=""))
    assert verdicts(found, "store")[:2] == [FAIL, FAIL]
    assert verdicts(found, "versions") == [WARN, OK]


def test_without_an_api_it_is_a_no_go_as_text_and_as_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(upgrade, "SERVICE_DATA", tmp_path / "none")
    monkeypatch.delenv("DOAI_URL", raising=False)
    words = ["upgrade", "--check", "--data-dir", str(tmp_path)]
    assert main(words) == exits.NOT_PASSED
    assert f"no-go: 1 finding stands against doai {__version__} here" in capsys.readouterr().out
    assert main([*words, "--json"]) == exits.NOT_PASSED
    said = json.loads(capsys.readouterr().out)
    assert (said["go"], said["release"]) == (False, __version__)
    assert {finding["verdict"] for finding in said["findings"]} == {"ok", "fail"}
