"""Flags of `doai bots` (step 1)."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

_AddCommand = Callable[..., argparse.ArgumentParser]


def add_bots(commands: Any, add: _AddCommand) -> None:
    """Add `doai bots`; ``add`` makes a command that talks to the API."""
    group = commands.add_parser("bots", help="List bots; let them in, configure, activate, reset them.")
    actions = group.add_subparsers(dest="action", metavar="ACTION", required=True)
    enroll = add(actions, "enroll", "Let a bot in: make its key, its token and its settings.", "bots", "enroll")
    enroll.add_argument("name", help="as its program says: Bot(NAME)")
    enroll.add_argument("--dir", metavar="DIR", help="folder for key, state and settings (NAME)")
    enroll.add_argument("--program", metavar="FILE", help="the file of the bot, for its settings")
    module = "registered_bots"
    listing = add(actions, "list", "List bots and how they fare.", module, "show_list")
    listing.add_argument("--state", choices=("online", "late", "offline"), help="whether it is heard")
    listing.add_argument("--status", choices=("active", "deprecated", "inactive"), help="what a person wants")
    one = add(actions, "show", "Show a bot: processes, configuration, subscriptions.", module, "show_bot")
    one.add_argument("name")
    told = add(actions, "reports", "Show what a bot reported, such as a digest.", "bot_reports", "reports")
    told.add_argument("name")
    told.add_argument("--count", type=int, default=1, metavar="N", help="the newest so many, oldest first (1)")
    told.add_argument("--lang", choices=("en", "ko"), help="language (that of the terminal)")
    config = add(actions, "config", "Show the configuration of a bot, or set it as a whole.", module, "configure")
    config.add_argument("name")
    config.add_argument("file", nargs="?", metavar="FILE", help="JSON; reaches the bot while it runs")
    for action, status, summary in (
        ("activate", "active", "Let a bot work."),
        ("deactivate", "inactive", "Give a bot no events and no tasks; it goes on later where it was."),
        ("deprecate", "deprecated", "Let a bot work, and say that another is to be used."),
    ):
        wanted = add(actions, action, summary, module, "set_status")
        wanted.add_argument("name")
        wanted.add_argument("--why", default="", help="why, for those who look at it")
        wanted.set_defaults(status=status)
    again = add(actions, "reset", "Begin a subscription of a bot anew.", module, "reset")
    again.add_argument("name")
    again.add_argument("subscription")
    place = again.add_mutually_exclusive_group(required=True)
    place.add_argument("--position", type=int, metavar="N", help="after this place of the event log; 0 = all of it")
    place.add_argument("--to-end", action="store_true", help="pass over what has happened until now")
