"""The flags of `doai plugins` (step 8)."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any


def add_plugins(commands: Any, add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the group with its actions; ``add`` makes a command that may talk to the API."""
    group = commands.add_parser("plugins", help="Check plug-ins, and list what is found.")
    actions = group.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = add(
        actions, "list", "List the plug-ins of nodes, and what is wrong with them.", "plugins", "show_list"
    )
    listing.add_argument("--node", metavar="NAME", help="only of this node")
    summary = "Check plug-ins here, without an installation; exit code 1 for one that can not be used."
    check: argparse.ArgumentParser = actions.add_parser("check", help=summary, description=summary)
    check.add_argument(
        "folders", nargs="*", metavar="FOLDER", help="of a plug-in, or of several (what is installed)"
    )
    check.add_argument("--json", action="store_true", help="print JSON for programs instead of lines")
    check.set_defaults(offline=("plugins", "check"))
