"""What may follow on the command line of `doai`, for the completion of a shell (before step 1).

Pure: the parser of the commands is walked along the words that are there; names that only an installation knows are
asked for by their kind.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from doai.cli.device_flags import with_default_action

NAMES_OF: Final[Mapping[str, str]] = {
    "run workflow": "workflows",
    "run --on": "targets",
    "runs id": "runs",
    "report id": "runs",
    "tasks --run": "runs",
    "tasks --device": "devices",
    "tasks --node": "nodes",
    "cancel id": "runs",
    "story id": "subjects",
    "devices list serial": "devices",
    "devices samples serial": "devices",
    "devices list --node": "nodes",
    "devices set serial": "devices",
    "identify serial": "devices",
    "logcat serial": "devices",
    "nodes list name": "nodes",
    "nodes rotate names": "nodes",
    "nodes revoke name": "nodes",
    "quarantine name": "holders",
    "unquarantine name": "holders",
    "campaigns add workflow": "workflows",
    "campaigns add --on": "targets",
    "campaigns show name": "campaigns",
    "campaigns next name": "campaigns",
    "campaigns pause name": "campaigns",
    "campaigns resume name": "campaigns",
    "campaigns fire name": "campaigns",
    "campaigns remove name": "campaigns",
    "hold serial": "devices",
    "release serial": "devices",
    "baseline accept id": "runs",
    "baseline accept --device": "devices",
    "workflows show name": "workflows",
    "workflows versions name": "workflows",
    "workflows diff old": "workflows",
    "workflows diff new": "workflows",
    "workflows activate name": "workflows",
    "workflows archive name": "workflows",
    "workflows graph what": "workflows",
    "artifacts list --run": "runs",
    "artifacts get what": "runs",
    "files list prefix": "files",
    "files show name": "files",
    "apps install file": "files",
    "apps install --on": "targets",
    "apps report id": "runs",
    "apps onboard serial": "devices",
    "apps onboard --app": "files",
    "apps onboard --smoke": "workflows",
    "files rm name": "files",
    "keys revoke name": "nodes",
    "secrets set name": "secrets",
    "secrets rm name": "secrets",
    "notify test channel": "channels",
    "users role name": "users",
    "users password name": "users",
    "users remove name": "users",
    "tokens revoke name": "tokens",
    "backups name": "backups",
}
"""Kind of name that an argument takes: the command, then a flag or the name of an operand."""
_PATHS: Final = frozenset({"FILE", "PATH", "DIR", "FILE|NAME"})
_PATH_OPERANDS: Final = frozenset({"run workflow", "devices import file", "devices export file"})
"""Operands that are, or may be, paths without saying so by their metavar."""

NamesOf = Callable[[str, Mapping[str, str]], Iterable["Candidate"]]
"""Names of a kind; the second argument is what was given by flags such as ``url``."""


class Candidate(NamedTuple):
    """A word that may stand there, and what it means."""

    word: str
    meaning: str = ""


class Completion(NamedTuple):
    """All that may stand there."""

    candidates: list[Candidate]
    paths: bool
    """Also the path of a file."""


def complete(parser: argparse.ArgumentParser, words: Sequence[str], names_of: NamesOf) -> Completion:
    """Return what the last word may become; it may be empty. Words are those after the program's name."""
    normal = with_default_action(words)
    found = _Walk(parser, normal, names_of).completion()
    if normal != list(words) and len(words) == 2 and not words[1].startswith("-"):
        # `doai devices ` may go on with an action, or with a serial for `list`, which need not be said.
        actions = _Walk(parser, words, names_of).completion()
        found = Completion([*actions.candidates, *found.candidates], paths=found.paths)
    candidates = {each.word: each for each in found.candidates if each.word.startswith(words[-1])}
    return Completion(list(candidates.values()), paths=found.paths)


