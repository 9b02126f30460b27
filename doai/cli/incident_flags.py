"""Flags of `doai incidents` (step 1)."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from doai.incidents import IncidentType

_AddCommand = Callable[..., argparse.ArgumentParser]


def add_incidents(commands: Any, add: _AddCommand) -> None:
    """Add `doai incidents`; ``add`` makes a command that talks to the API."""
    group = commands.add_parser("incidents", help="List what an operator must know of, and answer it.")
    actions = group.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = add(actions, "list", "List incidents that are not over (the default).", "incidents", "list_incidents")
    listing.add_argument("--all", action="store_true", help="also those that are over")
    listing.add_argument(
        "--type", choices=[each.value for each in IncidentType], metavar="TYPE", help="such as NODE_DOWN"
    )
    listing.add_argument("--subject", metavar="SUBJECT", help="such as node/shelf-1 or device/SERIAL")
    for verb, summary in (
        ("acknowledge", "Say that you look after an incident."),
        ("resolve", "Say that an incident is over."),
    ):
        answer = add(actions, verb, summary, "incidents", verb)
        answer.add_argument("incident", metavar="ID")
        answer.add_argument("--note", default="", metavar="TEXT", help="what is to be written beside it")
