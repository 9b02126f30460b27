"""`doai stats`: what the queues did, a minute or an hour at a time (step 14)."""

from __future__ import annotations

import argparse
from typing import Any

from doai.cli import exits, show
from doai.cli.client import Client

OUTCOMES = ("passed", "failed", "cancelled", "expired", "unknown")


def statistics(client: Client, options: argparse.Namespace) -> int:
    """`doai stats`."""
    query = {"hours": options.hours, "queue": options.queue, "period": options.by}
    found = list(client.items("/statistics", **query))
    if options.json:
        show.print_json(found)
        return exits.PASSED
    rows = (_row(item) for item in found if options.all or _told(item))
    headings = (
        "time",
        "queue",
        "waiting",
        "running",
        "ended",
        "a minute",
        "how",
        "wait p50/p95",
        "took p50/p95",
        "nodes",
    )
    show.print_table(headings, rows, empty="Nothing was counted yet: the first minute is told when it is over.")
    print(client.url("/statistics", **query))
    return exits.PASSED


def _told(item: dict[str, Any]) -> bool:
    return bool(sum(item[name] for name in OUTCOMES) or item["waiting"] or item["running"] or item["delayed"])


def _row(item: dict[str, Any]) -> tuple[object, ...]:
    online, total = item["nodesOnline"], item["nodesTotal"]
    return (
        show.when(item["atMs"]),
        item["queue"],
        item["waiting"],
        item["running"],
        sum(item[name] for name in OUTCOMES),
        None if item["tasksPerMin"] is None else f"{item['tasksPerMin']:.1f}",
        show.counts({name: item[name] for name in OUTCOMES if item[name]}),
        _pair(item["wait"]),
        _pair(item["duration"]),
        None if online is None else f"{online}/{total}",
    )


def _pair(percentiles: dict[str, Any]) -> str | None:
    if percentiles["p50S"] is None:
        return None
    return f"{show.duration(percentiles['p50S'])} / {show.duration(percentiles['p95S'])}"
