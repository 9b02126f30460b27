"""What may follow on the command line: commands, flags, values, names; in the words of three shells."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from doai.cli import exits
from doai.cli.completion import NAMES_OF, Candidate, Completion, complete
from doai.cli.main import main, make_parser
from doai.cli.names import FRESH_S, names_of
from doai.cli.shells import SCRIPTS

ROOT = Path(__file__).resolve().parents[3]
NAMES = {"devices": ["A1", "A2"], "nodes": ["host-1"], "workflows": ["hello", "help"], "runs": ["01RUN"]}


def known(kind: str, given: Mapping[str, str]) -> list[Candidate]:
    return [Candidate(f"{given.get('url', '')}{name}") for name in NAMES.get(kind, [])]


def completed(*words: str) -> Completion:
    return complete(make_parser(), words, known)


def words(*typed: str) -> list[str]:
    return [each.word for each in completed(*typed).candidates]


def test_commands_and_actions() -> None:
    assert words("wor") == ["workflows"]
    assert "enroll" in words("nodes", "")
    assert words("nodes", "enr") == ["enroll", "enrolments"]
    assert words("files", "put", "--na") == ["--name"]
    assert words("nonsense", "") == []
    assert words("workflows", "nonsense", "") == []


def test_flags_with_what_they_mean() -> None:
    [found] = completed("runs", "--lim").candidates
    assert found == ("--limit", "how many (20)")
    assert {"--on", "--wait", "--junit", "--url"} <= set(words("run", "hello", "--"))
    assert words("runs", "--", "--lim") == [], "flags end there"


def test_values_of_flags() -> None:
    assert words("runs", "--state", "c") == ["cancelling", "completed"]
    assert words("runs", "--state=c") == ["--state=cancelling", "--state=completed"]
    assert words("runs", "--limit", "") == []
    assert words("completion", "") == ["bash", "zsh", "fish"]


def test_names_of_an_installation() -> None:
    assert words("run", "he") == ["hello", "help"]
    assert completed("run", "he").paths, "a file is run as well"
    assert words("workflows", "diff", "hello@1", "hel") == ["hello", "help"]
    assert words("story", "") == ["01RUN", "A1", "A2", "host-1"]
    assert words("quarantine", "h") == ["host-1"]
    assert words("devices", "") == ["list", "samples", "set", "export", "import", "A1", "A2"]
    assert words("nodes", "rotate", "host-1", "") == ["host-1"], "it takes several"
    assert words("runs", "01RUN", "") == [], "it takes one"


def test_targets() -> None:
    assert words("run", "hello", "--on", "")[:2] == ["all", "any:"]
    assert words("run", "hello", "--on", "node:") == ["node:host-1"]
    assert words("run", "hello", "--on", "A1,") == ["A1,A2"], "none twice"


def test_names_come_from_the_installation_that_is_meant() -> None:
    assert words("run", "--url", "x", "") == ["xhello", "xhelp"]
    assert words("run", "--url=x", "") == ["xhello", "xhelp"]


def test_paths() -> None:
    assert completed("workflows", "add", "").paths
    assert completed("runs", "--token-file", "").paths
    assert not completed("runs", "--state", "").paths


def test_every_argument_that_takes_names_is_there() -> None:
    def places(parser: argparse.ArgumentParser, path: tuple[str, ...] = ()) -> set[str]:
        found: set[str] = set()
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                for name, child in action.choices.items():
                    found |= places(child, (*path, name))
            else:
                found.add(" ".join([*path, action.option_strings[-1] if action.option_strings else action.dest]))
        return found

    assert set(NAMES_OF) <= places(make_parser())


def keep(folder: Path, url: str, at_s: float) -> dict[str, str]:
    """Leave names as an answer of the API does, and return the variables that lead there."""
    environ = {"XDG_CACHE_HOME": str(folder), "DOAI_URL": url, "DOAI_TOKEN": "x", "HOME": str(folder)}
    assert names_of("devices", {}, environ) == []
    [path] = folder.rglob("names-devices-*.json")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_text(json.dumps({"at_s": at_s, "names": [["A1", "a phone"]]}))
    return environ


@pytest.mark.parametrize("age_s", [0.0, FRESH_S * 100])
def test_names_are_kept_and_outlive_the_api(tmp_path: Path, age_s: float) -> None:
    environ = keep(tmp_path, "http://127.0.0.1:1", time.time() - age_s)
    assert names_of("devices", {}, environ) == [("A1", "a phone")]


@pytest.mark.parametrize("damage", ["", "{}", "[]", '{"at_s": 0, "names": [1]}'])
def test_damaged_names_are_no_names(tmp_path: Path, damage: str) -> None:
    environ = keep(tmp_path, "http://127.0.0.1:1", time.time())
    [path] = tmp_path.rglob("names-devices-*.json")
    path.write_text(damage)
    assert names_of("devices", {}, environ) == []


def test_without_an_installation_or_a_home_there_are_no_names(tmp_path: Path) -> None:
    assert names_of("devices", {}, {"HOME": str(tmp_path)}) == []
    environ = {"HOME": "/proc/nowhere", "DOAI_URL": "http://127.0.0.1:1", "DOAI_TOKEN": "x"}
    assert names_of("devices", {}, environ) == []


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["zsh", "runs", "--lim"], "--limit:how many (20)\n"),
        (["fish", "runs", "--", "--lim"], "--limit\thow many (20)\n"),
        (["bash", "doai runs --lim", " =:"], "--limit\n"),
        (["bash", "doai runs --state=c", " =:"], "cancelling\ncompleted\n"),
        (["bash", "doai runs '--sta", " =:"], "--state\n"),
        (["bash", "doai runs --state ", " =:"], "open\nactive\ncancelling\ncompleted\n"),
        (["fish", "workflows", "add", "--", "x"], ":paths\n"),
        (["bash", "", " =:"], ""),
        (["zsh"], ""),
        ([], ""),
    ],
)
def test_answers_to_shells(words: list[str], shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["_complete", *words]) == exits.PASSED
    assert capsys.readouterr().out == shown


@pytest.fixture
def program(tmp_path: Path) -> dict[str, str]:
    """A `doai` on the PATH that starts no set-up, and an environment without any installation."""
    (tmp_path / "bin").mkdir()
    path = tmp_path / "bin/doai"
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m doai.cli.main "$@"\n')
    path.chmod(0o755)
    return {"PATH": f"{path.parent}:{os.environ['PATH']}", "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}


def shell(program: dict[str, str], name: str, *script: str) -> list[str]:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"there is no {name} here")
    done = subprocess.run([found, *script], env=program, capture_output=True, text=True, timeout=180, check=True)
    assert done.stderr == ""
    return done.stdout.split()


def test_bash_completes(program: dict[str, str]) -> None:
    script = """
    source <(doai completion bash)
    complete -p doai >/dev/null || exit 1
    COMP_LINE="doai runs --state c"; COMP_POINT=${#COMP_LINE}
    _doai doai c --state
    echo "${COMPREPLY[@]}"
    """
    assert shell(program, "bash", "--norc", "-c", script) == ["cancelling", "completed"]


def test_fish_completes(program: dict[str, str]) -> None:
    script = 'doai completion fish | source; complete -C "doai runs --state c"'
    assert shell(program, "fish", "--no-config", "-c", script) == ["cancelling", "completed"]


def test_zsh_takes_the_script(program: dict[str, str]) -> None:
    script = "autoload -U compinit; compinit -D -u; source <(doai completion zsh); print $_comps[doai]"
    assert shell(program, "zsh", "-f", "-c", script) == ["_doai"]


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_scripts_are_printed(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", name]) == exits.PASSED
    assert capsys.readouterr().out == SCRIPTS[name]
