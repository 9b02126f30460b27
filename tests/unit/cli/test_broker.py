"""`bin/broker`: one sentence and the right exit code for each way in which it can not start."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from doai.cli import broker, exits
from doai.cli.broker import main
from doai.errors import LocalProtocolError, StoreError
from doai.store.sqlite_writer import open_writer


def _said(capsys: pytest.CaptureFixture[str]) -> str:
    said = capsys.readouterr().err
    assert said.startswith("broker: ")
    assert said.count("\n") == 1
    return said


def test_a_wrong_setting_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == exits.CONFIG
    assert "--data-dir" in _said(capsys)
    assert main(["--data-dir", str(tmp_path), "--queues", "urgent"]) == exits.CONFIG
    assert "NAME=PRIORITY" in _said(capsys)
    assert main(["--data-dir", str(tmp_path), "--store-writer", "fast"]) == exits.CONFIG
    assert "store_writer" in _said(capsys)


def test_a_data_folder_that_can_not_be_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["--data-dir", str(tmp_path / "file" / "data"), "--log-level", "error"]) == exits.CONFIG
    assert "data_dir" in _said(capsys)


def test_a_port_in_use_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        endpoint = f"tcp://127.0.0.1:{port}"
        code = main(["--data-dir", str(tmp_path), "--endpoint", endpoint, "--log-level", "error"])
    assert code == exits.UNAVAILABLE
    assert str(port) in _said(capsys)


def test_after_a_failed_commit_that_is_what_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frame that comes in the same moment is decided on, and refused: it is not the reason."""

    async def failing(_: object) -> None:
        errors = [LocalProtocolError("a commit failed before this one"), StoreError("the disk is gone: look at it")]
        raise ExceptionGroup("both", [ExceptionGroup("tasks", errors)])

    monkeypatch.setattr(broker, "run_broker", failing)
    assert main(["--data-dir", str(tmp_path), "--log-level", "error"]) == exits.IO_ERROR
    assert "the disk is gone" in _said(capsys)


def test_a_second_broker_on_the_same_data_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    writer = open_writer(tmp_path / "broker.db", new_store_id="s", now_ms=1)
    try:
        code = main(["--data-dir", str(tmp_path), "--endpoint", "tcp://127.0.0.1:0", "--log-level", "error"])
    finally:
        writer.close()
    assert code == exits.UNAVAILABLE
    assert "in use by process" in _said(capsys)
