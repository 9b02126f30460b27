"""`doai compare`: two runs beside each other, phone by phone (step 14)."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, Final

from doai.cli import exits, show
from doai.cli.client import Client

_WORSE: Final = "worse"
_ORDER: Final = (_WORSE, "other", "gone", "open", "new", "better", "same")


def add_compare(commands: Any, add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    compare = add(commands, "compare", "Compare two runs, phone by phone.", "compare", "compare")
    compare.description = (
        "Tell what became of each phone in two runs. Exit code 1 when a phone passed only in the first."
    )
    compare.add_argument("first", metavar="RUN", help="id of the earlier run")
    compare.add_argument("second", metavar="OTHER", help="id of the later run")
    compare.add_argument("--all", action="store_true", help="also phones that ended the same way")
    compare.add_argument("--change", choices=_ORDER, help="only phones of which this became")


def compare(client: Client, options: argparse.Namespace) -> int:
    """`doai compare FIRST SECOND`."""
    found = client.get(f"/runs/{options.first}/compare", **{"with": options.second})
    counts = found["counts"]
    code = exits.NOT_PASSED if counts.get(_WORSE) else exits.PASSED
    if options.json:
        show.print_json(found)
        return code
    items = [item for item in found["items"] if options.change in (None, item["change"])]
    items = [item for item in items if options.all or options.change or item["change"] != "same"]
    items.sort(key=lambda item: (_ORDER.index(item["change"]), item["deviceSerial"]))
    headings = ("device", "change", "first", "took", "second", "took", "why")
    show.print_table(headings, (_row(item) for item in items), empty="Every phone ended the same way in both.")
    print(", ".join(f"{counts[name]} {name}" for name in _ORDER if counts.get(name)))
    print(client.url("/runs/compare", first=options.first, second=options.second, change=options.change))
    return code


def _row(item: dict[str, Any]) -> tuple[object, ...]:
    first, second = item["first"] or {}, item["second"] or {}
    took = [
        f"{ended['durationS']:.1f} s" if ended.get("durationS") is not None else "-" for ended in (first, second)
    ]
    why = second.get("code") or first.get("code") or ""
    return (
        item["deviceSerial"],
        item["change"],
        first.get("state", "-"),
        took[0],
        second.get("state", "-"),
        took[1],
        why,
    )
