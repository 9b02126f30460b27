"""`bin/node` as a process: each way to end has its code and one sentence."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

KEY = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "node.toml"
    path.write_text(
        f"""
name = "node-1"
endpoint = "tcp://127.0.0.1:9"
broker_public_key = "{KEY}"
data_dir = "{tmp_path}/data"
drivers = ["fake"]
fake_count = 1
"""
    )
    return path


def run(*argv: object, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "doai.cli.node", *map(str, argv)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=90, env={**os.environ, **environ}, check=False
    )


@contextmanager
def running(argv: Sequence[object], folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A node that has said it is ready."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready:
        ready.bind(str(folder / "notify"))
        ready.settimeout(90)
        environ = {**os.environ, "NOTIFY_SOCKET": str(folder / "notify")}
        command = [sys.executable, "-m", "doai.cli.node", *map(str, argv)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environ) as process:
            try:
                assert b"READY=1" in ready.recv(4096)
                yield process
            finally:
                process.kill()


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["--endpoint", "nonsense"], 'endpoint can not be "nonsense"'),
        (["--drivers", "fak"], "drivers"),
        (["--broker-public-key", "/nowhere"], "/nowhere cannot be read"),
        (["--admin-url", "http://127.0.0.1:1"], "needs the node's secret"),
        (["--name", "Not A Name"], "--name"),
    ],
)
def test_a_setting_that_can_not_be_used(config: Path, argv: list[str], sentence: str) -> None:
    ended = run("--config", config, *argv)
    assert ended.returncode == 78
    assert sentence in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_typo_is_named_with_its_line(config: Path) -> None:
    config.write_text(config.read_text() + "slot = 3\n")
    ended = run("--config", config)
    assert (ended.returncode, "node.toml:8" in ended.stderr, "slots" in ended.stderr) == (78, True, True)


def test_the_secret_has_two_names_and_is_shown_under_none(config: Path) -> None:
    ended = run("--config", config, "--check-config", NODE_AGENT_SHARED_SECRET="hunter2")
    assert ended.returncode == 0
    assert 'secret = "***"' in ended.stdout
    assert "hunter2" not in ended.stdout + ended.stderr


@pytest.mark.slow
def test_it_stops_well_and_its_file_is_its_own(config: Path, tmp_path: Path) -> None:
    with running(["--config", config], tmp_path) as process:
        second = run("--config", config)
        assert second.returncode == 74
        assert "is in use by process" in second.stderr
        assert (tmp_path / "data" / "keys" / "node.key").stat().st_mode & 0o777 == 0o600
        process.send_signal(signal.SIGTERM)
        assert process.wait(90) == 0
