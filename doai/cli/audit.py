"""`doai audit`: who changed what, from where, what was so before and after (step 14)."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import Any

from doai.cli import exits, show
from doai.cli.client import Client
from doai.cli.since import since_ms


def add_audit(commands: Any, add: Callable[..., argparse.ArgumentParser], count: Callable[[str], int]) -> None:
    """Add the command to the parser."""
    audit = add(commands, "audit", "Tell who changed what, newest first; what was refused too.", "audit", "audit")
    audit.add_argument("--actor", metavar="WHO", help="such as user/ann")
    audit.add_argument("--action", metavar="WHAT", help="such as key.revoke, or key. for all that begin so")
    audit.add_argument("--subject", metavar="WHICH", help="such as device/SERIAL or run/ID")
    audit.add_argument("--outcome", choices=("done", "refused", "automatic"))
    audit.add_argument("--since", metavar="TIME", help="how far back: 12h, 7d, 2026-11-01")
    audit.add_argument("--limit", type=count, default=50, metavar="N", help="how many (50)")


def audit(client: Client, options: argparse.Namespace) -> int:
    """`doai audit`."""
    query = {name: getattr(options, name) for name in ("actor", "action", "subject", "outcome")}
    query["since_ms"] = None if options.since is None else since_ms(options.since)
    found = client.first(options.limit, "/audit", **query)
    if options.json:
        show.print_json(found)
        return exits.PASSED
    headings = ("time", "who", "role", "from", "action", "subject", "outcome", "changed", "why")
    show.print_table(headings, (_row(item) for item in found), empty="Nobody has changed anything that fits.")
    print(client.url("/audit", **query))
    return exits.PASSED


def _row(item: dict[str, Any]) -> tuple[object, ...]:
    place = " ".join(part for part in (item["address"], item["interface"]) if part)
    return (
        show.when(item["atMs"]),
        item["actor"],
        item["role"],
        place,
        item["action"],
        item["subject"],
        item["outcome"],
        _changed(item["before"], item["after"]),
        item["reason"],
    )


def _changed(before: Any, after: Any) -> str:
    """What differs, as `name: before -> after`; of what was not there, or is not any more, only the one side."""
    if not isinstance(before, dict) or not isinstance(after, dict):
        told = after if before is None else before if after is None else [before, after]
        return "" if told is None else _text(told)
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return ", ".join(f"{name}: {_text(before.get(name))} -> {_text(after.get(name))}" for name in names)


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_text(item)}" for name, item in value.items() if item not in (None, "", [], {}))
    return value if isinstance(value, str) else "-" if value is None else json.dumps(value, ensure_ascii=False)
