"""The units of deploy/systemd: read, put into a folder, and started as systemd would, but for the hardening."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
UNITS = sorted((ROOT / "deploy/systemd").glob("*.service"))
WATCHDOG_US = 450_000
"""Waited by the watchdog here; a sign of life is sent three times as often."""
SILENCE_S = 1.0
"""Several signs of life would have come."""
WAIT_S = 90.0


def directives(path: Path) -> dict[str, list[str]]:
    """Return the values of each name of a unit, over all its sections."""
    found: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith(("#", "[")):
            found.setdefault(name, []).append(value)
    return found


def command_of(unit: str, instance: str, root: Path) -> list[str]:
    """Return the ExecStart of a unit: the checkout's program, and everything else below ``root``."""
    [line] = directives(ROOT / "deploy/systemd" / unit)["ExecStart"]
    words = shlex.split(line.replace("%i", instance))
    assert words[0].startswith("/opt/doai/bin/")
    return [
        words[0].replace("/opt/doai", str(ROOT)),
        *(f"{root}{word}" if word.startswith("/") else word for word in words[1:]),
    ]


class Service:
    """A unit's ExecStart with a notification socket and a journal of its own."""

    def __init__(self, unit: str, root: Path, *, instance: str = "") -> None:
        name = unit.partition(".")[0]
        self.log_path = root / f"{name}.log"
        self.hang_path = root / f"{name}.hangs"
        """While this file exists, the disk under the program hangs."""
        address = root / f"{name}.sock"
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._listener.bind(str(address))
        self.told: list[dict[str, str]] = []
        """Every message so far."""
        with self.log_path.open("ab") as log:
            status = os.fstat(log.fileno())
            environ = {key: value for key, value in os.environ.items() if not key.startswith("DOAI_")} | {
                "NOTIFY_SOCKET": str(address),
                "WATCHDOG_USEC": str(WATCHDOG_US),
                "JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}",
                "DISK_HANGS": str(self.hang_path),
                "PYTHONPATH": str(Path(__file__).parent / "stall"),
                **{key: os.environ[key] for key in ("DOAI_VENV",) if key in os.environ},
            }
            self.process = subprocess.Popen(
                command_of(unit, instance, root), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environ
            )

    def next_message(self, timeout_s: float = WAIT_S) -> dict[str, str]:
        """Return the next message; raises TimeoutError."""
        self._listener.settimeout(timeout_s)
        try:
            lines = self._listener.recv(65_536).decode().splitlines()
        except TimeoutError:
            raise TimeoutError(f"nothing is told any more; {self.log_path.read_text()[-2000:]}") from None
        self.told.append(dict(line.split("=", 1) for line in lines))
        return self.told[-1]

    def wait_for(self, name: str) -> str:
        """Return the value of a variable, from the next message that has it."""
        while name not in (message := self.next_message()):
            pass
        return message[name]

    def wait_silent(self) -> None:
        """Return when no sign of life has come for long enough; raises when they go on."""
        until = time.monotonic() + WAIT_S
        while time.monotonic() < until:  # those of before may be many: nobody has read them meanwhile
            try:
                self.next_message(SILENCE_S)
            except TimeoutError:
                return
        raise AssertionError("signs of life go on")

    def stop(self) -> int:
        """Send SIGTERM, see that it is answered with STOPPING, return the exit code."""
        self.process.terminate()
        assert self.wait_for("STOPPING") == "1"
        return self.process.wait(WAIT_S)

    def close(self) -> None:
        """Leave nothing behind, whatever has happened."""
        self.hang_path.unlink(missing_ok=True)
        self.process.kill()
        self.process.wait(WAIT_S)
        self._listener.close()


def settings(root: Path, values: Mapping[str, Mapping[str, object]]) -> None:
    """Write the files of /etc/doai below a folder."""
    folder = root / "etc/doai"
    folder.mkdir(parents=True)
    for name, table in values.items():
        lines = [f"{key} = {value!r}".replace("'", '"') for key, value in table.items()]
        (folder / f"{name}.toml").write_text("\n".join(lines) + "\n")
