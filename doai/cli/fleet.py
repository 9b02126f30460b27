"""`doai devices`, `nodes`: what is there, and when each was last proven (step 14)."""

from __future__ import annotations

import argparse
from typing import Any

from doai.cli import exits, show
from doai.cli.client import Client
from doai.cli.runs import show_one


def devices(client: Client, options: argparse.Namespace) -> int:
    """`doai devices`."""
    if options.serial:
        return show_one(client, options, f"/devices/{options.serial}")
    found = list(client.items("/devices", state=options.state, node=options.node, limit=500))
    rows = (
        (
            item["serial"],
            item["state"],
            item["nodeId"],
            item.get("model"),
            item.get("sdk"),
            item.get("tags"),
            item.get("reason"),
        )
        for item in found
    )
    headings = ("device", "state", "node", "model", "sdk", "tags", "why")
    return _list(
        client, options, "/devices", "serial", found, headings, rows, "No devices yet: start a node with phones."
    )


def nodes(client: Client, options: argparse.Namespace) -> int:
    """`doai nodes`."""
    if options.name:
        return show_one(client, options, f"/nodes/{options.name}")
    found = list(client.items("/nodes", limit=500))
    rows = (
        (
            item["nodeId"],
            item["state"],
            item.get("host"),
            f"{(item.get('sample') or {}).get('running', '-')}/{item.get('slots')}",
            item.get("version"),
            item.get("stateReason"),
        )
        for item in found
    )
    headings = ("node", "state", "host", "slots in use", "version", "why")
    return _list(
        client, options, "/nodes", "nodeId", found, headings, rows, "No nodes yet: start one with bin/node."
    )


def _list(
    client: Client,
    options: argparse.Namespace,
    path: str,
    key: str,
    found: list[dict[str, Any]],
    headings: tuple[str, ...],
    rows: Any,
    empty: str,
) -> int:
    if options.json:
        show.print_json([{**item, "url": client.url(f"{path}/{item[key]}")} for item in found])
    else:
        show.print_table(headings, rows, empty=empty)
        print(client.url(path))
    return exits.PASSED
