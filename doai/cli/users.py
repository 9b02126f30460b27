"""`doai users`: who may sign in (steps 1 and 2)."""

from __future__ import annotations

import argparse
from typing import Any
from urllib.parse import quote

from doai.cli import exits, show
from doai.cli.client import Client
from doai.cli.told_once import Out, ask, told_once
from doai.errors import UserError


def list_users(client: Client, options: argparse.Namespace) -> int:
    """`doai users list`."""
    found = [user for user in client.items("/users", limit=500) if options.all or user["removedAtMs"] is None]
    if options.json:
        show.print_json(found)
        return exits.PASSED
    rows = (
        (
            item["name"],
            item["role"],
            show.when(item["createdAtMs"]),
            item["createdBy"],
            show.when(item["passwordAtMs"]),
            show.when(item["removedAtMs"]) if item["removedAtMs"] is not None else None,
        )
        for item in found
    )
    headings = ("user", "role", "since", "by", "password set", "removed")
    show.print_table(headings, rows, empty="Nobody: `doai users add NAME --role ROLE` lets somebody in.")
    print(client.url("/users"))
    return exits.PASSED


def add_user(client: Client, options: argparse.Namespace) -> int:
    """`doai users add NAME`: the password that is made is shown once."""
    given = _given(options)
    with told_once(options.out) as out:
        answer = client.post("/users", {"name": options.name, "role": options.role, "password": given})
        out.take(answer.pop("password", ""))
    return _told(client, options, answer, out, f"{options.name} may sign in as {options.role}")


def set_password(client: Client, options: argparse.Namespace) -> int:
    """`doai users password NAME`."""
    given = _given(options)
    with told_once(options.out) as out:
        answer = client.request("PUT", f"{_path(options)}/password", json_body={"password": given}).json()
        out.take(answer.pop("password", ""))
    ended = show.many(answer.get("sessionsEnded", 0), "session")
    return _told(client, options, answer, out, f"{options.name} has another password; {ended} ended")


def set_role(client: Client, options: argparse.Namespace) -> int:
    """`doai users role NAME ROLE`."""
    answer = client.request("PUT", f"{_path(options)}/role", json_body={"role": options.role}).json()
    return _told(client, options, answer, Out(None), f"{options.name} is {options.role} now")


def remove_user(client: Client, options: argparse.Namespace) -> int:
    """`doai users remove NAME`."""
    answer = client.request("DELETE", _path(options)).json()
    ended = show.many(answer.get("sessionsEnded", 0), "session")
    return _told(client, options, answer, Out(None), f"{options.name} may sign in no more; {ended} ended")


def _path(options: argparse.Namespace) -> str:
    return f"/users/{quote(options.name, safe='')}"


def _given(options: argparse.Namespace) -> str:
    """Return the password that a person gives; empty = one is made."""
    if not options.ask:
        return ""
    password = ask("password")
    if not password:
        raise UserError("the password is empty: type one, or leave --ask out to have one made")
    return password


def _told(client: Client, options: argparse.Namespace, answer: dict[str, Any], out: Out, sentence: str) -> int:
    url = client.url("/users")
    if options.json:
        secret = {"password": out.text} if out.text and out.path is None else {}
        file = {"file": str(out.path)} if out.text and out.path is not None else {}
        show.print_json({**answer, **secret, **file, "url": url})
        return exits.PASSED
    print(f"{sentence}; {url}")
    if out.text and out.path is None:
        print(f"password, shown once: {out.text}")
    elif out.text:
        print(f"the password is in {out.path}")
    return exits.PASSED
