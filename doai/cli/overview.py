"""`doai overview`: how everything stands, as the first page of the dashboard tells it (step 14)."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from typing import Any, Final

from doai.cli import exits, show
from doai.cli.client import Client
from doai.cli.queues import print_queues

_TASKS: Final = {"running": "running", "waiting": "queued", "delayed": "delayed"}
"""Tasks as the page calls them -> their state."""


def add_overview(commands: Any, add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    add(
        commands,
        "overview",
        "Tell how everything stands: what there is, goes, waits, passes.",
        "overview",
        "overview",
    )


def overview(client: Client, options: argparse.Namespace) -> int:
    """`doai overview`."""
    found = client.get("/overview")
    if options.json:
        show.print_json(found)
        return exits.PASSED
    show.print_table(("now", "is"), _rows(found), empty="")
    print()
    print_queues(found["queues"])
    print(client.url("/overview"))
    return exits.PASSED


def _rows(found: dict[str, Any]) -> Iterator[tuple[str, object]]:
    devices, tasks = found["devices"], found["tasks"]
    yield "devices online", f"{devices.get('online', 0)} of {sum(devices.values())}"
    yield "nodes online", f"{found['nodesOnline']} of {found['nodesTotal']}"
    for name, state in _TASKS.items():
        yield f"tasks {name}", tasks.get(state, 0)
    per_min, percent = found["tasksPerMin"], found["successPercent"]
    yield "tasks a minute", None if per_min is None else f"{per_min:.0f}"
    yield "success in 24 h", None if percent is None else f"{percent:.1f} %"
    yield "open runs", found["runsOpen"]
    yield "open incidents", found["incidentsOpen"]
    yield "dead letters", found["deadLettersOpen"]
