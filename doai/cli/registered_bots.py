"""`doai bots list`, `show` and what an operator wants of bots (steps 1 and 14)."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from doai.cli import exits, show
from doai.cli.client import Client
from doai.cli.runs import show_one
from doai.errors import UserError


def show_list(client: Client, options: argparse.Namespace) -> int:
    """`doai bots list`."""
    wanted = {"state": options.state, "status": options.status}
    found = [
        item for item in client.items("/bots") if all(value in (None, item[name]) for name, value in wanted.items())
    ]
    if options.json:
        show.print_json([{**item, "url": client.url(f"/bots/{item['name']}")} for item in found])
        return exits.PASSED
    rows = (
        (
            item["name"],
            item["status"],
            item["state"],
            len(item["processes"]),
            show.when(item["provenAtMs"]),
            f"{item['uptimeDayPercent']:.1f} %",
            sum(subscription["behind"] for subscription in item["subscriptions"]),
            item["title"],
        )
        for item in found
    )
    headings = ("bot", "wanted", "state", "processes", "last heard", "24 h", "behind", "title")
    empty = (
        "No such bots." if any(wanted.values()) else "No bot has registered: `doai bots enroll NAME` lets one in."
    )
    show.print_table(headings, rows, empty=empty)
    print(client.url("/bots", **wanted))
    return exits.PASSED


def show_bot(client: Client, options: argparse.Namespace) -> int:
    """`doai bots show`."""
    return show_one(client, options, f"/bots/{options.name}")


def configure(client: Client, options: argparse.Namespace) -> int:
    """`doai bots config`: show it, or set it as a whole."""
    path = f"/bots/{options.name}"
    if options.file is None:
        show.print_json(client.get(path)["config"])
        return exits.PASSED
    try:
        config = json.loads(Path(options.file).read_text("utf-8"))
    except OSError as error:
        raise UserError(f"{options.file} can not be read: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"{options.file} is no JSON: {error}") from error
    return _done(client, options, client.request("PUT", f"{path}/config", json_body=config).json())


def set_status(client: Client, options: argparse.Namespace) -> int:
    """`doai bots activate`, `deactivate` and `deprecate`."""
    wish = {"status": options.status, "reason": options.why}
    return _done(client, options, client.post(f"/bots/{options.name}/status", wish))


def reset(client: Client, options: argparse.Namespace) -> int:
    """`doai bots reset`: begin a subscription anew."""
    wish: dict[str, Any] = {"position": options.position, "toEnd": options.to_end}
    answer = client.post(f"/bots/{options.name}/subscriptions/{options.subscription}/reset", wish)
    if options.json:
        show.print_json(answer)
        return exits.PASSED
    print(
        f"subscription {answer['subscription']} of bot {answer['name']} begins after position {answer['position']} "
        f"(before: {answer['before']}); {client.url('/bots/' + answer['name'])}"
    )
    return exits.PASSED


def _done(client: Client, options: argparse.Namespace, answer: dict[str, Any]) -> int:
    url = client.url(f"/bots/{answer['name']}")
    if options.json:
        show.print_json({**answer, "url": url})
        return exits.PASSED
    print(f"bot {answer['name']} is {answer['status']}, its settings have revision {answer['revision']}; {url}")
    return exits.PASSED
