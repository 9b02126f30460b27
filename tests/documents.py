"""Documents as tests read them: their commands, run as they stand, and their examples."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.integration.installed import COMMAND_S, environment

ROOT = Path(__file__).resolve().parents[1]


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def commands(path: Path) -> list[str]:
    """Commands that a document shows in its sh blocks, without their comments."""
    lines = [line for block in blocks(path, "sh") for line in block.splitlines()]
    found = [re.sub(r"\s+#.*", "", line).strip() for line in lines]
    return [line for line in found if line and not line.startswith("#")]


def run(command: str, cwd: Path, data_dir: Path, shell: str = "sh", code: int = 0, **more: str) -> str:
    """Run one command of a document as a shell does, with bin/ where it is; return what it shows."""
    done = subprocess.run(
        [shell, "-c", in_checkout(command)],
        cwd=cwd,
        env=variables(data_dir, **more),
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
    )
    assert done.returncode == code, f"{command}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def in_checkout(command: str) -> str:
    """Return a command with the programs of this checkout in place of bin/."""
    return re.sub(r"(?:^|(?<=\s))bin/", f"{ROOT}/bin/", command, flags=re.MULTILINE)


def variables(data_dir: Path, **more: str) -> dict[str, str]:
    """Return the environment of a command: the installation, and the Python packages of this test."""
    kept = {"DOAI_VENV": os.environ["DOAI_VENV"]} if "DOAI_VENV" in os.environ else {}
    return environment(data_dir, **kept, **more)


class Background:
    """A command that goes on while others are run, and what it says."""

    def __init__(self, process: subprocess.Popen[bytes], said_path: Path) -> None:
        self._process = process
        self._said_path = said_path
        self.code: int | None = None
        """Its exit code, when it has ended."""

    def wait_for(self, text: str) -> None:
        """Return when it has said a text."""
        ends = time.monotonic() + COMMAND_S
        while text not in self._said_path.read_text(encoding="utf-8"):
            assert self._process.poll() is None, self._said_path.read_text(encoding="utf-8")
            assert time.monotonic() < ends, self._said_path.read_text(encoding="utf-8")

    def stop(self) -> None:
        """End it as Ctrl-C does."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGINT)
        self.code = self._process.wait(COMMAND_S)


@contextmanager
def running(command: str, cwd: Path, data_dir: Path) -> Iterator[Background]:
    """Run a command of a document in a terminal of its own; Ctrl-C ends it."""
    said_path = cwd / "said.txt"
    with said_path.open("wb") as said:
        process = subprocess.Popen(
            ["sh", "-c", f"exec {in_checkout(command)}"],
            cwd=cwd,
            env=variables(data_dir),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
    background = Background(process, said_path)
    try:
        yield background
    finally:
        background.stop()
