"""Documents as tests read them: their commands, run as they stand, and their examples."""

from __future__ import annotations

import os
import re
import subprocess
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
