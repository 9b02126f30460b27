"""The commands and flags of the programs as data, read from their argument parsers (before all steps)."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import msgspec

from doai.admin.settings import Settings
from doai.bots.config import BotConfig
from doai.bots.program import PURPOSE
from doai.broker.config import BrokerConfig
from doai.cli.main import make_parser
from doai.cli.place import add_place_flags
from doai.configuration import make_parser as settings_parser
from doai.node.config import NodeConfig

PROGRAMS: dict[str, tuple[type[msgspec.Struct], str]] = {
    "broker": (BrokerConfig, "Keeps the store, schedules tasks, and is where nodes, bots and admin connect."),
    "node": (NodeConfig, "Executes tasks on the Android devices of this host."),
    "bot": (BotConfig, PURPOSE),
    "admin": (Settings, "Serves the HTTP API: reads the broker's store, changes things by commands to the broker."),
}
"""Daemons: their settings, and what each is for."""


class Argument(msgspec.Struct, frozen=True):
    """A flag or an operand."""

    form: str
    """As it is typed, e.g. ``--limit N``."""
    meaning: str


class Command(msgspec.Struct, frozen=True):
    """A command that can be run."""

    name: str
    """With its program, e.g. ``doai workflows add``."""
    summary: str
    usage: str
    arguments: list[Argument]


def doai_commands() -> list[Command]:
    """Return every command of `doai`, without the flags that all of them share."""
    shared = {argument.form for argument in shared_flags()}
    return list(_commands(make_parser(), shared))


def shared_flags() -> list[Argument]:
    """Return the flags of every command that talks to the API."""
    parser = argparse.ArgumentParser(add_help=False)
    add_place_flags(parser)
    return [_argument(action) for action in parser._actions]


def daemon(program: str) -> Command:
    """Return a daemon with its flags."""
    settings, purpose = PROGRAMS[program]
    [command] = _commands(settings_parser(settings, program, description=purpose), set())
    return command


def _commands(parser: argparse.ArgumentParser, shared: set[str]) -> Iterator[Command]:
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    for group in groups:
        summaries = {choice.dest: choice.help or "" for choice in group._choices_actions}
        for name, child in group.choices.items():
            for found in _commands(child, shared):
                is_own = found.name == child.prog
                yield msgspec.structs.replace(found, summary=summaries.get(name, "")) if is_own else found
    if groups:
        return
    actions = [action for action in parser._actions if not isinstance(action, argparse._HelpAction)]
    arguments = [argument for argument in map(_argument, actions) if argument.form not in shared]
    operands = " ".join(_operand(action) for action in actions if not action.option_strings)
    needed = " ".join(_flag(action) for action in actions if action.option_strings and action.required)
    usage = " ".join(part for part in (parser.prog, operands, needed, "[FLAGS]") if part)
    yield Command(parser.prog, parser.description or "", usage, arguments)


def _argument(action: argparse.Action) -> Argument:
    form = _flag(action) if action.option_strings else _operand(action)
    text = action.help or ""
    if "%(default)s" in text:
        # A folder of whoever reads this is another one than of whoever wrote it.
        default = "the data folder of this user" if isinstance(action.default, Path) else str(action.default)
        text = text.replace("%(default)s", default)
    if action.choices is not None and action.metavar is None:
        text = f"{text}{': ' if text else ''}{', '.join(map(str, action.choices))}"
    return Argument(form, text.replace("%%", "%"))


def _flag(action: argparse.Action) -> str:
    name = ", ".join(action.option_strings)
    if action.nargs == 0:
        return name
    return f"{name} {action.metavar or action.dest.upper()}"


def _operand(action: argparse.Action) -> str:
    word = str(action.metavar or action.dest.upper().replace("_", "-"))
    return {"?": f"[{word}]", "+": f"{word}...", "*": f"[{word}...]"}.get(str(action.nargs), word)
