"""Mistakes on a command line: one sentence that says what, where and what to do, and the exit code of usage."""

import argparse
import contextlib
import io

import pytest

from doai.cli.main import make_parser
from doai.command_line import CommandLine
from doai.exits import USAGE


def said(parser: argparse.ArgumentParser, *words: str) -> str:
    """Return the one line with which the words are refused."""
    told = io.StringIO()
    with contextlib.redirect_stderr(told), pytest.raises(SystemExit) as left:
        parser.parse_args(words)
    assert left.value.code == USAGE
    [line] = told.getvalue().splitlines()
    return line


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("rnu", "doai: there is no command 'rnu': did you mean run?"),
        ("zzz", "doai: there is no command 'zzz': choose one that there is (`doai --help` tells more)"),
        ("", "doai: COMMAND is needed (`doai --help` tells more)"),
        ("workflows ad", "doai workflows: there is no action 'ad': did you mean add?"),
        ("run playback-check", "doai run: --on is needed (`doai run --help` tells more)"),
        ("run", "doai run: workflow and --on are needed"),
        ("run a --on all --wiat", "doai run: there is no flag --wiat: did you mean --wait?"),
        ("run a --on all --priority x", "doai run: --priority can not be 'x': it must be a whole number"),
        ("run a --on all --expires-in x", "doai run: --expires-in can not be 'x': it must be a number"),
        ("run a --on", "doai run: --on needs a value after it"),
        ("run a b --on all", "doai run: 'b' is more than is asked for: leave it out"),
        ("run a --on all --attempts 3 --no-retry", "doai run: --no-retry and --attempts exclude each other"),
        (
            "devices list --state xyz",
            "doai devices list: --state can not be 'xyz': choose one of online, unresponsive",
        ),
        ("tasks --limit 0", "doai tasks: --limit: '0' is no whole number above 0"),
        ("completion tcsh", "doai completion: shell can not be 'tcsh': choose one of bash, zsh, fish ("),
    ],
)
def test_a_mistake_is_one_sentence(words: str, sentence: str) -> None:
    assert said(make_parser(), *words.split()).startswith(sentence)


def test_what_is_not_known_of_a_message_is_passed_on() -> None:
    parser = CommandLine(prog="p")
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("--a")
    group.add_argument("--b")
    assert said(parser) == "p: one of the arguments --a --b is required (`p --help` tells more)"
    with contextlib.redirect_stderr(io.StringIO()) as told, pytest.raises(SystemExit):
        parser.error("give at least one seed")
    assert told.getvalue() == "p: give at least one seed (`p --help` tells more)\n"
