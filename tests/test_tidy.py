"""Style itself is a test: small modules and functions, a first sentence, names that mean something."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "manager"}


def tracked(pattern: str) -> list[Path]:
    """Files git knows or would add; all files where there is no git."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", pattern]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / line for line in listing.splitlines() if (ROOT / line).is_file()]


MODULES = [path for path in tracked("*.py") if path.relative_to(ROOT).parts[0] in ("doai", "bench")]
TESTS = [path for path in tracked("*.py") if path.relative_to(ROOT).parts[0] == "tests"]


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_module_is_small_and_says_what_it_is(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)
    assert text.count("\n") <= MODULE_LINES_MAX, f"{name(path)} is too long: split it by nouns"
    assert ast.get_docstring(tree), f"{name(path)} begins with one sentence of what it is"
    assert path.stem not in VAGUE_NAMES
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or 0) - node.lineno + 1
            assert lines <= FUNCTION_LINES_MAX, f"{node.name} has {lines} lines"
        if isinstance(node, ast.ExceptHandler) and [type(s) for s in node.body] == [ast.Pass]:
            broad = node.type is None or ast.unparse(node.type) in ("Exception", "BaseException")
            assert not broad, f"{name(path)}:{node.lineno} swallows every error"


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_nothing_is_left_unfinished(path: Path) -> None:
    for number, line in enumerate(path.read_text().splitlines(), 1):
        assert not re.search(r"\b(TODO|FIXME|XXX|HACK)\b|NotImplementedError", line), (
            f"{name(path)}:{number} {line}"
        )


@pytest.mark.parametrize("path", TESTS, ids=name)
def test_tests_do_not_sleep_to_wait(path: Path) -> None:
    """A wait is for a condition; trio.sleep is fine where time itself is passed by a mock clock."""
    text = path.read_text()
    assert "time" + ".sleep(" not in text, f"{name(path)}: wait for the condition instead"


def test_programs_in_bin_are_a_few_lines() -> None:
    for path in sorted((ROOT / "bin").iterdir()):
        if path.name != "setup":
            assert path.read_text().count("\n") <= 20, f"bin/{path.name} holds logic: move it to doai/cli"


def test_decisions_are_numbered_without_a_gap_and_say_their_number() -> None:
    files = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert [path.name[:3] for path in files] == [f"{number:03}" for number in range(1, len(files) + 1)]
    for path in files:
        assert path.read_text().startswith(f"# {path.name[:3]}. "), path.name
