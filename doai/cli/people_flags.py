"""Flags of `doai users` and `doai tokens` (step 1)."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

_AddCommand = Callable[..., argparse.ArgumentParser]
_ROLES = ("viewer", "operator", "author", "admin")


def add_users(commands: Any, add: _AddCommand) -> None:
    """Add `doai users`; ``add`` makes a command that talks to the API."""
    group = commands.add_parser("users", help="Say who may sign in: list, add, change, remove people.")
    actions = group.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = add(actions, "list", "List the people who may sign in.", "users", "list_users")
    listing.add_argument("--all", action="store_true", help="also those who were removed")
    new = add(actions, "add", "Let a person sign in.", "users", "add_user")
    new.add_argument("name")
    new.add_argument("--role", choices=_ROLES, required=True, help="what the person may do")
    role = add(actions, "role", "Give a person another role.", "users", "set_role")
    role.add_argument("name")
    role.add_argument("role", choices=_ROLES, metavar="ROLE", help=", ".join(_ROLES))
    password = add(
        actions, "password", "Give a person another password; all sessions end.", "users", "set_password"
    )
    password.add_argument("name")
    for parser in (new, password):
        kind = parser.add_mutually_exclusive_group()
        kind.add_argument("--ask", action="store_true", help="type it, or pipe it in, instead of having one made")
        kind.add_argument("--out", metavar="FILE", help="write the one that is made there, for you only")
    remove = add(actions, "remove", "Let a person sign in no more; all sessions end.", "users", "remove_user")
    remove.add_argument("name")


def add_tokens(commands: Any, add: _AddCommand) -> None:
    """Add `doai tokens`."""
    group = commands.add_parser("tokens", help="Let programs use the API: list, create, revoke their tokens.")
    actions = group.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = add(actions, "list", "List tokens.", "tokens", "list_tokens")
    listing.add_argument("--all", action="store_true", help="also those that are revoked or over")
    new = add(actions, "create", "Make a token; it is shown once.", "tokens", "create_token")
    new.add_argument("name", help="what it is for, such as ci")
    new.add_argument("--role", choices=_ROLES, required=True, help="what its bearer may do")
    new.add_argument(
        "--scope", action="append", default=[], metavar="PART", help="part of the API that it opens, such as runs"
    )
    new.add_argument("--expires", metavar="TIME", help="such as 12h or 90d; without it, it does not end by itself")
    new.add_argument("--out", metavar="FILE", help="write it there, for you only, instead of showing it")
    revoke = add(actions, "revoke", "Accept a token no more.", "tokens", "revoke_token")
    revoke.add_argument("name")
