"""A store that is newer than the program: refused with a sentence, nothing changed, wherever it is opened."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from doai.cli import broker, exits, node
from doai.store.outbox import open_outbox
from doai.store.sqlite_writer import open_writer
from doai.wire.keys import load_or_make_keypair
from tests.unit.admin.test_app import ask

NEWER = 900


def make_newer(path: Path) -> bytes:
    connection = apsw.Connection(str(path))
    connection.execute(f"PRAGMA user_version = {NEWER}")
    connection.close()
    return path.read_bytes()


def last_line(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err.strip().splitlines()[-1]


def test_a_broker_refuses_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "broker.db"
    open_writer(path, new_store_id="s", now_ms=1).close()
    before = make_newer(path)
    code = broker.main(["--data-dir", str(tmp_path), "--endpoint", "tcp://127.0.0.1:0"])
    said = last_line(capsys)
    assert code == exits.CONFIG, said
    assert f"{path} has schema version {NEWER}, this doai knows" in said
    assert "start the newer doai, or restore a backup" in said
    assert path.read_bytes() == before


def test_a_node_refuses_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "n1" / "node.db"
    path.parent.mkdir()
    open_outbox(path, new_incarnation="i").close()
    before = make_newer(path)
    key = load_or_make_keypair(tmp_path / "broker.key").public
    words = ["--name", "n1", "--data-dir", str(path.parent), "--broker-public-key", key]
    code = node.main([*words, "--endpoint", "tcp://127.0.0.1:9", "--drivers", "fake"])
    said = last_line(capsys)
    assert code == exits.CONFIG, said
    assert f"{path} has schema version {NEWER}, this doai knows" in said
    assert path.read_bytes() == before


def test_an_admin_answers_503(tmp_path: Path) -> None:
    path = tmp_path / "broker.db"
    open_writer(path, new_store_id="s", now_ms=1).close()
    make_newer(path)
    status, problem = ask(tmp_path, "GET", "/api/v1/nodes", ("Authorization", "Bearer x"))
    assert (status, problem["code"]) == (503, "store_newer")
    assert f"schema version {NEWER}" in problem["detail"]
    assert "start the newer admin" in problem["detail"]
