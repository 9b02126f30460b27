"""`doai tokens`: which programs may use the API, for what and how long (steps 1 and 2)."""

from __future__ import annotations

import argparse
import time
from typing import Any
from urllib.parse import quote

from doai.cli import exits, show
from doai.cli.client import Client
from doai.cli.since import seconds_of
from doai.cli.told_once import told_once


def list_tokens(client: Client, options: argparse.Namespace) -> int:
    """`doai tokens list`."""
    now_ms = time.time() * 1000
    states = [(_state(item, now_ms), item) for item in client.items("/tokens", limit=500)]
    found = [{**item, "state": state} for state, item in states if options.all or state == "live"]
    if options.json:
        show.print_json(found)
        return exits.PASSED
    rows = (
        (
            item["name"],
            item["role"],
            ", ".join(item["scopes"]) or "all",
            item["state"],
            show.when(item["expiresAtMs"]) if item["expiresAtMs"] is not None else "never",
            show.when(item["createdAtMs"]),
            item["createdBy"],
        )
        for item in found
    )
    headings = ("token", "role", "opens", "state", "expires", "since", "by")
    show.print_table(headings, rows, empty="No tokens: `doai tokens create NAME --role ROLE` makes one.")
    print(client.url("/tokens"))
    return exits.PASSED


def _state(token: dict[str, Any], now_ms: float) -> str:
    if token["revokedAtMs"] is not None:
        return "revoked"
    return "over" if token["expiresAtMs"] is not None and token["expiresAtMs"] <= now_ms else "live"


def create_token(client: Client, options: argparse.Namespace) -> int:
    """`doai tokens create NAME`: it is shown once, or written to a file."""
    body = {
        "name": options.name,
        "role": options.role,
        "scopes": options.scope,
        "expiresInS": seconds_of(options.expires) if options.expires else None,
    }
    with told_once(options.out) as out:
        answer = client.post("/tokens", body)
        out.take(answer.pop("token"))
    url = client.url("/tokens")
    if options.json:
        told = {"token": out.text} if out.path is None else {"file": str(out.path)}
        show.print_json({**answer, **told, "url": url})
        return exits.PASSED
    print(f"token {options.name} has the role {options.role}; {url}")
    print(f"token, shown once: {out.text}" if out.path is None else f"the token is in {out.path}")
    return exits.PASSED


def revoke_token(client: Client, options: argparse.Namespace) -> int:
    """`doai tokens revoke NAME`."""
    answer = client.request("DELETE", f"/tokens/{quote(options.name, safe='')}").json()
    url = client.url("/tokens")
    if options.json:
        show.print_json({**answer, "url": url})
    else:
        print(f"token {options.name} is not accepted any more; {url}")
    return exits.PASSED
