"""What people type after a program's name: a mistake is told in one sentence, not by a page (before step 1)."""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from collections.abc import Sequence
from typing import Any, Final, NoReturn

from doai.exits import USAGE

_NAMED_MAX: Final = 16
"""So many choices are named; of more, only one that is near."""
_KINDS: Final = {"int": "a whole number", "float": "a number"}
_NEEDED: Final = re.compile(r"the following arguments are required: (.+)")
_UNKNOWN: Final = re.compile(r"unrecognized arguments: (.+)", re.DOTALL)
_CHOICE: Final = re.compile(r"argument (\S+): invalid choice: (.+) \(choose from .*\)", re.DOTALL)
_VALUE: Final = re.compile(r"argument (\S+): invalid (\w+) value: (.+)", re.DOTALL)
_BOTH: Final = re.compile(r"argument (\S+): not allowed with argument (\S+)")
_EMPTY: Final = re.compile(r"argument (\S+): expected (?:one argument|at least one argument)")
_OTHER: Final = re.compile(r"argument (\S+): (.+)", re.DOTALL)


class CommandLine(argparse.ArgumentParser):
    """A parser of flags that says what is wrong in one sentence on stderr and exits with USAGE.

    The sentences are made of argparse's own messages, which is all that it gives; one that is not known here
    is passed on as it is.
    """

    _typed: Sequence[str] = ()

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Return what the words say, as argparse does."""
        self._typed = list(sys.argv[1:] if args is None else args)
        return super().parse_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Print the sentence and exit."""
        unknown = _UNKNOWN.fullmatch(message)
        # Words that no parser took come back to the first one: the command that was meant knows its flags.
        parser: argparse.ArgumentParser = self._meant() if unknown else self
        sentence = _surplus(parser, unknown[1]) if unknown else _sentence(self, message)
        self.exit(USAGE, f"{parser.prog}: {sentence} (`{parser.prog} --help` tells more)\n")

    def _meant(self) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = self
        for word in self._typed:
            group = next((a for a in parser._actions if isinstance(a, argparse._SubParsersAction)), None)
            if group is None:
                break
            parser = group.choices.get(word, parser)
        return parser


def _sentence(parser: argparse.ArgumentParser, message: str) -> str:
    if found := _NEEDED.fullmatch(message):
        names = found[1].split(", ")
        return f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'} needed"
    if found := _CHOICE.fullmatch(message):
        return _not_a_choice(parser, found[1], found[2])
    if found := _VALUE.fullmatch(message):
        return f"{found[1]} can not be {found[3]}: it must be {_KINDS.get(found[2], f'a {found[2]}')}"
    if found := _BOTH.fullmatch(message):
        return f"{found[1]} and {found[2]} exclude each other: leave one out"
    if found := _EMPTY.fullmatch(message):
        return f"{found[1]} needs a value after it"
    if found := _OTHER.fullmatch(message):
        return f"{found[1]}: {found[2]}"
    return message


def _not_a_choice(parser: argparse.ArgumentParser, name: str, value: str) -> str:
    action = next(
        (a for a in parser._actions if name in (*a.option_strings, a.metavar, a.dest) and a.choices), None
    )
    choices = [str(choice) for choice in action.choices or ()] if action is not None else []
    what = f"there is no {name.lower()} {value}" if name.isupper() else f"{name} can not be {value}"
    return f"{what}: {_hint(value.strip(chr(39)), choices)}"


def _surplus(parser: argparse.ArgumentParser, words: str) -> str:
    word = words.split()[0]
    if not word.startswith("-"):
        return f"{words!r} is more than is asked for: leave it out, or put words with spaces between quotes"
    flags = [flag for action in parser._actions for flag in action.option_strings if flag.startswith("--")]
    flag = word.partition("=")[0]
    near = difflib.get_close_matches(flag, flags, n=1, cutoff=0.7)
    return f"there is no flag {flag}" + (f": did you mean {near[0]}?" if near else "")


def _hint(value: str, choices: list[str]) -> str:
    near = difflib.get_close_matches(value, choices, n=1)
    if near:
        return f"did you mean {near[0]}?"
    return f"choose one of {', '.join(choices)}" if len(choices) <= _NAMED_MAX else "choose one that there is"
