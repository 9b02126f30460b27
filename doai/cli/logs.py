"""`doai logs`: what all processes logged (step 14)."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any, Final

from doai.cli import exits, show
from doai.cli.client import Client
from doai.cli.since import since_ms

FOLLOW_EVERY_S: Final = 1.0
PAGE: Final = 500


def add_logs(commands: Any, add: Callable[..., argparse.ArgumentParser], count: Callable[[str], int]) -> None:
    """Add the command to the parser."""
    logs = add(commands, "logs", "Tell what all processes logged, the newest last.", "logs", "logs")
    logs.add_argument("--level", choices=("debug", "info", "warning", "error"), help="least severe lines")
    logs.add_argument("--program", choices=("broker", "node", "bot", "admin"))
    logs.add_argument("--source", metavar="NAME", help="a process on the mesh, such as node-1")
    logs.add_argument("--run", metavar="ID")
    logs.add_argument("--task", metavar="ID")
    logs.add_argument("--device", metavar="SERIAL")
    logs.add_argument("--text", metavar="WORDS", help="in the message, in whatever case")
    logs.add_argument("--since", metavar="TIME", help="how far back: 10m, 12h, 7d, 2026-11-01")
    logs.add_argument("--limit", type=count, default=50, metavar="N", help="how many of the newest (50)")
    logs.add_argument("-f", "--follow", action="store_true", help="go on with what comes, until Ctrl-C")


def logs(client: Client, options: argparse.Namespace) -> int:
    """`doai logs`."""
    query = {
        "level": options.level,
        "program": options.program,
        "source": options.source,
        "run_id": options.run,
        "task_id": options.task,
        "device_serial": options.device,
        "text": options.text,
        "since_ms": None if options.since is None else since_ms(options.since),
    }
    newest = client.get("/logs", limit=1)["newest"]
    found = [line for line in client.first(options.limit, "/logs", **query) if line["n"] <= newest]
    found.reverse()
    if options.json and not options.follow:
        show.print_json(found)
        return exits.PASSED
    _print(found, options)
    if not options.follow:
        if not found:
            print("Nothing was logged that fits.")
        print(client.url("/logs", **query))
        return exits.PASSED
    while True:
        time.sleep(FOLLOW_EVERY_S)
        found, newest = _since(client, newest, query)
        _print(found, options)


def _since(client: Client, after: int, query: dict[str, object]) -> tuple[list[dict[str, Any]], int]:
    """Return all lines that came after one, the oldest first, and the number after which others come."""
    page = client.get("/logs", **query, after=after, limit=PAGE)
    newest, found = max(after, page["newest"]), page["items"]
    while page["next"]:
        page = client.get("/logs", **query, after=after, limit=PAGE, cursor=page["next"])
        found += page["items"]
    return found[::-1], newest


def _print(lines: list[dict[str, Any]], options: argparse.Namespace) -> None:
    for line in lines:
        if options.json:
            show.print_json(line)
            continue
        ids = " ".join(f"{name}={value}" for name, value in line["fields"].items())
        level = f"{line['level'].upper()} " if line["level"] in ("warning", "error") else ""
        source = line["source"].partition("/")[0]
        told = f"{show.when(line['atMs'])} {source}: {level}{f'[{ids}] ' if ids else ''}{line['message']}"
        print(told, flush=options.follow)
        if line["exception"]:
            print(line["exception"])
