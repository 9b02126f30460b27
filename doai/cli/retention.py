"""`doai retention`, `doai usage`: what is kept how long, what would go; what was done with devices (step 14)."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

from doai.cli import exits, show
from doai.cli.client import Client
from doai.cli.since import since_ms

LOOK_EVERY_S = 0.5
COUNTED_MAX = 1_000_000
"""The API counts samples up to this."""
_COUNTED = ("tasks", "runs", "events", "artifacts", "audit")


def add_retention(commands: Any, add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add both commands to the parser."""
    retention = add(
        commands, "retention", "Tell what is kept how long and what would go.", "retention", "retention"
    )
    retention.add_argument("action", nargs="?", choices=("show", "run"), default="show", help="run: remove it now")
    usage = add(
        commands,
        "usage",
        "Tell what was done with devices, of workflows, by actors, for projects and campaigns.",
        "retention",
        "usage",
    )
    usage.add_argument("--by", choices=("device", "workflow", "actor", "project", "campaign"), default="device")
    usage.add_argument("--since", default="30d", metavar="TIME", help="how far back: 12h, 7d, 2026-11-01 (30d)")
    usage.add_argument("--daily", action="store_true", help="a line for each day (UTC)")


def retention(client: Client, options: argparse.Namespace) -> int:
    """`doai retention`, `doai retention run`."""
    if options.action == "run":
        client.post("/retention", {})
        while (found := client.get("/retention"))["running"] is not None:
            time.sleep(LOOK_EVERY_S)
        last = next(item for item in found["passes"] if not item["queue"])
        if options.json:
            show.print_json(last)
        else:
            print(f"removed {_told(last)}" + (f"; it ended early: {last['problem']}" if last["problem"] else ""))
        return exits.NOT_PASSED if last["problem"] else exits.PASSED
    found = client.get("/retention")
    if options.json:
        show.print_json(found)
        return exits.PASSED
    policy, held, going = found["policy"], found["held"], found["going"]
    rows = (
        ("tasks", held["tasks"], _days(policy["tasksDays"]), policy["tasksMax"] or None, going["tasks"]),
        ("runs", held["runs"], "as their tasks", None, going["runs"]),
        ("events", held["events"], _days(policy["eventsDays"]), policy["eventsMax"] or None, going["events"]),
        (
            f"artifacts ({_mb(held['artifactBytes'])})",
            held["artifacts"],
            _days(policy["artifactsDays"]),
            f"{policy['artifactsDiskPercent']:g} % of the disk" if policy["artifactsDiskPercent"] else None,
            f"{going['artifacts']} ({_mb(going['artifactBytes'])})",
        ),
        ("audit", held["audit"], _days(policy["auditDays"]), policy["auditMax"] or None, going["audit"]),
        ("samples", _many(held["samples"]), _hours(policy["samplesHours"]), None, _many(going["samples"])),
        (
            "hours of samples",
            _many(held["sampleHours"]),
            _days(policy["sampleHoursDays"]),
            None,
            _many(going["sampleHours"]),
        ),
    )
    show.print_table(("what", "there are", "kept", "at most", "would go now"), rows, empty="")
    every = policy["everyH"]
    print(f"A pass every {every:g} h." if every else "Only `doai retention run` removes anything.")
    if found["running"] is not None:
        print(f"under way: {_told(found['running'])} removed so far")
    for item in found["passes"][:1]:
        of = f" of queue {item['queue']}" if item["queue"] else ""
        print(
            f"last pass {show.when(item['endedAtMs'])} by {item['actor']}: {_told(item)}{of} removed "
            f"{item['problem']}"
        )
    print(client.url("/retention"))
    return exits.PASSED


def usage(client: Client, options: argparse.Namespace) -> int:
    """`doai usage`."""
    query = {"by": options.by, "since_ms": since_ms(options.since), "daily": "true" if options.daily else None}
    found = list(client.items("/usage", **query))
    if options.json:
        show.print_json(found)
        return exits.PASSED
    outcomes = ("passed", "failed", "cancelled", "expired", "unknown")
    rows = (
        (
            item["name"],
            item["day"] if options.daily else None,
            item["tasks"],
            show.counts({name: item[name] for name in outcomes}),
            item["attempts"],
            show.duration(item["deviceS"]),
        )
        for item in found
    )
    show.print_table(
        (options.by, "day", "tasks", "how", "attempts", "device time"), rows, empty="Nothing was done yet."
    )
    print(client.url("/usage", **query))
    return exits.PASSED


def _told(counts: dict[str, Any]) -> str:
    told = ", ".join(f"{counts[name]} {'rows of the audit' if name == 'audit' else name}" for name in _COUNTED)
    return f"{told} ({_mb(counts['freedBytes'])} of files)"


def _days(days: float) -> str:
    return f"{days:g} days" if days else "for ever"


def _hours(hours: float) -> str:
    return f"{hours:g} hours" if hours else "for ever"


def _many(count: int) -> str:
    return f"{count} or more" if count >= COUNTED_MAX else str(count)


def _mb(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.0f} MB"
