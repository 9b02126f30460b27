"""Flags of `doai plays` (step 1)."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from doai.cli.targets import TARGETS_HELP

_Add = Callable[..., argparse.ArgumentParser]


def add_plays(commands: Any, add: _Add, count: Callable[[str], int]) -> None:
    """Add `doai plays`; ``add`` makes a command that talks to the API, ``count`` reads a number above 0."""
    group = commands.add_parser("plays", help="Let devices play your videos, and tell how that went.")
    actions = group.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = add(actions, "list", "List plays, the newest first, or add them up (the default).", "plays", "plays")
    listing.add_argument("--by", choices=("model", "device", "video"), help="add them up by this")
    listing.add_argument("--check", metavar="ID", help="of this check: the task of `doai plays check`")
    listing.add_argument("--run", metavar="ID", help="of this run")
    listing.add_argument("--device", metavar="SERIAL", help="on this device")
    listing.add_argument("--model", metavar="NAME", help="on devices of this model")
    listing.add_argument("--video", metavar="URL", help="of this video")
    listing.add_argument(
        "--hours", type=count, default=24, metavar="N", help="of runs made so long ago at most (24)"
    )
    listing.add_argument("--limit", type=count, default=50, metavar="N", help="how many to list (50)")
    check = add(
        actions, "check", "Let devices play videos and measure it: done by the playback-bot.", "plays", "check"
    )
    check.add_argument(
        "--video",
        action="append",
        required=True,
        metavar="URL",
        help="your own or test content; several times for several videos",
    )
    check.add_argument("--on", action="append", required=True, metavar="TARGETS", help=TARGETS_HELP)
    check.add_argument("--watch", type=count, default=20, metavar="S", help="seconds to watch, once it plays (20)")
    check.add_argument("--repeats", type=count, default=1, metavar="N", help="how often each plays each (1)")
    check.add_argument(
        "--stalls-max", type=int, metavar="N", help="a play with more has failed (any number is good)"
    )
    check.add_argument("--start-within", type=count, default=30, metavar="S", help="or it has failed (30)")
    check.add_argument("--app", metavar="PACKAGE", help="app that plays them (com.google.android.youtube)")
    check.add_argument("--queue", default="default", help="queue of the plays (default: default)")
    check.add_argument(
        "--wait", action="store_true", help="wait for the end; exit code 0 if every play passed, 1 if one did not"
    )
