"""Flags of `doai bots` (step 1)."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

_AddCommand = Callable[..., argparse.ArgumentParser]


def add_bots(commands: Any, add: _AddCommand) -> None:
    """Add `doai bots`; ``add`` makes a command that talks to the API."""
    group = commands.add_parser("bots", help="Let bots in.")
    actions = group.add_subparsers(dest="action", metavar="ACTION", required=True)
    enroll = add(actions, "enroll", "Let a bot in: make its key, its token and its settings.", "bots", "enroll")
    enroll.add_argument("name", help="as its program says: Bot(NAME)")
    enroll.add_argument("--dir", metavar="DIR", help="folder for key, state and settings (NAME)")
    enroll.add_argument("--program", metavar="FILE", help="the file of the bot, for its settings")