class _Walk:
    """The way along the complete words, to the argument that the last word is of."""

    def __init__(self, parser: argparse.ArgumentParser, words: Sequence[str], names_of: NamesOf) -> None:
        self._parser = parser
        self._names_of = names_of
        self._path: list[str] = []
        self._operands = _operands(parser)
        self._given: dict[str, str] = {}
        self._awaiting: argparse.Action | None = None
        self._flags_end = False
        self._last = words[-1]
        for word in words[:-1]:
            self._pass(word)

    def _pass(self, word: str) -> None:
        if self._awaiting is not None:
            self._given[self._awaiting.dest] = word
            self._awaiting = None
        elif word == "--":
            self._flags_end = True
        elif word.startswith("-") and not self._flags_end:
            flag, equals, value = word.partition("=")
            action = self._parser._option_string_actions.get(flag)
            if action is not None and action.nargs != 0:
                if equals:
                    self._given[action.dest] = value
                else:
                    self._awaiting = action
        elif self._operands:
            self._pass_operand(word)

    def _pass_operand(self, word: str) -> None:
        action = self._operands[0]
        if isinstance(action, argparse._SubParsersAction):
            self._path.append(word)
            child = action.choices.get(word)
            if isinstance(child, argparse.ArgumentParser):
                self._parser = child
                self._operands = _operands(child)
                return
        if action.nargs not in ("+", "*"):
            del self._operands[0]

    def completion(self) -> Completion:
        """Return everything that may stand there, whatever its beginning."""
        flag, equals, _ = self._last.partition("=")
        if self._awaiting is not None:
            return self._values(self._awaiting)
        if self._last.startswith("-") and not self._flags_end:
            action = self._parser._option_string_actions.get(flag)
            if not equals or action is None:
                return Completion(list(self._flags()), paths=False)
            values = self._values(action)
            return Completion(
                [each._replace(word=f"{flag}={each.word}") for each in values.candidates], paths=False
            )
        return self._values(self._operands[0]) if self._operands else Completion([], paths=False)

    def _flags(self) -> Iterator[Candidate]:
        for action in self._parser._actions:
            for flag in action.option_strings:
                if flag.startswith("--") and action.help != argparse.SUPPRESS:
                    yield Candidate(flag, self._meaning(action))

    def _meaning(self, action: argparse.Action) -> str:
        return self._parser._get_formatter()._expand_help(action) if action.help else ""

    def _values(self, action: argparse.Action) -> Completion:
        if isinstance(action, argparse._SubParsersAction):
            return Completion(
                [Candidate(choice.dest, choice.help or "") for choice in action._choices_actions], paths=False
            )
        if action.choices is not None:
            return Completion([Candidate(str(choice)) for choice in action.choices], paths=False)
        name = action.option_strings[-1] if action.option_strings else action.dest
        place = " ".join([*self._path, name])
        kind = NAMES_OF.get(place)
        candidates = [] if kind is None else self._names(kind)
        return Completion(candidates, paths=action.metavar in _PATHS or place in _PATH_OPERANDS)

    def _names(self, kind: str) -> list[Candidate]:
        if kind == "targets":
            return list(self._targets())
        if kind == "subjects":
            return [each for part in ("runs", "devices", "nodes") for each in self._names(part)]
        if kind == "holders":
            return [each for part in ("devices", "nodes") for each in self._names(part)]
        return list(self._names_of(kind, self._given))

    def _targets(self) -> Iterator[Candidate]:
        """Of `--on`: a condition, or serials with commas between."""
        before, comma, _ = self._last.rpartition(",")
        chosen = before.split(",")
        if not comma:
            yield Candidate("all", "every device")
            for kind in ("any:", "tag:", "group:", "model:", "sdk:"):
                yield Candidate(kind, "a condition")
            for node in self._names("nodes"):
                yield node._replace(word=f"node:{node.word}")
        for device in self._names("devices"):
            if device.word not in chosen:
                yield device._replace(word=f"{before}{comma}{device.word}")


def _operands(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return [action for action in parser._actions if not action.option_strings]
