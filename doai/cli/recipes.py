"""`doai workflows add|list|show`: recipes as they are stored (step 2)."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from doai.cli import exits, show
from doai.cli.client import Client
from doai.cli.runs import get_workflow, store_workflow


def add(client: Client, options: argparse.Namespace) -> int:
    """`doai workflows add FILE...`."""
    stored = [_with_url(client, store_workflow(client, Path(name))) for name in options.files]
    if options.json:
        show.print_json(stored)
        return exits.PASSED
    for answer in stored:
        what = "stored" if answer["new"] else "was stored already"
        name = answer["name"]
        print(f"{name}@{answer['version']} {what}: {answer['url']}")
    return exits.PASSED


def _with_url(client: Client, stored: dict[str, Any]) -> dict[str, Any]:
    return {**stored, "url": client.url(f"/workflows/{stored['name']}", version=stored["version"])}


def show_list(client: Client, options: argparse.Namespace) -> int:
    """`doai workflows list`."""
    found = list(client.items("/workflows", limit=500))
    if options.json:
        show.print_json([{**item, "url": client.url(f"/workflows/{item['name']}")} for item in found])
        return exits.PASSED
    rows = (
        (item["name"], item["version"], item.get("title"), show.recently(item["createdAtMs"])) for item in found
    )
    show.print_table(
        ("workflow", "version", "title", "stored"), rows, empty="No workflows yet: doai workflows add FILE"
    )
    print(client.url("/workflows"))
    return exits.PASSED


def show_one(client: Client, options: argparse.Namespace) -> int:
    """`doai workflows show NAME[@VERSION]`: the recipe as stored, in JSON."""
    found = get_workflow(client, options.name)
    url = client.url(f"/workflows/{found['name']}", version=found["version"])
    if options.json:
        show.print_json({**found, "url": url})
    else:
        show.print_json(found["recipe"])
        print(url, file=sys.stderr)  # stdout is the recipe and nothing else
    return exits.PASSED
