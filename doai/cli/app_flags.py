"""Flags of `doai apps` (step 1)."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from doai.cli.targets import TARGETS_HELP

_AddCommand = Callable[..., argparse.ArgumentParser]


def add_apps(commands: Any, add: _AddCommand, count: Callable[[str], int]) -> None:
    """Add `doai apps`; ``add`` makes a command that talks to the API."""
    group = commands.add_parser("apps", help="Install a stored app on many phones; take new phones in.")
    actions = group.add_subparsers(dest="action", metavar="ACTION", required=True)
    install = add(actions, "install", "Let the install-bot bring a stored app to phones.", "apps", "install")
    install.add_argument("file", help="NAME or NAME@VERSION: doai files put")
    install.add_argument("--on", action="append", required=True, metavar="TARGETS", help=TARGETS_HELP)
    install.add_argument("--package", default="", help="what must be in the file")
    install.add_argument("--canary", type=count, default=1, metavar="N", help="N phones first (1)")
    install.add_argument("--wave", type=count, default=10, metavar="N", help="N phones at once, at most (10)")
    install.add_argument(
        "--stop-rate", type=float, default=0.2, metavar="SHARE", help="stop and put back when more failed (0.2)"
    )
    install.add_argument(
        "--grant",
        action="append",
        default=[],
        metavar="PERMISSION",
        help="give it, such as android.permission.CAMERA",
    )
    install.add_argument(
        "--grant-all", action="store_true", help="give every permission that a person is asked for"
    )
    install.add_argument("--no-rollback", action="store_true", help="stop, and leave phones as they are")
    install.add_argument(
        "--reach", type=float, default=300.0, metavar="S", help="leave out phones not seen within S seconds (300)"
    )
    install.add_argument("--idempotency-key", metavar="KEY", help="the same key never begins a second one")
    install.add_argument("--wait", action="store_true", help="wait for the report; exit code 0 if it passed")
    report = add(actions, "report", "Show what came of an installation, phone by phone.", "apps", "report")
    report.add_argument("id", help="run id or task id of it")
    onboard = add(actions, "onboard", "Let the install-bot take a new phone in.", "apps", "onboard")
    onboard.add_argument("serial")
    onboard.add_argument("--app", action="append", default=[], metavar="FILE", help="install this stored app")
    onboard.add_argument("--tag", action="append", default=[], metavar="NAME", help="give it when it has passed")
    onboard.add_argument("--smoke", default="", metavar="WORKFLOW", help="must pass on it")
    onboard.add_argument("--wait", action="store_true", help="wait for the end; exit code 0 if it passed")
