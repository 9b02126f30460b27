"""`doai secrets` and `doai adb-key`: what only a step or the adb server of a node may know (step 2)."""

from __future__ import annotations

import argparse
import getpass
import sys
from pathlib import Path
from urllib.parse import quote

from doai.cli import exits, show
from doai.cli.client import ApiError, Client
from doai.errors import UserError


def set_secret(client: Client, options: argparse.Namespace) -> int:
    """`doai secrets set NAME`: the value comes from a file, a pipe or the keyboard, never from the command line."""
    client.request("PUT", f"/secrets/{quote(options.name, safe='')}", json_body={"value": _value(options)})
    return _told(client, options, f"secret {options.name} is set: steps name it ${{secret.{options.name}}}")


def _value(options: argparse.Namespace) -> str:
    try:
        if options.from_file:
            text = Path(options.from_file).read_bytes().decode("utf-8")
        elif sys.stdin.isatty():
            text = getpass.getpass(f"Value of {options.name} (not shown): ")
        else:
            text = sys.stdin.buffer.read().decode("utf-8")
    except OSError as error:
        raise UserError(f"cannot read {options.from_file or 'standard input'}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError("the value is no text in UTF-8: encode it first, e.g. with base64") from None
    # One line break at the end is the editor's or echo's.
    return text.removesuffix("\n").removesuffix("\r")


def list_secrets(client: Client, options: argparse.Namespace) -> int:
    """`doai secrets list`: names only."""
    found = list(client.items("/secrets", limit=500))
    if options.json:
        show.print_json(found)
        return exits.PASSED
    rows = ((item["name"], show.when(item["changedAtMs"]), item["changedBy"]) for item in found)
    show.print_table(("secret", "set", "by"), rows, empty="No secrets: `doai secrets set NAME` sets one.")
    print(client.url("/secrets"))
    return exits.PASSED


def remove(client: Client, options: argparse.Namespace) -> int:
    """`doai secrets rm NAME`."""
    client.request("DELETE", f"/secrets/{quote(options.name, safe='')}")
    return _told(client, options, f"secret {options.name} is gone: a task that names it and begins now fails")


def _told(client: Client, options: argparse.Namespace, sentence: str) -> int:
    if options.json:
        show.print_json({"name": options.name, "url": client.url("/secrets")})
    else:
        print(f"{sentence}: {client.url('/secrets')}")
    return exits.PASSED


def rotate(client: Client, options: argparse.Namespace) -> int:
    """`doai secrets rotate`."""
    answer = client.post("/secrets/rotate")
    if options.json:
        show.print_json(answer)
    else:
        print(f"{answer['secrets']} secret(s) are encrypted with a new key; the old one is forgotten")
    return exits.PASSED


def adb_key(client: Client, options: argparse.Namespace) -> int:
    """`doai adb-key`."""
    is_new = bool(options.from_file or options.replace)
    answer = None
    if not is_new:
        try:
            answer = client.get("/adb-key")
        except ApiError as error:
            if error.status != 404:
                raise
    if answer is None:
        is_new = True
        answer = client.post("/adb-key", {"privateKey": _private_key(options), "replace": options.replace})
    if options.json:
        show.print_json({**answer, "url": client.url("/adb-key")})
        return exits.PASSED
    print(f"the adb key that all nodes share has the fingerprint {answer['fingerprint']}")
    if is_new:
        print("nodes that join from now on use it; others once they join anew (`doai nodes rotate NAME`)")
    print("a phone asks once whether it trusts this key: `doai devices --unauthorized` lists those that wait")
    print(client.url("/adb-key"))
    return exits.PASSED


def _private_key(options: argparse.Namespace) -> str:
    if not options.from_file:
        return ""
    try:
        return Path(options.from_file).read_text(encoding="ascii", errors="replace")
    except OSError as error:
        raise UserError(f"cannot read {options.from_file}: {error.strerror}") from None
