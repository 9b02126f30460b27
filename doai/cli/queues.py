"""`doai queues`: how each stands; configure, pause, resume and drain them (steps 1 and 14)."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from doai.cli import exits, show
from doai.cli.client import Client
from doai.cli.finished import add_finished
from doai.cli.runs import show_one


def add_queues(commands: Any, add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add `doai queues`; ``add`` makes a command that talks to the API."""
    group = commands.add_parser(
        "queues", help="List queues; configure, pause, resume, drain, discard, clean, retry."
    )
    actions = group.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = add(actions, "list", "List queues (the default).", "queues", "show_list")
    listing.add_argument("name", nargs="?", help="show this one")
    configure = add(actions, "put", "Make a queue, or change one.", "queues", "put")
    configure.add_argument("name")
    configure.add_argument("--priority", type=int, metavar="N", help="larger goes first (0)")
    configure.add_argument(
        "--degraded-above", type=int, metavar="N", help="shown as degraded with more tasks waiting (200)"
    )
    configure.add_argument("--rate", type=int, metavar="N", help="tasks given out a minute at most; 0 = no limit")
    for action, summary in (
        ("pause", "Give out no task of a queue; what nodes hold goes on, new runs wait."),
        ("resume", "Give out the tasks of a queue and take new runs."),
        ("drain", "End what a queue has, refuse new runs."),
    ):
        parser = add(actions, action, summary, "queues", "change")
        parser.add_argument("name")
        parser.add_argument("--why", default="", help="why, for those who look at it")
    away = add(actions, "discard", "Throw away what waits in a queue; asks first.", "queues", "discard")
    away.add_argument("name")
    away.add_argument("--why", default="", help="why, for the story of each task")
    away.add_argument("--confirm", default="", metavar="TOKEN", help="what the first call answered")
    away.add_argument("--yes", action="store_true", help="do not ask")
    add_finished(actions, add)


def show_list(client: Client, options: argparse.Namespace) -> int:
    """`doai queues`, or one of them."""
    if options.name:
        return show_one(client, options, f"/queues/{options.name}")
    found = list(client.items("/queues"))
    if options.json:
        show.print_json([{**item, "url": client.url(f"/queues/{item['name']}")} for item in found])
        return exits.PASSED
    print_queues(found)
    print(client.url("/queues"))
    return exits.PASSED


def print_queues(found: list[dict[str, Any]]) -> None:
    """Print queues as a table."""
    rows = (
        (
            item["name"],
            _state(item),
            item["priority"],
            item["waiting"],
            item["delayed"],
            item["held"],
            item["ratePerMin"] or None,
            item["reason"] if item["state"] != "running" else "",
        )
        for item in found
    )
    headings = ("queue", "state", "priority", "waiting", "delayed", "held", "a minute", "why")
    show.print_table(headings, rows, empty="No queues yet: the broker makes the first when it starts.")


def put(client: Client, options: argparse.Namespace) -> int:
    """`doai queues put`."""
    wish = {"priority": options.priority, "degradedAbove": options.degraded_above, "ratePerMin": options.rate}
    path = f"/queues/{options.name}"
    given = {name: value for name, value in wish.items() if value is not None}
    return _done(client, options, client.request("PUT", path, json_body=given).json())


def change(client: Client, options: argparse.Namespace) -> int:
    """`doai queues pause`, `resume` and `drain`."""
    answer = client.post(f"/queues/{options.name}/{options.action}", {"reason": options.why})
    return _done(client, options, answer)


def discard(client: Client, options: argparse.Namespace) -> int:
    """`doai queues discard`: first what would be, then it is done."""
    path, wish = f"/queues/{options.name}/discard", {"reason": options.why}
    answer = client.post(path, {**wish, "confirm": options.confirm})
    if not answer["done"] and options.yes:
        answer = client.post(path, {**wish, "confirm": answer["confirm"]})
    url = client.url(f"/queues/{options.name}")
    if options.json:
        show.print_json({**answer, "url": url})
    elif answer["done"]:
        print(f"{show.many(answer['tasks'], 'task')} of queue {answer['name']} discarded; {url}")
    else:
        print(
            f"{show.many(answer['tasks'], 'task')} of queue {answer['name']} would be cancelled. Within "
            f"{answer['confirmWithinS']:.0f} s, while the same tasks wait: "
            f"doai queues discard {options.name} --confirm {answer['confirm']}"
        )
    return exits.PASSED


def _done(client: Client, options: argparse.Namespace, answer: dict[str, Any]) -> int:
    url = client.url(f"/queues/{answer['name']}")
    if options.json:
        show.print_json({**answer, "url": url})
        return exits.PASSED
    print(
        f"queue {answer['name']} is {answer['state']}, priority {answer['priority']}: "
        f"{show.many(answer['waiting'], 'task')} waiting, {answer['delayed']} delayed, {answer['held']} held by "
        f"nodes; {url}"
    )
    return exits.PASSED


def _state(item: dict[str, Any]) -> str:
    if item["degraded"]:
        return "degraded" if item["state"] == "running" else f"{item['state']}, degraded"
    return str(item["state"])
