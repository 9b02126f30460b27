"""`doai workflows add|list|show|versions|diff|activate|archive`: recipes as they are stored (step 2)."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, Final

from doai.cli import exits, show
from doai.cli.client import Client
from doai.cli.runs import get_workflow, store_workflow
from doai.errors import UserError
from doai.ids import is_name


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
        (item["name"], item["version"], item["state"], item.get("title"), show.recently(item["createdAtMs"]))
        for item in found
    )
    headings = ("workflow", "version", "state", "title", "stored")
    show.print_table(headings, rows, empty="No workflows yet: doai workflows add FILE")
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


def versions(client: Client, options: argparse.Namespace) -> int:
    """`doai workflows versions NAME`: all versions, newest first, with their states."""
    path = f"/workflows/{workflow_name(options.name)}/versions"
    found = client.get(path)["items"]
    if options.json:
        show.print_json([{**item, "url": _version_url(client, item["name"], item["version"])} for item in found])
        return exits.PASSED
    rows = (
        (
            f"{item['name']}@{item['version']}",
            item["state"],
            item.get("title"),
            show.recently(item["createdAtMs"]),
            item["createdBy"],
        )
        for item in found
    )
    show.print_table(("version", "state", "title", "stored", "by"), rows, empty="No versions.")
    print(client.url(path))
    return exits.PASSED


def diff(client: Client, options: argparse.Namespace) -> int:
    """`doai workflows diff NAME@1 NAME@2`: what differs; exit code 0 also when something does."""
    (old_name, old), (name, new) = split_version(options.old), split_version(options.new)
    if old_name != name:
        raise UserError(f"{options.old} and {options.new} are two workflows: name two versions of one")
    path = f"/workflows/{name}/diff"
    found = client.get(path, **{"from": old, "to": new})
    url = client.url(path, **{"from": old, "to": new})
    if options.json:
        show.print_json({**found, "url": url})
        return exits.PASSED
    out = show.console()
    for change in found["changes"]:
        out.print(change["text"], markup=False, style=_COLOURS.get(change["kind"], ""))
    if not found["changes"]:
        out.print(f"{name}@{old} and {name}@{new} say the same.", markup=False)
    print(url, file=sys.stderr)  # stdout is the difference and nothing else
    return exits.PASSED


_COLOURS: Final = {"added": "green", "removed": "red", "changed": "yellow", "moved": "cyan"}


def activate(client: Client, options: argparse.Namespace) -> int:
    """`doai workflows activate NAME@VERSION`."""
    return _set_state(client, options, "activate")


def archive(client: Client, options: argparse.Namespace) -> int:
    """`doai workflows archive NAME@VERSION`."""
    return _set_state(client, options, "archive")


def _set_state(client: Client, options: argparse.Namespace, what: str) -> int:
    name, version = split_version(options.name)
    answer = client.post(f"/workflows/{name}/versions/{version}/{what}")
    url = _version_url(client, name, version)
    if options.json:
        show.print_json({**answer, "url": url})
        return exits.PASSED
    newest = answer.get("activeVersion")
    means = f"{name} means {name}@{newest}" if newest else f"{name} alone means nothing now: no version is active"
    print(f"{name}@{version} is {answer['state']}; {means}: {url}")
    return exits.PASSED


def _version_url(client: Client, name: str, version: int) -> str:
    return client.url(f"/workflows/{name}", version=version)


def workflow_name(text: str) -> str:
    """Return a name that can stand in an address; raises UserError."""
    if not is_name(text):
        raise UserError(f"{text[:80]!r} names no workflow: `doai workflows list` shows what there is")
    return text


def split_version(text: str) -> tuple[str, int]:
    """Return name and version of ``NAME@VERSION``; raises UserError."""
    name, _, version = text.partition("@")
    if not version.isdecimal() or not is_name(name) or len(version) > 9 or int(version) < 1:
        raise UserError(f"{text[:80]!r} is no version of a workflow: write NAME@VERSION, such as hello@2")
    return name, int(version)
