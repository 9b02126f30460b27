"""One `doai up` as a user starts it, and the command line as a user types it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
START_S: Final = 120.0
COMMAND_S: Final = 240.0
FREE_PORTS: Final = ("--no-usb", "--port", "0", "--broker-port", "0", "--adb-port", "0")


def environment(data_dir: Path, **more: str) -> dict[str, str]:
    """Return the variables of a command: those of the caller but for settings of doai."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("DOAI_")}
    return kept | {"DOAI_DATA_DIR": str(data_dir), "PYTHONPATH": str(ROOT), "TZ": "Asia/Seoul"} | more


class Up:
    """A running `doai up` and the commands that talk to it."""

    def __init__(self, data_dir: Path, process: subprocess.Popen[str], said: list[str]) -> None:
        self.data_dir = data_dir
        self.process = process
        self.said = said
        """What it printed until it was up."""

    def doai(self, *words: str, code: int = 0, cwd: Path | None = None, **variables: str) -> Any:
        """Run one command; asserts its exit code and that no failure of it is a traceback."""
        done = subprocess.run(
            [sys.executable, "-m", "doai.cli.main", *words],
            capture_output=True,
            text=True,
            env=environment(self.data_dir, **variables),
            cwd=cwd,
            timeout=COMMAND_S,
        )
        assert "Traceback" not in done.stderr, done.stderr
        assert done.returncode == code, f"doai {' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def json(self, *words: str, code: int = 0) -> Any:
        """Return the one JSON document that a command prints with --json."""
        return json.loads(self.doai(*words, "--json", code=code).stdout)

    def refused(self, *words: str, code: int = 1, **variables: str) -> str:
        """Return the sentence with which a command is refused; asserts that stdout stays empty."""
        done = self.doai(*words, code=code, **variables)
        assert done.stdout == ""
        return str(done.stderr)

    def wait_for_phones(self, count: int) -> None:
        """Return when so many phones are online."""
        deadline = time.monotonic() + START_S
        while len(self.json("devices", "--state", "online")) < count:
            assert time.monotonic() < deadline, self.doai("devices").stdout

    def stop(self, number: int = signal.SIGINT) -> int:
        """End it as Ctrl-C does; returns its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout=START_S)


@contextmanager
def up(data_dir: Path, *, phones: int = 0, words: tuple[str, ...] = FREE_PORTS) -> Iterator[Up]:
    """Start everything and yield when it says that it is up; at the end nothing of it is left."""
    command = [sys.executable, "-m", "doai.cli.main", "up", "--data-dir", str(data_dir), "--phones", str(phones)]
    with (data_dir.parent / f"{data_dir.name}.err").open("w") as errors:
        process = subprocess.Popen(
            [*command, *words], stdout=subprocess.PIPE, stderr=errors, text=True, env=environment(data_dir)
        )
    assert process.stdout is not None
    too_late = threading.Timer(START_S, process.kill)
    too_late.start()
    said: list[str] = []
    try:
        for line in process.stdout:
            said.append(line.rstrip())
            if line.startswith("try:"):
                break
        too_late.cancel()
        errors_text = Path(errors.name).read_text()
        assert said, errors_text
        yield Up(data_dir, process, said)
    finally:
        too_late.cancel()
        too_late.join()
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(timeout=START_S)
        process.stdout.close()
    assert processes_of(data_dir) == []


def processes_of(data_dir: Path) -> list[str]:
    """Return the command lines of all processes that work in a folder."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue  # it ended meanwhile
        if str(data_dir) in line:
            found.append(line)
    return found
