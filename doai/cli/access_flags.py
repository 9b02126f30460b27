"""Flags of `doai nodes`, `doai secrets` and `doai adb-key` (step 1)."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

_AddCommand = Callable[..., argparse.ArgumentParser]


def add_nodes(commands: Any, add: _AddCommand) -> None:
    """Add `doai nodes`; ``add`` makes a command that talks to the API."""
    group = commands.add_parser("nodes", help="List nodes, show one, let hosts join, change or revoke their keys.")
    actions = group.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = add(actions, "list", "List nodes, or show one (the default).", "fleet", "nodes")
    listing.add_argument("name", nargs="?")
    listing.add_argument("--state", choices=("online", "late", "offline"), help="whether it is heard")
    enrol = add(actions, "enroll", "Make one-time tokens with which hosts join as nodes.", "enrolment", "enroll")
    enrol.add_argument("names", nargs="*", metavar="NAME")
    enrol.add_argument("--count", type=int, metavar="N", help="this many, named PREFIX-01, PREFIX-02 ...")
    enrol.add_argument("--prefix", metavar="PREFIX", help="beginning of their names, for --count")
    enrol.add_argument("--csv", metavar="FILE", help="the column `name` of this file")
    rotate = add(
        actions,
        "rotate",
        "Make a token with which a node changes its key; the old key stays until the new one is used.",
        "enrolment",
        "rotate",
    )
    rotate.add_argument("names", nargs="+", metavar="NAME")
    for parser in (enrol, rotate):
        parser.add_argument("--expires", default="24h", metavar="TIME", help="such as 30m (24h); 30 days at most")
        parser.add_argument("--admin-url", metavar="URL", help="address of this API as those hosts reach it")
        parser.add_argument("--out", metavar="FILE", help="write the tokens there, for you only, as CSV")
    revoke = add(actions, "revoke", "Stop accepting a node's key, or the token it has.", "enrolment", "revoke")
    revoke.add_argument("name")
    add(actions, "enrolments", "List which nodes were enrolled, and which joined.", "enrolment", "enrolments")


def add_secrets(commands: Any, add: _AddCommand) -> None:
    """Add `doai secrets` and `doai adb-key`."""
    group = commands.add_parser("secrets", help="Set secrets for steps, list their names, remove them.")
    actions = group.add_subparsers(dest="action", metavar="ACTION", required=True)
    set_ = add(
        actions,
        "set",
        "Set a secret: typed, piped in, or from a file; never on the command line.",
        "secrets",
        "set_secret",
    )
    set_.add_argument("name")
    set_.add_argument("--from-file", metavar="FILE", help="the value is what is in this file")
    add(actions, "list", "List the names of secrets.", "secrets", "list_secrets")
    remove = add(actions, "rm", "Remove a secret.", "secrets", "remove")
    remove.add_argument("name")
    add(actions, "rotate", "Encrypt all secrets with a new key.", "secrets", "rotate")
    key = add(
        commands,
        "adb-key",
        "Show the adb key that all nodes share; make it first if there is none.",
        "secrets",
        "adb_key",
    )
    key.add_argument("--from-file", metavar="FILE", help="share this key, whose phones go on trusting it")
    key.add_argument("--replace", action="store_true", help="in place of the one there is: all phones ask again")
