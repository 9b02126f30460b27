"""Lightweight is a promise: what the broker and the node bring along is counted from the lock."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def closure(wanted: list[str]) -> set[str]:
    """Names of all distributions that an install of these brings, from the installed metadata."""
    found: set[str] = set()
    pending = [Requirement(text) for text in wanted]
    while pending:
        requirement = pending.pop()
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        extras = requirement.extras or {""}
        applies = any(not requirement.marker or requirement.marker.evaluate({"extra": extra}) for extra in extras)
        if name in found or not applies:
            continue
        found.add(name)
        for text in importlib.metadata.requires(name) or []:
            child = Requirement(text)
            if child.marker is None or any(child.marker.evaluate({"extra": extra}) for extra in extras):
                pending.append(child)
    return found | {"doai"}


def test_broker_brings_at_most_12_distributions() -> None:
    assert len(closure(PROJECT["dependencies"])) <= 12


def test_node_brings_at_most_32_distributions() -> None:
    wanted = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["node"]
    assert len(closure(wanted)) <= 32


def test_the_lock_pins_all_with_hashes_and_names_no_host() -> None:
    lock = (ROOT / "requirements/lock.txt").read_text()
    pinned = set(re.findall(r"^([a-z0-9.-]+)==", lock, re.MULTILINE))
    wanted = PROJECT["dependencies"] + [
        text for extra in PROJECT["optional-dependencies"].values() for text in extra if not text.startswith("doai")
    ]
    assert closure(wanted) - {"doai"} <= pinned
    assert "--hash=sha256:" in lock
    assert "://" not in lock


@pytest.mark.parametrize("program", ["broker", "node"])
def test_daemons_import_no_web_framework(program: str) -> None:
    code = f"import doai.cli.{program}, sys; print(*sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout
    # httpx loads rich by itself where that is installed for the command line: not the node's doing.
    assert not {"litestar", "uvicorn", "aiosqlite", "sqlite3", "PIL"} & set(loaded.split())
