"""Flags of `doai notify` (step 1)."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

_AddCommand = Callable[..., argparse.ArgumentParser]


def add_notify(commands: Any, add: _AddCommand) -> None:
    """Add `doai notify`; ``add`` makes a command that talks to the API."""
    group = commands.add_parser("notify", help="List the channels of notifications, and test one.")
    actions = group.add_subparsers(dest="action", metavar="ACTION", required=True)
    add(actions, "list", "List the channels that notify-bot tells.", "notify", "list_channels")
    test = add(
        actions, "test", "Send a test message to a channel, and say what came of it.", "notify", "test_channel"
    )
    test.add_argument("channel", metavar="CHANNEL", help="as `doai notify list` names it")
