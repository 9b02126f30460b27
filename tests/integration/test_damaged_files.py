"""A damaged value in a row that a start reads: one sentence that names the file and exit 74, no error of Python."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from doai.broker import app
from doai.changes.outbox import HeldRow, PutHeld
from doai.cli import broker, exits, node
from doai.ids import Token
from doai.messages.work import HoldingState
from doai.store.outbox import open_outbox
from doai.store.sqlite_writer import open_writer
from doai.wire.keys import load_or_make_keypair
from tests.unit.broker.harness import World, started_world


def write_store(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store with a device, a node, a workflow, a run and a task that waits."""
    path.parent.mkdir(exist_ok=True)
    writer = open_writer(path, new_store_id="store-1", now_ms=0)
    apply = World.apply

    def apply_both(world: World, changes: object) -> None:
        writer.commit(changes.ops)  # type: ignore[attr-defined]
        apply(world, changes)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(World, "apply", apply_both)
        _, _, admin = started_world("d1")
        admin.run("d1")
    writer.close()


def damage(path: Path, table: str, column: str, value: str) -> None:
    connection = apsw.Connection(str(path))
    connection.execute(f"UPDATE {table} SET {column} = {value}")
    assert connection.changes() > 0
    connection.close()


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("devices", "state", "'onl1ne'"),
        ("devices", "tags", "'[1'"),
        ("devices", "quarantine", "'{}'"),
        ("nodes", "capabilities", "'x'"),
        ("runs", "params_body", "x'7b'"),
        ("runs", "targets_body", "x'00'"),
        ("tasks", "target_kind", "'?'"),
    ],
)
def test_a_broker_names_its_damaged_store(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    table: str,
    column: str,
    value: str,
) -> None:
    path = tmp_path / "data" / "broker.db"
    write_store(path, monkeypatch)
    damage(path, table, column, value)

    async def serve(*_: object) -> None:
        raise AssertionError("it started on a damaged store")

    monkeypatch.setattr(app, "_serve", serve)
    code = broker.main(["--data-dir", str(path.parent), "--endpoint", "tcp://127.0.0.1:0"])
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert code == exits.IO_ERROR, last
    assert last.startswith(f"broker: {path} holds a value that doai never wrote")


def test_a_node_names_its_damaged_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "n1" / "node.db"
    path.parent.mkdir()
    outbox = open_outbox(path, new_incarnation="i")
    held = HeldRow(
        task_id="t", token=Token(1, 1), order=1, dispatch_body=b"", state=HoldingState.WAITING, received_at_ms=0
    )
    outbox.commit([PutHeld(held)])
    outbox.close()
    damage(path, "held", "state", "'waitng'")
    key = load_or_make_keypair(tmp_path / "broker.key").public
    words = ["--name", "n1", "--data-dir", str(path.parent), "--broker-public-key", key]
    code = node.main([*words, "--endpoint", "tcp://127.0.0.1:9", "--drivers", "fake"])
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert code == exits.IO_ERROR
    assert last.startswith(f"node: {path} holds a value that doai never wrote")
