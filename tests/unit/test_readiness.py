"""A program says that it is ready to whoever listens, and to nobody else."""

import socket
from pathlib import Path

from doai.readiness import notify


def test_the_supervisor_is_told(tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(path)
        assert notify({"NOTIFY_SOCKET": path}, READY="1", X_DOAI_ENDPOINT="tcp://127.0.0.1:1")
        assert listener.recv(1000) == b"READY=1\nX_DOAI_ENDPOINT=tcp://127.0.0.1:1"
    assert not notify({"NOTIFY_SOCKET": path}, READY="1"), "it went away"


def test_nobody_asked() -> None:
    assert not notify({}, READY="1")
