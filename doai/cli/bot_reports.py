"""`doai bots reports`: what a bot has to say, such as the digest of a day (step 14)."""

from __future__ import annotations

import argparse
import os
from typing import Any

from doai.cli import exits, show
from doai.cli.client import Client


def reports(client: Client, options: argparse.Namespace) -> int:
    """`doai bots reports NAME`."""
    path = f"/bots/{options.name}/reports"
    found = client.get(path, limit=options.count)["items"]
    if options.json:
        show.print_json(found)
        return exits.PASSED
    for report in reversed(found):
        _print(report, korean=_korean(options.lang))
    if not found:
        print(f"Bot {options.name} has reported nothing yet.")
    print(client.url(path))
    return exits.PASSED


def _korean(wanted: str | None) -> bool:
    said = wanted or os.environ.get("LC_ALL") or os.environ.get("LC_MESSAGES") or os.environ.get("LANG") or ""
    return said.startswith("ko")


def _print(report: dict[str, Any], *, korean: bool) -> None:
    title, lines = report["title"], report["lines"]
    if korean:
        title, lines = report["titleKo"] or title, report["linesKo"] or lines
    print(f"{show.when(report['publishedAtMs'])}  {title}")
    for line in lines:
        print(f"  {line}")
    for table in report["tables"]:
        print(f"\n{table['title']}")
        show.print_table(table["columns"], table["rows"], empty="  -")
    print()
