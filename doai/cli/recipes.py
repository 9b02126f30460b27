"""`doai workflows add|list|show`: recipes as they are stored (step 2)."""

from __future__ import annotations

import argparse
from pathlib import Path

from doai.cli import exits, show
from doai.cli.client import Client
from doai.cli.runs import store_workflow


def add(client: Client, options: argparse.Namespace) -> int:
    """`doai workflows add FILE...`."""
    stored = [store_workflow(client, Path(name)) for name in options.files]
    if options.json:
        show.print_json(stored)
        return exits.PASSED
    for answer in stored:
        what = "stored" if answer["new"] else "was stored already"
        name = answer["name"]
        print(f"{name}@{answer['version']} {what}: {client.url(f'/workflows/{name}')}")
    return exits.PASSED


def show_list(client: Client, options: argparse.Namespace) -> int:
    """`doai workflows list`."""
    found = list(client.items("/workflows", limit=500))
    if options.json:
        show.print_json(found)
        return exits.PASSED
    rows = ((item["name"], item["version"], item.get("title"), show.when(item["createdAtMs"])) for item in found)
    show.print_table(
        ("workflow", "version", "title", "stored"), rows, empty="No workflows yet: doai workflows add FILE"
    )
    print(client.url("/workflows"))
    return exits.PASSED


def show_one(client: Client, options: argparse.Namespace) -> int:
    """`doai workflows show NAME[@VERSION]`: the recipe as stored, in JSON."""
    name, _, version = options.name.partition("@")
    found = client.get(f"/workflows/{name}", version=version or None)
    show.print_json(found if options.json else found["recipe"])
    return exits.PASSED
